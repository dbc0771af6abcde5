//! What a target makes of the bytes that it is given.

/// Bytes, taken from the front for decisions; what is left is the text that is read. A plain text
/// behind a few bytes stays a plain text when it is changed, which helps those who change it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All bytes are left.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next byte; 0 where none is left.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) =
            self.rest.split_first().map_or((0, self.rest), |(one, rest)| (*one, rest));
        self.rest = rest;
        first
    }

    /// One of these, by the next byte.
    ///
    /// # Panics
    /// Where there are none.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// The next two bytes as a number.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// So many bytes, or what is left.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn all(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Cuts a text into pieces whose lengths follow from `seed`: 1 to 16 bytes each, so that most
/// borders fall somewhere after a few runs. A seed of 0 cuts it into single bytes.
pub fn pieces(text: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = if seed == 0 { 1 } else { 1 + (state >> 16 & 15) as usize };
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        let (piece, tail) = rest.split_at(length.min(rest.len()));
        rest = tail;
        Some(piece)
    })
}
