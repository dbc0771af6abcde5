//! The disk of the policy server is lost while clients call, and a backup takes its place: with the
//! journal nothing has happened, without it nothing is granted under a cap until an operator says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::audit::nano_of;
use e2e::fault_proxy::{FaultProxy, Mode};
use e2e::load::Load;
use e2e::{Fixture, chat, wait_within};
use serde_json::{Value, json};
use xtask::binaries;
use xtask::http_client::{Answer, Client};
use xtask::stack::StackOptions;

/// TTL of the sessions where holders are to be given up; the server adds five seconds of grace.
const SESSION_TTL: Duration = Duration::from_secs(3);
const SURELY_LAPSED: Duration = Duration::from_secs(3 + 5 + 5);

/// Longest pause of a filter between two attempts to reach the server, and what they take.
const RECOVERED_WITHIN: Duration = Duration::from_secs(20);

/// How long frozen budgets are watched.
const FROZEN: Duration = Duration::from_secs(3);

fn call(client: &Client, number: u64) -> anyhow::Result<Answer> {
    chat(client, json!({"max_tokens": 64, "stream": number.is_multiple_of(2)}))
}

fn budget(usd: &str) -> Value {
    json!({"budget": {"usd": usd, "period": "none"}})
}

/// Runs a command of `tollgate` against this stack and answers what it says.
fn tollgate(fixture: &Fixture, arguments: &[&str]) -> String {
    let ran = Command::new(binaries::build(false).unwrap().tollgate)
        .args(arguments)
        .env("TOLLGATE_ADMIN_URL", &fixture.stack.admin_url)
        .env("TOLLGATE_ADMIN_TOKEN", fixture.stack.admin_token.as_deref().unwrap())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// Backs the database up while the server writes it.
fn back_up(fixture: &Fixture) -> PathBuf {
    let copy = fixture.stack.run_folder.join("backup.sqlite");
    let name = |path: &Path| path.display().to_string();
    let (from, to) = (name(fixture.stack.database()), name(&copy));
    tollgate(fixture, &["backup", "--database", &from, "--to", &to]);
    copy
}

/// Kills the server, loses its database, puts the backup in place and restores it; what that said.
fn lose_disk(fixture: &mut Fixture, backup: &Path, with_journal: bool) -> String {
    fixture.stack.kill_server();
    let database = fixture.stack.database().display().to_string();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{database}{suffix}"));
    }
    std::fs::copy(backup, &database).unwrap();
    let journal = fixture.stack.journal().map(|journal| journal.display().to_string());
    let mut arguments = vec!["restore", "--database", &database];
    if with_journal {
        arguments.extend(["--journal", journal.as_deref().unwrap()]);
    }
    tollgate(fixture, &arguments)
}

#[test]
fn with_the_journal_nothing_is_lost() {
    let options = StackOptions { journal: true, ..StackOptions::default() };
    let mut fixture = Fixture::with(&options).unwrap();
    let keys = ["0.01", "5", "5"].map(|usd| fixture.key(budget(usd)).unwrap());
    let clients =
        keys.iter().flat_map(|(_, secret)| [(); 2].map(|()| fixture.stack.gateway(secret)));
    let load = Load::start(clients.collect(), Duration::from_secs(120), call);
    std::thread::sleep(Duration::from_secs(1));
    let backup = back_up(&fixture);
    std::thread::sleep(Duration::from_secs(2));

    let restored = lose_disk(&mut fixture, &backup, true);
    let entries: u64 = restored.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap();
    assert!(restored.starts_with("replayed ") && entries > 0, "{restored}");
    fixture.stack.restart_server().unwrap();
    for (_, secret) in &keys {
        wait_within(RECOVERED_WITHIN, Duration::from_millis(50), "an answer", || {
            let answer = chat(&fixture.stack.gateway(secret), json!({"max_tokens": 64}))?;
            Ok([200, 402].contains(&answer.status))
        })
        .unwrap();
    }
    std::thread::sleep(Duration::from_secs(2));
    let tally = load.stop();
    println!("{}: {tally}", restored.trim());
    let expected = ["200", "402 budget_exceeded", "429 budget_contended", "503 policy_unavailable"];
    assert_eq!(tally.others(&expected), [""; 0], "{tally}");
    fixture.upstream_at_rest().unwrap();
    for (key, _) in &keys {
        let (spend, both) = fixture.settled_books(key, Duration::from_secs(30)).unwrap();
        println!("{spend:?} {both:?}");
        spend.assert_within_cap();
        // Envoy lived, and so did every lease and session.
        assert_eq!((both.lost, spend.parked), (0, 0), "{spend:?} {both:?}");
        assert_eq!((spend.settled, both.recorded), (both.upstream, both.upstream), "{both:?}");
        assert!(Some(both.upstream) <= spend.cap, "{spend:?} {both:?}");
    }
    let status = fixture.stack.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!((&status["unknown_leases"], &status["parked_leases"]), (&json!(0), &json!(0)));
}

fn names(records: &[Value]) -> BTreeSet<String> {
    records.iter().filter_map(|record| record["request"].as_str()).map(str::to_owned).collect()
}

/// Waits until each of some fresh connections is answered like this, so that no worker is left that
/// answers otherwise.
fn until_everywhere(fixture: &Fixture, secret: &str, what: &str, outcome: (u16, &str)) {
    wait_within(RECOVERED_WITHIN, Duration::from_millis(50), what, || {
        let answers =
            (0..16).map(|_| chat(&fixture.stack.gateway(secret), json!({"max_tokens": 64})));
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        Ok(answers.iter().all(|answer| (answer.status, answer.error_code().as_str()) == outcome))
    })
    .unwrap();
}

#[test]
fn without_a_journal_caps_are_frozen_until_they_are_released() {
    let proxy = FaultProxy::start().unwrap();
    let options = StackOptions {
        filter_api_port: Some(proxy.port()),
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let mut fixture = Fixture::with(&options).unwrap();
    proxy.forward_to(&fixture.stack.policy_server_url).unwrap();
    let keys = ["0.5", "5"].map(|usd| fixture.key(budget(usd)).unwrap());
    let (_, free) = fixture.key(json!({})).unwrap();
    let clients =
        keys.iter().flat_map(|(_, secret)| [(); 3].map(|()| fixture.stack.gateway(secret)));
    let load = Load::start(clients.collect(), Duration::from_secs(120), call);
    std::thread::sleep(Duration::from_secs(1));
    let backup = back_up(&fixture);
    std::thread::sleep(Duration::from_secs(3));

    // The server is cut off first, so that what it has acknowledged can be read from it: of that,
    // what the backup does not know is lost for good.
    proxy.set(Mode::Cut);
    std::thread::sleep(Duration::from_millis(300));
    let acknowledged: Vec<_> =
        keys.iter().map(|(key, _)| names(&fixture.all_records(key).unwrap())).collect();
    let said = lose_disk(&mut fixture, &backup, false);
    assert!(said.contains("began epoch") && said.contains("froze 2 budgets"), "{said}");
    fixture.stack.restart_server().unwrap();
    let known: Vec<_> = keys.iter().map(|(key, _)| fixture.spend(key).unwrap()).collect();
    proxy.set(Mode::Pass);

    let frozen = (429, "budget_contended");
    for (_, secret) in &keys {
        until_everywhere(&fixture, secret, "the freeze to be known", frozen);
    }
    until_everywhere(&fixture, &free, "calls without a cap", (200, ""));
    let begun = Instant::now();
    let admitted = || keys.each_ref().map(|(key, _)| fixture.upstream_calls(key).unwrap().len());
    let before = admitted();
    while begun.elapsed() < FROZEN {
        for (_, secret) in &keys {
            let answer = chat(&fixture.stack.gateway(secret), json!({"max_tokens": 64})).unwrap();
            assert_eq!((answer.status, answer.error_code().as_str()), frozen);
            assert_eq!(answer.header("retry-after"), Some("60"));
        }
        chat(&fixture.stack.gateway(&free), json!({})).unwrap().success().unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(admitted(), before, "something passed while budgets were frozen");

    let listed = tollgate(&fixture, &["budgets", "frozen"]);
    for (key, secret) in &keys {
        assert!(listed.contains(key), "{key} is not listed: {listed}");
        tollgate(&fixture, &["budgets", "release", "key", key]);
        until_everywhere(&fixture, secret, "calls after the release", (200, ""));
    }
    let tally = load.stop();
    println!("{}: {tally}", said.trim());
    let expected = ["200", "402 budget_exceeded", "429 budget_contended", "503 policy_unavailable"];
    assert_eq!(tally.others(&expected), [""; 0], "{tally}");
    fixture.upstream_at_rest().unwrap();
    std::thread::sleep(SURELY_LAPSED.saturating_sub(begun.elapsed()));
    for (((key, _), acknowledged), known) in keys.iter().zip(acknowledged).zip(known) {
        let spend = fixture.spend_at_rest(key, Duration::from_secs(30)).unwrap();
        let records = fixture.all_records(key).unwrap();
        let calls = fixture.upstream_calls(key).unwrap();
        let both = e2e::audit::compare(&records, &calls);
        println!("{known:?}, then {spend:?} {both:?}");
        // Nothing is missing but what was acknowledged between the backup and the loss.
        let recorded = names(&records);
        let lost: Vec<_> = calls.iter().filter(|call| !recorded.contains(&call.request)).collect();
        assert!(lost.iter().all(|call| acknowledged.contains(&call.request)), "{lost:?}");
        assert!(!lost.is_empty(), "nothing was lost, so this has tested nothing");
        // Reports of leases that the backup knows repeat what had been spent of them in that time.
        assert!(both.recorded <= spend.settled, "{spend:?} {both:?}");
        assert!(spend.settled <= both.upstream, "{spend:?} {both:?}");
        assert!(both.upstream <= spend.settled + both.lost_cost, "{spend:?} {both:?}");
        // What the holders of the lost time held by the backup's account, and no more, is parked.
        assert!(spend.parked <= known.outstanding, "{spend:?} {known:?}");
    }
    let org = fixture.stack.admin().get("/admin/v1/orgs/acme").unwrap().success().unwrap().json();
    assert_eq!(nano_of(&org["spend"], "outstanding_usd"), 0, "{org}");
}
