//! What is measured in time and needs the machine to itself: cargo runs one test program after
//! another, and this one has a single test.

use std::time::Duration;

use e2e::{Fixture, chat_as};
use serde_json::json;
use xtask::http_client::Client;

const WORKERS: u32 = 4;
const CLIENTS: usize = 12;

/// Largest median of the time from the administrator's request to "applied", while nobody calls.
const PUSH_MEDIAN: Duration = Duration::from_millis(20);

/// Revocations whose median that is: enough to outlast a moment in which something else is done.
const PUSHES: usize = 300;

#[test]
fn a_change_is_in_force_within_milliseconds() {
    let fixture = Fixture::start(WORKERS).unwrap();
    let (_, secret) = fixture.key(json!({})).unwrap();
    let connect = || {
        let client = Client::new(&fixture.stack.gateway_url, None);
        chat_as(&client, &secret)?.success()?;
        Ok(client)
    };
    let clients = fixture.clients_of_every_worker(CLIENTS, WORKERS, connect).unwrap();
    // Every worker knows the key before it is revoked.
    let pushed = |_| {
        let (id, secret) = fixture.key(json!({})).unwrap();
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| chat_as(client, &secret).unwrap().success().unwrap());
            }
        });
        let (answer, took) = fixture.revoke(&id, 2000).unwrap();
        assert_eq!(answer["applied"], true, "{answer}");
        took
    };
    let mut times: Vec<_> = (0..PUSHES).map(pushed).collect();
    times.sort();
    let (median, longest) = (times[PUSHES / 2], times[PUSHES - 1]);
    println!("{PUSHES} revocations: median push {median:?}, longest {longest:?}");
    assert!(median < PUSH_MEDIAN, "{median:?}");
}
