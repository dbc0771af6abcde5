//! Money as integers. Amounts are nano-USD in 64 bits (up to 18.4 billion USD); prices are
//! pico-USD per token, which is the same number as micro-USD per million tokens and represents
//! every published token price exactly. Outside the filter API both appear as decimal strings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a decimal string is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyError {
    /// Not of the form `digits` or `digits.digits`.
    Malformed,
    /// More decimals than the unit can hold; nothing is rounded silently.
    TooPrecise,
    /// Does not fit 64 bits.
    TooLarge,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a decimal number such as \"12.50\"",
            Self::TooPrecise => "has more decimals than can be held exactly",
            Self::TooLarge => "is too large",
        })
    }
}

impl std::error::Error for MoneyError {}

/// An amount in nano-USD (10⁻⁹ USD). On the filter API it is a JSON integer.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount, used where a cost does not fit: it never passes a cap.
    pub const MAX: Self = Self(u64::MAX);
    const DECIMALS: u32 = 9;

    /// Sum, or `None` when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Sum that stays at [`NanoUsd::MAX`] instead of wrapping: errs against the spender.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Difference, or zero when `other` is larger.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Parses a decimal string in USD with at most nine decimals, such as `"25.00"`.
    ///
    /// # Errors
    /// When the text is no plain decimal number, is too precise or does not fit.
    pub fn from_usd(text: &str) -> Result<Self, MoneyError> {
        parse_scaled(text, Self::DECIMALS).map(Self)
    }

    /// The amount as a decimal string in USD: at least two, at most nine decimals.
    #[must_use]
    pub fn to_usd(self) -> String {
        format_scaled(self.0, Self::DECIMALS)
    }
}

/// A price in pico-USD (10⁻¹² USD) per token, equal to micro-USD per million tokens.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PicoUsdPerToken(pub u64);

impl PicoUsdPerToken {
    const DECIMALS: u32 = 6;

    /// Parses a decimal string in USD per million tokens with at most six decimals: `"0.15"`.
    ///
    /// # Errors
    /// When the text is no plain decimal number, is too precise or does not fit.
    pub fn from_usd_per_mtok(text: &str) -> Result<Self, MoneyError> {
        parse_scaled(text, Self::DECIMALS).map(Self)
    }

    /// The price as a decimal string in USD per million tokens.
    #[must_use]
    pub fn to_usd_per_mtok(self) -> String {
        format_scaled(self.0, Self::DECIMALS)
    }
}

pub(crate) fn parse_scaled(text: &str, decimals: u32) -> Result<u64, MoneyError> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(MoneyError::Malformed),
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(MoneyError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = decimals
        .checked_sub(u32::try_from(fraction.len()).unwrap_or(u32::MAX))
        .ok_or(MoneyError::TooPrecise)?;
    whole
        .bytes()
        .chain(fraction.bytes())
        .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .and_then(|value| value.checked_mul(10u64.pow(missing)))
        .ok_or(MoneyError::TooLarge)
}

pub(crate) fn format_scaled(value: u64, decimals: u32) -> String {
    let scale = 10u64.pow(decimals);
    let fraction = format!("{:0width$}", value % scale, width = decimals as usize);
    let kept = fraction.trim_end_matches('0').len().max(2);
    let fraction = fraction.get(..kept).unwrap_or(&fraction);
    format!("{}.{fraction}", value / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usd_strings_round_trip() {
        for (text, nano, shown) in [
            ("0", 0, "0.00"),
            ("25.00", 25_000_000_000, "25.00"),
            ("0.000915", 915_000, "0.000915"),
            ("0.000000001", 1, "0.000000001"),
            ("18446744073.709551615", u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(NanoUsd::from_usd(text), Ok(NanoUsd(nano)), "{text}");
            assert_eq!(NanoUsd(nano).to_usd(), shown);
        }
    }

    #[test]
    fn usd_strings_that_are_not_amounts_are_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "0x1", "١"] {
            assert_eq!(NanoUsd::from_usd(text), Err(MoneyError::Malformed), "{text:?}");
        }
        assert_eq!(NanoUsd::from_usd("0.0000000001"), Err(MoneyError::TooPrecise));
        assert_eq!(NanoUsd::from_usd("18446744073.709551616"), Err(MoneyError::TooLarge));
        assert_eq!(NanoUsd::from_usd("99999999999999999999999"), Err(MoneyError::TooLarge));
    }

    #[test]
    fn prices_are_exact() {
        assert_eq!(PicoUsdPerToken::from_usd_per_mtok("0.15"), Ok(PicoUsdPerToken(150_000)));
        assert_eq!(PicoUsdPerToken::from_usd_per_mtok("0.0025"), Ok(PicoUsdPerToken(2_500)));
        assert_eq!(PicoUsdPerToken(150_000).to_usd_per_mtok(), "0.15");
        assert_eq!(PicoUsdPerToken::from_usd_per_mtok("0.0000001"), Err(MoneyError::TooPrecise));
    }
}
