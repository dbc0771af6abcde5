//! By how much a plan's prices are above or below those of the catalogue.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::money::{format_scaled, parse_scaled};

/// A factor on every price, in millionths: exact for any decimal with at most six places. It is never
/// zero, since what costs nothing is marked so in the catalogue. On the filter API it is a JSON
/// integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PriceMultiplier(u64);

/// The factor is no plain decimal number, is too precise, or not between its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMultiplier;

impl fmt::Display for InvalidMultiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a decimal number from 0.000001 to 1000 with at most six decimals: \"1.25\"",
        )
    }
}

impl std::error::Error for InvalidMultiplier {}

impl PriceMultiplier {
    /// The prices of the catalogue as they are.
    pub const ONE: Self = Self(1_000_000);
    /// A thousandfold: a larger one is a mistake, such as a percentage.
    pub const MOST: Self = Self(1_000_000_000);
    const DECIMALS: u32 = 6;

    /// From millionths.
    ///
    /// # Errors
    /// When it is zero or above [`PriceMultiplier::MOST`].
    pub fn from_ppm(ppm: u64) -> Result<Self, InvalidMultiplier> {
        if (1..=Self::MOST.0).contains(&ppm) { Ok(Self(ppm)) } else { Err(InvalidMultiplier) }
    }

    /// In millionths.
    #[must_use]
    pub const fn ppm(self) -> u64 {
        self.0
    }

    /// Parses a decimal text such as `"1.25"`.
    ///
    /// # Errors
    /// When the text is no such number; nothing is rounded.
    pub fn from_decimal(text: &str) -> Result<Self, InvalidMultiplier> {
        let ppm = parse_scaled(text, Self::DECIMALS).map_err(|_| InvalidMultiplier)?;
        Self::from_ppm(ppm)
    }

    /// The factor as a decimal text with at least two, at most six decimals.
    #[must_use]
    pub fn to_decimal(self) -> String {
        format_scaled(self.0, Self::DECIMALS)
    }

    /// Whether it changes nothing, so that messages need not say it.
    #[must_use]
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }
}

impl Default for PriceMultiplier {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<u64> for PriceMultiplier {
    type Error = InvalidMultiplier;

    fn try_from(ppm: u64) -> Result<Self, InvalidMultiplier> {
        Self::from_ppm(ppm)
    }
}

impl From<PriceMultiplier> for u64 {
    fn from(multiplier: PriceMultiplier) -> Self {
        multiplier.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_bounded() {
        for (text, ppm, shown) in [
            ("1", 1_000_000, "1.00"),
            ("1.00", 1_000_000, "1.00"),
            ("1.25", 1_250_000, "1.25"),
            ("0.000001", 1, "0.000001"),
            ("0.333333", 333_333, "0.333333"),
            ("1000", 1_000_000_000, "1000.00"),
        ] {
            let multiplier = PriceMultiplier::from_decimal(text).unwrap();
            assert_eq!((multiplier.ppm(), multiplier.to_decimal().as_str()), (ppm, shown));
            assert_eq!(PriceMultiplier::from_ppm(ppm), Ok(multiplier));
        }
        let wrong =
            ["0", "0.00", "0.0000001", "1.0000001", "1000.000001", "-1", "", "1,5", "1e3", "x"];
        for text in wrong {
            assert_eq!(PriceMultiplier::from_decimal(text), Err(InvalidMultiplier), "{text}");
        }
        for ppm in [0, 1_000_000_001, u64::MAX] {
            assert_eq!(PriceMultiplier::from_ppm(ppm), Err(InvalidMultiplier));
        }
        assert!(PriceMultiplier::default().is_one());
    }
}
