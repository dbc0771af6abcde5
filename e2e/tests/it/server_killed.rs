//! The policy server is killed again and again while clients call: nothing is lost, nothing is
//! charged twice, and no cap is passed.

use std::time::{Duration, Instant};

use e2e::audit::{Comparison, Spend, compare, nano_of};
use e2e::load::Load;
use e2e::{Fixture, chat, faulty_chat, wait_within};
use serde_json::json;
use xtask::http_client::{Answer, Client};

const ROUNDS: usize = 12;

/// All ways in which a call ends: plain, streamed, slowly, cut off, refused by the provider. Few are
/// cut off, since Envoy keeps such a client waiting for its delayed close.
fn call(client: &Client, number: u64) -> anyhow::Result<Answer> {
    let streamed = || json!({"max_tokens": 64, "stream": true});
    match number % 40 {
        6 => faulty_chat(client, "cut=3", streamed()),
        7 | 27 => faulty_chat(client, "status=500", json!({"max_tokens": 64})),
        number if number % 8 == 5 => faulty_chat(client, "chunk_delay=3", streamed()),
        number if number % 2 == 0 => chat(client, json!({"max_tokens": 64})),
        _ => chat(client, streamed()),
    }
}

/// Both books of a key once every call at the upstream has its record and no money is out.
fn settled(fixture: &Fixture, key: &str) -> (Spend, Comparison) {
    let limit = Duration::from_secs(30);
    let calls = fixture.upstream_calls(key).unwrap();
    let mut records = Vec::new();
    wait_within(limit, Duration::from_millis(500), "a record of every call", || {
        records = fixture.all_records(key)?;
        let known = |request: &str| records.iter().any(|record| record["request"] == request);
        Ok(calls.iter().all(|call| known(&call.request)))
    })
    .unwrap();
    let spend = fixture.spend_at_rest(key, limit).unwrap();
    // Records may still have come while the money came to rest.
    (spend, compare(&fixture.all_records(key).unwrap(), &calls))
}

#[test]
fn a_server_that_is_killed_loses_nothing_and_charges_nothing_twice() {
    let mut fixture = Fixture::start(2).unwrap();
    // One budget that is used up while the server comes and goes, and one that is not.
    let budget =
        |usd: &str| json!({"budget": {"usd": usd, "period": "none"}, "cut_calls": "reservation"});
    let (tight, tight_secret) = fixture.key(budget("0.002")).unwrap();
    let (wide, wide_secret) = fixture.key(budget("5")).unwrap();
    let clients: Vec<_> = [&tight_secret, &wide_secret]
        .iter()
        .flat_map(|secret| std::iter::repeat_n(fixture.stack.gateway(secret), 8))
        .collect();
    let load = Load::start(clients, Duration::from_secs(90), call);
    let mut longest_start = Duration::ZERO;
    for round in 0..ROUNDS {
        // Not always at the same moment of whatever the server does by the clock.
        std::thread::sleep(Duration::from_millis(250 + 37 * round as u64));
        fixture.stack.kill_server();
        std::thread::sleep(Duration::from_millis(100));
        let begun = Instant::now();
        fixture.stack.restart_server().unwrap();
        longest_start = longest_start.max(begun.elapsed());
        for key in [&tight, &wide] {
            fixture.spend(key).unwrap().assert_within_cap();
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let tally = load.stop();
    fixture.upstream_at_rest().unwrap();
    assert!(tally.count("200") > 300, "{tally}");
    let expected =
        ["200", "402 budget_exceeded", "429 budget_contended", "500 mock_fault", "broken"];
    let others = tally.others(&expected);
    assert!(others.iter().all(|other| other == "503 policy_unavailable"), "{tally}");

    let mut settled_in_keys = 0;
    for (name, key) in [("tight", &tight), ("wide", &wide)] {
        let (spend, both) = settled(&fixture, key);
        println!("{name}: {spend:?} {both:?}");
        spend.assert_within_cap();
        assert_eq!((both.lost, spend.parked), (0, 0), "Envoy lived, so nothing was lost");
        assert_eq!(spend.settled, both.recorded, "{spend:?} {both:?}");
        assert!(spend.settled >= both.upstream, "{spend:?} {both:?}");
        settled_in_keys += spend.settled;
    }
    let org = fixture.stack.admin().get("/admin/v1/orgs/acme").unwrap().success().unwrap().json();
    assert_eq!(nano_of(&org["spend"], "settled_usd"), settled_in_keys, "{org}");
    let status = fixture.stack.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!((&status["differing_records"], &status["unknown_leases"]), (&json!(0), &json!(0)));
    chat(&fixture.stack.gateway(&wide_secret), json!({})).unwrap().success().unwrap();
    println!("{ROUNDS} rounds: {tally}; longest start {longest_start:?}");
    fixture.assert_no_trap();
}
