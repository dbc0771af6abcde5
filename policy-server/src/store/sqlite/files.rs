//! Files of the store: private, locked, and known to their folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a file for reading and writing, made readable for its owner alone where absent. SQLite
/// gives its log files the mode of the database.
///
/// # Errors
/// When the file system refuses.
pub fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Keeps other processes away as long as the file is open.
///
/// # Errors
/// When another process holds it, or the file system knows no locks.
pub fn lock_file(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// Makes a new file's name survive a loss of power.
///
/// # Errors
/// When the file system refuses.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
