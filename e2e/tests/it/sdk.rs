//! The official SDKs of OpenAI, Anthropic and Google, for Python and Node, current and older majors,
//! through a real Envoy.

use e2e::models::add_models;
use e2e::sdk_suites::{self, RunningSuite, Suite};
use e2e::{Fixture, MODEL};
use serde_json::{Value, json};

/// Keys that every suite may use, by the variable that names them to it.
fn shared_keys(fixture: &Fixture) -> Vec<(String, String)> {
    let admin = fixture.stack.admin();
    let key = |members: Value| fixture.key(members).unwrap();
    let done = |(id, secret): (String, String), verb: &str| {
        let path = format!("/admin/v1/keys/{id}/{verb}?wait=2000");
        admin.post(&path, &json!({})).unwrap().success().unwrap();
        secret
    };
    let expired = json!({"expires_at": "2020-01-01T00:00:00Z"});
    [
        ("GOOD_KEY", key(json!({"budget": {"usd": "5", "period": "month"}})).1),
        ("POOR_KEY", key(json!({"budget": {"usd": "0.000001", "period": "none"}})).1),
        ("NARROW_KEY", key(json!({"models": [MODEL]})).1),
        ("REVOKED_KEY", done(key(json!({})), "revoke")),
        ("DISABLED_KEY", done(key(json!({})), "disable")),
        ("EXPIRED_KEY", key(expired).1),
        ("UNKNOWN_KEY", "sk-0123456789012345678901234".to_owned()),
        ("STRANGER_KEY", "sk-9876543210987654321098765".to_owned()),
    ]
    .map(|(name, secret)| (name.to_owned(), secret))
    .into()
}

/// Starts a suite; keys with windows are its own.
fn start(fixture: &Fixture, suite: &Suite, shared: &[(String, String)]) -> RunningSuite {
    let limited = |window: &str| {
        let limit = json!([{"unit": "requests", "window": window, "max": 1, "scope": "proxy"}]);
        fixture.key(json!({"limits": limit})).unwrap().1
    };
    let own = [
        ("GATEWAY", fixture.stack.gateway_url.clone()),
        ("UPSTREAM", fixture.stack.upstream_url.clone()),
        ("LIMITED_KEY", limited("1m")),
        ("DAILY_KEY", limited("1d")),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let variables: Vec<_> = shared.iter().cloned().chain(own).collect();
    suite.start(&variables).unwrap()
}

/// What all suites have to say, not only the first that fails.
#[track_caller]
fn all_of<T>(outcomes: Vec<anyhow::Result<T>>) -> Vec<T> {
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let bad: Vec<String> =
        bad.into_iter().filter_map(Result::err).map(|problem| format!("{problem:#}")).collect();
    assert!(bad.is_empty(), "{} suites failed\n{}", bad.len(), bad.join("\n\n"));
    good.into_iter().flatten().collect()
}

#[test]
fn the_official_sdks_simply_work() {
    let (fixture, suites) = std::thread::scope(|scope| {
        let suites = scope.spawn(|| sdk_suites::all().unwrap());
        let fixture = Fixture::start(2).unwrap();
        (fixture, suites.join().unwrap())
    });
    let mut fixture = fixture;
    add_models(&fixture).unwrap();
    let shared = shared_keys(&fixture);
    let running: Vec<_> = suites.iter().map(|suite| start(&fixture, suite, &shared)).collect();
    let served = all_of(running.into_iter().map(RunningSuite::served).collect());

    // No credential of any form has come through: what carried one came directly.
    let log = fixture.stack.mock().get("/_mock/calls").unwrap().success().unwrap().json();
    let calls = log["calls"].as_array().unwrap();
    let through: Vec<_> = calls.iter().filter(|call| call["request"].is_string()).collect();
    assert!(through.len() > 50 * served.len() / 2, "{} calls", through.len());
    for call in through {
        assert_eq!(call["credentials"], json!([]), "{call}");
    }

    fixture.stack.stop_server();
    let checks = all_of(served.into_iter().map(RunningSuite::finish).collect());
    assert!(checks.iter().all(|checks| *checks >= 50), "{checks:?}");
}
