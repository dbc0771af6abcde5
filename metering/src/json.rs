//! A strict JSON reader (RFC 8259) that is fed bytes in any chunks and keeps only bounded state:
//! one bit per open bracket, the current name, and the current value where it is wanted. It edits
//! nothing and builds no tree; it tells a [`Sink`] what it sees and where.

mod escape;
mod number;
mod quiet;
#[cfg(test)]
mod quiet_tests;
mod run;
mod sink;
mod utf8;

use std::fmt;

use escape::{code_unit, hex_digit, unescaped};
pub use number::count;
use number::{NumberPart, next_number_part};
use quiet::with_bracket;
pub(crate) use run::split_behind;
pub use sink::{Event, Sink, Text};
pub(crate) use utf8::Utf8;

/// Deepest nesting. Real requests stay below 20; a cap keeps recursive parsers behind us safe too.
pub const DEEPEST: usize = 64;
/// Longest member name or captured value in bytes; longer ones are cut and marked incomplete.
/// Nothing that we look for is longer than a model name (256 bytes).
pub const LONGEST_TEXT: usize = 512;

/// The bytes are not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxError {
    /// A byte that cannot stand here, at this offset.
    Unexpected(u64),
    /// Deeper than [`DEEPEST`].
    TooDeep,
    /// The end came too early.
    Truncated,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(at) => write!(f, "unexpected byte at offset {at}"),
            Self::TooDeep => write!(f, "nested deeper than {DEEPEST} levels"),
            Self::Truncated => f.write_str("it ends too early"),
        }
    }
}

impl std::error::Error for SyntaxError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    ValueOrClose,
    NameOrClose,
    NameOnly,
    Colon,
    CommaOrClose,
    Text,
    Escape,
    Unicode { digits: u8, value: u16 },
    Number(NumberPart),
    Literal { word: &'static [u8], matched: u8 },
    End,
}

/// The reader's state between chunks.
#[derive(Debug, Clone)]
pub struct Scanner {
    state: State,
    depth: usize,
    /// Bit d is set when the bracket at depth d+1 is an object.
    objects: u64,
    text_is_name: bool,
    wanted: bool,
    text: Vec<u8>,
    cut: bool,
    start: u64,
    raw_length: u64,
    high_surrogate: Option<u16>,
    /// The depth of a bracket whose inside is not told.
    quiet: Option<usize>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            objects: 0,
            text_is_name: false,
            wanted: false,
            text: Vec::new(),
            cut: false,
            start: 0,
            raw_length: 0,
            high_surrogate: None,
            quiet: None,
        }
    }
}

impl Scanner {
    /// Reads a chunk whose first byte has offset `at`.
    ///
    /// # Errors
    /// When the bytes cannot be JSON; the scanner must not be fed again.
    pub fn feed(&mut self, chunk: &[u8], at: u64, sink: &mut dyn Sink) -> Result<(), SyntaxError> {
        let mut rest = chunk;
        let mut offset = at;
        while let Some((&byte, tail)) = rest.split_first() {
            let run = match self.quiet {
                None => 0,
                Some(outermost) => self.pass_over(outermost, rest, sink),
            };
            let run = if run > 0 { run } else { self.run(byte, rest, sink) };
            if run > 0 {
                offset += run as u64;
                rest = rest.get(run..).unwrap_or_default();
                continue;
            }
            if self.step(byte, offset, sink)? {
                offset += 1;
                rest = tail;
            }
        }
        Ok(())
    }

    /// Says that no byte follows.
    ///
    /// # Errors
    /// When the text is not complete.
    pub fn finish(&mut self, at: u64, sink: &mut dyn Sink) -> Result<(), SyntaxError> {
        if let State::Number(part) = self.state {
            self.end_number(part, at, sink)?;
        }
        if self.state == State::End { Ok(()) } else { Err(SyntaxError::Truncated) }
    }

    /// Whether the outermost value is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// What must stand before an element that is added here to the outermost array: its bracket, a
    /// comma, or nothing. `None` where no element may be added.
    #[must_use]
    pub fn before_added_element(&self) -> Option<&'static str> {
        match (&self.state, self.depth) {
            (State::Value, 0) => Some("["),
            (State::Value | State::ValueOrClose, 1) if !self.in_object() => Some(""),
            (State::CommaOrClose, 1) if !self.in_object() => Some(","),
            _ => None,
        }
    }

    /// Consumes bytes, of which `first` is the first, that leave the state as it is: says how many.
    fn run(&mut self, first: u8, bytes: &[u8], sink: &mut dyn Sink) -> usize {
        use NumberPart::{ExponentDigits, Fraction, Integer};
        match self.state {
            State::Text if first == b'"' => 0,
            State::Text => self.text_run(bytes),
            State::Number(Integer | Fraction | ExponentDigits) if first.is_ascii_digit() => {
                let run = run::digits(bytes);
                self.keep(bytes.get(..run).unwrap_or_default());
                run
            }
            State::Value | State::ValueOrClose if first.is_ascii_digit() => {
                self.count_numbers(bytes, sink)
            }
            State::Number(_) | State::Escape | State::Unicode { .. } | State::Literal { .. } => 0,
            _ if first > b' ' => 0,
            _ => run::blank(bytes),
        }
    }

    /// Consumes plain characters inside a string, and escapes that are here as a whole.
    fn text_run(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        loop {
            let plain = run::plain(rest);
            if plain > 0 {
                self.end_lone_surrogate();
                self.keep(rest.get(..plain).unwrap_or_default());
            }
            rest = rest.get(plain..).unwrap_or_default();
            rest = match rest {
                [b'\\', b'u', a, b, c, d, tail @ ..] => {
                    let Some(unit) = code_unit([*a, *b, *c, *d]) else { break };
                    self.take_unit(unit);
                    tail
                }
                [b'\\', escaped, tail @ ..] => {
                    let Some(plain) = unescaped(*escaped) else { break };
                    self.end_lone_surrogate();
                    self.keep(&[plain]);
                    tail
                }
                _ => break,
            };
        }
        let run = bytes.len().saturating_sub(rest.len());
        self.raw_length += run as u64;
        run
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.wanted {
            return;
        }
        let room = LONGEST_TEXT - self.text.len().min(LONGEST_TEXT);
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.cut |= kept.len() < bytes.len();
        self.text.extend_from_slice(kept);
    }

    /// Half a surrogate pair is no character: it is kept as U+FFFD, so that a name with one never
    /// reads as the same name without it.
    fn end_lone_surrogate(&mut self) {
        if self.high_surrogate.take().is_some() {
            self.keep("\u{fffd}".as_bytes());
        }
    }

    /// Handles one byte that begins no run; false when the byte must be looked at again in the new state.
    fn step(&mut self, byte: u8, at: u64, sink: &mut dyn Sink) -> Result<bool, SyntaxError> {
        match self.state {
            State::Text => self.text_byte(byte, at, sink)?,
            State::Escape => self.escape(byte, at)?,
            State::Unicode { digits, value } => self.unicode(byte, digits, value, at)?,
            State::Number(part) => match next_number_part(part, byte) {
                Some(next) => {
                    self.keep(&[byte]);
                    self.state = State::Number(next);
                }
                None => {
                    self.end_number(part, at, sink)?;
                    return Ok(false);
                }
            },
            State::Literal { word, matched } => self.literal(byte, word, matched, at, sink)?,
            State::Value => self.value(byte, at, sink)?,
            State::ValueOrClose if byte == b']' => self.close(false, at, sink)?,
            State::ValueOrClose => self.value(byte, at, sink)?,
            State::NameOrClose if byte == b'}' => self.close(true, at, sink)?,
            State::NameOrClose | State::NameOnly if byte == b'"' => {
                self.begin_text(at, true, true);
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::CommaOrClose => match (byte, self.in_object()) {
                (b',', true) => self.state = State::NameOnly,
                (b',', false) => self.state = State::Value,
                (b'}', true) => self.close(true, at, sink)?,
                (b']', false) => self.close(false, at, sink)?,
                _ => return Err(SyntaxError::Unexpected(at)),
            },
            State::NameOrClose | State::NameOnly | State::Colon | State::End => {
                return Err(SyntaxError::Unexpected(at));
            }
        }
        Ok(true)
    }

    fn in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }

    fn value(&mut self, byte: u8, at: u64, sink: &mut dyn Sink) -> Result<(), SyntaxError> {
        self.start = at;
        match byte {
            b'{' => self.open(true, at, sink)?,
            b'[' => self.open(false, at, sink)?,
            b'"' => self.begin_text(at, false, sink.wants_string(self.depth)),
            b't' => self.state = State::Literal { word: b"true", matched: 1 },
            b'f' => self.state = State::Literal { word: b"false", matched: 1 },
            b'n' => self.state = State::Literal { word: b"null", matched: 1 },
            b'-' | b'0'..=b'9' => {
                self.begin_text(at, false, true);
                self.keep(&[byte]);
                self.state = State::Number(match byte {
                    b'-' => NumberPart::Minus,
                    b'0' => NumberPart::Zero,
                    _ => NumberPart::Integer,
                });
            }
            _ => return Err(SyntaxError::Unexpected(at)),
        }
        Ok(())
    }

    fn begin_text(&mut self, at: u64, is_name: bool, wanted: bool) {
        self.start = at;
        self.text.clear();
        self.cut = false;
        self.wanted = wanted;
        self.raw_length = 0;
        self.high_surrogate = None;
        self.text_is_name = is_name;
        self.state = State::Text;
    }

    fn open(&mut self, object: bool, at: u64, sink: &mut dyn Sink) -> Result<(), SyntaxError> {
        if self.depth >= DEEPEST {
            return Err(SyntaxError::TooDeep);
        }
        sink.event(Event::Open { object }, self.depth, at, at + 1);
        if self.quiet.is_none() && sink.passes_over(self.depth) {
            self.quiet = Some(self.depth);
        }
        self.objects = with_bracket(self.objects, self.depth, object);
        self.depth += 1;
        self.state = if object { State::NameOrClose } else { State::ValueOrClose };
        Ok(())
    }

    fn close(&mut self, object: bool, at: u64, sink: &mut dyn Sink) -> Result<(), SyntaxError> {
        self.depth = self.depth.checked_sub(1).ok_or(SyntaxError::Unexpected(at))?;
        self.quiet = self.quiet.filter(|quiet| *quiet < self.depth);
        self.after_value();
        sink.event(Event::Close { object }, self.depth, at, at + 1);
        Ok(())
    }

    fn after_value(&mut self) {
        self.state = if self.depth == 0 { State::End } else { State::CommaOrClose };
    }

    fn text_byte(&mut self, byte: u8, at: u64, sink: &mut dyn Sink) -> Result<(), SyntaxError> {
        match byte {
            b'"' => {
                self.end_lone_surrogate();
                let text = Text { bytes: &self.text, complete: self.wanted && !self.cut };
                if self.text_is_name {
                    sink.event(Event::Name(text), self.depth, self.start, at + 1);
                    self.state = State::Colon;
                } else {
                    let event = Event::Str { text, length: self.raw_length };
                    sink.event(event, self.depth, self.start, at + 1);
                    self.after_value();
                }
            }
            b'\\' => {
                self.raw_length += 1;
                self.state = State::Escape;
            }
            _ => return Err(SyntaxError::Unexpected(at)),
        }
        Ok(())
    }

    fn escape(&mut self, byte: u8, at: u64) -> Result<(), SyntaxError> {
        self.raw_length += 1;
        if byte == b'u' {
            self.state = State::Unicode { digits: 0, value: 0 };
            return Ok(());
        }
        let plain = unescaped(byte).ok_or(SyntaxError::Unexpected(at))?;
        self.end_lone_surrogate();
        self.keep(&[plain]);
        self.state = State::Text;
        Ok(())
    }

    fn unicode(&mut self, byte: u8, digits: u8, value: u16, at: u64) -> Result<(), SyntaxError> {
        self.raw_length += 1;
        let digit = hex_digit(byte).ok_or(SyntaxError::Unexpected(at))?;
        let value = value << 4 | digit;
        if digits < 3 {
            self.state = State::Unicode { digits: digits + 1, value };
            return Ok(());
        }
        self.state = State::Text;
        self.take_unit(value);
        Ok(())
    }

    /// A UTF-16 code unit that was written in digits.
    fn take_unit(&mut self, unit: u16) {
        let code = match (self.high_surrogate, unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.high_surrogate = None;
                0x1_0000 + (u32::from(high & 0x3FF) << 10 | u32::from(unit & 0x3FF))
            }
            (_, 0xD800..=0xDBFF) => {
                self.end_lone_surrogate();
                self.high_surrogate = Some(unit);
                return;
            }
            _ => {
                self.end_lone_surrogate();
                u32::from(unit)
            }
        };
        if self.wanted {
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn literal(
        &mut self,
        byte: u8,
        word: &'static [u8],
        matched: u8,
        at: u64,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if word.get(usize::from(matched)) != Some(&byte) {
            return Err(SyntaxError::Unexpected(at));
        }
        let matched = matched + 1;
        if usize::from(matched) < word.len() {
            self.state = State::Literal { word, matched };
            return Ok(());
        }
        let event = match word.first() {
            Some(b't') => Event::Bool(true),
            Some(b'f') => Event::Bool(false),
            _ => Event::Null,
        };
        sink.event(event, self.depth, self.start, at + 1);
        self.after_value();
        Ok(())
    }

    fn end_number(
        &mut self,
        part: NumberPart,
        at: u64,
        sink: &mut dyn Sink,
    ) -> Result<(), SyntaxError> {
        if !part.may_end() {
            return Err(SyntaxError::Unexpected(at));
        }
        let text = Text { bytes: &self.text, complete: !self.cut };
        sink.event(Event::Number(text), self.depth, self.start, at);
        self.after_value();
        Ok(())
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
