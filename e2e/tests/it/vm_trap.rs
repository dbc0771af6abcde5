//! A VM of the filter dies: its worker refuses until it is built anew, nothing passes unchecked, and
//! its money is parked.

use std::time::{Duration, Instant};

use e2e::audit::{MOST_AHEAD, compare, largest_reservation};
use e2e::fault_proxy::{FaultProxy, Mode};
use e2e::load::Tally;
use e2e::streaming::OpenStream;
use e2e::{Fixture, chat, wait_within};
use serde_json::json;
use xtask::plugin_build;
use xtask::stack::StackOptions;

const SESSION_TTL: Duration = Duration::from_secs(3);
const SURELY_LAPSED: Duration = Duration::from_secs(3 + 5 + 5);
const STREAMS: usize = 12;

/// Envoy builds a VM anew at a request, but not within a second of its end.
const RELOADED_WITHIN: Duration = Duration::from_secs(15);

fn contains(file: &std::path::Path, text: &str) -> bool {
    let module = std::fs::read(file).unwrap();
    module.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_filter_that_ships_cannot_be_asked_to_trap() {
    // What it says before it dies stands in the module as it is; the header's name may be compared in
    // pieces that are part of the code.
    let said = "trap asked for by a test";
    assert!(contains(&plugin_build::build_trapping().unwrap().path, said));
    assert!(!contains(&plugin_build::build().unwrap().path, said));
}

#[test]
fn a_vm_that_dies_takes_nothing_with_it() {
    let proxy = FaultProxy::start().unwrap();
    let options = StackOptions {
        concurrency: 2,
        wasm_file: Some(plugin_build::build_trapping().unwrap().path),
        filter_api_port: Some(proxy.port()),
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let fixture = Fixture::with(&options).unwrap();
    fixture.expect_dead_vms();
    proxy.forward_to(&fixture.stack.policy_server_url).unwrap();
    let (id, secret) = fixture.key(json!({"budget": {"usd": "0.05", "period": "none"}})).unwrap();
    let fresh = |secret: &str| fixture.stack.gateway(secret);
    for _ in 0..8 {
        chat(&fresh(&secret), json!({"max_tokens": 64})).unwrap().success().unwrap();
    }
    // Streams on both workers when one of them dies.
    let url = fixture.stack.gateway_url.clone();
    let pace = [("x-mock-fault", "tokens=60,chunk_delay=50")];
    let mut streams: Vec<_> =
        (0..STREAMS).map(|_| OpenStream::start(&url, &secret, &pace, 60).unwrap()).collect();
    streams.iter_mut().for_each(|stream| stream.read_deltas(1).unwrap());
    // Requests that wait for a verdict when it dies, with keys that do not exist.
    proxy.set(Mode::Delay(Duration::from_millis(700)));
    let strangers: Vec<_> = (0..8)
        .map(|_| OpenStream::start(&url, "sk-nobody-0123456789abcdef0123456789", &[], 60).unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    let before = fixture.upstream_stats().unwrap()["requests"].clone();

    let body = json!({"model": e2e::MODEL, "messages": []}).to_string();
    let trap = [("x-tollgate-trap", "yes")];
    let answer = fresh(&secret).send("POST", "/v1/chat/completions", &trap, Some(body));
    let died = Instant::now();
    assert!(answer.as_ref().is_ok_and(|answer| answer.status == 503), "{answer:?}");
    // From now on and until it is back: keys that are good are served or refused, nobody else is
    // served.
    proxy.set(Mode::Pass);
    let (mut good, mut bad) = (Tally::default(), Tally::default());
    for _ in 0..20 {
        good.add(&chat(&fresh(&secret), json!({"max_tokens": 64})));
        bad.add(&chat(&fresh("sk-nobody-0123456789abcdef0123456789"), json!({})));
        bad.add(&chat(&fresh("no key at all"), json!({})));
    }
    println!("while one worker is away: with a key {good}; without {bad}");
    assert!(good.count("200") > 0, "the other worker does not serve: {good}");
    assert_eq!(bad.count("200"), 0, "{bad}");
    let broken = 20 - good.count("200");
    assert_eq!(
        bad.others(&["401 invalid_api_key", "401 missing_api_key", "503"]),
        [""; 0],
        "{bad}"
    );
    assert_eq!(good.others(&["200", "503"]), [""; 0], "{good}");

    wait_within(RELOADED_WITHIN, Duration::from_millis(100), "both workers to serve", || {
        let all = (0..16).map(|_| chat(&fresh(&secret), json!({"max_tokens": 64})));
        Ok(all.collect::<Result<Vec<_>, _>>()?.iter().all(|answer| answer.status == 200))
    })
    .unwrap();
    println!("refused {broken} of 20, all served again after {:?}", died.elapsed());
    let reloads = fixture.stack.envoy_admin().get("/stats?filter=vm_reload").unwrap().body;
    assert!(reloads.lines().any(|line| line.contains("success: 1")), "{reloads}");

    // Those of the dead VM are cut, the others run to their end.
    let whole = streams
        .iter_mut()
        .map(|stream| {
            while stream.read_more().unwrap_or(false) && !stream.seen().contains("[DONE]") {}
            stream.seen().contains("[DONE]")
        })
        .filter(|whole| *whole)
        .count();
    println!("{whole} of {STREAMS} streams ran to their end");
    assert!(whole > 0, "the other worker's streams were cut");
    drop(strangers);
    fixture.upstream_at_rest().unwrap();
    let calls = fixture.upstream_calls(&id).unwrap();
    let stats = fixture.upstream_stats().unwrap();
    assert_eq!(stats["requests"], calls.len(), "something passed without a key; {before} before");

    std::thread::sleep(SURELY_LAPSED.saturating_sub(died.elapsed()));
    let spend = fixture.spend_at_rest(&id, SURELY_LAPSED).unwrap();
    let records = fixture.all_records(&id).unwrap();
    let both = compare(&records, &calls);
    println!("{spend:?} {both:?}");
    spend.assert_within_cap();
    assert!(spend.settled <= both.upstream, "{spend:?} {both:?}");
    assert!(both.upstream <= spend.settled + spend.parked, "{spend:?} {both:?}");
    // The VM that died: calls that it had not reported, and leases asked for ahead. All of its calls
    // that reached the upstream are at rest.
    spend.assert_parked_at_most(both.lost + MOST_AHEAD, largest_reservation(&records));
    assert!(whole == STREAMS || both.lost > 0, "streams were cut and none was lost");
}
