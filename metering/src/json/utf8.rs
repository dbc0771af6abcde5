//! Whether bytes are UTF-8 (RFC 3629), which JSON texts must be. The standard library's check says
//! where they are not, too, and takes several times as long for text that is not in ASCII.
//!
//! An automaton reads one byte at a time: a row of the table has the next state for each state, at
//! the place that the state itself is a shift for.

/// Bytes that are passed over at once where all are ASCII.
const BLOCK: usize = size_of::<u128>();
/// The highest bit of each byte.
const HIGH: u128 = (u128::MAX / 255) << 7;

/// Bits of a state.
const BITS: u32 = 6;
const STATE: u64 = (1 << BITS) - 1;
/// No character is begun.
const ACCEPT: u64 = 0;
/// What was read can be no UTF-8, whatever follows.
const REJECT: u64 = 6;
/// One, two or three more bytes from 80 to BF must follow.
const ONE: u64 = 12;
const TWO: u64 = 18;
const THREE: u64 = 24;
/// The byte that follows these is limited further: no character is written longer than it must be,
/// none is half of a surrogate pair, none is beyond the last one.
const AFTER_E0: u64 = 30;
const AFTER_ED: u64 = 36;
const AFTER_F0: u64 = 42;
const AFTER_F4: u64 = 48;

static NEXT: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut rows = [0; 256];
    let mut rest = rows.as_mut_slice();
    let mut byte = 0;
    while let [row, others @ ..] = rest {
        *row = row_of(byte);
        byte += 1;
        rest = others;
    }
    rows
}

const fn row_of(byte: u16) -> u64 {
    let first = match byte {
        0x00..=0x7f => ACCEPT,
        0xc2..=0xdf => ONE,
        0xe0 => AFTER_E0,
        0xe1..=0xec | 0xee | 0xef => TWO,
        0xed => AFTER_ED,
        0xf0 => AFTER_F0,
        0xf1..=0xf3 => THREE,
        0xf4 => AFTER_F4,
        _ => REJECT,
    };
    first << ACCEPT
        | REJECT << REJECT
        | within(byte, 0x80, 0xbf, ACCEPT) << ONE
        | within(byte, 0x80, 0xbf, ONE) << TWO
        | within(byte, 0x80, 0xbf, TWO) << THREE
        | within(byte, 0xa0, 0xbf, ONE) << AFTER_E0
        | within(byte, 0x80, 0x9f, ONE) << AFTER_ED
        | within(byte, 0x90, 0xbf, TWO) << AFTER_F0
        | within(byte, 0x80, 0x8f, TWO) << AFTER_F4
}

const fn within(byte: u16, least: u16, most: u16, next: u64) -> u64 {
    if least <= byte && byte <= most { next } else { REJECT }
}

/// The check of a text that comes in chunks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Utf8 {
    state: u64,
}

impl Utf8 {
    /// Reads on; how many bytes of the chunk there are before the first that cannot be. After less than
    /// all of them it must not be fed again.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> usize {
        let (blocks, rest) = chunk.as_chunks::<BLOCK>();
        let mut state = self.state;
        let mut read = 0;
        for block in blocks {
            if state != ACCEPT || u128::from_le_bytes(*block) & HIGH != 0 {
                let before = state;
                state = block.iter().fold(state, next) & STATE;
                if state == REJECT {
                    return read + first_rejected(before, block);
                }
            }
            read += BLOCK;
        }
        self.state = rest.iter().fold(state, next) & STATE;
        if self.state == REJECT { read + first_rejected(state, rest) } else { chunk.len() }
    }

    /// No character is left unfinished.
    pub(crate) fn is_complete(self) -> bool {
        self.state == ACCEPT
    }
}

#[cold]
fn first_rejected(mut state: u64, bytes: &[u8]) -> usize {
    let is_rejected = |byte| {
        state = next(state, byte) & STATE;
        state == REJECT
    };
    bytes.iter().position(is_rejected).unwrap_or(bytes.len())
}

/// The next state in the lowest bits: only those are looked at by the shift, too.
fn next(state: u64, byte: &u8) -> u64 {
    let row = NEXT.get(usize::from(*byte)).copied().unwrap_or(REJECT);
    row.wrapping_shr(state as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes at which any rule changes.
    const EDGES: [u8; 28] = [
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
        0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff,
    ];

    fn is_utf8(bytes: &[u8]) -> bool {
        let mut check = Utf8::default();
        check.feed(bytes) == bytes.len() && check.is_complete()
    }

    fn agrees(bytes: &[u8]) {
        assert_eq!(is_utf8(bytes), std::str::from_utf8(bytes).is_ok(), "{bytes:x?}");
    }

    /// The bytes before the first that cannot be, read in chunks that end at these places.
    fn good_bytes(bytes: &[u8], ends: &[usize]) -> usize {
        let mut check = Utf8::default();
        let mut read = 0;
        for end in ends.iter().copied().chain([bytes.len()]) {
            let chunk = &bytes[read..end.max(read)];
            let good = check.feed(chunk);
            read += good;
            if good < chunk.len() {
                break;
            }
        }
        read
    }

    #[test]
    fn every_character_is_read_and_nothing_else() {
        for character in '\0'..=char::MAX {
            assert!(is_utf8(character.encode_utf8(&mut [0; 4]).as_bytes()), "{character:?}");
        }
        for one in 0..=u8::MAX {
            agrees(&[one]);
            for two in 0..=u8::MAX {
                agrees(&[one, two]);
                for three in EDGES {
                    agrees(&[one, two, three]);
                }
            }
        }
        for one in EDGES {
            for two in EDGES {
                for three in EDGES {
                    for four in EDGES {
                        agrees(&[one, two, three, four]);
                        // across the border of two blocks
                        let text = [b"0123456789abcd", &[one, two, three, four][..], b"e"].concat();
                        agrees(&text);
                    }
                }
            }
        }
        agrees(b"");
    }

    proptest! {
        #[test]
        fn the_standard_library_agrees(
            text in ".{0,40}", place in any::<prop::sample::Index>(), byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = text.into_bytes();
            agrees(&bytes);
            agrees(&bytes[..cut.index(bytes.len() + 1)]);
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
                agrees(&bytes);
            }
        }

        #[test]
        fn chunks_make_no_difference(
            text in ".{0,40}", place in any::<prop::sample::Index>(), byte in any::<u8>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut bytes = text.into_bytes();
            bytes.push(b'a');
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.sort_unstable();
            let whole = good_bytes(&bytes, &[]);
            prop_assert_eq!(good_bytes(&bytes, &ends), whole);
            // One more byte than these is no beginning of a text.
            let may_go_on = |text: &[u8]| match std::str::from_utf8(text) {
                Ok(_) => true,
                Err(why) => why.error_len().is_none(),
            };
            prop_assert!(may_go_on(&bytes[..whole]));
            prop_assert!(whole == bytes.len() || !may_go_on(&bytes[..=whole]));
        }
    }
}
