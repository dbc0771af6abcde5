//! Shadow mode: whatever would refuse a request is told beside the answer and recorded, and refuses nothing.

mod endings;
mod refusals;
mod trial;

use serde_json::{Value, json};

use gate::HostKind;
use trial::{Mode, Trial};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn a_shadow_of_some_paths_is_none_of_others() {
    let config = json!({"shadow": {"paths": ["/v1/chat/*", "/v1/embeddings"]}});
    let unknown = |path| Trial { config: config.clone(), path, key: None, ..Trial::default() };
    for (path, passes) in [
        (CHAT, true),
        ("/v1/chat/completions?x=1", true),
        ("/v1/embeddings", true),
        ("/v1/embeddings/more", false),
        ("/v1/completions", false),
        ("/v1/chat", false),
    ] {
        let outcome = unknown(path).play(Mode::Plain);
        assert_eq!(outcome.upstream.is_some(), passes, "{path}");
        assert_eq!(outcome.replies.is_empty(), passes, "{path}");
    }
}

#[test]
fn a_dry_run_is_answered_whatever_it_comes_to() {
    let headers = "authorization=Bearer~sk-AbCdEfGhIjKlMnOpQrStUv x-tollgate-dry-run=true";
    for (body, reply) in [
        (r#"{"model":"m","messages":[]}"#, "200 "),
        (r#"{"model":"nobody"}"#, "400 unknown_model"),
        (r#"{"mod"#, "400 invalid_json"),
    ] {
        for mode in [Mode::Plain, Mode::Path, Mode::Key] {
            let outcome = Trial { headers, body, ..Trial::default() }.play(mode);
            assert_eq!(outcome.replies, [reply], "{mode:?}");
            assert_eq!(outcome.upstream, None);
        }
    }
}

#[test]
fn what_only_the_server_can_say_is_not_asked_of_the_upstream() {
    for path in ["/v1/usage", "/v1/usage?limit=nonsense"] {
        let trial = Trial { method: "GET", path, key: None, ..Trial::default() };
        let outcome = trial.play(Mode::Path);
        assert_eq!((outcome.replies, outcome.upstream), (vec!["401 invalid_api_key".into()], None));
    }
    let outcome =
        Trial { path: "/v1/auth/exchange", key: None, ..Trial::default() }.play(Mode::Path);
    assert_eq!((outcome.replies.len(), outcome.upstream), (1, None));
}

/// The list of models is the filter's own, for keys that it knows.
#[test]
fn a_list_of_models_is_ours_for_a_known_key_and_the_upstreams_for_another() {
    let list = || Trial { method: "GET", path: "/v1/models", ..Trial::default() };
    assert_eq!(list().play(Mode::Path).replies, ["200 "]);
    let outcome = Trial { key: None, ..list() }.play(Mode::Path);
    assert_eq!((outcome.replies, outcome.told.as_deref()), (vec![], Some("invalid_api_key")));
}

/// A call that nothing refuses differs from one without shadow mode only in that no output limit is
/// written into it.
#[test]
fn a_call_that_would_pass_is_one_like_any_other_without_a_limit_of_ours() {
    let key = json!({"budgeted": true});
    let lease =
        json!({"granted": {"lease": "l1", "n": 1, "amount": 20_000_000, "output_tokens": 500}});
    let body = r#"{"model":"alias","messages":[]}"#;
    let trial = || Trial { key: Some(key.clone()), lease: lease.clone(), body, ..Trial::default() };
    let plain = trial().play(Mode::Plain);
    let limited = r#"{"max_tokens":900,"model":"m","messages":[]}"#;
    assert_eq!(plain.upstream.as_deref(), Some(limited));
    for mode in [Mode::Path, Mode::Key] {
        let outcome = trial().play(mode);
        assert_eq!((outcome.told, outcome.replies), (None, vec![]));
        assert_eq!(outcome.upstream.as_deref(), Some(r#"{"model":"m","messages":[]}"#), "{mode:?}");
        assert_eq!(outcome.records.len(), 1);
        assert_eq!(outcome.records[0]["lease"], "l1");
        assert_eq!(outcome.records[0]["cost"], plain.records[0]["cost"]);
        assert_eq!(outcome.records[0].get("would_refuse"), None);
        assert!(outcome.answer_is_shown, "{mode:?}");
        assert_eq!(outcome.memory, plain.memory, "{mode:?}");
    }
}

/// Its true cost, and who and what it was: as for a call that nothing would have refused.
#[test]
fn a_call_that_would_be_refused_is_recorded_with_its_cost_and_without_a_lease() {
    let policy = json!({"budgeted": true});
    let refused = json!({"refused":
        {"reason": "budget_exceeded", "level": "team", "need": 5, "left": 0}});
    for mode in [Mode::Path, Mode::Key] {
        let trial = Trial { key: Some(policy.clone()), lease: refused.clone(), ..Trial::default() };
        let outcome = trial.play(mode);
        let [record] = outcome.records.as_slice() else { panic!("{:?}", outcome.records) };
        assert_eq!(record["would_refuse"], "budget_exceeded");
        assert_eq!((&record["key"], &record["model"]), (&json!("key_1"), &json!("m")));
        assert_eq!((&record["basis"], &record["cost"]), (&json!("measured"), &json!(12)));
        assert_eq!((record.get("lease"), record.get("reserved")), (None, Some(&json!(0))));
        assert_eq!(outcome.leases, Vec::<Value>::new());
    }
}

/// Where it is not known whose call it is or what it costs, there is nothing to record.
#[test]
fn what_cannot_be_read_passes_as_it_came() {
    let body = "{\"model\": \"m\",   ";
    for body in [body, "", "\u{0}\u{1}"] {
        let outcome = Trial { body, ..Trial::default() }.play(Mode::Path);
        assert_eq!(outcome.upstream.as_deref(), Some(body));
        assert_eq!(outcome.told.as_deref(), Some("invalid_json"));
        assert_eq!(outcome.records, Vec::<Value>::new());
    }
}

/// Whatever else happens, the upstream gets no credential of a client.
#[test]
fn a_credential_stays_behind_or_the_request_does() {
    let secret = "sk-AbCdEfGhIjKlMnOpQrStUv";
    let query = format!("/v1beta/models/m:generateContent?key={secret}");
    let envoy = Trial { path: &query, headers: "", key: None, ..Trial::default() }.play(Mode::Path);
    assert_eq!(envoy.told.as_deref(), Some("invalid_api_key"));
    assert!(!format!("{:?}", envoy.upstream_head).contains(secret), "{:?}", envoy.upstream_head);
    for host in [HostKind::Apisix, HostKind::NgxWasm] {
        // It cannot be taken out of the path there.
        let trial = Trial {
            path: &query,
            headers: "content-length=9",
            key: None,
            host,
            ..Trial::default()
        };
        let outcome = trial.play(Mode::Path);
        assert_eq!((outcome.upstream, outcome.replies.len()), (None, 1), "{host:?}");
    }
    let two = format!("authorization=Bearer~{secret} x-api-key={secret}");
    let outcome = Trial { headers: &two, ..Trial::default() }.play(Mode::Path);
    assert_eq!(outcome.told.as_deref(), Some("invalid_api_key"));
    assert!(!format!("{:?}", outcome.upstream_head).contains(secret));
}

/// A server that cannot be reached is in nobody's way where the configuration says so; the word of the
/// server itself is good for no longer than its session, in which a revocation would be heard of.
#[test]
fn without_the_server_only_the_configurations_shadow_is_left() {
    let away = || Trial { server_fails_from: Some(0), ..Trial::default() };
    assert_eq!(away().play(Mode::Plain).replies, ["503 policy_unavailable"]);
    let outcome = away().play(Mode::Path);
    assert_eq!((outcome.replies, outcome.told.as_deref()), (vec![], Some("policy_unavailable")));
    assert_eq!(outcome.calls, 1, "nobody waits for a second try");
    let later =
        || Trial { earlier: 1, server_fails_from: Some(1), pause_ms: 70_000, ..Trial::default() };
    assert_eq!(later().play(Mode::Key).replies, ["503 policy_unavailable"]);
    assert_eq!(later().play(Mode::Path).told.as_deref(), Some("policy_unavailable"));
}
