//! Changes to a key are seen by the very next request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use e2e::{Fixture, chat, chat_as};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

const TRIALS: usize = 200;
const WORKERS: u32 = 4;
const CLIENTS: usize = 12;

/// The key that all clients use at the moment, and what came of it.
#[derive(Default)]
struct Trial {
    secret: String,
    revoked: AtomicBool,
    admitted: AtomicU64,
    refused: AtomicU64,
    /// Calls that were begun after "applied" and admitted: there may be none.
    late: AtomicU64,
}

/// A call over a connection that outlives the trials, so that all workers are asked every time.
fn call_once(client: &Client, trial: &Trial) {
    let revoked = trial.revoked.load(Ordering::Acquire);
    let answer = chat_as(client, &trial.secret).unwrap();
    match (answer.status, answer.error_code().as_str()) {
        (200, _) => {
            trial.admitted.fetch_add(1, Ordering::Relaxed);
            if revoked {
                trial.late.fetch_add(1, Ordering::Relaxed);
            }
        }
        (401, "key_revoked") => {
            trial.refused.fetch_add(1, Ordering::Relaxed);
        }
        (status, code) => panic!("{status} {code}: {}", answer.body),
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    e2e::wait_within(Duration::from_secs(10), Duration::from_millis(1), what, || Ok(holds()))
        .unwrap();
}

#[test]
fn what_was_answered_applied_is_applied_on_every_worker() {
    let fixture = Fixture::start(WORKERS).unwrap();
    let current: RwLock<Arc<Trial>> = RwLock::default();
    let mut trials = Vec::new();
    let (mut id, secret) = fixture.key(json!({})).unwrap();
    let connect = || {
        let client = Client::new(&fixture.stack.gateway_url, None);
        chat_as(&client, &secret)?.success()?;
        Ok(client)
    };
    let clients = fixture.clients_of_every_worker(CLIENTS, WORKERS, connect).unwrap();
    let count = clients.len() as u64;
    *current.write().unwrap() = Arc::new(Trial { secret, ..Trial::default() });
    let stop = AtomicBool::new(false);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let trial = Arc::clone(&current.read().unwrap());
                    call_once(client, &trial);
                }
            });
        }
        // An assertion that fails must not leave the clients running.
        let all = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..TRIALS {
                let trial = Arc::clone(&current.read().unwrap());
                wait_until("calls that are admitted", || {
                    trial.admitted.load(Ordering::Relaxed) >= 2 * count
                });
                let (answer, took) = fixture.revoke(&id, 2000).unwrap();
                assert_eq!(answer["applied"], true, "trial {number}: {answer}");
                trial.revoked.store(true, Ordering::Release);
                times.push(took);
                wait_until("calls that are refused", || {
                    trial.refused.load(Ordering::Relaxed) >= 2 * count
                });
                let (next_id, secret) = fixture.key(json!({})).unwrap();
                id = next_id;
                let next = Trial { secret, ..Trial::default() };
                *current.write().unwrap() = Arc::new(next);
                trials.push(trial);
            }
        }));
        stop.store(true, Ordering::Release);
        all.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    // Only now every call of every trial has been counted.
    let late = trials.iter().map(|trial| trial.late.load(Ordering::Relaxed));
    let late: Vec<_> = late.enumerate().filter(|(_, late)| *late > 0).collect();
    assert_eq!((trials.len(), late), (TRIALS, Vec::new()), "admitted after it was revoked");
    let status = fixture.stack.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!(status["live_holders"], WORKERS, "not all workers took part");
    times.sort();
    println!("{TRIALS} trials; median push under load {:?}", times[TRIALS / 2]);
}

#[test]
fn a_proxy_that_is_away_is_told_with_the_time_by_which_it_has_stopped() {
    let options = StackOptions { gateways: 2, concurrency: 1, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let (id, secret) = fixture.key(json!({})).unwrap();
    let [here, away] = fixture.stack.gateways() else { panic!("two gateways") };
    for gateway in [here, away] {
        chat(&gateway.client(&secret), json!({})).unwrap().success().unwrap();
    }
    let holders = fixture.holders_of(away, 1).unwrap();
    away.pause().unwrap();
    let before = OffsetDateTime::now_utc();
    let (answer, _) = fixture.revoke(&id, 300).unwrap();
    assert_eq!((&answer["applied"], &answer["pending"]), (&json!(false), &json!(1)), "{answer}");
    let [named] = answer["pending_holders"].as_array().unwrap().as_slice() else {
        panic!("one holder: {answer}")
    };
    assert!(holders.contains(named["holder"].as_str().unwrap()), "{answer} {holders:?}");
    assert_eq!(named["until"], answer["pending_until"], "{answer}");
    let until = OffsetDateTime::parse(answer["pending_until"].as_str().unwrap(), &Rfc3339).unwrap();
    // Sixty seconds of session and five of grace, from when it was last heard of.
    let left = (until - before).whole_seconds();
    assert!((30..=66).contains(&left), "{answer}");
    // Whoever is there has heard of it all the same.
    let refused = chat(&here.client(&secret), json!({})).unwrap();
    assert_eq!((refused.status, refused.error_code().as_str()), (401, "key_revoked"));
    away.resume().unwrap();
    let (answer, _) = fixture.revoke(&id, 5000).unwrap();
    assert_eq!(answer["applied"], true, "{answer}");
    let refused = chat(&away.client(&secret), json!({})).unwrap();
    assert_eq!((refused.status, refused.error_code().as_str()), (401, "key_revoked"));
}

#[test]
fn each_state_of_a_key_has_its_error() {
    let fixture = Fixture::start(2).unwrap();
    let (id, key) = fixture.key(json!({})).unwrap();
    let client = fixture.stack.gateway(&key);
    let act = |what: &str| {
        let path = format!("/admin/v1/keys/{id}/{what}?wait=2000");
        fixture.stack.admin().post(&path, &json!({})).unwrap().success().unwrap().json()
    };
    let code = |client: &xtask::http_client::Client| {
        let answer = chat(client, json!({})).unwrap();
        (answer.status, answer.error_code())
    };
    assert_eq!(code(&client).0, 200);
    act("disable");
    assert_eq!(code(&client), (401, "key_disabled".to_owned()));
    act("enable");
    assert_eq!(code(&client).0, 200);
    let rotated = act("rotate");
    assert_eq!(code(&client), (401, "invalid_api_key".to_owned()));
    let client = fixture.stack.gateway(rotated["key"].as_str().unwrap());
    assert_eq!(code(&client).0, 200);
    let path = format!("/admin/v1/keys/{id}?wait=2000");
    let patched = json!({"models": ["gpt-4o"]});
    fixture.stack.admin().patch(&path, &patched).unwrap().success().unwrap();
    assert_eq!(code(&client), (403, "model_not_allowed".to_owned()));
    act("revoke");
    assert_eq!(code(&client), (401, "key_revoked".to_owned()));
}

#[test]
fn without_the_server_what_is_known_goes_on_and_nothing_else() {
    let mut fixture = Fixture::start(1).unwrap();
    let (_, free) = fixture.key(json!({})).unwrap();
    let (_, budgeted) = fixture.key(json!({"budget": {"usd": "1", "period": "day"}})).unwrap();
    let (free, budgeted) = (fixture.stack.gateway(&free), fixture.stack.gateway(&budgeted));
    chat(&free, json!({})).unwrap().success().unwrap();
    chat(&budgeted, json!({})).unwrap().success().unwrap();
    fixture.stack.kill_server();
    chat(&free, json!({})).unwrap().success().unwrap();
    let refused = chat(&budgeted, json!({})).unwrap();
    assert_eq!((refused.status, refused.error_code().as_str()), (503, "policy_unavailable"));
    assert!(refused.header("retry-after").is_some());
    fixture.stack.restart_server().unwrap();
    chat(&budgeted, json!({})).unwrap().success().unwrap();
}
