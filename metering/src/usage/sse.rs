//! Server-sent events, split byte by byte (WHATWG HTML, "Interpreting an event stream"). Lines end
//! with LF, CR or CRLF, also where a chunk ends between CR and LF.

/// Splits a stream into pieces of lines and ends of events, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    field: Field,
    after_cr: bool,
    line_is_empty: bool,
    event_has_data: bool,
    begun: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    /// At the line's start or inside a name of which this many bytes match `data`.
    #[default]
    Start,
    Matching(u8),
    /// Behind `data:`, where one space may follow.
    Space,
    Data,
    Other,
}

/// What one byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A byte of the event's data.
    Data,
    /// The line break between two data lines, to be read as LF.
    DataBreak,
    /// The last byte of the event: the blank line is complete.
    EventEnd,
    /// Anything else: names, comments, line ends.
    Frame,
}

impl Lines {
    /// Says what the next byte of the stream is.
    pub fn byte(&mut self, byte: u8) -> Piece {
        if !self.begun {
            self.begun = true;
            self.line_is_empty = true;
        }
        if byte == b'\n' && self.after_cr {
            // second half of CRLF: belongs to the line that has ended already
            self.after_cr = false;
            return Piece::Frame;
        }
        self.after_cr = byte == b'\r';
        if byte == b'\n' || byte == b'\r' {
            return self.line_end();
        }
        self.line_is_empty = false;
        self.field = match (self.field, byte) {
            (Field::Start, b'd') => Field::Matching(1),
            (Field::Matching(1), b'a') => Field::Matching(2),
            (Field::Matching(2), b't') => Field::Matching(3),
            (Field::Matching(3), b'a') => Field::Matching(4),
            (Field::Matching(4), b':') => return self.data_begins(),
            (Field::Space, b' ') => {
                self.field = Field::Data;
                return Piece::Frame;
            }
            (Field::Space | Field::Data, _) => {
                self.field = Field::Data;
                return Piece::Data;
            }
            _ => Field::Other,
        };
        Piece::Frame
    }

    /// The bytes in front that are all data of the current line; empty when the next byte must go
    /// through [`Lines::byte`].
    pub fn data_run<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.field != Field::Data {
            return &[];
        }
        self.after_cr = false;
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        end.map_or(bytes, |end| bytes.get(..end).unwrap_or_default())
    }

    /// The last byte was CR: an LF that follows belongs to the same line break.
    #[must_use]
    pub fn is_after_cr(&self) -> bool {
        self.after_cr
    }

    fn data_begins(&mut self) -> Piece {
        self.field = Field::Space;
        let piece = if self.event_has_data { Piece::DataBreak } else { Piece::Frame };
        self.event_has_data = true;
        piece
    }

    fn line_end(&mut self) -> Piece {
        self.field = Field::Start;
        if std::mem::replace(&mut self.line_is_empty, true) {
            self.event_has_data = false;
            Piece::EventEnd
        } else {
            Piece::Frame
        }
    }
}
