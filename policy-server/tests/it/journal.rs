//! The journal: what it replays is what happened, and one that does not fit is refused.

use std::path::Path;

use policy_server::restore::{Restored, restore};
use policy_server::store::sqlite::Sqlite;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

use crate::world::{
    GRACE_MS, Holder, Key, Stopped, TTL_MS, World, admit_request, ask, final_report, micro, record,
    report_request,
};

/// Every row of every table, SQLite's own counters included. Of the text index it is every word and
/// the rows that it leads to: in what pieces that lies depends on when it was written, not on what.
fn rows(database: &Path) -> Vec<(String, Vec<Vec<Cell>>)> {
    let connection = Connection::open(database).unwrap();
    let words = "CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, key_texts, instance)";
    connection.execute_batch(words).unwrap();
    let names = "SELECT name FROM sqlite_master
                 WHERE type = 'table' AND name NOT LIKE 'key_texts%'
                 UNION SELECT 'words' ORDER BY name";
    let mut statement = connection.prepare(names).unwrap();
    let names: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let all = |name: &String| {
        let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| (0..columns).map(|index| row.get(index)).collect();
        let mut rows: Vec<Vec<Cell>> =
            statement.query_map([], read).unwrap().map(Result::unwrap).collect();
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    };
    names.into_iter().map(|name| (name.clone(), all(&name))).collect()
}

fn assert_same(one: &Path, other: &Path) {
    assert_same_rows(rows(one), rows(other));
}

/// As [`assert_same`], where the other has been started since: a start notes that it is another
/// life of the server, and with that moves the journal on.
fn assert_same_but_started(one: &Path, other: &Path) {
    let moved = |(name, _): &(String, Vec<Vec<Cell>>)| {
        !["server_life", "journal_position"].contains(&name.as_str())
    };
    let of = |path| rows(path).into_iter().filter(moved).collect();
    assert_same_rows(of(one), of(other));
}

fn assert_same_rows(one: Vec<(String, Vec<Vec<Cell>>)>, other: Vec<(String, Vec<Vec<Cell>>)>) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.into_iter().zip(other) {
        assert_eq!(one.0, other.0);
        assert!(one.1 == other.1, "table {}:\n{:?}\n{:?}", one.0, one.1, other.1);
    }
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 27)) >> 8) % sides
    }
}

/// One random operation, sometimes one that fails, sometimes two in one batch.
async fn operate(world: &World, dice: &mut Dice, keys: &mut Vec<Key>, holders: &mut Vec<Holder>) {
    let key = keys[dice.roll(keys.len() as u64) as usize].clone();
    let holder = holders[dice.roll(holders.len() as u64) as usize].clone();
    let (n, path) = (dice.roll(12), format!("keys/{}", key.id));
    match dice.roll(17) {
        14.. => administer_people(world, dice).await,
        0 => {
            let period = ["none", "day", "month"][dice.roll(3) as usize];
            let name = ["–", "it's", "ключ"][dice.roll(3) as usize];
            let budget = json!({"usd": "0.02", "period": period});
            keys.push(world.key(json!({"budget": budget, "name": name})).await);
        }
        1 => drop(
            world
                .admin(
                    "PATCH",
                    &format!("{path}?wait=0"),
                    json!({"name": "renamed", "expires_at": null}),
                )
                .await,
        ),
        2 => {
            let action = ["rotate", "disable", "enable"][dice.roll(3) as usize];
            let path = format!("{path}/{action}?wait=0");
            let (status, answer) = world.admin("POST", &path, Value::Null).await;
            if status.is_success() && action == "rotate" {
                keys.retain(|known| known.id != key.id);
                keys.push(Key::of(&answer));
            }
        }
        3 => drop(world.put_model("another", "0.10", "0.30").await),
        4 => holders.push(world.holder(u8::try_from(dice.roll(250)).unwrap()).await),
        5..=8 => {
            let good = admit_request(&holder, &key, n, Some(ask(200)));
            // Fails, and takes back what its first half wrote.
            let mut bad = admit_request(&holder, &key, u64::MAX, Some(ask(1)));
            bad.void = vec![100 + dice.roll(50)];
            tokio::join!(
                world.filter("POST", "admit", &bad),
                world.filter("POST", "admit", &good),
                world.filter("POST", "admit", &bad),
            );
        }
        9..=11 => {
            let lease = holder.lease(n);
            let spent = micro(dice.roll(400));
            let records = vec![record(&key, Some(lease.clone()), dice.roll(90), 50)];
            let reports = vec![final_report(&lease, spent)];
            world.filter("POST", "reports", &report_request(&holder, reports, records)).await;
        }
        12 => world.pass(dice.roll(TTL_MS)).await,
        _ => {
            let ms = if dice.roll(4) == 0 { 25 * 3_600_000 } else { TTL_MS + GRACE_MS };
            world.pass(ms).await;
        }
    }
}

/// One random operation on a team, its members and their tokens and keys, or on the audit.
async fn administer_people(world: &World, dice: &mut Dice) {
    let user = ["ada", "bob"][dice.roll(2) as usize];
    let (path, member) =
        (format!("orgs/acme/users/{user}"), format!("orgs/acme/teams/search/members/{user}"));
    let what = ["orgs/acme", "orgs/acme/teams/search", &path][dice.roll(3) as usize];
    let (method, path, body) = match dice.roll(12) {
        0 => ("PUT", "orgs/acme/teams/search".to_owned(), json!({"self_service": {}})),
        1 => ("PUT", path, json!({"role": "org_auditor"})),
        2 => ("DELETE", path, Value::Null),
        3 => ("POST", format!("{path}/tokens"), json!({"name": "laptop"})),
        4 => {
            let (_, tokens) = world.admin("GET", &format!("{path}/tokens"), Value::Null).await;
            let token = tokens["data"][0]["id"].as_str().unwrap_or("tok_none").to_owned();
            let action = ["rotate", "revoke"][dice.roll(2) as usize];
            ("POST", format!("{path}/tokens/{token}/{action}"), Value::Null)
        }
        5 | 6 => ("PUT", member, json!({"role": "team_developer"})),
        7 => ("DELETE", format!("{member}?wait=0"), Value::Null),
        8 => ("POST", format!("{what}/suspend?wait=0"), Value::Null),
        9 => ("POST", format!("{what}/resume"), Value::Null),
        10 => ("PUT", "settings".to_owned(), json!({"audit_retention_days": 1 + dice.roll(2)})),
        _ => ("POST", "keys".to_owned(), json!({"org": "acme", "team": "search", "user": user})),
    };
    world.admin(method, &path, body).await;
}

#[tokio::test]
async fn a_replayed_copy_equals_the_original_row_for_row() {
    for seed in 1..=6u64 {
        let world = World::fresh(seed, true).and_org(Some("0.50")).await;
        let mut dice = Dice(seed);
        let mut keys = vec![world.key_with_cap("0.02", "none").await];
        let mut holders = vec![world.holder(251).await];
        let copies = tempfile::tempdir().unwrap();
        for step in 0..160 {
            if step % 40 == 0 {
                Sqlite::copy(&world.database(), &copies.path().join(step.to_string())).unwrap();
            }
            operate(&world, &mut dice, &mut keys, &mut holders).await;
        }
        world.check_ledger();
        let stopped = world.stop();
        let journal = stopped.journal.clone().unwrap();
        let mut replayed = Vec::new();
        for step in [0, 40, 80, 120] {
            let copy = copies.path().join(step.to_string());
            match restore(&copy, Some(&journal), 1).unwrap() {
                Restored::Replayed { entries } => replayed.push(entries),
                other @ Restored::Began(_) => panic!("{other:?}"),
            }
            assert_same(&stopped.database(), &copy);
            assert_eq!(
                restore(&copy, Some(&journal), 1).unwrap(),
                Restored::Replayed { entries: 0 }
            );
        }
        assert!(replayed.is_sorted_by(|one, next| one > next) && replayed[3] > 0, "{replayed:?}");
        stopped.start().check_ledger();
    }
}

/// A server with a journal, stopped, and copies of its database from one, two and three commits
/// before its end.
async fn with_older_copies() -> (Stopped, Vec<std::path::PathBuf>, Key, Holder) {
    let world = World::fresh(1, true).and_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let mut copies = Vec::new();
    for n in 0..3 {
        let copy = world.folder.path().join(format!("copy-{n}"));
        Sqlite::copy(&world.database(), &copy).unwrap();
        copies.insert(0, copy);
        world.granted(&holder, &key, n, ask(1_000)).await;
    }
    (world.stop(), copies, key, holder)
}

/// Puts a copy in the database's place, as an operator would.
fn put_back(stopped: &Stopped, copy: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut path = stopped.database().into_os_string();
        path.push(suffix);
        let _ = std::fs::remove_file(path);
    }
    std::fs::copy(copy, stopped.database()).unwrap();
}

#[tokio::test]
async fn an_entry_whose_commit_did_not_happen_is_carried_out_at_the_start() {
    let (stopped, copies, key, holder) = with_older_copies().await;
    let original = stopped.folder.path().join("original");
    std::fs::copy(stopped.database(), &original).unwrap();
    put_back(&stopped, &copies[0]);
    let world = stopped.start();
    assert_same_but_started(&original, &world.database());
    // and the journal goes on
    world.granted(&holder, &key, 7, ask(1_000)).await;
    world.restart().check_ledger();
}

#[tokio::test]
async fn a_database_that_is_older_than_its_journal_is_not_served() {
    let (stopped, copies, ..) = with_older_copies().await;
    let original = stopped.folder.path().join("original");
    std::fs::copy(stopped.database(), &original).unwrap();
    for (behind, copy) in [(2, &copies[1]), (3, &copies[2])] {
        put_back(&stopped, copy);
        let before = rows(&stopped.database());
        let refusal = stopped.refusal();
        assert!(refusal.contains(&format!("is {behind} commits behind")), "{refusal}");
        assert!(refusal.contains("tollgate restore --database"), "{refusal}");
        assert!(rows(&stopped.database()) == before, "a refusal changes nothing");
        let restored = restore(&stopped.database(), stopped.journal.as_deref(), 1).unwrap();
        assert_eq!(restored, Restored::Replayed { entries: behind });
        assert_same(&original, &stopped.database());
    }
    stopped.start().check_ledger();
}

#[tokio::test]
async fn a_torn_last_entry_is_cut_off_and_a_missing_one_is_noticed() {
    let (stopped, copies, key, holder) = with_older_copies().await;
    let journal = stopped.journal.clone().unwrap();
    let whole = std::fs::read(&journal).unwrap();
    // torn in the middle of the entry of the last commit, which the older database does not have
    put_back(&stopped, &copies[0]);
    std::fs::write(&journal, &whole[..whole.len() - 20]).unwrap();
    let world = stopped.start();
    world.granted(&holder, &key, 2, ask(500)).await;
    let stopped = world.stop();
    let longer = std::fs::read(&journal).unwrap();
    // the same, but this database has that commit
    std::fs::write(&journal, &longer[..longer.len() - 20]).unwrap();
    let refusal = stopped.refusal();
    assert!(refusal.contains("lost its end"), "{refusal}");
    std::fs::write(&journal, &longer).unwrap();
    // a flipped bit before the end
    let mut bad = longer.clone();
    bad[longer.len() / 2] ^= 1;
    std::fs::write(&journal, &bad).unwrap();
    assert!(stopped.refusal().contains("is damaged"));
    let error = restore(&stopped.database(), Some(&journal), 1).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    std::fs::write(&journal, &longer).unwrap();
    stopped.start().check_ledger();
}

#[tokio::test]
async fn commits_without_the_journal_end_it() {
    let (mut stopped, copies, ..) = with_older_copies().await;
    let journal = stopped.journal.take();
    // once without
    let mut stopped = stopped.start().stop();
    stopped.journal = journal.clone();
    let refusal = stopped.refusal();
    assert!(refusal.contains("used without the journal"), "{refusal}");
    let error = restore(&stopped.database(), journal.as_deref(), 1).unwrap_err();
    assert!(error.to_string().contains("used without the journal"), "{error}");
    // a new journal is accepted, and continues only what it began with
    stopped.journal = Some(stopped.folder.path().join("new"));
    let stopped = stopped.start().stop();
    let error = restore(&copies[2], stopped.journal.as_deref(), 1).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("different histories") || text.contains("lost its end"), "{text}");
}

#[tokio::test]
async fn a_journal_of_another_copy_is_refused() {
    let (stopped, copies, key, holder) = with_older_copies().await;
    let journal = stopped.journal.clone().unwrap();
    let first = std::fs::read(&journal).unwrap();
    // go back two commits with the journal's own copy, and let something else happen
    let kept = stopped.folder.path().join("journal-of-first");
    std::fs::write(&kept, &first).unwrap();
    let older: Vec<u8> = first;
    put_back(&stopped, &copies[1]);
    std::fs::remove_file(&journal).unwrap();
    let world = stopped.start();
    for n in 20..23 {
        world.granted(&holder, &key, n, ask(300)).await;
    }
    let stopped = world.stop();
    std::fs::write(&journal, older).unwrap();
    let refusal = stopped.refusal();
    assert!(
        refusal.contains("different histories") || refusal.contains("lost its end"),
        "{refusal}"
    );
    let error = restore(&copies[2], Some(&journal), 1);
    assert!(error.is_ok(), "the first history still replays on its own copy: {error:?}");
}

#[tokio::test]
async fn journals_that_follow_each_other_replay_in_order_only() {
    let (mut stopped, copies, key, holder) = with_older_copies().await;
    let first = stopped.journal.clone().unwrap();
    let second = stopped.folder.path().join("second");
    stopped.journal = Some(second.clone());
    let world = stopped.start();
    for n in 30..33 {
        world.granted(&holder, &key, n, ask(300)).await;
    }
    let stopped = world.stop();
    let copy = &copies[2];
    let error = restore(copy, Some(&second), 1).unwrap_err();
    assert!(error.to_string().contains("replay the journal before this one first"), "{error}");
    for journal in [&first, &second] {
        restore(copy, Some(journal), 1).unwrap();
    }
    assert_same(&stopped.database(), copy);
}

#[tokio::test]
async fn a_journal_has_one_server_and_reads_write_nothing() {
    let world = World::fresh(1, true).and_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let before = std::fs::metadata(world.journal.as_ref().unwrap()).unwrap().len();
    assert!(before > 0);
    // Only what reads changes nothing, and writes nothing.
    world.admin_ok("GET", "keys", Value::Null).await;
    world.admit(&holder, &key, 1, None).await;
    let after = std::fs::metadata(world.journal.as_ref().unwrap()).unwrap().len();
    assert_eq!(before, after);
    // The database is no journal.
    let mut other = World::new().stop();
    other.journal = Some(other.database());
    assert!(other.refusal().contains("is no journal"));
    // A second server may not have the journal, even with another database.
    let other = World::new();
    let mut stopped = other.stop();
    stopped.journal = world.journal.clone();
    assert!(stopped.refusal().contains("in use by another process"));
}
