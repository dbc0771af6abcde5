//! A strict budget is never passed, and the ledger equals what the upstream produced.

use std::sync::atomic::{AtomicU32, Ordering};

use e2e::{Fixture, MODEL, chat};
use serde_json::json;

/// Nano-USD of a decimal string.
fn nano(text: &str) -> u64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

#[test]
fn the_ledger_equals_the_upstream_to_the_nano_dollar() {
    let fixture = Fixture::start(4).unwrap();
    // One call of 21 tokens costs 10,637 nano-USD and may cost at most some 60,000 before it is
    // known; a fiftieth of a cent lasts for about 18 calls.
    let (id, key) = fixture.key(json!({"budget": {"usd": "0.0002", "period": "none"}})).unwrap();
    let client = fixture.stack.gateway(&key);
    let (served, spent, contended) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..6 {
                    let answer = chat(&client, json!({"max_tokens": 64})).unwrap();
                    let counter = match (answer.status, answer.error_code().as_str()) {
                        (200, _) => &served,
                        (402, "budget_exceeded") => &spent,
                        (429, "budget_contended") => &contended,
                        (status, code) => panic!("{status} {code}: {}", answer.body),
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let served = served.into_inner();
    let spend = fixture.settled_spend(&id).unwrap();
    let records = fixture.records(&id, served as usize).unwrap();
    let stats = fixture.upstream_stats().unwrap();
    let produced = &stats["by_model"][MODEL];
    assert_eq!(produced["requests"], served);
    assert_eq!(records.len(), served as usize);

    let (input, output) = (&produced["prompt_tokens"], &produced["completion_tokens"]);
    let pico = input.as_u64().unwrap() * 153_000 + output.as_u64().unwrap() * 617_000;
    let upstream = pico.div_ceil(1000);
    let recorded: u64 = records.iter().map(|r| nano(r["cost_usd"].as_str().unwrap())).sum();
    let settled = nano(spend["settled_usd"].as_str().unwrap());
    assert_eq!(settled, upstream, "{spend}");
    assert_eq!(settled, recorded);
    assert!(settled <= nano("0.0002"), "the cap was passed: {settled}");
    assert_eq!(spend["overdraft_usd"], "0.00");
    assert_eq!(spend["parked_usd"], "0.00");
    assert!(records.iter().all(|record| record["differs"] == false));
    // The money is used up: what is left is less than one call could cost.
    assert!(spent.into_inner() > 0, "nobody was told that the budget is spent");
    assert!(nano("0.0002") - settled < 60_000, "{settled} of 200000 used");
    println!("served {served}, contended {}, settled {settled} nano-USD", contended.into_inner());
}

#[test]
fn calls_that_use_all_they_may_pass_no_cap() {
    let fixture = Fixture::start(2).unwrap();
    fixture.upstream_fault("usage=reservation").unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "0.001", "period": "none"}})).unwrap();
    let client = fixture.stack.gateway(&key);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let answer = chat(&client, json!({"max_tokens": 64})).unwrap();
                    assert!([200, 402, 429].contains(&answer.status), "{}", answer.body);
                }
            });
        }
    });
    let spend = fixture.settled_spend(&id).unwrap();
    let settled = nano(spend["settled_usd"].as_str().unwrap());
    assert!(settled <= nano("0.001") && settled > nano("0.0009"), "{spend}");
    assert_eq!(spend["overdraft_usd"], "0.00");
}

#[test]
fn a_raised_cap_works_on_the_next_request() {
    let fixture = Fixture::start(2).unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "0.0001", "period": "month"}})).unwrap();
    let client = fixture.stack.gateway(&key);
    let mut calls = 0;
    let refused = loop {
        let answer = chat(&client, json!({"max_tokens": 64})).unwrap();
        if answer.status != 200 {
            break answer;
        }
        calls += 1;
        assert!(calls < 50, "the budget is never spent");
    };
    assert_eq!((refused.status, refused.error_code().as_str()), (402, "budget_exceeded"));
    assert_eq!(refused.json()["error"]["param"], "key");
    assert_eq!(refused.json()["error"]["type"], "billing_error");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let path = format!("/admin/v1/keys/{id}");
    let raised = json!({"budget": {"usd": "1.00", "period": "month"}});
    fixture.stack.admin().patch(&path, &raised).unwrap().success().unwrap();
    chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();

    // the organisation's budget stands above the key's
    let org =
        json!({"name": "Acme", "models": ["*"], "budget": {"usd": "0.00001", "period": "month"}});
    fixture.stack.admin().put("/admin/v1/orgs/acme", &org).unwrap().success().unwrap();
    let refused = chat(&client, json!({"max_tokens": 64})).unwrap();
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (402, &json!("org")));
}
