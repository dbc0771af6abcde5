//! The wall clock of server and proxy jumps by an hour, forward and back, while clients call: only
//! what is said in dates follows it.

use std::time::{Duration, Instant};

use e2e::audit::compare;
use e2e::load::Load;
use e2e::wall_clock::WallClock;
use e2e::{Fixture, chat};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

const HOUR_S: i64 = 3_600;
const SESSION_TTL: Duration = Duration::from_secs(3);
const WORKERS: u32 = 2;

/// How long each time of day lasts: longer than a session, so that one that followed the wall clock
/// would end or never end.
const PHASE: Duration = Duration::from_secs(4);

/// How old the filter's reading of the wall clock may be; and some time for a slow machine.
const READ_ANEW: Duration = Duration::from_millis(1_200);

#[test]
fn a_step_of_the_wall_clock_moves_dates_and_nothing_else() {
    let clock = WallClock::build().unwrap();
    let options = StackOptions {
        concurrency: WORKERS,
        environment: clock.environment(),
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let fixture = Fixture::with(&options).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 10, "scope": "proxy"}]);
    let (_, limited) = fixture.key(json!({"limits": limits})).unwrap();
    let soon = OffsetDateTime::now_utc() + Duration::from_secs(1_800);
    let expires_at = soon.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap();
    let (_, expiring) = fixture.key(json!({"expires_at": expires_at})).unwrap();
    let (paying, secret) = fixture.key(json!({"budget": {"usd": "5", "period": "none"}})).unwrap();

    let [limited, expiring] = [limited, expiring].map(|secret| fixture.stack.gateway(&secret));
    let begun = Instant::now();
    for _ in 0..10 {
        chat(&limited, json!({})).unwrap().success().unwrap();
    }
    let filled = Instant::now();
    let call = |client: &Client, number: u64| {
        chat(client, json!({"max_tokens": 64, "stream": number.is_multiple_of(2)}))
    };
    // Each worker registers at its first request.
    let connect = || {
        let client = fixture.stack.gateway(&secret);
        call(&client, 0)?.success()?;
        Ok(client)
    };
    let clients = fixture.clients_of_every_worker(4, WORKERS, connect).unwrap();
    let load = Load::start(clients, Duration::from_secs(60), call);

    for (offset, expected) in [(0, "200"), (HOUR_S, "key_expired"), (-HOUR_S, "200"), (0, "200")] {
        clock.set(offset).unwrap();
        let stepped = Instant::now();
        while stepped.elapsed() < PHASE {
            let may_be_old = stepped.elapsed() < READ_ANEW;
            let answer = chat(&expiring, json!({})).unwrap();
            let outcome = if answer.status == 200 { "200".to_owned() } else { answer.error_code() };
            assert!(may_be_old || outcome == expected, "at {offset} s: {outcome}");
            // The window's end is where it was: 60 s after its first request.
            let (early, late) = (filled.elapsed().as_secs_f64(), begun.elapsed().as_secs_f64());
            let refused = chat(&limited, json!({})).unwrap();
            assert_eq!(refused.error_code(), "rpm_exceeded", "at {offset} s: {}", refused.status);
            let wait: f64 = refused.header("retry-after").unwrap().parse().unwrap();
            let right = (60.0 - late - 2.0)..=(60.0 - early + 2.0);
            assert!(right.contains(&wait), "at {offset} s: {wait} is not in {right:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let status = fixture.stack.admin().get("/admin/v1/status").unwrap().json();
        let lost = (&status["live_holders"], &status["parked_leases"]);
        assert_eq!(lost, (&json!(WORKERS), &json!(0)), "at {offset} s: {status}");
    }
    let tally = load.stop();
    assert_eq!(tally.others(&["200"]), [""; 0], "{tally}");
    fixture.upstream_at_rest().unwrap();
    let calls = fixture.upstream_calls(&paying).unwrap();
    fixture.records(&paying, calls.len()).unwrap();
    let spend = fixture.spend_at_rest(&paying, Duration::from_secs(30)).unwrap();
    let both = compare(&fixture.all_records(&paying).unwrap(), &calls);
    println!("{tally}; {spend:?} {both:?}");
    assert_eq!((spend.settled, spend.parked, spend.overdraft), (both.upstream, 0, 0), "{spend:?}");
    assert_eq!((both.lost, both.records), (0, both.calls), "{both:?}");
}
