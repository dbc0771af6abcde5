//! Files of the store: private, locked, and known to their folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Opens a file for reading and writing, made readable for its owner alone where absent. SQLite
/// gives its log files the mode of the database.
///
/// # Errors
/// When the file system refuses.
pub fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A file that no other process can lock until this is dropped. Closing it would do, but for
/// processes that are being started at that moment: they share it until they run their program.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Locks a file.
    ///
    /// # Errors
    /// When another process holds it, or the file system knows no locks.
    pub fn lock(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Nothing can be done about a failure; the lock ends with the process.
        let _ = self.0.unlock();
    }
}

/// The log beside a database that cannot be its own: SQLite would read the pages of another database
/// into it. Every database that a server has used says in its head that it has a log (bytes 18 and 19
/// are 2, <https://www.sqlite.org/fileformat.html#file_format_version_numbers>); a backup does not.
///
/// # Errors
/// When a file cannot be read.
pub fn log_of_another(database: &Path) -> io::Result<Option<PathBuf>> {
    // SQLite goes by the real name.
    let real = database.canonicalize()?;
    let mut log = real.clone().into_os_string();
    log.push("-wal");
    let log = PathBuf::from(log);
    match log.metadata() {
        Ok(found) if found.len() > 0 => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut head = [0; 20];
    match File::open(real)?.read_exact(&mut head) {
        Ok(()) => Ok((!matches!(head, [.., 2, 2])).then_some(log)),
        // Nothing was ever written into it, and SQLite removes such a log.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a new file's name survive a loss of power.
///
/// # Errors
/// When the file system refuses.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
