//! What comes over the network, as a file: whole, or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Writes beside the file and takes its place at the end, so that a part is never taken for the whole
/// and an older file stays until then. What is no plain file (`/dev/stdout`) is written as it is.
///
/// # Errors
/// When reading or writing fails; then nothing of it is left.
pub fn to_file(reader: &mut impl Read, file: &Path) -> io::Result<u64> {
    // Where it is a link, what it points at is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if fs::metadata(&file).is_ok_and(|found| !found.is_file()) {
        return io::copy(reader, &mut File::create(&file)?);
    }
    let beside = beside(&file);
    let written = write(reader, &beside).and_then(|bytes| {
        fs::rename(&beside, &file)?;
        Ok(bytes)
    });
    if written.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write(reader: &mut impl Read, beside: &Path) -> io::Result<u64> {
    let mut part = File::create(beside)?;
    let bytes = io::copy(reader, &mut part)?;
    part.sync_all()?;
    Ok(bytes)
}

/// In the same folder, so that it can be renamed; named by the process, so that two do not mix.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".{}.part", std::process::id()));
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes, and then the connection is gone.
    struct Breaking(bool);

    impl Read for Breaking {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into[0] = b'x';
            Ok(1)
        }
    }

    #[test]
    fn a_file_is_replaced_by_the_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requests.csv");
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        assert!(to_file(&mut Breaking(false), &file).is_err());
        assert!(names().is_empty());
        assert_eq!(to_file(&mut &b"whole"[..], &file).unwrap(), 5);
        assert!(to_file(&mut Breaking(false), &file).is_err());
        assert_eq!((fs::read(&file).unwrap(), names().len()), (b"whole".to_vec(), 1));
        assert_eq!(to_file(&mut &b"new"[..], &file).unwrap(), 3);
        assert_eq!((fs::read(&file).unwrap(), names().len()), (b"new".to_vec(), 1));
    }
}
