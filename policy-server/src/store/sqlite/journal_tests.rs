use super::*;

const SCHEMA: u32 = 2;

fn base() -> Position {
    Position { sequence: 7, chain: [9; 32] }
}

/// A journal with these entries.
fn journal(path: &Path, entries: &[&[u8]]) -> Journal {
    let mut journal = match Journal::open(path, SCHEMA).unwrap() {
        Opened::Unwritten(unwritten) => unwritten.begin(base()).unwrap(),
        Opened::Begun(journal) => journal,
    };
    journal.scan(|_| Ok::<_, JournalError>(())).unwrap();
    for entry in entries {
        journal.append(entry, journal.next_position(entry)).unwrap();
    }
    journal
}

fn read(path: &Path) -> Result<(Vec<Vec<u8>>, Tail), JournalError> {
    let Opened::Begun(mut journal) = Journal::open(path, SCHEMA)? else {
        panic!("no header");
    };
    let mut entries = Vec::new();
    let tail = journal.scan(|entry| {
        entries.push(entry.statements);
        Ok::<_, JournalError>(())
    })?;
    Ok((entries, tail))
}

#[test]
fn entries_come_back_in_order_after_every_reopening() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    drop(journal(&path, &[b"one", b""]));
    drop(journal(&path, &[b"three"]));
    let (entries, tail) = read(&path).unwrap();
    assert_eq!((entries, tail), (vec![b"one".to_vec(), vec![], b"three".to_vec()], Tail::Clean));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn an_entry_cut_off_anywhere_is_torn_and_the_ones_before_it_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    drop(journal(&path, &[b"first"]));
    let whole = std::fs::read(&path).unwrap();
    drop(journal(&path, &[b"second"]));
    let longer = std::fs::read(&path).unwrap();
    for cut in whole.len() + 1..longer.len() {
        std::fs::write(&path, &longer[..cut]).unwrap();
        let (entries, tail) = read(&path).unwrap();
        assert_eq!(entries, [b"first".to_vec()], "{cut}");
        assert_eq!(tail, Tail::Torn((cut - whole.len()) as u64));
        // the length grew before the bytes came
        let mut zeros = longer[..whole.len()].to_vec();
        zeros.resize(longer.len() + 5_000, 0);
        std::fs::write(&path, &zeros).unwrap();
        assert!(matches!(read(&path).unwrap().1, Tail::Torn(_)));
        // what is torn goes before the next entry
        drop(journal(&path, &[b"third"]));
        assert_eq!(read(&path).unwrap(), (vec![b"first".to_vec(), b"third".to_vec()], Tail::Clean));
    }
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    drop(journal(&path, &[b"first", b"second", b"third"]));
    let good = std::fs::read(&path).unwrap();
    let last_entry = good.len() - HEAD_BYTES - b"third".len();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        match read(&path) {
            Err(JournalError::NotAJournal(_)) => assert!(at < HEADER_BYTES),
            Err(JournalError::Damaged { .. }) => assert!(at >= HEADER_BYTES),
            // Within the last entry it looks as if its writing was cut off.
            Ok((entries, Tail::Torn(_))) => {
                assert!(at >= last_entry && entries.len() == 2, "{at}");
            }
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn what_was_not_committed_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let mut journal = journal(&path, &[b"first"]);
    let mark = journal.mark();
    journal.append(b"lost", journal.next_position(b"lost")).unwrap();
    journal.take_back(mark);
    journal.append(b"second", journal.next_position(b"second")).unwrap();
    drop(journal);
    assert_eq!(read(&path).unwrap().0, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn only_one_process_writes_and_only_journals_of_this_schema_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let first = journal(&path, &[]);
    assert!(matches!(Journal::open(&path, SCHEMA), Err(JournalError::InUse(_))));
    drop(first);
    assert!(matches!(
        Journal::open(&path, SCHEMA + 1),
        Err(JournalError::OtherSchema { found: SCHEMA, .. })
    ));
    for other in [b"short note".to_vec(), vec![b'x'; 500]] {
        std::fs::write(&path, &other).unwrap();
        assert!(matches!(Journal::open(&path, SCHEMA), Err(JournalError::NotAJournal(_))));
        assert_eq!(std::fs::read(&path).unwrap(), other, "not touched");
    }
}

#[test]
fn a_header_that_was_cut_off_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    drop(journal(&path, &[]));
    let header = std::fs::read(&path).unwrap();
    for cut in 0..header.len() {
        std::fs::write(&path, &header[..cut]).unwrap();
        drop(journal(&path, &[b"first"]));
        assert_eq!(read(&path).unwrap().0.len(), 1, "{cut}");
    }
}

#[test]
fn a_disk_that_refuses_stops_the_journal_until_it_takes_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("j"), folder.path().join("other"));
    let mut journal = journal(&path, &[b"first"]);
    let mark = journal.mark();
    journal.append(b"not committed", journal.next_position(b"not committed")).unwrap();
    // A file that is open for reading only refuses what a full disk refuses.
    std::fs::write(&other, b"").unwrap();
    let read_only = LockedFile::lock(std::fs::File::open(&other).unwrap()).unwrap();
    let writable = std::mem::replace(&mut journal.file, read_only);
    journal.take_back(mark);
    let second = journal.next_position(b"second");
    assert!(journal.append(b"second", second).is_err());
    journal.file = writable;
    journal.append(b"second", second).unwrap();
    drop(journal);
    assert_eq!(read(&path).unwrap().0, [b"first".to_vec(), b"second".to_vec()]);
}
