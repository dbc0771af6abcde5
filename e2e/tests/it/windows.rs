//! Windows of scope `proxy` are exact over all workers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use e2e::{Fixture, chat};
use serde_json::json;

/// Runs a closure on so many threads at once.
fn in_parallel(threads: usize, act: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&act);
        }
    });
}

#[test]
fn sixty_per_minute_admit_exactly_sixty_on_four_workers() {
    let fixture = Fixture::start(4).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 60, "scope": "proxy"}]);
    let (_, key) = fixture.key(json!({"limits": limits})).unwrap();
    let (admitted, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    let client = fixture.stack.gateway(&key);
    in_parallel(64, || {
        for _ in 0..12 {
            let answer = chat(&client, json!({})).unwrap();
            match answer.status {
                200 => admitted.fetch_add(1, Ordering::Relaxed),
                429 => {
                    assert_eq!(answer.error_code(), "rpm_exceeded");
                    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                    let oldest = Duration::from_secs(60).saturating_sub(begun.elapsed());
                    assert!(wait <= 60 && wait >= oldest.as_secs(), "retry-after {wait}");
                    refused.fetch_add(1, Ordering::Relaxed)
                }
                other => panic!("status {other}: {}", answer.body),
            };
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(55), "too slow to say anything about a minute");
    assert_eq!(admitted.into_inner(), 60);
    assert_eq!(refused.into_inner(), 64 * 12 - 60);
    assert_eq!(fixture.upstream_stats().unwrap()["requests"], 60);
}

#[test]
fn retry_after_is_right() {
    let fixture = Fixture::start(2).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 1, "scope": "proxy"}]);
    let (_, key) = fixture.key(json!({"limits": limits})).unwrap();
    let client = fixture.stack.gateway(&key);
    let first = chat(&client, json!({})).unwrap().success().unwrap();
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("1"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("0"));
    let refused = chat(&client, json!({})).unwrap();
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((58..=60).contains(&wait), "{wait}");
    std::thread::sleep(Duration::from_secs(wait));
    chat(&client, json!({})).unwrap().success().unwrap();
}

#[test]
fn tokens_of_running_calls_count_until_they_have_ended() {
    let fixture = Fixture::start(4).unwrap();
    let limits = json!([{"unit": "tokens", "window": "1m", "max": 1000, "scope": "proxy"}]);
    let (_, key) = fixture.key(json!({"limits": limits})).unwrap();
    // Each call may use some 90 bytes of input and 300 of output: two fit beside each other.
    fixture.upstream_fault("delay=1500").unwrap();
    let (admitted, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    let client = fixture.stack.gateway(&key);
    in_parallel(6, || {
        let answer = chat(&client, json!({"max_tokens": 300})).unwrap();
        match answer.status {
            200 => admitted.fetch_add(1, Ordering::Relaxed),
            429 => {
                assert_eq!(answer.error_code(), "tpm_exceeded");
                refused.fetch_add(1, Ordering::Relaxed)
            }
            other => panic!("status {other}: {}", answer.body),
        };
    });
    assert_eq!((admitted.into_inner(), refused.into_inner()), (2, 4));
    // They used 21 tokens each, so there is room again.
    fixture.upstream_fault("").unwrap();
    let answer = chat(&client, json!({"max_tokens": 300})).unwrap();
    let answer = answer.success().unwrap();
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("1000"));
}
