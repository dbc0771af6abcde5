//! Runs of bytes that change nothing in the reader's state, found eight at a time.

const WORD: usize = size_of::<u64>();
/// The lowest bit of each byte of a word.
const LOW: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGH: u64 = LOW << 7;

/// How many bytes stand before the first one that ends a run inside a string: a quotation mark, a
/// backslash or a control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = less_than(word ^ (LOW * u64::from(b'"')), 1)
            | less_than(word ^ (LOW * u64::from(b'\\')), 1)
            | less_than(word, 0x20);
        if marks != 0 {
            // Only bytes above a mark can be marked wrongly, by its borrow; the lowest is right.
            return index * WORD + marks.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\') || *byte < 0x20;
    let run = rest.iter().position(ends).unwrap_or(rest.len());
    words.len() * WORD + run
}

/// The highest bit of each byte that is less than `limit` (at most 128); bytes above one of those may
/// be marked too.
const fn less_than(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(LOW * limit) & !word & HIGH
}

/// The bytes up to the first one that is this, with it, and those behind it.
pub(crate) fn split_behind(bytes: &[u8], last: u8) -> (&[u8], &[u8]) {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let marks =
        |word: &[u8; WORD]| less_than(u64::from_le_bytes(*word) ^ (LOW * u64::from(last)), 1);
    let found = words.iter().position(|word| marks(word) != 0);
    let place = match found.and_then(|index| Some((index, words.get(index)?))) {
        // As above, the lowest mark is right.
        Some((index, word)) => index * WORD + marks(word).trailing_zeros() as usize / 8,
        None => {
            let of_rest = rest.iter().position(|byte| *byte == last);
            words.len() * WORD + of_rest.unwrap_or(rest.len())
        }
    };
    bytes.split_at(bytes.len().min(place + 1))
}

/// How many bytes of white space the bytes begin with.
pub(super) fn blank(bytes: &[u8]) -> usize {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len())
}

/// How many digits the bytes begin with.
pub(super) fn digits(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place of words and of what is left over, beside every kind of neighbour.
    #[test]
    fn runs_end_at_the_right_byte() {
        for byte in 0..=u8::MAX {
            let ends = matches!(byte, b'"' | b'\\') || byte < 0x20;
            for neighbour in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                for length in 1..20 {
                    for place in 0..length {
                        let mut text = vec![neighbour; length];
                        text[place] = byte;
                        assert_eq!(plain(&text), if ends { place } else { length }, "{text:?}");
                        // the first of several
                        text[length - 1] = b'"';
                        let first = if ends { place } else { length - 1 };
                        assert_eq!(plain(&text), first.min(length - 1), "{text:?}");
                    }
                }
            }
        }
        assert_eq!(plain(b""), 0);
        for length in 0..20 {
            assert_eq!(split_behind(&vec![b'|'; length], b'}'), (&*vec![b'|'; length], &[][..]));
            for place in 0..length {
                let mut text = vec![b'|'; length];
                text[place] = b'}';
                text[length - 1] = b'}';
                assert_eq!(split_behind(&text, b'}'), text.split_at(place + 1));
            }
        }
        assert_eq!((blank(b" \t\r\n x"), blank(b"x"), blank(b"  ")), (5, 0, 2));
        assert_eq!((digits(b"0129.5"), digits(b"-1"), digits(b"77")), (4, 0, 2));
    }
}
