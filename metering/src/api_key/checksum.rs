//! The checksum at the end of a native key: CRC-32 (the IEEE polynomial, as in zip) of everything
//! before it, as six base-62 digits. It keeps typing errors and guesses away from the server and
//! lets secret scanners tell a key from a look-alike; it is no protection by itself.

/// Digits of base 62 in the order of their values.
pub(super) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Six base-62 digits hold 2³² (62⁶ ≈ 5.7·10¹⁰).
pub(super) const LENGTH: usize = 6;

/// The six digits for a text.
pub(super) fn of(text: &str) -> [u8; LENGTH] {
    let mut value = u64::from(crc32(text.as_bytes()));
    let mut digits = [b'0'; LENGTH];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(value % 62).unwrap_or(0);
        *digit = BASE62.get(index).copied().unwrap_or(b'0');
        value /= 62;
    }
    digits
}

/// Whether the last six characters are the checksum of what precedes them.
pub(super) fn holds(text: &str) -> bool {
    text.len()
        .checked_sub(LENGTH)
        .and_then(|at| text.split_at_checked(at))
        .is_some_and(|(body, digits)| digits.as_bytes() == of(body).as_slice())
}

/// What four bits that are shifted out do to the rest.
const OF_FOUR_BITS: [u32; 16] = {
    let mut table = [0; 16];
    let mut bits = 0;
    while bits < table.len() {
        let mut crc = bits as u32;
        let mut shifted = 0;
        while shifted < 4 {
            let low_bit_mask = (crc & 1).wrapping_neg();
            crc = crc >> 1 ^ 0xEDB8_8320 & low_bit_mask;
            shifted += 1;
        }
        table[bits] = crc;
        bits += 1;
    }
    table
};

/// Four bits at a time: every request has a key of some 60 bytes, for which a table of 1 KiB would not
/// pay, and one of 64 bytes does.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..2 {
            let low = usize::try_from(crc & 15).unwrap_or_default();
            crc = crc >> 4 ^ OF_FOUR_BITS.get(low).copied().unwrap_or_default();
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_standard_check_string() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn holds_only_for_the_right_digits() {
        let digits = String::from_utf8(of("sk-tg-x").to_vec()).unwrap();
        assert!(holds(&format!("sk-tg-x{digits}")));
        assert!(!holds(&format!("sk-tg-y{digits}")));
        assert!(!holds(""));
    }
}
