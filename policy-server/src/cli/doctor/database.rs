//! The database and its journal, where they are on this machine. They are only read.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::report::Checks;

/// A log that is so long is not being taken over into the database, in bytes.
const LONG_WAL: u64 = 512 * 1024 * 1024;

/// Makes the checks.
pub fn check(database: &Path, journal: Option<&Path>, checks: &mut Checks) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(database, flags).and_then(|connection| {
        let of = |pragma: &str| {
            connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, String>(0))
        };
        Ok((of("quick_check")?, of("journal_mode")?))
    });
    let advice = "restore the last backup with its journal: see docs/backup.md";
    match found {
        Ok((whole, mode)) => {
            if whole == "ok" {
                checks.ok("database", format!("{} is whole", database.display()));
            } else {
                checks.fail("database", format!("{}: {whole}", database.display()), advice);
            }
            let says = format!("journal mode {mode}");
            let advice = "the server sets WAL when it starts; is this its database?";
            checks.ok_if(mode == "wal", "database log", says, advice);
        }
        Err(error) => {
            checks.fail("database", format!("{}: {error}", database.display()), advice);
        }
    }
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    if let Ok(log) = std::fs::metadata(Path::new(&log)) {
        let says = format!("{} bytes", log.len());
        let advice = "something reads the database for very long: a backup, or a copy that hangs";
        checks.ok_if(log.len() < LONG_WAL, "database log size", says, advice);
    }
    match journal {
        None => checks.warn(
            "journal",
            "not checked",
            "name it with --journal; without one a lost disk loses what came after the last backup",
        ),
        Some(path) => match std::fs::OpenOptions::new().append(true).open(path) {
            Ok(_) => checks.ok("journal", format!("{} can be written", path.display())),
            Err(error) => checks.fail(
                "journal",
                format!("{}: {error}", path.display()),
                "the server commits nothing while it cannot write its journal",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::State;

    #[test]
    fn a_database_that_is_none_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let (file, missing) = (folder.path().join("d.sqlite"), folder.path().join("no/journal"));
        let of = |file: &Path, journal: Option<&Path>| {
            let mut checks = Checks::default();
            check(file, journal, &mut checks);
            checks.states()
        };
        assert_eq!(of(&file, None), [("database", State::Fail), ("journal", State::Warn)]);
        assert!(!file.exists(), "it only reads");
        std::fs::write(&file, "no database at all, but long enough to look like one").unwrap();
        assert_eq!(of(&file, Some(&missing))[0], ("database", State::Fail));
        std::fs::remove_file(&file).unwrap();
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
        let states = of(&file, Some(&missing));
        assert_eq!(states[..2], [("database", State::Ok), ("database log", State::Ok)]);
        assert_eq!(states.last(), Some(&("journal", State::Fail)));
    }
}
