//! The disk of the policy server takes no more, not even its log, while clients call: what needs new
//! money is refused, nothing is charged twice or lost, and all goes on when there is room again. The
//! limit on the size of files that the process may write stands for the disk.

use std::time::Duration;

use e2e::load::Load;
use e2e::{Fixture, chat, wait_within};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

/// The signal of the limit would end the process, and a full disk sends none.
const LAUNCHER: [&str; 4] = ["bash", "-c", "trap '' XFSZ; exec \"$@\"", "bash"];

/// What the journal may still take: some grants and reports.
const LEFT_BYTES: u64 = 40_000;

/// How long the disk stays full after the first refusal: some report intervals.
const FULL: Duration = Duration::from_secs(4);

/// How large the files of the server may become; none: as large as they like.
fn limit(fixture: &Fixture, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(fixture.stack.server_id()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Waits for a call of this client with this outcome.
fn until(client: &Client, what: &str, status: u16) {
    wait_within(Duration::from_secs(30), Duration::from_millis(20), what, || {
        Ok(chat(client, json!({"max_tokens": 64}))?.status == status)
    })
    .unwrap();
}

#[test]
fn a_full_disk_refuses_what_needs_money_and_loses_nothing() {
    let options = StackOptions {
        journal: true,
        server_launcher: LAUNCHER.map(str::to_owned).to_vec(),
        ..StackOptions::default()
    };
    let mut fixture = Fixture::with(&options).unwrap();
    let budget =
        |usd: &str| json!({"budget": {"usd": usd, "period": "none"}, "cut_calls": "reservation"});
    let keys: Vec<_> =
        ["0.01", "5", "5", "5"].iter().map(|usd| fixture.key(budget(usd)).unwrap()).collect();
    let clients =
        keys.iter().flat_map(|(_, secret)| [(); 2].map(|()| fixture.stack.gateway(secret)));
    let call = |client: &Client, number: u64| {
        chat(client, json!({"max_tokens": 64, "stream": number.is_multiple_of(2)}))
    };
    let load = Load::start(clients.collect(), Duration::from_secs(120), call);
    let (watched, secret) = fixture.key(budget("5")).unwrap();
    let watcher = fixture.stack.gateway(&secret);
    until(&watcher, "a first answer", 200);

    // Once there is room again, and once the server has to be started anew.
    for restarts in [false, true] {
        std::thread::sleep(Duration::from_secs(1));
        let written =
            |fixture: &Fixture| fixture.stack.journal().unwrap().metadata().unwrap().len();
        limit(&fixture, Some(written(&fixture) + LEFT_BYTES));
        until(&watcher, "the disk to be full", 503);
        // What is small could still have found room.
        limit(&fixture, Some(written(&fixture)));
        std::thread::sleep(Duration::from_millis(300));
        let body = json!({"org": "acme", "name": "refused"});
        let answer = fixture.stack.admin().post("/admin/v1/keys", &body).unwrap();
        assert_eq!(answer.status, 503, "the disk takes a new key: {}", answer.body);
        let before: Vec<_> = keys.iter().map(|(key, _)| fixture.spend(key).unwrap()).collect();
        std::thread::sleep(FULL);
        // Nothing was written, and what there is can be read.
        for ((key, _), before) in keys.iter().zip(before) {
            let now = fixture.spend(key).unwrap();
            now.assert_within_cap();
            assert_eq!(now, before, "the disk took something");
        }
        let refused = chat(&watcher, json!({"max_tokens": 64})).unwrap();
        let outcome = (refused.status, refused.error_code());
        assert_eq!(outcome, (503, "policy_unavailable".to_owned()), "{}", refused.body);
        assert!(refused.header("retry-after").is_some());
        if restarts {
            fixture.stack.kill_server();
            fixture.stack.restart_server().unwrap();
        } else {
            limit(&fixture, None);
        }
        until(&watcher, "an answer with room on the disk", 200);
    }
    std::thread::sleep(Duration::from_secs(1));
    let tally = load.stop();
    println!("{tally}");
    fixture.upstream_at_rest().unwrap();
    let expected = ["200", "402 budget_exceeded", "429 budget_contended", "503 policy_unavailable"];
    assert_eq!(tally.others(&expected), [""; 0], "{tally}");
    let ids = keys.iter().map(|(key, _)| key).chain([&watched]);
    for key in ids {
        let (spend, both) = fixture.settled_books(key, Duration::from_secs(30)).unwrap();
        println!("{spend:?} {both:?}");
        spend.assert_within_cap();
        assert_eq!((both.lost, spend.parked), (0, 0), "{spend:?} {both:?}");
        assert_eq!((spend.settled, both.recorded), (both.upstream, both.upstream), "{both:?}");
        assert!(Some(both.upstream) <= spend.cap, "{spend:?} {both:?}");
    }
}
