//! Sums of use against the request log, and the page that a key sees of its own calls.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use wire::v1::{
    Basis, CallRecord, Usage, UsageAnswer, UsagePage, UsageParameter, UsageReply, UsageRequest,
};
use wire::{KeyDigest, KeyId, Metadata, ModelName, NanoUsd, RequestId};

use crate::world::{Holder, Key, NOON, World, record};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const GROUPS: [&str; 6] = ["key", "user", "team", "org", "model", "day"];

/// Requests, input, cached input and output tokens, nano-USD.
type Sums = [u64; 5];

/// Every group of a list with its sums, read in pages of this size.
async fn sums(world: &World, group: &str, query: &str, limit: u32) -> BTreeMap<String, Sums> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    let mut last = None;
    loop {
        let path = format!("usage?group_by={group}&limit={limit}&cursor={cursor}{query}");
        let page = world.admin_ok("GET", &path, Value::Null).await;
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit as usize, "{path}");
        for row in data {
            let owner = match group {
                "team" | "user" => json!([row["org"], row[group]]).to_string(),
                _ => json!([row[group]]).to_string(),
            };
            let number = |name: &str| row[name].as_u64().unwrap();
            let cost = NanoUsd::from_usd(row["cost_usd"].as_str().unwrap()).unwrap().0;
            let sums = [
                number("requests"),
                number("input_tokens"),
                number("cached_input_tokens"),
                number("output_tokens"),
                cost,
            ];
            assert!(found.insert(owner, sums).is_none(), "a group on two pages: {row}");
            last = Some(row.clone());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = encoded(next),
            None => return found,
        }
        assert!(last.is_some() && !data.is_empty());
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The same, added up over the records that the log holds.
async fn from_records(world: &World, group: &str, query: &str) -> BTreeMap<String, Sums> {
    let mut found: BTreeMap<String, Sums> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("requests?limit=200&cursor={cursor}{query}");
        let page = world.admin_ok("GET", &path, Value::Null).await;
        for record in page["data"].as_array().unwrap() {
            let owner = match group {
                "team" | "user" => json!([record["org"], record[group]]),
                "day" => json!([&record["started_at"].as_str().unwrap()[..10]]),
                _ => json!([record[group]]),
            };
            let number = |name: &str| record["usage"][name].as_u64().unwrap();
            let cost = NanoUsd::from_usd(record["cost_usd"].as_str().unwrap()).unwrap().0;
            let [input, cached, output] =
                ["input_tokens", "cached_input_tokens", "output_tokens"].map(number);
            let sums = found.entry(owner.to_string()).or_default();
            for (sum, more) in sums.iter_mut().zip([1, input, cached, output, cost]) {
                *sum += more;
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}

/// One reported call: which key (the last one does not exist), which model, how many hours after
/// noon, tokens, and whether its report is sent again at the end.
type Call = (usize, usize, u64, (u64, u64, u64), bool);

fn reported(calls: &[Call], keys: &[Key]) -> Vec<CallRecord> {
    let numbered = calls.iter().zip(1u64..);
    let records = numbered.map(|((key, model, hours, (input, cached, output), _), sequence)| {
        let known = &keys[(*key).min(keys.len() - 1)];
        let mut record = record(known, None, sequence, 0);
        if *key >= keys.len() {
            record.key = KeyId::new("key_gone").unwrap();
        }
        CallRecord {
            model: ModelName::new(["gpt-4o-mini", "other", "openai/x"][*model]).unwrap(),
            usage: Usage {
                input_tokens: input + cached,
                cached_input_tokens: *cached,
                output_tokens: *output,
                ..Usage::default()
            },
            cost: NanoUsd(input * 7 + output * 13),
            basis: Basis::Measured,
            started_unix_ms: NOON + hours * 3_600_000,
            ..record
        }
    });
    records.collect()
}

async fn check(calls: &[Call], limit: u32) {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({"name": "Beta"})).await;
    let mut keys = Vec::new();
    for fields in [
        json!({"team": "a", "user": "u"}),
        json!({"team": "b/c", "user": "u"}),
        json!({"org": "beta", "team": "a"}),
        json!({"org": "beta", "user": "v"}),
        json!({}),
    ] {
        keys.push(world.key(fields).await);
    }
    let holder = world.holder(1).await;
    let records = reported(calls, &keys);
    let half = records.len() / 2;
    world.report(&holder, vec![], records[..half].to_vec()).await;
    let path = format!("keys/{}?wait=0", keys[0].id);
    world.admin_ok("PATCH", &path, json!({"team": "moved"})).await;
    world.report(&holder, vec![], records[half..].to_vec()).await;
    // Reports come again late: from the same holder, and after a restart from another one.
    let again = records.iter().zip(calls).filter(|(_, call)| call.4);
    let again: Vec<_> = again.map(|(record, _)| record.clone()).collect();
    world.report(&holder, vec![], again.clone()).await;
    let other = world.holder(2).await;
    let renumbered = again.into_iter().zip(1_000u64..);
    let renumbered = renumbered.map(|(record, sequence)| CallRecord { sequence, ..record });
    world.report(&other, vec![], renumbered.collect()).await;
    let days = "&from=2026-11-01&to=2026-12-31";
    let only = [
        String::new(),
        "&org=acme".to_owned(),
        "&org=acme&team=a".to_owned(),
        "&org=acme&user=u".to_owned(),
        "&org=beta&user=v&model=other".to_owned(),
        "&model=gpt-4o-mini".to_owned(),
        format!("&key={}", keys[0].id),
        "&key=key_gone".to_owned(),
    ];
    for group in GROUPS {
        for only in &only {
            let summed = sums(&world, group, &format!("{days}{only}"), limit).await;
            assert_eq!(summed, from_records(&world, group, only).await, "{group} {only}");
        }
        let one_day = "&from=2026-11-21&to=2026-11-21";
        let summed = sums(&world, group, one_day, limit).await;
        assert_eq!(summed, from_records(&world, group, one_day).await, "{group} {one_day}");
    }
}

#[test]
fn sums_are_those_of_the_records_whatever_comes_late_or_twice() {
    let call = (0..6usize, 0..3usize, 0..96u64, (0..50u64, 0..50u64, 0..50u64), any::<bool>());
    let runs = (proptest::collection::vec(call, 0..40), 1..4u32);
    let mut runner = TestRunner::new(Config { cases: 8, ..Config::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runner
        .run(&runs, |(calls, limit)| {
            runtime.block_on(check(&calls, limit));
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn days_are_bounded_and_what_cannot_be_read_is_refused() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let at = |sequence, days_ago: u64| CallRecord {
        started_unix_ms: NOON - days_ago * DAY_MS,
        ..record(&key, None, sequence, 1)
    };
    world.report(&holder, vec![], vec![at(1, 0), at(2, 29), at(3, 30), at(4, 365)]).await;
    let days = async |query: &str| {
        let page = world.admin_ok("GET", &format!("usage?{query}"), Value::Null).await;
        let days = page["data"].as_array().unwrap().iter();
        days.map(|row| row["day"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(days("").await, ["2026-10-22", "2026-11-20"], "thirty days, today included");
    assert_eq!(days("from=2025-11-20").await.len(), 4);
    assert_eq!(days("to=2026-10-21").await, ["2026-10-21"]);
    for (query, param) in [
        ("from=2025-11-19", "from"),
        ("from=2026-11-21", "from"),
        ("from=2026-11-20T00:00:00Z", "from"),
        ("to=x", "to"),
        ("group_by=colour", "group_by"),
        ("group_by=key&cursor=x", "cursor"),
        ("group_by=team&team=a", "team"),
        ("status=200", "status"),
    ] {
        let path = format!("usage?{query}");
        let error = world.admin_refused("GET", &path, Value::Null, 400).await;
        assert_eq!(error["param"], param, "{query}");
    }
}

fn asks(holder: &Holder, digest: KeyDigest) -> UsageRequest {
    UsageRequest {
        holder: holder.id.clone(),
        epoch: holder.epoch,
        digest,
        from: None,
        to: None,
        limit: None,
        cursor: None,
    }
}

async fn answer(world: &World, request: &UsageRequest) -> UsageAnswer {
    let reply: UsageReply = world.filter_ok("POST", "usage", request).await;
    reply.answer
}

async fn page(world: &World, request: &UsageRequest) -> UsagePage {
    match answer(world, request).await {
        UsageAnswer::Page(page) => page,
        other => panic!("no page: {other:?}"),
    }
}

fn ids(page: &UsagePage) -> Vec<&str> {
    page.calls.iter().map(|call| call.request.as_str()).collect()
}

#[tokio::test]
async fn a_key_sees_its_own_calls_and_no_others() {
    let world = World::with_org(None).await;
    let (mine, other) = (world.key(json!({})).await, world.key(json!({})).await);
    let holder = world.holder(1).await;
    let mut metadata = Metadata::default();
    metadata.add("project".to_owned(), "nightly".to_owned()).unwrap();
    let at = |key: &Key, sequence, hours: u64| CallRecord {
        started_unix_ms: NOON + hours * 3_600_000,
        metadata: metadata.clone(),
        ..record(key, None, sequence, sequence)
    };
    let calls = vec![at(&mine, 1, 0), at(&other, 2, 1), at(&mine, 3, 24), at(&mine, 4, 12)];
    world.report(&holder, vec![], calls).await;
    let all = asks(&holder, mine.digest());
    let found = page(&world, &all).await;
    assert_eq!(ids(&found), ["req-3", "req-4", "req-1"]);
    assert_eq!(found.next_cursor, None);
    let call = &found.calls[2];
    assert_eq!((call.output_tokens, call.cost, call.status), (1, NanoUsd(2_000), 200));
    assert_eq!((call.started_unix_ms, call.duration_ms), (NOON, 12));
    assert_eq!(call.metadata, metadata);
    // pages
    let first = page(&world, &UsageRequest { limit: Some("2".into()), ..all.clone() }).await;
    assert_eq!(ids(&first), ["req-3", "req-4"]);
    let next = UsageRequest { cursor: first.next_cursor, ..all.clone() };
    assert_eq!(ids(&page(&world, &next).await), ["req-1"]);
    // time
    let from = UsageRequest { from: Some("2026-11-21".into()), ..all.clone() };
    assert_eq!(ids(&page(&world, &from).await), ["req-3", "req-4"]);
    let to = UsageRequest { to: Some("2026-11-20".into()), ..all.clone() };
    assert_eq!(ids(&page(&world, &to).await), ["req-1"]);
    // what is none, and a cursor that belongs to another key
    let text = |text: &str| Some(text.to_owned());
    for (request, parameter) in [
        (UsageRequest { from: text("x"), ..all.clone() }, UsageParameter::From),
        (UsageRequest { to: text(""), ..all.clone() }, UsageParameter::To),
        (UsageRequest { limit: text("0"), ..all.clone() }, UsageParameter::Limit),
        (UsageRequest { limit: text("1001"), ..all.clone() }, UsageParameter::Limit),
        (UsageRequest { cursor: text("req-2"), ..all.clone() }, UsageParameter::Cursor),
        (UsageRequest { cursor: text("req-9"), ..all.clone() }, UsageParameter::Cursor),
    ] {
        assert_eq!(answer(&world, &request).await, UsageAnswer::BadParameter(parameter));
    }
    let unknown = asks(&holder, KeyDigest([7; 32]));
    assert_eq!(answer(&world, &unknown).await, UsageAnswer::UnknownKey);
    // A new secret of the same key sees what the old one was used for, which sees nothing more.
    let path = format!("keys/{}/rotate?wait=0", mine.id);
    let rotated = Key::of(&world.admin_ok("POST", &path, Value::Null).await);
    assert_eq!(page(&world, &asks(&holder, rotated.digest())).await.calls.len(), 3);
    assert_eq!(answer(&world, &all).await, UsageAnswer::UnknownKey);
    world.admin_ok("DELETE", &format!("keys/{}?wait=0", mine.id), Value::Null).await;
    assert_eq!(answer(&world, &asks(&holder, rotated.digest())).await, UsageAnswer::UnknownKey);
}

#[tokio::test]
async fn a_page_of_usage_fits_into_what_a_proxy_holds() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let mut long = Metadata::default();
    for n in 0..Metadata::MOST_PAIRS {
        long.add(format!("{n:064}"), "\u{1}".repeat(Metadata::LONGEST_VALUE)).unwrap();
    }
    let calls = (1..=1_000u64).map(|n| CallRecord {
        request: RequestId::new(format!("req-{n:050}")).unwrap(),
        metadata: if n % 100 == 0 { long.clone() } else { Metadata::default() },
        started_unix_ms: NOON + n,
        ..record(&key, None, n, 1)
    });
    world.report(&holder, vec![], calls.collect()).await;
    let mut request = asks(&holder, key.digest());
    request.limit = Some("1000".to_owned());
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let (_, reply) = world.filter("POST", "usage", &request).await;
        let length = reply.to_string().len();
        assert!(length <= UsageReply::LONGEST, "{length}");
        let page = page(&world, &request).await;
        assert!(!page.calls.is_empty());
        seen.extend(page.calls.iter().map(|call| call.started_unix_ms - NOON));
        pages += 1;
        match page.next_cursor {
            None => break,
            cursor => request.cursor = cursor,
        }
    }
    assert_eq!(seen, (1..=1_000).rev().collect::<Vec<_>>());
    assert!((10..40).contains(&pages), "{pages}");
}

#[tokio::test]
async fn only_live_holders_of_this_epoch_may_ask_for_usage() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let good = asks(&holder, key.digest());
    let epoch = wire::Epoch(holder.epoch.0 + 1);
    let (status, answer) =
        world.filter("POST", "usage", &UsageRequest { epoch, ..good.clone() }).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!("other_epoch")));
    let stranger = wire::HolderId::new("h_nobody").unwrap();
    let (status, answer) =
        world.filter("POST", "usage", &UsageRequest { holder: stranger, ..good.clone() }).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!("unknown_holder")));
    assert_eq!(page(&world, &good).await.calls, []);
}
