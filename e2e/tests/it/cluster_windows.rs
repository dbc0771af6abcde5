//! A rate window of scope `cluster` holds over two proxies, by the times at which the upstream saw
//! the calls.

use std::time::{Duration, Instant};

use e2e::load::Load;
use e2e::{Fixture, chat};
use serde_json::json;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

const WINDOW: Duration = Duration::from_secs(60);
const LIMITS: [usize; 3] = [10, 60, 600];

/// Two windows and some more, so that the second one is seen to its end.
const LONG_ENOUGH: Duration = Duration::from_secs(130);

/// How much later one call may reach the upstream after its admission than another does: two calls
/// that are a window apart when they are admitted may arrive closer together by that much.
const JITTER: Duration = Duration::from_millis(500);

/// What clients get at least of a limit while they ask for more than that, in a hundred: all of it,
/// but for calls that a slow machine makes late.
const LEAST_USED_PERCENT: usize = 97;

/// Most calls within any trailing window of this length; the times ascend.
fn busiest(times_us: &[u64], window: Duration) -> usize {
    let window_us = u64::try_from(window.as_micros()).unwrap();
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times_us.iter().enumerate() {
        while times_us[first] + window_us <= *time {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[test]
fn the_busiest_window_is_found() {
    let second = Duration::from_secs(1);
    assert_eq!(busiest(&[], second), 0);
    assert_eq!(busiest(&[0, 999_999, 1_000_000, 1_000_001], second), 3);
    assert_eq!(busiest(&[0, 1_000_000, 2_000_000], second), 1);
}

#[test]
fn a_window_holds_over_two_proxies() {
    let fixture = Fixture::with(&StackOptions { gateways: 2, ..StackOptions::default() }).unwrap();
    let keys: Vec<_> = LIMITS
        .iter()
        .map(|max| {
            let limits =
                json!([{"unit": "requests", "window": "1m", "max": max, "scope": "cluster"}]);
            fixture.key(json!({"limits": limits})).unwrap()
        })
        .collect();
    let clients: Vec<_> = keys
        .iter()
        .flat_map(|(_, secret)| {
            fixture
                .stack
                .gateways()
                .iter()
                .flat_map(|gateway| [(); 2].map(|()| gateway.client(secret)))
        })
        .collect();
    let begun = Instant::now();
    // Whoever is refused tries again soon: an upper bound on what clients do, and refused requests
    // must not count.
    let call = |client: &Client, _: u64| {
        let answer = chat(client, json!({}));
        if answer.as_ref().is_ok_and(|answer| answer.status == 429) {
            std::thread::sleep(Duration::from_millis(100));
        }
        answer
    };
    let load = Load::start(clients, LONG_ENOUGH, call);
    std::thread::sleep(LONG_ENOUGH);
    let tally = load.stop();
    let took = begun.elapsed();
    // An ask whose first answer came too late is refused for good, under another name.
    let refusals = ["200", "429 rpm_exceeded", "429 budget_contended"];
    assert_eq!(tally.others(&refusals), [""; 0], "{tally}");
    for ((id, _), limit) in keys.iter().zip(LIMITS) {
        let times: Vec<_> =
            fixture.upstream_calls(id).unwrap().iter().map(|call| call.arrived_us).collect();
        let most = busiest(&times, WINDOW - JITTER);
        // As many whole windows as there were, each of which may begin with a burst of all.
        let possible = limit * (took.as_secs_f64() / WINDOW.as_secs_f64()).ceil() as usize;
        println!(
            "limit {limit}: {} served, at most {most} in a window; {:.1} % of what was possible",
            times.len(),
            100.0 * times.len() as f64 / possible as f64
        );
        assert!(most <= limit, "{most} in a window of {limit}");
        // Nothing of what may be let through is held back: a permit returns at most a sixtieth of a
        // window late, so two windows from the first call hold two limits.
        let until_us = times[0] + u64::try_from(2 * WINDOW.as_micros()).unwrap();
        let used = times.iter().filter(|time| **time < until_us).count();
        let floor = 2 * limit * LEAST_USED_PERCENT / 100;
        assert!(used >= floor, "{used} of {} in two windows", 2 * limit);
    }
    println!("{took:?}: {tally}");
}
