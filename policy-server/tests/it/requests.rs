//! The request log: found, filtered, exported, forgotten.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use wire::v1::{CallRecord, UsageAnswer, UsageReply, UsageRequest};
use wire::{Metadata, ModelName, RequestId};

use crate::world::{Key, NOON, World, exchange, record};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A call of this key that began so many seconds after noon, with this status and model.
fn call(key: &Key, sequence: u64, seconds: u64, status: u16, model: &str) -> CallRecord {
    CallRecord {
        started_unix_ms: NOON + seconds * 1_000,
        status,
        model: ModelName::new(model).unwrap(),
        ..record(key, None, sequence, sequence)
    }
}

fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::default();
    for (name, value) in pairs {
        metadata.add((*name).to_owned(), (*value).to_owned()).unwrap();
    }
    metadata
}

/// The sequences of the records on a page, and the next cursor.
async fn sequences(world: &World, query: &str) -> (Vec<u64>, Option<String>) {
    let page = world.admin_ok("GET", &format!("requests?{query}"), Value::Null).await;
    let found = page["data"].as_array().unwrap().iter();
    let found = found.map(|record| record["sequence"].as_u64().unwrap()).collect();
    (found, page["next_cursor"].as_str().map(str::to_owned))
}

async fn file(world: &World, query: &str) -> (StatusCode, String, String) {
    let request = Request::builder()
        .uri(format!("/admin/v1/requests/export?{query}"))
        .header("authorization", format!("Bearer {}", world.admin_token))
        .body(Body::empty())
        .unwrap();
    let (status, headers, bytes) = exchange(&world.app.admin, request).await;
    let kind = headers["content-type"].clone();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (status, kind.to_str().unwrap().to_owned(), text)
}

#[tokio::test]
async fn a_call_is_found_by_its_id_with_where_its_key_was_and_what_its_caller_said() {
    let world = World::with_org(None).await;
    let key = world.key(json!({"team": "search", "user": "ada"})).await;
    let holder = world.holder(1).await;
    let said = metadata(&[("project", "nightly"), ("step", "käse \"1\"")]);
    let one = CallRecord { metadata: said, ..record(&key, None, 1, 10) };
    world.report(&holder, vec![], vec![one, record(&key, None, 2, 10)]).await;
    // The record keeps the place that the key had.
    let moved = json!({"team": "ads", "user": null});
    world.admin_ok("PATCH", &format!("keys/{}?wait=0", key.id), moved).await;
    let shown = world.admin_ok("GET", "requests/req-1", Value::Null).await;
    assert_eq!(shown["metadata"], json!({"project": "nightly", "step": "käse \"1\""}));
    assert_eq!([&shown["org"], &shown["team"], &shown["user"]], ["acme", "search", "ada"]);
    assert_eq!((&shown["status"], &shown["duration_ms"]), (&json!(200), &json!(12)));
    assert_eq!(shown["request"], "req-1");
    let plain = world.admin_ok("GET", "requests/req-2", Value::Null).await;
    assert_eq!(plain["metadata"], json!({}));
    for path in ["requests/req-3", "requests/req-1%203", "requests/%C3%A4"] {
        let error = world.admin_refused("GET", path, Value::Null, 404).await;
        assert_eq!(error["code"], "not_found", "{path}");
    }
    world.admin_refused("GET", "requests/req-1?x=1", Value::Null, 400).await;
}

#[tokio::test]
async fn lists_are_filtered_by_everything_and_come_in_pages_by_time() {
    let world = World::with_org(None).await;
    world.put_model("other", "1.00", "2.00").await;
    world.admin_ok("PUT", "orgs/beta", json!({"name": "Beta"})).await;
    let one = world.key(json!({"team": "search", "user": "ada"})).await;
    let two = world.key(json!({"team": "ads", "user": "ada"})).await;
    let three = world.key(json!({"org": "beta", "team": "search"})).await;
    let holder = world.holder(1).await;
    // They arrive in another order than the one in which they began; two began at once.
    let calls = vec![
        call(&one, 1, 50, 200, "gpt-4o-mini"),
        call(&two, 2, 10, 200, "other"),
        call(&three, 3, 40, 500, "other"),
        call(&one, 4, 40, 429, "gpt-4o-mini"),
        call(&two, 5, 86_400, 200, "gpt-4o-mini"),
        call(&one, 6, 20, 500, "other"),
    ];
    world.report(&holder, vec![], calls).await;
    let found = async |query: &str| sequences(&world, query).await.0;
    assert_eq!(found("").await, [5, 1, 4, 3, 6, 2]);
    assert_eq!(found(&format!("key={}", one.id)).await, [1, 4, 6]);
    assert_eq!(found("org=acme").await, [5, 1, 4, 6, 2]);
    assert_eq!(found("org=acme&team=search").await, [1, 4, 6]);
    assert_eq!(found("org=beta&team=search").await, [3]);
    assert_eq!(found("org=acme&user=ada").await, [5, 1, 4, 6, 2]);
    assert_eq!(found("org=acme&user=ada&team=ads").await, [5, 2]);
    assert_eq!(found("model=other").await, [3, 6, 2]);
    assert_eq!(found("status=500").await, [3, 6]);
    assert_eq!(found(&format!("status=500&key={}", one.id)).await, [6]);
    assert_eq!(found("request=req-4&org=acme").await, [4]);
    assert_eq!(found("request=req-4&org=beta").await, [] as [u64; 0]);
    assert_eq!(found("from=2026-11-20&to=2026-11-20").await, [1, 4, 3, 6, 2]);
    assert_eq!(found("from=2026-11-21").await, [5]);
    let range = "from=2026-11-20T12:00:20Z&to=2026-11-20T13:00:50%2B01:00";
    assert_eq!(found(range).await, [4, 3, 6], "the end is not part of it");
    assert_eq!(found("from=2026-11-22&to=2026-11-20").await, [] as [u64; 0]);
    // The end of the first page is between two that began at once.
    let mut cursor = String::new();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (page, next) = sequences(&world, &format!("limit=3&cursor={cursor}")).await;
        assert_eq!(page.len(), 3);
        seen.extend(page);
        // What comes late does not move the pages.
        let late = call(&one, 7 + seen.len() as u64, 90_000, 200, "other");
        world.report(&holder, vec![], vec![late]).await;
        cursor = next.unwrap_or_default();
    }
    assert_eq!((seen, cursor), (vec![5, 1, 4, 3, 6, 2], String::new()));
    for (query, param) in [
        ("team=search", "team"),
        ("user=ada", "user"),
        ("status=ok", "status"),
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("cursor=7", "cursor"),
        ("limit=0", "limit"),
        ("nope=1", "nope"),
    ] {
        let path = format!("requests?{query}");
        let error = world.admin_refused("GET", &path, Value::Null, 400).await;
        assert_eq!(error["param"], param, "{query}");
    }
}

#[tokio::test]
async fn an_export_holds_every_record_once_and_no_formula() {
    let world = World::with_org(None).await;
    let (one, two) = (world.key(json!({"team": "=cmd"})).await, world.key(json!({})).await);
    let holder = world.holder(1).await;
    // More than two pages.
    let mut calls: Vec<_> = (1..=450).map(|n| call(&one, n, n, 200, "gpt-4o-mini")).collect();
    calls[6].metadata = metadata(&[("a", "=1,\"2\"\n3")]);
    calls.push(call(&two, 451, 0, 200, "gpt-4o-mini"));
    world.report(&holder, vec![], calls).await;

    let (status, kind, text) = file(&world, &format!("format=jsonl&key={}", one.id)).await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "application/jsonl"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = lines.iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=450).rev().collect::<Vec<_>>());
    assert_eq!(lines[0], world.admin_ok("GET", "requests/req-450", Value::Null).await);

    let (status, kind, text) = file(&world, "from=2026-11-20").await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "text/csv; charset=utf-8; header=present"));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let column = |name: &str| names.iter().position(|other| other == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 451);
    let seventh = rows.iter().find(|row| &row[column("request")] == "req-7").unwrap();
    assert_eq!(&seventh[column("metadata")], r#"{"a":"=1,\"2\"\n3"}"#);
    assert_eq!(&seventh[column("team")], "'=cmd");
    assert_eq!(&seventh[column("cost_usd")], "0.000014");
    assert_eq!(&seventh[column("started_at")], "2026-11-20T12:00:07Z");
    assert_eq!(&rows[450][column("team")], "", "the last is the other key's");
    let formulas = rows
        .iter()
        .flat_map(|row| row.iter())
        .filter(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
    assert_eq!(formulas.count(), 0);

    let (status, _, text) = file(&world, "format=csv&key=nobody").await;
    assert_eq!((status.as_u16(), text.lines().count()), (200, 1), "only names");
    let (status, _, text) = file(&world, "format=xml").await;
    assert!(status.as_u16() == 400 && text.contains("\"param\":\"format\""), "{text}");
    assert_eq!(file(&world, "limit=5").await.0.as_u16(), 400);
}

#[tokio::test]
async fn records_are_forgotten_after_their_time_and_sums_and_money_stay() {
    let world = World::with_org(Some("10.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    // More than one step of the sweeper.
    let old: Vec<_> = (1..=300).map(|n| call(&key, n, n, 200, "gpt-4o-mini")).collect();
    world.report(&holder, vec![], old.clone()).await;
    let usage = async || {
        let path = format!("usage?group_by=key&from=2026-11-20&to=2026-11-20&key={}", key.id);
        world.admin_ok("GET", &path, Value::Null).await["data"].clone()
    };
    let (before, spend) = (usage().await, world.spend(&key).await);
    assert_eq!(before[0]["requests"], 300);
    let log = async || file(&world, "format=jsonl").await.2.lines().count();
    world.pass(399 * DAY_MS).await;
    let holder = world.holder(2).await;
    world.report(&holder, vec![], vec![call(&key, 301, 399 * 86_400, 200, "gpt-4o-mini")]).await;
    world.pass(DAY_MS).await;
    assert_eq!(log().await, 301, "kept for 400 days");
    world.pass(1).await;
    assert_eq!(log().await, 1);
    assert_eq!(sequences(&world, "").await.0, [301]);
    assert_eq!(usage().await, before);
    // The period is another one by now; what was settled in the old one still stands there.
    assert_eq!(spend["settled_usd"], "0.0903");
    let settled: i64 = world
        .tables()
        .query_row("SELECT max(settled) FROM accounts WHERE level = 'org'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(settled, 90_300_000);
    world.check_ledger();
}

#[tokio::test]
async fn a_journal_replays_the_removal_of_records_and_the_sums() {
    let mut world = World::fresh(1, true).and_org(None).await;
    let backup = world.folder.path().join("backup");
    policy_server::store::sqlite::Sqlite::copy(&world.database(), &backup).unwrap();
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let old: Vec<_> = (1..=300).map(|n| call(&key, n, n, 200, "gpt-4o-mini")).collect();
    world.report(&holder, vec![], old).await;
    world.pass(401 * DAY_MS).await;
    let rows = |world: &World| -> Vec<(String, i64, i64)> {
        let tables = world.tables();
        let mut statement = tables
            .prepare("SELECT key, requests, (SELECT count(*) FROM records) FROM usage_by_day")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let expected = rows(&world);
    assert_eq!(expected, [(key.id.as_str().to_owned(), 300, 0)]);
    let stopped = world.stop();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", stopped.database().display()));
    }
    std::fs::copy(&backup, stopped.database()).unwrap();
    let journal = stopped.journal.clone().unwrap();
    policy_server::store::sqlite::Sqlite::replay(&stopped.database(), &journal).unwrap();
    world = stopped.start();
    assert_eq!(rows(&world), expected);
}

#[tokio::test]
async fn ids_that_filters_make_are_the_ids_that_are_found() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let id = "req_00000000000000010000000f";
    let request = RequestId::new(id).unwrap();
    world.report(&holder, vec![], vec![CallRecord { request, ..record(&key, None, 1, 1) }]).await;
    let shown = world.admin_ok("GET", &format!("requests/{id}"), Value::Null).await;
    assert_eq!(shown["request"], id);
}

#[tokio::test]
async fn a_damaged_record_is_left_out_and_no_page_fails() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let calls = (1..=6).map(|n| call(&key, n, n, 200, "gpt-4o-mini")).collect();
    world.report(&holder, vec![], calls).await;
    let damage = "UPDATE records SET call = '{' || substr(call, 3) WHERE sequence IN (2, 4)";
    assert_eq!(world.tables().execute(damage, []).unwrap(), 2);
    assert_eq!(sequences(&world, "").await.0, [6, 5, 3, 1]);
    // The end of a page may be one of them.
    let (page, next) = sequences(&world, "limit=3").await;
    assert_eq!(page, [6, 5]);
    let (page, next) = sequences(&world, &format!("limit=3&cursor={}", next.unwrap())).await;
    assert_eq!((page, next), (vec![3, 1], None));
    assert_eq!(file(&world, "format=jsonl").await.2.lines().count(), 4);
    world.admin_refused("GET", "requests/req-4", Value::Null, 404).await;
    let (epoch, digest) = (holder.epoch, key.digest());
    let (from, to, limit, cursor) = (None, None, None, None);
    let asks = holder.id.clone();
    let request = UsageRequest { holder: asks, epoch, digest, from, to, limit, cursor };
    let reply: UsageReply = world.filter_ok("POST", "usage", &request).await;
    let UsageAnswer::Page(page) = reply.answer else { panic!("{:?}", reply.answer) };
    assert_eq!(page.calls.len(), 4);
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert!(status["damaged_rows"].as_u64().unwrap() >= 2, "{status}");
}
