//! Envoy is killed again and again while clients call: what it had not reported is parked when its
//! time is over, and covers what the upstream produced.

use std::time::Duration;

use e2e::audit::{MOST_AHEAD, compare, largest_reservation};
use e2e::load::Load;
use e2e::{Fixture, chat, faulty_chat};
use serde_json::json;
use xtask::http_client::{Answer, Client};
use xtask::stack::StackOptions;

const ROUNDS: usize = 5;
const WORKERS: usize = 2;
const CLIENTS_PER_KEY: usize = 8;

/// TTL of the sessions; the server adds five seconds of grace, and a second until it looks.
const SESSION_TTL: Duration = Duration::from_secs(3);
const SURELY_LAPSED: Duration = Duration::from_secs(3 + 5 + 5);

/// Some calls are short, some are in the middle of a stream whenever Envoy is killed.
fn call(client: &Client, number: u64) -> anyhow::Result<Answer> {
    match number % 3 {
        0 => chat(client, json!({"max_tokens": 64})),
        1 => chat(client, json!({"max_tokens": 64, "stream": true})),
        _ => faulty_chat(client, "chunk_delay=20", json!({"max_tokens": 64, "stream": true})),
    }
}

#[test]
fn what_a_killed_envoy_had_not_reported_is_parked() {
    let options = StackOptions {
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let mut fixture = Fixture::with(&options).unwrap();
    let budget = |usd: &str| json!({"budget": {"usd": usd, "period": "none"}});
    let (tight, tight_secret) = fixture.key(budget("0.003")).unwrap();
    let (wide, wide_secret) = fixture.key(budget("0.5")).unwrap();
    let clients: Vec<_> = [&tight_secret, &wide_secret]
        .iter()
        .flat_map(|secret| std::iter::repeat_n(fixture.stack.gateway(secret), CLIENTS_PER_KEY))
        .collect();
    let load = Load::start(clients, Duration::from_secs(120), call);
    for round in 0..ROUNDS {
        std::thread::sleep(Duration::from_millis(900 + 83 * round as u64));
        for gateway in fixture.stack.gateways_mut() {
            gateway.kill();
        }
        for key in [&tight, &wide] {
            fixture.spend(key).unwrap().assert_within_cap();
        }
        if round + 1 < ROUNDS {
            fixture.stack.gateways_mut()[0].restart().unwrap();
        }
    }
    let tally = load.stop();
    fixture.upstream_at_rest().unwrap();
    // Nobody is there who could ask or report.
    let at_last = [&tight, &wide].map(|key| {
        let spend = fixture.spend(key).unwrap();
        (spend.outstanding + spend.parked, spend.settled)
    });
    let mut lost = 0;
    for ((name, key), (out, settled)) in
        [("tight", &tight), ("wide", &wide)].into_iter().zip(at_last)
    {
        let spend = fixture.spend_at_rest(key, SURELY_LAPSED).unwrap();
        let records = fixture.all_records(key).unwrap();
        let both = compare(&records, &fixture.upstream_calls(key).unwrap());
        println!("{name}: {spend:?} {both:?}");
        spend.assert_within_cap();
        assert!(both.calls > 50, "{both:?}");
        assert!(spend.settled <= both.upstream, "{spend:?} {both:?}");
        assert!(both.upstream <= spend.settled + spend.parked, "{spend:?} {both:?}");
        // What the server held out when the last one had died is what is parked, no more.
        assert_eq!((spend.parked, spend.settled), (out, settled), "{name}: {spend:?}");
        // Of each killed Envoy: the calls that its clients ran, and leases asked for ahead.
        let held = both.lost + ROUNDS * (CLIENTS_PER_KEY + WORKERS * MOST_AHEAD);
        spend.assert_parked_at_most(held, largest_reservation(&records));
        lost += both.lost;
    }
    // Otherwise this has tested nothing.
    assert!(lost > 0, "no call was lost");
    println!("{ROUNDS} rounds: {tally}");
    fixture.stack.gateways_mut()[0].restart().unwrap();
    chat(&fixture.stack.gateway(&wide_secret), json!({})).unwrap().success().unwrap();
}
