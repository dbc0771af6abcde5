//! Numbers: their grammar, byte by byte, and what counts as a count.

use super::Text;

/// What of a number was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberPart {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// What the next byte is of it; none where it ends the number.
pub(super) fn next_number_part(part: NumberPart, byte: u8) -> Option<NumberPart> {
    use NumberPart as P;
    match (part, byte) {
        (P::Minus, b'0') => Some(P::Zero),
        (P::Minus | P::Integer, b'0'..=b'9') => Some(P::Integer),
        (P::Zero | P::Integer, b'.') => Some(P::Point),
        (P::Point | P::Fraction, b'0'..=b'9') => Some(P::Fraction),
        (P::Zero | P::Integer | P::Fraction, b'e' | b'E') => Some(P::Exponent),
        (P::Exponent, b'+' | b'-') => Some(P::ExponentSign),
        (P::Exponent | P::ExponentSign | P::ExponentDigits, b'0'..=b'9') => Some(P::ExponentDigits),
        _ => None,
    }
}

/// Reads a count: a plain non-negative integer that fits 64 bits. `1.0`, `1e3`, `-1` and numbers
/// that do not fit are none.
#[must_use]
pub fn count(text: Text<'_>) -> Option<u64> {
    if !text.complete || text.bytes.is_empty() {
        return None;
    }
    text.bytes.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}
