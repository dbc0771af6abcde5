//! Who is told what a document holds, and what is told.

/// An unescaped text, cut at [`LONGEST_TEXT`](super::LONGEST_TEXT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// The bytes, unescaped.
    pub bytes: &'a [u8],
    /// Nothing was cut off and the text was wanted.
    pub complete: bool,
}

/// What was seen. `depth` counts open brackets outside the thing itself: members of the outermost
/// object are at depth 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// `{` or `[`.
    Open {
        /// It is an object.
        object: bool,
    },
    /// `}` or `]`.
    Close {
        /// It was an object.
        object: bool,
    },
    /// A member's name.
    Name(Text<'a>),
    /// A string value, its bytes kept only if the sink wanted them; `length` is that of the raw
    /// text between the quotes.
    Str {
        /// The text.
        text: Text<'a>,
        /// Raw length in bytes.
        length: u64,
    },
    /// A number as written (cut numbers cannot be read and count as malformed values).
    Number(Text<'a>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Receives what the scanner sees.
pub trait Sink {
    /// One event: `start..end` are offsets as fed.
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64);

    /// Whether the text of the string value that begins now is wanted.
    fn wants_string(&self, depth: usize) -> bool;

    /// Whether nothing inside the bracket that has just opened at this depth says anything: most of it
    /// is then not told, only its end. Some of it may be.
    fn passes_over(&self, _depth: usize) -> bool {
        false
    }

    /// So many events were not told.
    fn passed_over(&mut self, _events: u64) {}

    /// Whether numbers directly in the list that is open need only be counted.
    fn counts_numbers(&self) -> bool {
        false
    }

    /// So many numbers were not told one by one. There may be others that were.
    fn counted(&mut self, _numbers: u64) {}
}
