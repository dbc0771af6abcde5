//! Every code of a refusal: refused where nothing is in shadow mode; with it, told and nothing else.

use std::collections::BTreeSet;

use gate::HostKind;
use gate::observation::Metric;
use serde_json::{Value, json};

use super::trial::{Mode, Outcome, Trial};

/// What refuses a request.
struct Row {
    code: &'static str,
    trial: Trial<'static>,
    /// Its record is written in shadow mode: key, model and price are known.
    is_recorded: bool,
    /// The key's own shadow mode lets it pass, too.
    by_key: bool,
}

/// A refusal of a known key's call that can be recorded.
fn row(code: &'static str, trial: Trial<'static>) -> Row {
    Row { code, trial, is_recorded: true, by_key: true }
}

/// One of which nothing can be recorded.
fn unread(code: &'static str, trial: Trial<'static>) -> Row {
    Row { is_recorded: false, ..row(code, trial) }
}

/// One that comes before anything is known of the key, or that ends the key's own shadow mode.
fn before_key(code: &'static str, trial: Trial<'static>) -> Row {
    Row { by_key: false, ..unread(code, trial) }
}

fn key(more: Value) -> Trial<'static> {
    Trial { key: Some(more), ..Trial::default() }
}

fn body(body: &'static str) -> Trial<'static> {
    Trial { body, ..Trial::default() }
}

fn headers(headers: &'static str) -> Trial<'static> {
    Trial { headers, ..Trial::default() }
}

/// A key with one limit, and a call before this one.
fn limit(unit: &str, window: Option<&str>, max: u64) -> Trial<'static> {
    let mut limit = json!({"unit": unit, "max": max, "scope": "proxy",
        "subject": {"level": "key", "id": "key_1"}});
    if let Some(window) = window {
        limit["window"] = json!(window);
    }
    Trial { earlier: 1, ..key(json!({"limits": [limit]})) }
}

fn money(refusal: Value) -> Trial<'static> {
    Trial { lease: json!({"refused": refusal}), ..key(json!({"budgeted": true})) }
}

/// In the order of docs/errors.md as far as there is one.
fn table() -> Vec<Row> {
    let large =
        "{\"model\":\"m\",\"user\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}";
    let small = json!({"limits": {"body_bytes": 50}});
    let paths = |keys: &str| json!({"paths": [{"method": "POST", "path": "/v1/audio/speech", "model": "speech", "keys": keys}]});
    let speech = |keys| Trial { path: "/v1/audio/speech", config: paths(keys), ..Trial::default() };
    let windows = json!({"host": {"windows": "server"}});
    let ended = |state: &str| key(json!({"state": state}));
    let nginx = |body| Trial {
        host: HostKind::Apisix,
        config: json!({"host": {"unwritable_limits": "refuse", "unforced_usage": "refuse"}}),
        body,
        lease: json!({"granted": {"lease": "l1", "n": 1, "amount": 20_000_000, "output_tokens": 500}}),
        ..key(json!({"budgeted": true}))
    };
    vec![
        before_key("unknown_endpoint", Trial { path: "/v1/nothing", ..Trial::default() }),
        before_key("missing_api_key", headers("")),
        before_key("invalid_api_key", headers("authorization=Bearer~nonsense")),
        before_key("invalid_api_key", Trial { key: None, ..Trial::default() }),
        Row {
            is_recorded: true,
            ..before_key("key_expired", key(json!({"expires_at_unix_ms": 5})))
        },
        Row { is_recorded: true, ..before_key("key_revoked", ended("revoked")) },
        Row { is_recorded: true, ..before_key("key_disabled", ended("disabled")) },
        row("ip_not_allowed", key(json!({"allowed_ips": ["192.0.2.0/24"]}))),
        row("user_key_required", speech("user")),
        row(
            "endpoint_not_allowed",
            Trial { key: Some(json!({"kind": "user"})), ..speech("application") },
        ),
        unread("body_too_large", Trial { config: small.clone(), ..body(large) }),
        before_key("body_too_large", Trial { config: small, in_pieces: true, ..body(large) }),
        before_key(
            "length_required",
            Trial {
                host: HostKind::NgxWasm,
                ..headers(
                    "authorization=Bearer~sk-AbCdEfGhIjKlMnOpQrStUv transfer-encoding=chunked",
                )
            },
        ),
        unread(
            "unsupported_encoding",
            headers("authorization=Bearer~sk-AbCdEfGhIjKlMnOpQrStUv content-encoding=gzip"),
        ),
        unread("invalid_json", body("{\"model\":")),
        unread("duplicate_field", body(r#"{"model":"m","model":"other"}"#)),
        row(
            "invalid_value",
            headers("authorization=Bearer~sk-AbCdEfGhIjKlMnOpQrStUv x-tollgate-metadata=no"),
        ),
        unread("unknown_model", body(r#"{"model":"nobody"}"#)),
        row(
            "unknown_model",
            Trial { config: paths("application"), ..body(r#"{"model":"speech"}"#) },
        ),
        unread("model_removed", body(r#"{"model":"old"}"#)),
        row("model_not_allowed", key(json!({"models": {"only": ["other"]}}))),
        row("no_models", key(json!({"org_has_no_models": true}))),
        row("unsupported_parameter", body(r#"{"model":"m","max_tokens":1,"service_tier":"flex"}"#)),
        row("context_length_exceeded", body(r#"{"model":"m","max_tokens":9001}"#)),
        row("alias_not_supported", nginx(r#"{"model":"alias","max_tokens":1}"#)),
        row("output_limit_required", nginx(r#"{"model":"m"}"#)),
        row("stream_usage_required", nginx(r#"{"model":"m","max_tokens":1,"stream":true}"#)),
        row(
            "limit_not_enforceable",
            Trial {
                host: HostKind::Apisix,
                config: windows,
                earlier: 0,
                ..limit("concurrent", None, 1)
            },
        ),
        row(
            "idempotent_replay",
            Trial {
                config: json!({"idempotency": true}),
                earlier: 1,
                ..headers("authorization=Bearer~sk-AbCdEfGhIjKlMnOpQrStUv idempotency-key=again")
            },
        ),
        row("rpm_exceeded", limit("requests", Some("1m"), 1)),
        row("rph_exceeded", limit("requests", Some("1h"), 1)),
        row("rpd_exceeded", limit("requests", Some("1d"), 1)),
        row("tpm_exceeded", limit("tokens", Some("1m"), 50)),
        row("tph_exceeded", limit("tokens", Some("1h"), 50)),
        row("tpd_exceeded", limit("tokens", Some("1d"), 50)),
        row("concurrency_exceeded", limit("concurrent", None, 1)),
        row("limiter_busy", Trial { lost_swaps: 1_000, ..limit("requests", Some("1m"), 9) }),
        row(
            "budget_exceeded",
            money(json!({"reason": "budget_exceeded", "level": "key", "need": 5, "left": 0})),
        ),
        row(
            "billing_shortfall",
            money(json!({"reason": "budget_exceeded", "level": "wallet", "need": 5, "left": 0})),
        ),
        row("budget_exceeded", key(json!({"max_call": 3}))),
        row("budget_contended", money(json!({"reason": "contended", "retry_after_ms": 1_000}))),
        before_key("policy_unavailable", Trial { server_fails_from: Some(0), ..Trial::default() }),
    ]
}

/// Codes that no single request meets.
const ELSEWHERE: [&str; 5] = [
    // Refused in shadow mode as well: what is not seen cannot be taken away (`host_sequences`).
    "too_many_headers",
    // What has no name among those that are counted.
    "other",
    // It ends a call that runs, and in shadow mode no output limit is written whose end that could be.
    "output_bound_exceeded",
    // Ten thousand calls that nobody has heard of.
    "outbox_full",
    // Sixty-five thousand values of shared memory in use.
    "limiter_full",
];

#[test]
fn every_refusal_is_in_the_table() {
    const PREFIX: &str = "tollgate_shadow_decisions_total.code.";
    let names: Vec<String> = Metric::all().map(Metric::name).collect();
    let counted: BTreeSet<&str> =
        names.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let tried = table();
    let tried: BTreeSet<&str> = tried.iter().map(|row| row.code).chain(ELSEWHERE).collect();
    assert_eq!(counted, tried);
}

#[test]
fn whatever_refuses_a_request_refuses_none_in_shadow_mode() {
    let mut wrong = Vec::new();
    for (at, row) in table().iter().enumerate() {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| holds(row)));
        if let Err(panic) = caught {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            wrong.push(format!("row {at}, {}: {text}", row.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A lease that was granted for it has gone back whole.
fn assert_nothing_spent(outcome: &Outcome) {
    assert!(outcome.leases.iter().all(|lease| lease["spent"] == 0), "{:?}", outcome.leases);
}

fn holds(row: &Row) {
    let refused = row.trial.play(Mode::Plain);
    let [reply] = refused.replies.as_slice() else { panic!("refused: {:?}", refused.replies) };
    assert!(reply.ends_with(&format!(" {}", row.code)), "{reply}");
    assert_eq!(refused.upstream, None);
    assert_nothing_spent(&refused);
    let counted = |mode: Mode, name: &str| {
        let outcome = row.trial.play(mode);
        outcome.counted.iter().filter(|other| *other == name).count()
    };
    let as_shadow = format!("tollgate_shadow_decisions_total.code.{}", row.code);
    let as_refused = format!("tollgate_decisions_total.code.{}", row.code);
    assert_eq!((counted(Mode::Plain, &as_shadow), counted(Mode::Plain, &as_refused)), (0, 1));
    for mode in [Mode::Path, Mode::Key] {
        let outcome = row.trial.play(mode);
        if mode == Mode::Key && !row.by_key {
            assert_eq!(outcome.replies, refused.replies, "{mode:?}");
            assert_eq!(outcome.upstream, None);
            continue;
        }
        assert_eq!(outcome.replies, Vec::<String>::new(), "{mode:?}");
        // Where the head decides, the body follows it unseen.
        let sent = outcome.upstream.as_deref();
        assert!(sent == Some("") || sent == Some(row.trial.body), "{mode:?}: {sent:?}");
        assert_eq!(outcome.told.as_deref(), Some(row.code), "{mode:?}");
        assert!(outcome.answer_is_shown);
        if !row.is_recorded {
            let ours = ["x-request-id", "x-tollgate-request-id", "x-tollgate-shadow"];
            let mut added = outcome.added.clone();
            added.sort();
            assert_eq!(added, ours, "{mode:?}");
        }
        assert_eq!(outcome.memory, refused.memory, "windows are as if it had been refused");
        assert_nothing_spent(&outcome);
        let secret = "sk-AbCdEfGhIjKlMnOpQrStUv";
        assert!(!format!("{:?}", outcome.upstream_head).contains(secret), "the credential passed");
        // The record of this call is the last; those before it were allowed.
        let record = outcome.records.iter().find(|record| record.get("would_refuse").is_some());
        let refused_by = record.map(|record| record["would_refuse"].clone());
        assert_eq!(refused_by, row.is_recorded.then(|| json!(row.code)), "{mode:?}");
        assert_eq!(record.and_then(|record| record.get("lease")), None);
        assert_eq!((counted(mode, &as_shadow), counted(mode, &as_refused)), (1, 0), "{mode:?}");
        assert_eq!(outcome.line["decision"], row.code);
        assert_eq!(outcome.line["mode"], "shadow");
    }
}
