//! The policy server is slow, away, or its answers are lost: calls go on with what is held, never
//! without, and every one is charged once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::audit::compare;
use e2e::fault_proxy::{FaultProxy, Mode};
use e2e::load::Load;
use e2e::{Fixture, chat, wait_within};
use serde_json::json;
use xtask::http_client::{Answer, Client};
use xtask::stack::StackOptions;

const SESSION_TTL: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(5);

/// Longest pause of a filter between two attempts to reach the server, and what they take.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);

fn behind_a_proxy() -> (FaultProxy, Fixture) {
    let proxy = FaultProxy::start().unwrap();
    let options = StackOptions {
        filter_api_port: Some(proxy.port()),
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let fixture = Fixture::with(&options).unwrap();
    proxy.forward_to(&fixture.stack.policy_server_url).unwrap();
    (proxy, fixture)
}

fn budget(usd: &str) -> serde_json::Value {
    json!({"budget": {"usd": usd, "period": "none"}})
}

#[test]
fn answers_that_are_lost_or_late_are_charged_once() {
    let (proxy, fixture) = behind_a_proxy();
    let (id, secret) = fixture.key(budget("0.03")).unwrap();
    let client = fixture.stack.gateway(&secret);
    chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();
    let call = |client: &Client, number: u64| {
        chat(client, json!({"max_tokens": 64, "stream": number.is_multiple_of(2)}))
    };
    let load = Load::start(vec![client.clone(); 8], Duration::from_secs(60), call);
    proxy.set(Mode::LoseEvery(3));
    std::thread::sleep(Duration::from_secs(5));
    let lost = proxy.lost();
    // Later than any filter waits: what was asked for is granted when nobody wants it any more.
    proxy.set(Mode::Delay(Duration::from_millis(2_500)));
    std::thread::sleep(Duration::from_secs(4));
    proxy.set(Mode::Pass);
    std::thread::sleep(Duration::from_secs(1));
    let tally = load.stop();
    fixture.upstream_at_rest().unwrap();

    let calls = fixture.upstream_calls(&id).unwrap();
    wait_within(RECOVERED_WITHIN, Duration::from_millis(200), "a record of every call", || {
        Ok(fixture.all_records(&id)?.len() >= calls.len())
    })
    .unwrap();
    let spend = fixture.spend_at_rest(&id, Duration::from_secs(30)).unwrap();
    let both = compare(&fixture.all_records(&id).unwrap(), &calls);
    println!("{tally}; {lost} answers lost; {spend:?} {both:?}");
    spend.assert_within_cap();
    assert_eq!((both.lost, spend.settled), (0, both.upstream), "{spend:?} {both:?}");
    assert!(lost > 10 && both.calls > 20, "{lost} {both:?}");
    let expected = ["200", "402 budget_exceeded", "429 budget_contended", "503 policy_unavailable"];
    assert_eq!(tally.others(&expected), [""; 0], "{tally}");
}

#[test]
fn a_slow_server_makes_nothing_fail() {
    let (proxy, fixture) = behind_a_proxy();
    let (_, secret) = fixture.key(budget("1")).unwrap();
    let client = fixture.stack.gateway(&secret);
    proxy.set(Mode::Delay(Duration::from_millis(300)));
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("a server that is 300 ms away: median {:?}, longest {:?}", times[5], times[9]);
}

/// One call while the server is away: when it was begun, and what came of it.
struct Seen {
    begun: Instant,
    answer: Answer,
}

/// Does something at the end of a scope, however it ends.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Several clients for each of two keys. Each keeps its connection, and so its worker: what a worker
/// holds is of use to those clients that it was asked for.
fn clients_of(fixture: &Fixture, keys: [&str; 2]) -> [Vec<Client>; 2] {
    keys.map(|key| (0..4).map(|_| fixture.stack.gateway(key)).collect())
}

/// Calls with both keys from all their clients while `act` runs.
fn calls_during(clients: &[Vec<Client>; 2], act: impl FnOnce()) -> [Vec<Seen>; 2] {
    let stop = AtomicBool::new(false);
    let seen = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];
    std::thread::scope(|scope| {
        for (clients, seen) in clients.iter().zip(&seen) {
            for client in clients {
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Acquire) {
                        let begun = Instant::now();
                        let answer = chat(client, json!({"max_tokens": 64})).unwrap();
                        seen.lock().unwrap().push(Seen { begun, answer });
                        std::thread::sleep(Duration::from_millis(10));
                    }
                });
            }
        }
        // Also where `act` fails: the clients must end.
        let _stop = OnDrop(|| stop.store(true, Ordering::Release));
        act();
    });
    seen.map(|seen| seen.into_inner().unwrap())
}

/// Lets some time pass, and then two changes: the second one answers polls that were sent at the
/// first, so every session has just been renewed. After an outage a filter polls again within
/// seconds.
fn renew_sessions(fixture: &Fixture) {
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..2 {
        let (spare, _) = fixture.key(json!({})).unwrap();
        let path = format!("/admin/v1/keys/{spare}/revoke?wait=15000");
        let answer = fixture.stack.admin().post(&path, &json!({})).unwrap();
        assert_eq!(answer.json()["applied"], true, "{}", answer.body);
    }
}

/// What must hold of calls while the server was away from `gone` on.
fn assert_stops(what: &str, seen: &[Seen], gone: Instant) {
    let mut last_served = Duration::ZERO;
    let (mut served, mut refused) = (0, 0);
    for Seen { begun, answer } in seen {
        let after = begun.saturating_duration_since(gone);
        match (answer.status, answer.error_code().as_str()) {
            (200, _) => {
                served += u32::from(*begun >= gone);
                last_served = last_served.max(after);
            }
            (503, "policy_unavailable") => {
                let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=60).contains(&wait), "{wait}");
                refused += 1;
            }
            (status, code) => panic!("{what}: {status} {code}"),
        }
    }
    println!("{what}: {served} served, the last after {last_served:?}; {refused} refused");
    assert!(last_served < SESSION_TTL, "{what}: served after the session: {last_served:?}");
    assert!(refused > 0, "{what}: nobody was refused");
    assert!(served > 0, "{what}: nothing went on");
}

#[test]
fn without_the_server_calls_end_with_the_session_and_come_back() {
    let (proxy, mut fixture) = behind_a_proxy();
    let (_, free) = fixture.key(json!({})).unwrap();
    let (paying, paying_secret) = fixture.key(budget("1")).unwrap();
    let back = |fixture: &Fixture, what: &str| {
        let begun = Instant::now();
        for key in [&free, &paying_secret] {
            for client in (0..4).map(|_| fixture.stack.gateway(key)) {
                wait_within(RECOVERED_WITHIN, Duration::from_millis(50), "an answer", || {
                    Ok(chat(&client, json!({"max_tokens": 64}))?.status == 200)
                })
                .unwrap();
            }
        }
        println!("{what}: served again after {:?}", begun.elapsed());
    };
    back(&fixture, "at first");
    // Calls make the filter hold money for the next ones.
    let clients = clients_of(&fixture, [&free, &paying_secret]);
    calls_during(&clients, || renew_sessions(&fixture));
    // Killed.
    fixture.stack.kill_server();
    let gone = Instant::now();
    let seen = calls_during(&clients, || {
        std::thread::sleep(SESSION_TTL + Duration::from_secs(2));
    });
    assert_stops("killed, no budget", &seen[0], gone);
    assert_stops("killed, with a budget", &seen[1], gone);
    let soon = |seen: &&Seen| seen.answer.status == 200 && seen.begun < gone + SESSION_TTL / 4;
    assert!(seen[0].iter().filter(soon).count() > 4, "what is known did not go on");
    fixture.stack.restart_server().unwrap();
    back(&fixture, "killed");
    // Cut off without a word.
    let clients = clients_of(&fixture, [&free, &paying_secret]);
    calls_during(&clients, || renew_sessions(&fixture));
    proxy.set(Mode::Blackhole);
    let gone = Instant::now();
    let seen = calls_during(&clients, || {
        std::thread::sleep(SESSION_TTL + Duration::from_secs(6));
    });
    assert_stops("blackhole, no budget", &seen[0], gone);
    assert_stops("blackhole, with a budget", &seen[1], gone);
    proxy.set(Mode::Pass);
    back(&fixture, "blackhole");

    let spend = fixture.spend_at_rest(&paying, Duration::from_secs(30)).unwrap();
    let both =
        compare(&fixture.all_records(&paying).unwrap(), &fixture.upstream_calls(&paying).unwrap());
    spend.assert_within_cap();
    assert_eq!((both.lost, spend.settled), (0, both.upstream), "{spend:?} {both:?}");
}

#[test]
fn a_connection_that_has_died_in_silence_hides_no_change() {
    let (proxy, fixture) = behind_a_proxy();
    let (id, secret) = fixture.key(json!({})).unwrap();
    for client in (0..8).map(|_| fixture.stack.gateway(&secret)) {
        chat(&client, json!({})).unwrap().success().unwrap();
    }
    // The polls hang on; only new connections work.
    proxy.set(Mode::HalfOpen);
    let admin = fixture.stack.admin();
    let path = format!("/admin/v1/keys/{id}/revoke?wait=15000");
    let begun = Instant::now();
    let answer = admin.post(&path, &json!({})).unwrap().success().unwrap();
    let took = begun.elapsed();
    assert_eq!(answer.json()["applied"], true, "{}", answer.body);
    assert!(took < SESSION_TTL + GRACE + Duration::from_secs(2), "{took:?}");
    for client in (0..16).map(|_| fixture.stack.gateway(&secret)) {
        let answer = chat(&client, json!({})).unwrap();
        assert!([401, 503].contains(&answer.status), "{}", answer.status);
    }
    println!("half-open connections: applied after {took:?}");
}
