//! Amounts as the story compares them: exact, in nano-dollars.

use serde_json::Value;

/// Digits after the point of an amount in nano-dollars.
const DIGITS: usize = 9;

/// A decimal amount in USD, as text or as a JSON number, in nano-dollars; `None` if it is no such
/// amount or has more than nine decimals.
pub fn nano_usd(amount: &Value) -> Option<u64> {
    let text = match amount {
        Value::String(text) => text.clone(),
        // Rust writes the shortest text that means the same number, which is what was sent.
        Value::Number(number) => plain(&number.to_string())?,
        _ => return None,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.len() > DIGITS {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Without an exponent: `1.035e-5` is `0.00001035`.
fn plain(text: &str) -> Option<String> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return Some(text.to_owned());
    };
    let shift: usize = exponent.strip_prefix('-')?.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = "0".repeat(shift.checked_sub(whole.len())?);
    Some(format!("0.{zeros}{whole}{fraction}"))
}

/// An amount of nano-dollars, for people.
pub fn usd(nano: u64) -> String {
    format!("${}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(nano_usd(&json!("25.00")), Some(25_000_000_000));
        assert_eq!(nano_usd(&json!("0.00001035")), Some(10_350));
        assert_eq!(nano_usd(&json!(0.00001035)), Some(10_350));
        assert_eq!(nano_usd(&json!(1e-9)), Some(1));
        assert_eq!(nano_usd(&json!(3)), Some(3_000_000_000));
        assert_eq!(nano_usd(&json!("0.0000000001")), None);
        assert_eq!(nano_usd(&json!(null)), None);
        assert_eq!(usd(10_350), "$0.000010350");
    }
}
