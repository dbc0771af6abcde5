//! Envoy is replaced while it runs: two processes serve side by side for a while, each with money
//! of its own.

use std::time::{Duration, Instant};

use e2e::audit::{MOST_AHEAD, compare, largest_reservation};
use e2e::load::Load;
use e2e::streaming::OpenStream;
use e2e::{Fixture, chat, wait_within};
use serde_json::json;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

const SESSION_TTL: Duration = Duration::from_secs(3);
const SURELY_LAPSED: Duration = Duration::from_secs(3 + 5 + 5);

const WORKERS: usize = 2;
const CLIENTS_PER_KEY: usize = 4;

/// How long the old process drains, and when it is ended, in seconds.
const DRAIN_S: u32 = 2;
const PARENT_SHUTDOWN_S: u32 = 5;

#[test]
fn two_generations_of_envoy_spend_no_money_twice() {
    let options = StackOptions {
        hot_restart: true,
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let mut fixture = Fixture::with(&options).unwrap();
    let budget = |usd: &str| json!({"budget": {"usd": usd, "period": "none"}});
    let (tight, tight_secret) = fixture.key(budget("0.01")).unwrap();
    let (wide, wide_secret) = fixture.key(budget("1")).unwrap();
    let clients: Vec<_> = [&tight_secret, &wide_secret]
        .iter()
        .flat_map(|secret| std::iter::repeat_n(fixture.stack.gateway(secret), CLIENTS_PER_KEY))
        .collect();
    let call = |client: &Client, number: u64| {
        chat(client, json!({"max_tokens": 64, "stream": number.is_multiple_of(2)}))
    };
    let load = Load::start(clients, Duration::from_secs(90), call);
    std::thread::sleep(Duration::from_secs(1));

    // One stream that ends while the old process drains, one that outlives it.
    let url = fixture.stack.gateway_url.clone();
    let paces = ["tokens=60,chunk_delay=50", "tokens=600,chunk_delay=50"];
    let [mut short, mut long] = paces.map(|pace| {
        let pace = [("x-mock-fault", pace)];
        let mut stream = OpenStream::start(&url, &wide_secret, &pace, 600).unwrap();
        stream.read_deltas(1).unwrap();
        stream
    });
    let gateway = &mut fixture.stack.gateways_mut()[0];
    let old = gateway.id();
    let begun = Instant::now();
    gateway.hot_restart(DRAIN_S, PARENT_SHUTDOWN_S).unwrap();
    assert_ne!(gateway.id(), old);
    assert_eq!(gateway.running_predecessors(), 1, "they do not live side by side");
    while short.read_more().unwrap() && !short.seen().contains("[DONE]") {}
    assert!(short.seen().contains("[DONE]"), "{}", short.seen());
    let gateway = &fixture.stack.gateways()[0];
    wait_within(Duration::from_secs(20), Duration::from_millis(20), "the old Envoy to end", || {
        fixture.spend(&tight)?.assert_within_cap();
        Ok(gateway.running_predecessors() == 0)
    })
    .unwrap();
    let side_by_side = begun.elapsed();
    // Whatever comes is an end without `[DONE]`, or a broken connection.
    while long.read_more().unwrap_or(false) {}
    assert!(!long.seen().contains("[DONE]"));
    std::thread::sleep(Duration::from_secs(1));
    let tally = load.stop();
    let expected = ["200", "402 budget_exceeded", "429 budget_contended", "broken"];
    assert_eq!(tally.others(&expected), [""; 0], "{tally}");

    fixture.upstream_at_rest().unwrap();
    // The old Envoy's time has to pass before what it had not reported is parked.
    std::thread::sleep(SURELY_LAPSED.saturating_sub(Duration::from_secs(1)));
    for (name, key) in [("tight", &tight), ("wide", &wide)] {
        let spend = fixture.spend_at_rest(key, SURELY_LAPSED).unwrap();
        let records = fixture.all_records(key).unwrap();
        let both = compare(&records, &fixture.upstream_calls(key).unwrap());
        println!("{name}: {spend:?} {both:?}");
        spend.assert_within_cap();
        assert!(spend.settled <= both.upstream, "{spend:?} {both:?}");
        assert!(both.upstream <= spend.settled + spend.parked, "{spend:?} {both:?}");
        // Of the Envoy that was ended: what its clients' last calls had not reported, the long stream
        // among them, and leases asked for ahead.
        let held = both.lost + CLIENTS_PER_KEY + 1 + WORKERS * MOST_AHEAD;
        spend.assert_parked_at_most(held, largest_reservation(&records));
    }
    println!("side by side for {side_by_side:?}: {tally}");
    chat(&fixture.stack.gateway(&wide_secret), json!({})).unwrap().success().unwrap();
}
