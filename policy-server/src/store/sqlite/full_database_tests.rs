use super::*;
use crate::store::AuditRow;

fn line(target: String) -> AuditRow {
    AuditRow::of_money(1, "system", "test", target, None)
}

fn lines(store: &Sqlite) -> i64 {
    store.connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap()
}

/// A full database ends the whole transaction by itself. What follows in the batch must not begin
/// and commit one of its own, past the journal.
#[test]
fn when_the_database_is_full_nothing_of_the_batch_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, journal) = (folder.path().join("t"), folder.path().join("journal"));
    let mut store = Sqlite::open_with_journal(&path, &journal, [1; 32]).unwrap();
    let pages: i64 =
        store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.connection.pragma_update(None, "max_page_count", pages + 2).unwrap();
    let before = std::fs::metadata(&journal).unwrap().len();
    let mut outcomes = Vec::new();
    let committed = store.batch(|batch| {
        for size in [10, 100_000, 10] {
            let written: StoreResult<()> =
                batch.step(|rows| rows.add_audit(&line("x".repeat(size))));
            outcomes.push(written.is_ok());
        }
    });
    assert_eq!((committed.is_ok(), outcomes), (false, vec![true, false, false]));
    assert_eq!(lines(&store), 0);
    assert_eq!(std::fs::metadata(&journal).unwrap().len(), before);
    store.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    store
        .batch(|batch| batch.step(|rows| rows.add_audit(&line("y".repeat(100_000)))).unwrap())
        .unwrap();
    assert_eq!(lines(&store), 1);
    drop(store);
    assert_eq!(lines(&Sqlite::open_with_journal(&path, &journal, [2; 32]).unwrap()), 1);
}
