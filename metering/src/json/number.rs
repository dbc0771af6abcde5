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

impl NumberPart {
    /// A number may end with it.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
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

/// Where the number that begins at `from` ends; none where the bytes end with it, so that more of it may
/// follow, or where it is none.
#[inline]
pub(super) fn whole(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    if *bytes.get(at)? == b'-' {
        at += 1;
    }
    at = if *bytes.get(at)? == b'0' { at + 1 } else { digits(bytes, at)? };
    if *bytes.get(at)? == b'.' {
        at = digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at)?, b'e' | b'E') {
        at += 1;
        if matches!(bytes.get(at)?, b'+' | b'-') {
            at += 1;
        }
        at = digits(bytes, at)?;
    }
    Some(at)
}

/// Where the digits that begin at `from` end: at least one of them, and a byte behind the last.
#[inline]
fn digits(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while bytes.get(at)?.is_ascii_digit() {
        at += 1;
    }
    (at > from).then_some(at)
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
