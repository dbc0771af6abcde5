//! Reads a body as it comes, so that a proxy's worker never has all of a long one to read at once and
//! knows early of one that it will not take.

use std::fmt;

use super::found::Slot;
use super::pieces::{Counted, PART};
use super::reader::Reader;
use super::{Operation, Problem, Request, feature, normalise, table};
use crate::json::{Scanner, Utf8};

/// A body of which some bytes have been read. It keeps what was found in them, not the bytes.
pub struct BodyReader {
    operation: Operation,
    utf8: Utf8,
    scanner: Scanner,
    counted: Counted<Reader>,
    /// Bytes read.
    read: u64,
}

impl BodyReader {
    /// Nothing has been read. `path_model` is that of [`Source`](super::Source).
    #[must_use]
    pub fn new(operation: Operation, path_model: Option<&str>) -> Self {
        let reader = Reader::new(
            table(operation),
            path_model.map(str::to_owned),
            operation.least_output_limit(),
        );
        Self {
            operation,
            utf8: Utf8::default(),
            scanner: Scanner::default(),
            counted: Counted::new(reader),
            read: 0,
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.read
    }

    /// Reads the next bytes. Wherever a body is cut, the same comes of it.
    ///
    /// # Errors
    /// When no bytes that follow could make it a body that is taken: no JSON, no UTF-8, too many pieces.
    /// Then nothing more may be read.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let to_border = PART - usize::try_from(self.read % PART as u64).unwrap_or(0);
            let (part, others) = rest.split_at_checked(to_border).unwrap_or((rest, &[]));
            self.part(part)?;
            rest = others;
            if part.len() == to_border && self.counted.are_too_many() {
                return Err(Problem::TooManyPieces);
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &[u8]) -> Result<(), Problem> {
        let good = self.utf8.feed(part);
        let text = part.get(..good).unwrap_or(part);
        self.scanner.feed(text, self.read, &mut self.counted).map_err(Problem::Syntax)?;
        self.read = self.read.saturating_add(text.len() as u64);
        if good < part.len() { Err(Problem::NotUtf8) } else { Ok(()) }
    }

    /// The body has ended. `betas` are those of [`Source`](super::Source).
    ///
    /// # Errors
    /// The first problem of the body.
    pub fn finish(mut self, betas: &str) -> Result<Request, Problem> {
        if !self.utf8.is_complete() {
            return Err(Problem::NotUtf8);
        }
        if self.counted.are_too_many() {
            return Err(Problem::TooManyPieces);
        }
        self.scanner.finish(self.read, &mut self.counted).map_err(Problem::Syntax)?;
        let mut reader = self.counted.sink;
        if self.operation == Operation::Messages {
            for beta in feature::restricted_betas(betas) {
                reader.add_feature(beta);
            }
        }
        if matches!(reader.found.root, Slot::Absent) {
            return Err(Problem::NotAnObject);
        }
        match reader.problem {
            Some(problem) => Err(problem),
            None => normalise(reader.found, self.operation, reader.path_model, self.read),
        }
    }
}

/// What was found is the client's, and is not shown.
impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, read, .. } = self;
        f.debug_struct("BodyReader")
            .field("operation", operation)
            .field("read", read)
            .finish_non_exhaustive()
    }
}
