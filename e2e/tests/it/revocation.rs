//! Changes to a key are seen by the very next request.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use e2e::{Fixture, chat};
use serde_json::json;

#[test]
fn what_was_answered_applied_is_applied_on_every_worker() {
    let fixture = Fixture::start(4).unwrap();
    for round in 0..15 {
        let (id, key) = fixture.key(json!({})).unwrap();
        let client = fixture.stack.gateway(&key);
        let revoked = AtomicBool::new(false);
        let (before, late) = (AtomicU32::new(0), AtomicU32::new(0));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Acquire) {
                        let after = revoked.load(Ordering::Acquire);
                        let answer = chat(&client, json!({})).unwrap();
                        match (answer.status, after) {
                            (200, false) => before.fetch_add(1, Ordering::Relaxed),
                            (200, true) => late.fetch_add(1, Ordering::Relaxed),
                            (401, _) => {
                                assert_eq!(answer.error_code(), "key_revoked");
                                0
                            }
                            (other, _) => panic!("{other}: {}", answer.body),
                        };
                    }
                });
            }
            while before.load(Ordering::Relaxed) < 20 {
                std::thread::yield_now();
            }
            let path = format!("/admin/v1/keys/{id}/revoke");
            let answer = fixture.stack.admin().post(&path, &json!({})).unwrap().success().unwrap();
            assert_eq!(answer.json()["applied"], true, "round {round}: {}", answer.body);
            revoked.store(true, Ordering::Release);
            std::thread::sleep(std::time::Duration::from_millis(60));
            stop.store(true, Ordering::Release);
        });
        assert_eq!(late.into_inner(), 0, "round {round}: admitted after it was revoked");
    }
    fixture.assert_no_trap();
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
    fixture.assert_no_trap();
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
    fixture.assert_no_trap();
}
