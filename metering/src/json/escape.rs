//! What stands behind a backslash.

/// What an escape of one character stands for.
pub(super) fn unescaped(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' | b'/' => Some(byte),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

pub(super) fn hex_digit(byte: u8) -> Option<u16> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return None,
    };
    Some(u16::from(digit))
}

pub(super) fn code_unit(digits: [u8; 4]) -> Option<u16> {
    digits.into_iter().try_fold(0, |value, digit| Some(value << 4 | hex_digit(digit)?))
}
