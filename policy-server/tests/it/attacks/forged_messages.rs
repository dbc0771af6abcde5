//! Messages of the filter API that no filter means: sent again, sent by others, made up. Whoever has stolen
//! the filter token can block money; he reads no secret, raises no budget and revives no key.

use axum::http::StatusCode;
use serde_json::{Value, json};
use wire::v1::{KeyAnswer, KeyState, LeaseAnswer, Problem, Refusal};
use wire::{HolderId, KeyDigest, LeaseId, NanoUsd};

use crate::people::person;
use crate::world::{
    FILTER_TOKEN, Holder, Key, World, accounts, admit_request, ask, final_report, lease_request,
    micro, record, report_request, running_report, send,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Everything by which money and calls are counted.
fn books(world: &World) -> (String, i64, i64) {
    let tables = world.tables();
    let accounts = format!("{:?}", accounts(&tables));
    let count = |sql: &str| tables.query_row(sql, [], |row| row.get(0)).unwrap();
    (accounts, count("SELECT count(*) FROM records"), count("SELECT count(*) FROM leases"))
}

async fn bytes(world: &World, path: &str, body: &str) -> (StatusCode, Value) {
    let path = format!("/proxy/v1/{path}");
    send(&world.app.filter, "POST", &path, Some(FILTER_TOKEN), body.to_owned()).await
}

fn text<T: serde::Serialize>(message: &T) -> String {
    serde_json::to_string(message).unwrap()
}

#[tokio::test]
async fn captured_messages_change_nothing_at_once_and_a_day_later() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let register = json!({"protocol": 1, "nonce": "07".repeat(16), "plugin": "p"}).to_string();
    let (_, answer) = bytes(&world, "holders", &register).await;
    let holder = Holder {
        id: HolderId::new(answer["holder"].as_str().unwrap()).unwrap(),
        epoch: serde_json::from_value(answer["epoch"].clone()).unwrap(),
        revision: serde_json::from_value(answer["revision"].clone()).unwrap(),
    };
    let lease = holder.lease(1);
    let captured = [
        ("holders", register),
        ("admit", text(&admit_request(&holder, &key, 1, Some(ask(1_000))))),
        ("leases", text(&lease_request(&holder, &key, 2, ask(1_000), micro(4_000)))),
        (
            "reports",
            text(&report_request(
                &holder,
                vec![running_report(&lease, micro(500), None)],
                vec![record(&key, Some(lease.clone()), 1, 250)],
            )),
        ),
        (
            "reports",
            text(&report_request(
                &holder,
                vec![final_report(&lease, micro(1_500)), final_report(&holder.lease(2), micro(0))],
                vec![record(&key, Some(lease.clone()), 2, 500)],
            )),
        ),
    ];
    for (path, body) in &captured[1..] {
        assert_eq!(bytes(&world, path, body).await.0, 200, "{path}");
    }
    let once = books(&world);
    // In the order in which they were sent, and in the other.
    for _ in 0..2 {
        for (path, body) in captured.iter().chain(captured.iter().rev()) {
            assert_eq!(bytes(&world, path, body).await.0, 200, "{path}");
        }
    }
    assert_eq!(books(&world), once);
    world.pass(DAY_MS).await;
    assert_eq!(books(&world), once, "nothing was held");
    for (path, body) in captured.iter().rev().chain(&captured) {
        bytes(&world, path, body).await;
    }
    world.pass(DAY_MS).await;
    assert_eq!(books(&world), once);
    world.check_ledger();
}

#[tokio::test]
async fn sums_neither_fall_nor_leave_their_bounds() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    let spent = async || world.spend(&key).await["settled_usd"].clone();
    world.report(&holder, vec![running_report(&lease, micro(500), None)], vec![]).await;
    for lower in [499, 1, 0] {
        world.report(&holder, vec![running_report(&lease, micro(lower), None)], vec![]).await;
        world.report(&holder, vec![final_report(&lease, micro(lower))], vec![]).await;
        assert_eq!(spent().await, "0.0005");
    }
    let before = books(&world);
    let message = |spent: Value, floor: Value, sequence: Value| {
        json!({"holder": holder.id, "epoch": holder.epoch, "void": [], "records": [], "leases": [
            {"lease": lease, "spent": spent, "floor": floor, "permits_used": sequence}]})
    };
    for (spent, floor, permits) in [
        (json!(-1), Value::Null, json!(0)),
        (json!(0.5), Value::Null, json!(0)),
        (json!("5"), Value::Null, json!(0)),
        (json!(1e300), Value::Null, json!(0)),
        (json!(0), json!(-1), json!(0)),
        (json!(0), Value::Null, json!(-1)),
        (Value::Null, Value::Null, json!(0)),
    ] {
        let body = message(spent, floor, permits).to_string();
        let (status, answer) = bytes(&world, "reports", &body).await;
        assert_eq!(
            (status.as_u16(), &answer["error"]["code"]),
            (400, &json!("bad_message")),
            "{body}"
        );
    }
    assert_eq!(books(&world), before);
    world.check_ledger();
}

/// More than there is of anything is taken as spent, so that nothing is granted any more; what watches
/// the server goes on.
#[tokio::test]
async fn claims_beyond_all_numbers_stop_nothing_but_the_keys_that_they_are_about() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let mut keys = Vec::new();
    for (n, most) in [(1, i64::MAX as u64), (2, u64::MAX), (3, i64::MAX as u64 - 1)] {
        let key = world.key_with_cap("1.00", "month").await;
        let lease = world.granted(&holder, &key, n, ask(1_000)).await.lease;
        let mut call = record(&key, Some(lease.clone()), n, 1);
        (call.usage.output_tokens, call.cost, call.reserved) =
            (u64::MAX / 4, NanoUsd(most), NanoUsd(most));
        let report = final_report(&lease, NanoUsd(most));
        let request = report_request(&holder, vec![report], vec![call]);
        let (status, answer) = world.filter("POST", "reports", &request).await;
        assert_eq!(status, 200, "{answer}");
        keys.push(key);
    }
    for (n, key) in (10..).zip(&keys) {
        let shown = world.spend(key).await;
        assert!(shown["settled_usd"].as_str().unwrap().starts_with("92233"), "{shown}");
        world.refused(&holder, key, n, ask(1)).await;
    }
    let lists = ["usage?group_by=org", "usage?group_by=day", "requests", "keys", "status"];
    for path in ["orgs/acme"].into_iter().chain(lists) {
        world.admin_ok("GET", path, Value::Null).await;
    }
    let (status, page) = send(&world.app.metrics(), "GET", "/metrics", None, "").await;
    assert_eq!(status, 200);
    assert!(page.as_str().unwrap().contains("tollgate_server_store_up 1"), "{page}");
    let other = world.key_with_cap("1.00", "month").await;
    world.granted(&holder, &other, 20, ask(1_000)).await;
}

#[tokio::test]
async fn made_up_holders_and_leases_are_believed_nothing() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let victim = world.holder(1).await;
    let lease = world.granted(&victim, &key, 1, ask(1_000)).await.lease;
    let before = books(&world);
    let made_up = Holder { id: HolderId::new("h00000000000000000000").unwrap(), ..victim.clone() };
    let report = report_request(&made_up, vec![final_report(&lease, micro(9))], vec![]);
    for (path, body) in [
        ("admit", serde_json::to_value(admit_request(&made_up, &key, 1, Some(ask(1))))),
        ("leases", serde_json::to_value(lease_request(&made_up, &key, 1, ask(1), micro(1)))),
        ("reports", serde_json::to_value(report)),
        (
            "usage",
            Ok(json!({"holder": made_up.id, "epoch": made_up.epoch, "digest": key.digest()})),
        ),
        (
            "exchange",
            Ok(json!({"holder": made_up.id, "epoch": made_up.epoch, "digest": key.digest()})),
        ),
    ] {
        let (status, answer) = world.filter("POST", path, &body.unwrap()).await;
        let code = &answer["error"]["code"];
        assert_eq!((status.as_u16(), code), (409, &json!(Problem::UNKNOWN_HOLDER)), "{path}");
    }
    for revision in [0, u64::MAX] {
        let path = format!(
            "changes?holder={}&epoch={}&revision={revision}&wait_ms=0",
            made_up.id, made_up.epoch.0
        );
        let (status, answer) = world.filter("GET", &path, &Value::Null).await;
        assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!("unknown_holder")));
    }
    // Of holders that are there, the numbers of others and names of no lease.
    let thief = world.holder(2).await;
    for name in ["x", "-1", &format!("{}-", thief.id), &format!("{}-x", thief.id)] {
        let unknown = LeaseId::new(name).unwrap();
        world.report(&thief, vec![final_report(&unknown, micro(1_000_000))], vec![]).await;
    }
    assert_eq!(books(&world), before);
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!((&status["unknown_leases"], &status["frozen_budgets"]), (&json!(4), &json!(0)));
}

/// What somebody is answered who has nothing but the filter token, and what he knows of one key.
#[tokio::test]
async fn a_stolen_filter_token_reads_no_secret_and_no_name_of_another_holder() {
    let world = World::with_org(Some("1.00")).await;
    let ada = person(&world, "acme", "ada", "org_owner").await;
    let hook = json!({"url": "http://127.0.0.1:9/"});
    let hook = world.admin_ok("POST", "orgs/acme/webhooks", hook).await;
    let (known, other) = (world.key(json!({})).await, world.key(json!({"name": "other"})).await);
    let victim = world.holder(1).await;
    let lease = world.granted(&victim, &known, 1, ask(1_000)).await.lease;
    let calls = vec![record(&known, Some(lease), 1, 100), record(&other, None, 2, 100)];
    world.report(&victim, vec![], calls).await;
    let thief = world.holder(2).await;
    // Something for his poll.
    world.admin_ok("PATCH", &format!("keys/{}?wait=0", other.id), json!({"models": []})).await;

    let (id, epoch) = (&thief.id, thief.epoch);
    let own = json!({"holder": id, "epoch": epoch, "digest": known.digest()});
    let mut answers = Vec::new();
    for (method, path, body) in [
        (
            "POST",
            "holders".to_owned(),
            json!({"protocol": 1, "nonce": "02".repeat(16), "plugin": ""}),
        ),
        ("GET", "catalogue".to_owned(), Value::Null),
        ("GET", format!("changes?holder={id}&epoch={}&revision=0&wait_ms=0", epoch.0), Value::Null),
        (
            "GET",
            format!(
                "changes?holder={id}&epoch={}&revision={}&wait_ms=0",
                epoch.0, thief.revision.0
            ),
            Value::Null,
        ),
        ("POST", "usage".to_owned(), own.clone()),
        ("POST", "exchange".to_owned(), own),
        ("POST", "admit".to_owned(), json!(admit_request(&thief, &known, 1, Some(ask(1))))),
        ("POST", "leases".to_owned(), json!(lease_request(&thief, &other, 2, ask(1), micro(1)))),
        ("POST", "reports".to_owned(), json!(report_request(&thief, vec![], vec![]))),
    ] {
        let (status, answer) = world.filter(method, &path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answers.push(answer.to_string());
    }
    let secret = hook["secret"].as_str().unwrap();
    let digest = |text: &str| metering::api_key::digest(text.as_bytes()).to_string();
    // A poll tells digests of keys that change, so that filters forget them; no digest opens anything.
    let hidden = [
        ("another holder", victim.id.as_str().to_owned()),
        ("a key", other.secret.clone()),
        ("the admin token", world.admin_token.clone()),
        ("its digest", digest(&world.admin_token)),
        ("somebody's token", ada.token.clone()),
        ("its digest", digest(&ada.token)),
        ("a webhook's secret", secret.to_owned()),
        ("the filter token", FILTER_TOKEN.to_owned()),
        ("its digest", digest(FILTER_TOKEN)),
        ("a call of another key", "req-2".to_owned()),
    ];
    for answer in &answers {
        for (what, text) in &hidden {
            assert!(!answer.contains(text), "{what}: {answer}");
        }
    }
    // Nothing but keys is known by its digest.
    for (n, text) in [&world.admin_token, &ada.token, FILTER_TOKEN, secret].into_iter().enumerate()
    {
        let fake = Key { id: known.id.clone(), secret: text.to_owned() };
        let reply = world.admit(&thief, &fake, n as u64 + 10, Some(ask(1))).await;
        assert_eq!(
            (reply.key, reply.lease),
            (KeyAnswer::Unknown, LeaseAnswer::NotNeeded),
            "{text}"
        );
    }
    let mut near = known.digest();
    near.0[31] ^= 1;
    for digest in [near, KeyDigest([0; 32]), KeyDigest([255; 32])] {
        let request = json!({"holder": id, "epoch": epoch, "digest": digest, "n": 99});
        let (status, answer) = world.filter("POST", "admit", &request).await;
        assert_eq!((status.as_u16(), &answer["key"]), (200, &json!("unknown")), "{answer}");
    }
}

#[tokio::test]
async fn a_stolen_filter_token_raises_no_budget_and_revives_no_key() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let ended = world.key(json!({})).await;
    let path = format!("keys/{}", ended.id);
    world.admin_ok("POST", &format!("{path}/revoke?wait=0"), Value::Null).await;
    let (before, revoked) = (
        world.admin_ok("GET", "orgs/acme", Value::Null).await,
        world.admin_ok("GET", &path, Value::Null).await,
    );
    let thief = world.holder(1).await;
    // As much as he can name: what is granted is within the cap, and nothing is left for more.
    let mut granted = 0;
    for n in 1..=40 {
        let answer = world.ahead(&thief, &key, n, ask(1), NanoUsd(u64::MAX)).await;
        if let LeaseAnswer::Granted(grant) = answer {
            granted += grant.amount.0;
        }
    }
    assert!(granted > 0 && granted <= 10_000_000, "{granted}");
    // He says that all of it was never used, and draws it again: what he spent is not forgotten.
    let leases: Vec<_> = (1..=40).map(|n| final_report(&thief.lease(n), NanoUsd::ZERO)).collect();
    let calls = (1..=3).map(|n| record(&key, None, n, 1_000)).collect();
    world.report(&thief, leases, calls).await;
    assert_eq!(world.spend(&key).await["settled_usd"], "0.006");
    let mut again = 0;
    for n in 41..=80 {
        let answer = world.ahead(&thief, &key, n, ask(1), NanoUsd(u64::MAX)).await;
        if let LeaseAnswer::Granted(grant) = answer {
            again += grant.amount.0;
        }
    }
    assert!(again <= 4_000_000, "{again}");
    for n in 100..110 {
        let reply = world.admit(&thief, &ended, n, Some(ask(1))).await;
        let KeyAnswer::Known(policy) = reply.key else { panic!("it is known") };
        assert_eq!((policy.state, reply.lease), (KeyState::Revoked, LeaseAnswer::NotNeeded));
        let answer = world.ahead(&thief, &ended, n + 100, ask(1), micro(1)).await;
        assert_eq!(answer, LeaseAnswer::Refused(Refusal::KeyNotUsable));
    }
    let exchange = json!({"holder": thief.id, "epoch": thief.epoch, "digest": ended.digest()});
    let (_, answer) = world.filter("POST", "exchange", &exchange).await;
    assert!(!answer.to_string().contains("secret"), "{answer}");
    let org = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    assert_eq!(org["budget"], before["budget"]);
    let mut shown = world.admin_ok("GET", &path, Value::Null).await;
    let mut as_before = revoked;
    for object in [&mut shown, &mut as_before] {
        object.as_object_mut().unwrap().remove("spend");
    }
    assert_eq!(shown, as_before);
    world.check_ledger();
    // Nor does it open the other port.
    for (method, path) in [("GET", "/admin/v1/keys"), ("PUT", "/admin/v1/orgs/acme")] {
        let answer = send(&world.app.admin, method, path, Some(FILTER_TOKEN), "{}").await;
        assert_eq!(answer.0.as_u16(), 401);
    }
}

#[tokio::test]
async fn filters_of_other_versions_are_told_so_and_counted_whatever_else_they_say() {
    let world = World::new();
    let nonce = "ab".repeat(16);
    let other = [
        json!({"protocol": 0, "nonce": nonce, "plugin": "p"}),
        json!({"protocol": 2, "nonce": nonce, "plugin": "p"}),
        json!({"protocol": 2, "nonce": nonce, "plugin": "p", "region": "eu", "abilities": [1]}),
        json!({"protocol": 7, "who": {"nonce": nonce}}),
        json!({"protocol": 4_294_967_297u64, "nonce": nonce, "plugin": "p"}),
        json!({"protocol": u64::MAX}),
    ];
    for body in &other {
        let (status, answer) = world.filter("POST", "holders", body).await;
        let code = &answer["error"]["code"];
        let expected = (426, &json!(Problem::UNSUPPORTED_PROTOCOL));
        assert_eq!((status.as_u16(), code), expected, "{body}");
    }
    for body in [
        json!({"protocol": -1, "nonce": nonce, "plugin": "p"}),
        json!({"protocol": "1", "nonce": nonce, "plugin": "p"}),
        json!({"protocol": 1.5, "nonce": nonce, "plugin": "p"}),
        json!({"nonce": nonce, "plugin": "p"}),
        json!({"protocol": 1, "nonce": nonce, "plugin": "p", "region": "eu"}),
    ] {
        let (status, answer) = world.filter("POST", "holders", &body).await;
        let code = &answer["error"]["code"];
        assert_eq!((status.as_u16(), code), (400, &json!(Problem::BAD_MESSAGE)), "{body}");
    }
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["other_protocols"], other.len());
    assert_eq!(status["live_holders"], 0);
}
