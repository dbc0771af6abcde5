//! That no list of keys is read from end to end, whatever is asked; and that a database from before
//! the lists had indexes has the same ones as a new one.

use std::collections::BTreeSet;

use rusqlite::Connection;
use wire::{OrgId, TeamId, UserId};

use super::*;
use crate::store::KeyRows as _;
use crate::store::sqlite::{Sqlite, schema};

/// Every way to ask: each filter and the cursor there or not, with every status and order.
fn searches() -> impl Iterator<Item = KeySearch> {
    let statuses = KeyStatus::ALL.map(Some).into_iter().chain([None]);
    let ordered = statuses.flat_map(|status| KeyOrder::ALL.map(|order| (status, order)));
    ordered.flat_map(|(status, order)| {
        (0..64_u8).map(move |given| {
            let is_given = |bit: u8| given >> bit & 1 == 1;
            let value = match order {
                KeyOrder::Newest | KeyOrder::Oldest => SortValue::Place,
                KeyOrder::Name => SortValue::Name("n".to_owned()),
                KeyOrder::Expiry | KeyOrder::LastUse | KeyOrder::Spend => SortValue::Number(7),
            };
            KeySearch {
                text: is_given(0).then(|| "needle".to_owned()),
                org: is_given(1).then(|| OrgId::new("acme").unwrap()),
                team: is_given(2).then(|| TeamId::new("search").unwrap()),
                user: is_given(3).then(|| UserId::new("ada").unwrap()),
                tag: is_given(4).then(|| "prod".to_owned()),
                status,
                sight: Sight::Everything,
                now_unix_ms: 9,
                order,
                after: is_given(5).then_some(KeyCursor { value, place: 7 }),
                limit: 51,
            }
        })
    })
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // No value is bound: a plan depends on none.
    let rows = statement.raw_query().mapped(|row| row.get("detail"));
    rows.map(Result::unwrap).collect()
}

#[test]
fn every_list_is_read_by_an_index_in_its_order() {
    let store = Sqlite::in_memory().unwrap();
    let mut asked = 0;
    for search in searches() {
        for part in [Part::Noted, Part::NewlyExpired] {
            let Ok(query) = query(&search, &Words::Pieces("g61".to_owned()), part) else {
                let is_in_order = search.order.is_by_age();
                assert!(!is_in_order, "refused: {search:?}");
                continue;
            };
            asked += 1;
            let plan = plan(&store.connection, &query.sql);
            let is_narrow = search.team.is_some() || search.user.is_some() || search.tag.is_some();
            // of a team, a user or a tag, and of the few that have just expired, all are sorted
            let may_sort = part == Part::NewlyExpired || !search.order.is_by_age() && is_narrow;
            for step in &plan {
                let by_index = step.starts_with("SEARCH ")
                    || step.starts_with("SCAN key_texts VIRTUAL TABLE INDEX")
                    // one that holds every key that is listed, in order
                    || *step == "SCAN keys USING INDEX keys_kept";
                let sorts = step.starts_with("USE TEMP B-TREE");
                assert!(by_index || sorts && may_sort, "{search:?}: {plan:?}\n{}", query.sql);
            }
        }
    }
    assert!(asked > 1_000, "{asked}");
    for sql in [NEWLY_EXPIRED, COUNT_NEWLY_EXPIRED] {
        let plan = plan(&store.connection, sql);
        assert!(plan.iter().all(|step| step.starts_with("SEARCH keys USING")), "{plan:?}");
    }
}

/// Every word of the text index and the keys that it leads to.
fn words(connection: &Connection) -> BTreeSet<(String, i64)> {
    connection
        .execute_batch("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, key_texts, instance)")
        .unwrap();
    let mut statement = connection.prepare("SELECT term, doc FROM temp.words").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get("term")?, row.get("doc")?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn keys_from_before_the_indexes_are_found_counted_and_summed_up() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate_to(&mut connection, 6).unwrap();
    connection
        .execute_batch(
            "INSERT INTO keys (id, org, team, user, name, prefix, format, life, expires_ms, limits,
                 cut_calls, created_ms, updated_ms)
             VALUES ('key_a', 'acme', 'Search', NULL, 'Ünique Name', 'sk-tg-a', 'tollgate', 'active',
                     NULL, '[]', 'estimate', 1, 1),
                 ('key_b', 'acme', NULL, 'ada', '', 'PMIND0', 'pair', 'revoked',
                     5, '[]', 'estimate', 1, 1),
                 ('key_c', 'beta', NULL, NULL, 'c', 'sk-tg-c', 'tollgate', 'deleted',
                     NULL, '[]', 'estimate', 1, 1);
             INSERT INTO holders VALUES ('h', x'01', 'p', 'live', 1);
             INSERT INTO records (holder, sequence, request, key, model, cost, call, recorded_ms)
             VALUES ('h', 1, 'r1', 'key_a', 'm', 5,
                     '{\"usage\":{\"input_tokens\":3,\"output_tokens\":4},\"started_unix_ms\":70}', 0),
                 ('h', 2, 'r2', 'key_a', 'm', 6,
                     '{\"usage\":{\"input_tokens\":1,\"output_tokens\":1},\"started_unix_ms\":60}', 0);",
        )
        .unwrap();
    schema::migrate(&mut connection).unwrap();
    let mut rows = Rows { connection: &connection, written: None };
    let org = OrgId::new("acme").unwrap();
    let counts = rows.key_counts(Some(&org), 9).unwrap();
    let counted = |status| counts.iter().find(|(of, _)| *of == status).unwrap().1;
    assert_eq!((counted(KeyStatus::Active), counted(KeyStatus::Revoked)), (1, 1));
    let text = Some("ique".to_owned());
    let search = KeySearch { text, limit: 9, now_unix_ms: 9, ..KeySearch::default() };
    let found = rows.keys(&search).unwrap();
    let [(_, old)] = &found[..] else { panic!("{found:?}") };
    let sums = (old.usage.requests, old.usage.input_tokens, old.usage.output_tokens);
    assert_eq!((sums, old.usage.spent.0, old.usage.last_used_unix_ms), ((2, 4, 5), 11, 70));
    assert_eq!((old.version, old.life.as_str()), (1, "active"));

    // the index holds what it would hold had they been saved anew
    let migrated = words(&connection);
    let keys = rows.all("SELECT * FROM keys", [], |row| {
        Ok((row.get::<_, i64>("position")?, key_grams::of_key(&key(row)?)))
    });
    let mut saved = BTreeSet::new();
    for (place, words) in keys.unwrap() {
        saved.extend(words.split(' ').map(|word| (word.to_owned(), place)));
    }
    assert_eq!(migrated, saved);
}
