//! The policy server is killed again and again while clients call: nothing is lost, nothing is
//! charged twice, and no cap is passed.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use e2e::audit::nano_of;
use e2e::fault_proxy::{FaultProxy, Mode};
use e2e::load::Load;
use e2e::{Fixture, chat, faulty_chat, wait_within};
use serde_json::json;
use xtask::binaries;
use xtask::http_client::{Answer, Client};
use xtask::stack::StackOptions;

const ROUNDS: usize = 12;

/// What each client does nothing for before a call, where there are many rounds: the machine is
/// for the server's starts.
const PAUSE: Duration = Duration::from_millis(15);

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
        let (spend, both) = fixture.settled_books(key, Duration::from_secs(30)).unwrap();
        println!("{name}: {spend:?} {both:?}");
        spend.assert_within_cap();
        assert_eq!((both.lost, spend.parked), (0, 0), "Envoy lived, so nothing was lost");
        assert_eq!(spend.settled, both.recorded, "{spend:?} {both:?}");
        assert!(spend.settled >= both.upstream, "{spend:?} {both:?}");
        assert!(Some(both.upstream) <= spend.cap, "{spend:?} {both:?}");
        settled_in_keys += spend.settled;
    }
    let org = fixture.stack.admin().get("/admin/v1/orgs/acme").unwrap().success().unwrap().json();
    assert_eq!(nano_of(&org["spend"], "settled_usd"), settled_in_keys, "{org}");
    let status = fixture.stack.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!((&status["differing_records"], &status["unknown_leases"]), (&json!(0), &json!(0)));
    chat(&fixture.stack.gateway(&wide_secret), json!({})).unwrap().success().unwrap();
    println!("{ROUNDS} rounds: {tally}; longest start {longest_start:?}");
}

/// Each step of a batch that grants, and of one that takes a report, in order. Before a batch
/// nobody knows what it will do.
const STEPS: [(&str, Option<&str>); 9] = [
    ("before_batch", None),
    ("after_journal", Some("grant")),
    ("after_journal", Some("report")),
    ("before_commit", Some("grant")),
    ("before_commit", Some("report")),
    ("after_commit", Some("grant")),
    ("after_commit", Some("report")),
    ("after_effects", Some("grant")),
    ("after_effects", Some("report")),
];
const ROUNDS_PER_STEP: usize = 6;

/// Batches that the server may run by itself before it is let to the filters: its start, and looks
/// for lapsed sessions, one a second.
const BATCHES_OF_ITS_OWN: usize = 12;

/// The failpoint of a round: at a later batch in each.
fn failpoint((place, work): (&str, Option<&str>), round: usize) -> String {
    match work {
        None => format!("{place}:{}", BATCHES_OF_ITS_OWN + 3 * round),
        // Reports are fewer than grants.
        Some("report") => format!("{place}:{}:report", 1 + round % 2),
        Some(work) => format!("{place}:{}:{work}", 1 + round),
    }
}

/// Kills the server at each step, again and again on the same files, and compares both books.
fn kill_at_each_step(journal: bool) {
    let proxy = FaultProxy::start().unwrap();
    let options = StackOptions {
        filter_api_port: Some(proxy.port()),
        server_binary: Some(binaries::build_with_failpoints().unwrap()),
        journal,
        ..StackOptions::default()
    };
    let mut fixture = Fixture::with(&options).unwrap();
    proxy.forward_to(&fixture.stack.policy_server_url).unwrap();
    let budget =
        |usd: &str| json!({"budget": {"usd": usd, "period": "none"}, "cut_calls": "reservation"});
    // Small ones are used up on the way and make every call ask near their end; many make many
    // leases.
    let keys: Vec<_> = ["0.0005", "0.002", "0.005", "5", "5", "5", "5", "5"]
        .iter()
        .map(|usd| fixture.key(budget(usd)).unwrap())
        .collect();
    let clients =
        keys.iter().flat_map(|(_, secret)| [(); 2].map(|()| fixture.stack.gateway(secret)));
    let call = |client: &Client, number: u64| {
        std::thread::sleep(PAUSE);
        match number % 8 {
            3 => faulty_chat(client, "status=500", json!({"max_tokens": 64})),
            5 => faulty_chat(client, "chunk_delay=3", json!({"max_tokens": 64, "stream": true})),
            number => chat(client, json!({"max_tokens": 64, "stream": number % 2 == 1})),
        }
    };
    let load = Load::start(clients.collect(), Duration::from_secs(150), call);

    let begun = Instant::now();
    fixture.stack.kill_server();
    let mut kills = 0;
    for round in 0..ROUNDS_PER_STEP {
        for step in STEPS.into_iter().filter(|(place, _)| journal || *place != "after_journal") {
            let failpoint = failpoint(step, round);
            proxy.set(Mode::Cut);
            fixture.stack.restart_server_with(&[("TOLLGATE_FAILPOINT", &failpoint)]).unwrap();
            for (key, _) in &keys {
                fixture.spend(key).unwrap().assert_within_cap();
            }
            proxy.set(Mode::Pass);
            let ended = fixture.stack.server_ended(Duration::from_secs(30));
            let status = ended.unwrap_or_else(|error| panic!("{failpoint}: {error}"));
            assert_eq!(status.signal(), Some(9), "{failpoint}: {status}");
            kills += 1;
        }
    }
    let killed = begun.elapsed();
    proxy.set(Mode::Cut);
    fixture.stack.restart_server().unwrap();
    proxy.set(Mode::Pass);
    // It goes on, and the smallest budget still ends where it should.
    let smallest = fixture.stack.gateway(&keys[0].1);
    wait_within(Duration::from_secs(30), PAUSE, "a budget to be used up", || {
        Ok(chat(&smallest, json!({"max_tokens": 64}))?.status == 402)
    })
    .unwrap();
    let tally = load.stop();
    println!("{kills} kills in {killed:?}: {tally}");
    fixture.upstream_at_rest().unwrap();
    let expected = ["200", "402 budget_exceeded", "429 budget_contended", "500 mock_fault"];
    let others = tally.others(&expected);
    assert!(others.iter().all(|other| other == "503 policy_unavailable"), "{tally}");
    assert!(tally.count("200") > 500, "{tally}");

    let mut settled = 0;
    for (key, _) in &keys {
        let (spend, both) = fixture.settled_books(key, Duration::from_secs(30)).unwrap();
        println!("{spend:?} {both:?}");
        spend.assert_within_cap();
        // Envoy lived: everything was reported, nothing is parked, and no call was cut off.
        assert_eq!((both.lost, spend.parked), (0, 0), "{spend:?} {both:?}");
        assert_eq!(
            (spend.settled, both.recorded),
            (both.upstream, both.upstream),
            "{spend:?} {both:?}"
        );
        assert!(Some(both.upstream) <= spend.cap, "{spend:?} {both:?}");
        settled += spend.settled;
    }
    let org = fixture.stack.admin().get("/admin/v1/orgs/acme").unwrap().success().unwrap().json();
    assert_eq!(nano_of(&org["spend"], "settled_usd"), settled, "{org}");
    let status = fixture.stack.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!((&status["differing_records"], &status["unknown_leases"]), (&json!(0), &json!(0)));
}

#[test]
fn a_server_killed_at_each_step_of_grants_and_reports_keeps_both_books_equal() {
    kill_at_each_step(false);
}

#[test]
fn a_server_with_a_journal_killed_at_each_step_keeps_both_books_equal() {
    kill_at_each_step(true);
}
