//! The journal's file. Every committed batch stands in it, synced, before anybody is answered.
//!
//! A header says from which commit on the file is complete; then entries follow, one for each
//! commit. All numbers are little-endian:
//!
//! ```text
//! header  magic (8) | schema version (4) | base sequence (8) | base chain (32) | check (32)
//! entry   length (4) | length inverted (4) | sequence (8) | chain (32) | statements (length)
//! ```
//!
//! `chain` is SHA-256 over the chain before it, the sequence and the statements. So it is the
//! entry's checksum, and two histories that differ once differ for ever.

use std::fs::TryLockError;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::files::{LockedFile, open_private, sync_folder};
use super::statements::Statements;

/// Says that it is a journal, and of which format.
const MAGIC: [u8; 8] = *b"TGJRNL\0\x01";

const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 32;

const HEAD_BYTES: usize = 4 + 4 + 8 + 32;

/// The same as a position in the file.
const HEADER_END: u64 = HEADER_BYTES as u64;

/// A commit, and everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of the commit; 0 is the state in which the journal began.
    pub sequence: u64,
    /// Digest of everything up to it.
    pub chain: [u8; 32],
}

impl Position {
    /// The position after one more commit.
    fn after(&self, statements: &[u8]) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut hash = Sha256::new();
        hash.update(self.chain);
        hash.update(sequence.to_le_bytes());
        hash.update(statements);
        Self { sequence, chain: hash.finalize().into() }
    }
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("the journal {0} is in use by another process")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("cannot use the journal {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{0} is no journal of this version")]
    NotAJournal(PathBuf),
    /// Another version of the server wrote it.
    #[error(
        "the journal {path} was written under schema version {found}, this server has {known}: \
         stop the version that wrote it, back the database up, and move the journal away"
    )]
    OtherSchema {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The server's.
        known: u32,
    },
    /// Bytes before its end are not what was written.
    #[error("the journal {path} is damaged {at} bytes from its start")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
}

/// What stands behind the last whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// So many bytes of an entry whose writing was cut off. Its batch was never answered.
    Torn(u64),
}

/// One entry as it is read.
pub struct Entry {
    /// The commit.
    pub position: Position,
    statements: Vec<u8>,
}

impl Entry {
    /// What the commit wrote.
    ///
    /// # Errors
    /// When the bytes are of another format.
    pub fn statements(&self) -> crate::store::StoreResult<Statements> {
        Statements::decode(&self.statements)
    }

    /// How many bytes they are.
    pub fn bytes(&self) -> usize {
        self.statements.len()
    }
}

/// What stands in a journal's file.
#[derive(Debug)]
pub enum Opened {
    /// A header, and entries that are yet to be read.
    Begun(Journal),
    /// Nothing yet.
    Unwritten(Unwritten),
}

/// An open, locked journal, ready to be read from its start and then to be appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: LockedFile,
    base: Position,
    /// The last whole entry, or the base.
    last: Position,
    /// Where it ends.
    end: u64,
    /// Bytes behind `end` may be there and must go before anything is appended.
    dirty: bool,
}

impl Journal {
    /// Opens and locks a journal.
    ///
    /// # Errors
    /// When it is in use, cannot be read, or is no journal of this schema.
    pub fn open(path: &Path, schema: u32) -> Result<Opened, JournalError> {
        let failed = |source| JournalError::File { path: path.to_owned(), source };
        let file = open_private(path).map_err(failed)?;
        let file = LockedFile::lock(file).map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
            TryLockError::Error(source) => failed(source),
        })?;
        let mut header = [0; HEADER_BYTES];
        let length = file.metadata().map_err(failed)?.len();
        if length < HEADER_END {
            // The header is synced before the first entry: nothing can have been answered yet.
            // Anything else of that size is not ours to overwrite.
            let mut begun = Vec::new();
            (&*file).read_to_end(&mut begun).map_err(failed)?;
            let ours = begun.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic);
            return match ours {
                true => Ok(Opened::Unwritten(Unwritten { path: path.to_owned(), file, schema })),
                false => Err(JournalError::NotAJournal(path.to_owned())),
            };
        }
        (&*file).read_exact(&mut header).map_err(failed)?;
        let not_ours = || JournalError::NotAJournal(path.to_owned());
        let (found, base) = read_header(&header).ok_or_else(not_ours)?;
        if found != schema {
            let (path, known) = (path.to_owned(), schema);
            return Err(JournalError::OtherSchema { path, found, known });
        }
        let path = path.to_owned();
        let journal = Self { path, file, base, last: base, end: HEADER_END, dirty: true };
        Ok(Opened::Begun(journal))
    }

    /// The position from which on the journal is complete.
    pub fn base(&self) -> Position {
        self.base
    }

    /// The last whole entry found or appended, or the base where there is none.
    pub fn last(&self) -> Position {
        self.last
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads every entry from the start, checking each, and says how the file ends. Holds one
    /// entry in memory at a time.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged before its end, or `visit` says so.
    pub fn scan<E: From<JournalError>>(
        &mut self,
        mut visit: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<Tail, E> {
        let length = self.file.metadata().map_err(|source| self.failed(source))?.len();
        (&*self.file).seek(SeekFrom::Start(HEADER_END)).map_err(|source| self.failed(source))?;
        let file = self.file.try_clone().map_err(|source| self.failed(source))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        (self.last, self.end) = (self.base, HEADER_END);
        loop {
            let left = length.saturating_sub(self.end);
            if left == 0 {
                self.dirty = false;
                return Ok(Tail::Clean);
            }
            match self.next(&mut reader, left)? {
                Some((entry, size)) => {
                    self.last = entry.position;
                    self.end = self.end.saturating_add(size);
                    visit(entry)?;
                }
                None => return Ok(Tail::Torn(left)),
            }
        }
    }

    /// The next entry with its size; none where the file ends within it.
    fn next(
        &self,
        reader: &mut impl io::Read,
        left: u64,
    ) -> Result<Option<(Entry, u64)>, JournalError> {
        let mut head = [0; HEAD_BYTES];
        if left < HEAD_BYTES as u64 {
            return Ok(None);
        }
        reader.read_exact(&mut head).map_err(|source| self.failed(source))?;
        let damaged = || JournalError::Damaged { path: self.path.clone(), at: self.end };
        let Some((length, sequence, chain)) = read_head(&head) else {
            // Some file systems leave zeros where an append was cut off by a loss of power.
            let zeros = all_zero(&head) && rest_is_zero(reader).map_err(|e| self.failed(e))?;
            return if zeros { Ok(None) } else { Err(damaged()) };
        };
        let size = u64::from(length).saturating_add(HEAD_BYTES as u64);
        if size > left {
            return Ok(None);
        }
        let mut statements = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        reader.read_exact(&mut statements).map_err(|source| self.failed(source))?;
        let position = self.last.after(&statements);
        if (position.sequence, position.chain) == (sequence, chain) {
            Ok(Some((Entry { position, statements }, size)))
        } else if size == left {
            Ok(None)
        } else {
            Err(damaged())
        }
    }

    /// Appends what a batch wrote and syncs it. The position is to be saved in the same transaction
    /// as the batch; see [`Journal::take_back`] for one that then is not committed.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it remains, or nothing more is appended until it
    /// can be removed.
    pub fn append(&mut self, statements: &[u8], position: Position) -> Result<(), JournalError> {
        self.clean()?;
        let head = entry_head(statements.len(), &position).ok_or_else(|| {
            self.failed(io::Error::new(io::ErrorKind::InvalidInput, "the batch is too large"))
        })?;
        self.dirty = true;
        let written = self.write(&[&head, statements]);
        if let Err(source) = written {
            // What is left of it goes now or before the next entry.
            let _ = self.clean();
            return Err(self.failed(source));
        }
        self.dirty = false;
        self.last = position;
        self.end += (head.len() + statements.len()) as u64;
        Ok(())
    }

    /// The position that a batch with these statements comes to.
    pub fn next_position(&self, statements: &[u8]) -> Position {
        self.last.after(statements)
    }

    /// Where the journal stands now, to come back to.
    pub fn mark(&self) -> Mark {
        Mark { last: self.last, end: self.end }
    }

    /// Removes what was appended after the mark, because it was not committed. Where that fails,
    /// nothing more is appended until it succeeds.
    pub fn take_back(&mut self, mark: Mark) {
        (self.last, self.end, self.dirty) = (mark.last, mark.end, true);
        if let Err(error) = self.clean() {
            tracing::error!(%error, "the journal holds an entry that was not committed");
        }
    }

    /// Removes whatever stands behind the last whole entry.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn clean(&mut self) -> Result<(), JournalError> {
        if self.dirty {
            let cut = self.file.set_len(self.end).and_then(|()| self.file.sync_data());
            cut.map_err(|source| self.failed(source))?;
            self.dirty = false;
        }
        Ok(())
    }

    fn write(&self, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.end))?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_data()
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::File { path: self.path.clone(), source }
    }
}

/// A point of the journal to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    last: Position,
    end: u64,
}

/// A locked file that holds no complete header yet.
#[derive(Debug)]
pub struct Unwritten {
    path: PathBuf,
    file: LockedFile,
    schema: u32,
}

impl Unwritten {
    /// Writes the header: the journal is complete from this position on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(self, base: Position) -> Result<Journal, JournalError> {
        let header = write_header(self.schema, &base);
        let mut file = &*self.file;
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(&self.path));
        let Self { path, file, .. } = self;
        match written {
            Ok(()) => Ok(Journal { path, file, base, last: base, end: HEADER_END, dirty: false }),
            Err(source) => Err(JournalError::File { path, source }),
        }
    }
}

fn write_header(schema: u32, base: &Position) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(schema.to_le_bytes());
    header.extend(base.sequence.to_le_bytes());
    header.extend(base.chain);
    let check: [u8; 32] = Sha256::digest(&header).into();
    header.extend(check);
    header
}

/// Schema version and base; none where it is no header.
fn read_header(header: &[u8; HEADER_BYTES]) -> Option<(u32, Position)> {
    let (magic, rest) = header.split_first_chunk::<8>()?;
    let (schema, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (chain, _) = rest.split_first_chunk::<32>()?;
    let schema = u32::from_le_bytes(*schema);
    let base = Position { sequence: u64::from_le_bytes(*sequence), chain: *chain };
    (*magic == MAGIC && write_header(schema, &base) == header).then_some((schema, base))
}

fn entry_head(length: usize, position: &Position) -> Option<Vec<u8>> {
    let length = u32::try_from(length).ok()?;
    let mut head = length.to_le_bytes().to_vec();
    head.extend((!length).to_le_bytes());
    head.extend(position.sequence.to_le_bytes());
    head.extend(position.chain);
    Some(head)
}

fn read_head(head: &[u8; HEAD_BYTES]) -> Option<(u32, u64, [u8; 32])> {
    let (length, rest) = head.split_first_chunk::<4>()?;
    let (inverted, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (chain, _) = rest.split_first_chunk::<32>()?;
    let length = u32::from_le_bytes(*length);
    (length == !u32::from_le_bytes(*inverted)).then_some((
        length,
        u64::from_le_bytes(*sequence),
        *chain,
    ))
}

fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn rest_is_zero(reader: &mut impl io::Read) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        let read = reader.read(&mut buffer)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(true),
            Some(bytes) if !all_zero(bytes) => return Ok(false),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
