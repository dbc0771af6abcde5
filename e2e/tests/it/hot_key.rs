//! How often the policy server is asked, by Envoy's own count of its calls to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::fault_proxy::{FaultProxy, Mode};
use e2e::{Fixture, chat, wait_within};
use serde_json::json;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

/// Envoy's count of requests to the policy server, from all workers: for requests, polls, reports.
const CALL_OUTS: &str = "cluster.tollgate_policy_server.upstream_rq_total";

const CLIENTS: usize = 8;
const REQUESTS: usize = 20_000;

/// Most calls to the policy server per thousand requests with one busy key.
const CALL_OUTS_PER_THOUSAND: f64 = 5.0;

/// Sends so many requests from all clients, each with a pause before it, and answers how long each
/// took.
fn requests(clients: &[Client], count: usize, pause: Duration) -> Vec<Duration> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = clients
            .iter()
            .map(|client| {
                let next = &next;
                scope.spawn(move || {
                    let mut times = Vec::new();
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        std::thread::sleep(pause);
                        let begun = Instant::now();
                        chat(client, json!({"max_tokens": 64})).unwrap().success().unwrap();
                        times.push(begun.elapsed());
                    }
                    times
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

#[test]
fn a_busy_key_asks_nobody() {
    let proxy = FaultProxy::start().unwrap();
    let options = StackOptions { filter_api_port: Some(proxy.port()), ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    proxy.forward_to(&fixture.stack.policy_server_url).unwrap();
    let (id, secret) = fixture.key(json!({"budget": {"usd": "500", "period": "none"}})).unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| fixture.stack.gateway(&secret)).collect();
    requests(&clients, 2_000, Duration::ZERO);

    let before = fixture.stack.envoy_stat(CALL_OUTS).unwrap();
    let begun = Instant::now();
    let mut times = requests(&clients, REQUESTS, Duration::ZERO);
    let took = begun.elapsed();
    let call_outs = fixture.stack.envoy_stat(CALL_OUTS).unwrap() - before;
    times.sort();
    let per_thousand = call_outs as f64 * 1_000.0 / REQUESTS as f64;
    println!(
        "{REQUESTS} requests in {took:?}: {call_outs} calls to the policy server, {per_thousand:.2} \
         per 1,000 requests; median {:?}, 99th percentile {:?}",
        times[REQUESTS / 2],
        times[REQUESTS * 99 / 100]
    );

    // With a server this far away, a request that asks it anything takes that long; nothing else on
    // a busy machine does.
    let far = Duration::from_secs(1);
    let pause = Duration::from_millis(10);
    requests(&clients, 500, pause);
    proxy.set(Mode::Delay(far));
    requests(&clients, 1_500, pause);
    let before = fixture.stack.envoy_stat(CALL_OUTS).unwrap();
    let times = requests(&clients, 4_000, pause);
    let asked = times.iter().filter(|took| **took >= far).count();
    let behind = fixture.stack.envoy_stat(CALL_OUTS).unwrap() - before;
    println!(
        "4,000 requests, the server {far:?} away: {asked} waited for it; {behind} calls to it"
    );
    proxy.set(Mode::Pass);
    assert_eq!(asked, 0, "requests waited for the policy server");
    assert!(per_thousand <= CALL_OUTS_PER_THOUSAND, "{per_thousand} calls per 1,000 requests");

    let spend = fixture.spend_at_rest(&id, Duration::from_secs(30)).unwrap();
    spend.assert_within_cap();
    assert_eq!(spend.parked, 0);
}

#[test]
fn what_many_quiet_keys_cost() {
    const KEYS: usize = 500;
    const WORKERS: u32 = 4;
    let (each, during) = (Duration::from_secs(10), Duration::from_secs(30));
    let fixture =
        Fixture::with(&StackOptions { concurrency: WORKERS, ..StackOptions::default() }).unwrap();
    let budget = json!({"budget": {"usd": "1", "period": "none"}});
    let keys: Vec<_> = (0..KEYS).map(|_| fixture.key(budget.clone()).unwrap()).collect();
    // Each key calls every ten seconds, over connections that all keys share, as behind a balancer.
    let anybody = Client::new(&fixture.stack.gateway_url, None);
    let before = fixture.stack.envoy_stat(CALL_OUTS).unwrap();
    let begun = Instant::now();
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for sender in 0..CLIENTS {
            let (keys, sent, anybody) = (&keys, &sent, anybody.clone());
            scope.spawn(move || {
                let rounds = during.as_secs() / each.as_secs();
                for number in 0..usize::try_from(rounds).unwrap() * KEYS {
                    if number % CLIENTS != sender {
                        continue;
                    }
                    let due = each.mul_f64(number as f64 / KEYS as f64);
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    let bearer = format!("Bearer {}", keys[number % KEYS].1);
                    let body = json!({
                        "model": e2e::MODEL, "max_tokens": 64,
                        "messages": [{"role": "user", "content": "hello"}],
                    });
                    let headers = [("authorization", bearer.as_str())];
                    let body = Some(body.to_string());
                    let answer = anybody.send("POST", "/v1/chat/completions", &headers, body);
                    answer.unwrap().success().unwrap();
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let sent = sent.into_inner();
    let took = begun.elapsed();
    let call_outs = fixture.stack.envoy_stat(CALL_OUTS).unwrap() - before;
    println!(
        "{KEYS} keys, {sent} requests in {took:?} over {WORKERS} workers: {call_outs} calls to the \
         policy server, {:.2} per request",
        call_outs as f64 / sent as f64
    );
    // What was held for the next call and not used comes back.
    wait_within(
        Duration::from_secs(60),
        Duration::from_secs(1),
        "idle leases to come back",
        || {
            let org = fixture.stack.admin().get("/admin/v1/orgs/acme")?.success()?.json();
            Ok(org["spend"]["outstanding_usd"] == "0.00")
        },
    )
    .unwrap();
}
