//! Shadow mode: who may put a key into it, what filters are told, and what becomes of calls that would have
//! been refused.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use wire::v1::{Basis, CallRecord, Change, KeyAnswer};
use wire::{NanoUsd, RefusalCode};

use crate::people::{member, person};
use crate::process::{serve, tollgate};
use crate::world::{Holder, Key, World, ask, exchange, final_report, micro, record};

async fn is_told_shadow(world: &World, holder: &Holder, key: &Key) -> bool {
    match world.admit(holder, key, 0, None).await.key {
        KeyAnswer::Known(policy) => policy.shadow,
        KeyAnswer::Unknown => panic!("the key is not known"),
    }
}

#[tokio::test]
async fn a_key_goes_into_shadow_mode_and_out_of_it_and_filters_hear_of_both() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let usual = world.admin_ok("POST", "keys", json!({"org": "acme"})).await;
    assert_eq!(usual["shadow"], false);
    assert!(!is_told_shadow(&world, &holder, &Key::of(&usual)).await);

    let created = world.admin_ok("POST", "keys", json!({"org": "acme", "shadow": true})).await;
    assert_eq!(created["shadow"], true);
    let key = Key::of(&created);
    assert!(is_told_shadow(&world, &holder, &key).await);
    let seen = world.poll(&holder, holder.revision, 0).await.revision;
    let path = format!("keys/{}?wait=0", key.id);
    for (body, shadow) in [
        (json!({"name": "other"}), true),
        (json!({"shadow": false}), false),
        (json!({"shadow": true}), true),
        (json!({"shadow": null}), false),
    ] {
        let changed = world.admin_ok("PATCH", &path, body.clone()).await;
        assert_eq!(changed["shadow"], shadow, "{body}");
        assert_eq!(is_told_shadow(&world, &holder, &key).await, shadow, "{body}");
    }
    let heard = world.poll(&holder, seen, 0).await.changes;
    let of_key = |change: &&Change| matches!(change, Change::Key { key: of, .. } if *of == key.id);
    assert_eq!(heard.iter().filter(of_key).count(), 4);
    world.admin_ok("PATCH", &path, json!({"shadow": true})).await;
    let world = world.restart();
    let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
    assert_eq!(shown["shadow"], true);
    let body = json!({"org": "acme", "shadow": "yes"});
    let error = world.admin_refused("POST", "keys", body, 400).await;
    assert_eq!((&error["param"], &error["code"]), (&json!("shadow"), &json!("invalid_field")));
}

/// A key in shadow mode spends what no budget above it gave and no wallet paid for: neither who may
/// change keys nor who administers an organisation decides that.
#[tokio::test]
async fn only_who_may_change_an_organisation_puts_its_keys_into_shadow_mode() {
    let world = World::with_org(None).await;
    let root = person(&world, "acme", "root", "platform_admin").await;
    let olga = person(&world, "acme", "olga", "org_admin").await;
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    let key = world.key(json!({"team": "search"})).await;
    let path = format!("keys/{}?wait=0", key.id);
    let new = json!({"org": "acme", "team": "search", "name": "n", "shadow": true});
    let mut imported = new.clone();
    imported["sha256"] = json!("ab".repeat(32));
    for who in [&olga, &tara] {
        for (method, path, body) in [
            ("POST", "keys", &new),
            ("POST", "me/keys", &new),
            ("POST", "keys/import", &imported),
            ("PATCH", path.as_str(), &json!({"shadow": true})),
        ] {
            let code = who.refused(&world, method, path, body.clone(), 403).await;
            assert_eq!(code, "permission_denied", "{} {method} {path}", who.user);
        }
        root.ok(&world, "PATCH", &path, json!({"shadow": true})).await;
        // Whoever may change a key may bring it back under its limits.
        let ended = who.ok(&world, "PATCH", &path, json!({"shadow": false})).await;
        assert_eq!(ended["shadow"], false, "{}", who.user);
    }
    let imported = root.ok(&world, "POST", "keys/import", imported).await;
    assert_eq!(imported["shadow"], true);
}

fn passed(key: &Key, sequence: u64, code: &str) -> CallRecord {
    CallRecord {
        reserved: NanoUsd::ZERO,
        would_refuse: Some(RefusalCode::new(code).unwrap()),
        ..record(key, None, sequence, 1_000)
    }
}

#[tokio::test]
async fn what_shadow_mode_let_pass_is_on_no_account_and_its_cost_is_checked() {
    let world = World::with_org(Some("0.01")).await;
    let fields = json!({"shadow": true, "team": "t", "budget": {"usd": "0.001"}});
    let key = world.key(fields).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(100)).await.lease;
    let allowed = record(&key, Some(lease.clone()), 1, 100);
    world.report(&holder, vec![final_report(&lease, micro(200))], vec![allowed]).await;
    let before = world.spend(&key).await;
    assert_eq!(before["settled_usd"], "0.0002");

    let reply = world.report(
        &holder,
        vec![],
        vec![passed(&key, 2, "budget_exceeded"), passed(&key, 3, "rate_limit_exceeded")],
    );
    assert_eq!(reply.await.differing, [] as [u64; 0]);
    // The same report again counts nothing twice.
    world.report(&holder, vec![], vec![passed(&key, 2, "budget_exceeded")]).await;
    assert_eq!(world.spend(&key).await, before, "no account above the key has moved");
    let org = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    assert_eq!(org["spend"]["settled_usd"], "0.0002");
    world.check_ledger();
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["differing_records"], 0);

    // The same record without the reason is a call that its budgets pay for.
    let plain = CallRecord { would_refuse: None, ..passed(&key, 4, "x") };
    world.report(&holder, vec![], vec![plain]).await;
    assert_eq!(world.spend(&key).await["settled_usd"], "0.0022");

    let wrong = CallRecord { cost: micro(1), ..passed(&key, 5, "budget_exceeded") };
    let nothing =
        CallRecord { basis: Basis::Refunded, cost: NanoUsd::ZERO, ..passed(&key, 6, "x") };
    assert_eq!(world.report(&holder, vec![], vec![wrong, nothing]).await.differing, [5]);
    let shown = world.admin_ok("GET", "requests/req-5", Value::Null).await;
    assert_eq!((&shown["differs"], &shown["computed_cost_usd"]), (&json!(true), &json!("0.002")));
}

async fn file(world: &World, query: &str) -> String {
    let request = Request::builder()
        .uri(format!("/admin/v1/requests/export?{query}"))
        .header("authorization", format!("Bearer {}", world.admin_token))
        .body(Body::empty())
        .unwrap();
    let (_, _, bytes) = exchange(&world.app.admin, request).await;
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_log_finds_calls_by_what_would_have_refused_them_and_sums_count_them() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({"name": "Beta"})).await;
    let key = world.key(json!({"shadow": true})).await;
    let other = world.key(json!({"org": "beta"})).await;
    let holder = world.holder(1).await;
    let records = vec![
        passed(&key, 1, "budget_exceeded"),
        record(&key, None, 2, 1_000),
        passed(&key, 3, "rate_limit_exceeded"),
        passed(&other, 4, "budget_exceeded"),
    ];
    world.report(&holder, vec![], records).await;
    let of_key = format!("would_refuse=any&key={}", key.id);
    for (query, found) in [
        ("", &[4, 3, 2, 1][..]),
        ("would_refuse=any", &[4, 3, 1]),
        ("would_refuse=budget_exceeded", &[4, 1]),
        ("would_refuse=budget_exceeded&org=acme", &[1]),
        ("would_refuse=any&org=beta&status=200", &[4]),
        (of_key.as_str(), &[3, 1]),
        ("would_refuse=key_expired", &[]),
    ] {
        let page = world.admin_ok("GET", &format!("requests?{query}"), Value::Null).await;
        let page = page["data"].as_array().unwrap().iter();
        let sequences: Vec<_> = page.map(|record| record["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences, found, "{query}");
        let lines = file(&world, &format!("{query}&format=jsonl")).await.lines().count();
        assert_eq!(lines, found.len(), "{query}");
    }
    for wrong in ["Any", "a-b", ""] {
        let path = format!("requests?would_refuse={wrong}");
        let error = world.admin_refused("GET", &path, Value::Null, 400).await;
        assert_eq!(error["param"], "would_refuse", "{wrong}");
    }
    let shown = world.admin_ok("GET", "requests/req-3", Value::Null).await;
    assert_eq!(shown["would_refuse"], "rate_limit_exceeded");
    let shown = world.admin_ok("GET", "requests/req-2", Value::Null).await;
    assert_eq!(shown["would_refuse"], Value::Null);
    let csv = file(&world, "would_refuse=rate_limit_exceeded").await;
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().ends_with(",would_refuse"), "{csv}");
    assert!(lines.next().unwrap().ends_with(",rate_limit_exceeded"), "{csv}");

    let sums = world.admin_ok("GET", "usage?group_by=org", Value::Null).await;
    let sums: Vec<_> = sums["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sum| (sum["org"].as_str(), sum["requests"].as_u64(), sum["would_refuse"].as_u64()))
        .collect();
    let acme = (Some("acme"), Some(3), Some(2));
    assert_eq!(sums, [acme, (Some("beta"), Some(1), Some(1))]);
}

#[test]
fn the_command_line_sets_shadow_mode_and_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let run = |command: &str| {
        let output = tollgate()
            .args(command.split_whitespace())
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &token)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let ok = |command: &str| {
        let (code, shown, complaint) = run(command);
        assert_eq!(code, Some(0), "{command}: {complaint}");
        shown
    };
    ok("orgs put acme --budget 1");
    ok("models put m --input-price 1 --output-price 2 --context-length 10 --max-output-tokens 5");
    let key: Value = serde_json::from_str(&ok("keys create --org acme --shadow --json")).unwrap();
    assert_eq!(key["shadow"], true);
    let id = key["id"].as_str().unwrap();
    let line = "on: the gateway refuses none of its calls";
    assert!(ok(&format!("keys test {id}")).contains(line));
    // What its policy says is the verdict all the same.
    ok(&format!("keys disable {id} --wait 0"));
    let (code, shown, _) = run(&format!("keys test {id}"));
    assert!(code == Some(3) && shown.contains(line) && shown.contains("key_disabled"), "{shown}");
    ok(&format!("keys patch {id} --shadow false --wait 0"));
    assert!(!run(&format!("keys test {id}")).1.contains(line));
    assert!(ok("requests list --would-refuse any --json").contains("\"data\": []"));
    let (_, _, complaint) = run("requests list --would-refuse No");
    assert!(complaint.contains("must be the code of an error"), "{complaint}");
    assert_eq!(server.terminate(), Some(0));
}
