//! A policy server of a few fixed answers, for tests of what the filter does with its host.

use serde_json::{Value, json};
use wasm_tests::{Answer, CallOut, CallReply, Host, Profile};

/// What the filter is configured with, here and at [`proxy`].
pub const CONFIG: &str = r#"{"server": {"cluster": "policy"}}"#;

/// A chat that names no limit of its own, so the filter must write one.
pub const CHAT: &str = r#"{"model":"fast","messages":[]}"#;

/// Output tokens that a lease allows.
pub const LEASED_OUTPUT_TOKENS: u64 = 500;

/// What the server says of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good, and each call gets a lease.
    Admit,
    /// It is good for one request a minute, and each call gets a lease.
    AdmitOneAMinute,
    /// There is no such key.
    Refuse,
    /// Nothing: the question stays open until it times out.
    Silence,
}

/// A proxy with this server behind the cluster that [`CONFIG`] names.
pub fn proxy(profile: Profile, verdict: Verdict) -> Host {
    let host = Host::new(profile);
    host.add_cluster("policy");
    host.set_environment("TOLLGATE_FILTER_TOKEN", "filter-token-for-tests-0123456789");
    serve(&host, verdict);
    host
}

/// Lets the server say something else from now on.
pub fn serve(host: &Host, verdict: Verdict) {
    host.serve(move |call: &CallOut| answer(call, verdict));
}

fn answer(call: &CallOut, verdict: Verdict) -> Answer {
    let path = call.path().split('?').next().unwrap_or_default();
    let reply = match path {
        "/proxy/v1/holders" => json!({
            "holder": "h1", "epoch": 7, "revision": 1, "session_ttl_ms": 60_000,
            "catalogue_version": 1,
        }),
        "/proxy/v1/catalogue" => catalogue(),
        "/proxy/v1/changes" if call.path().ends_with("wait_ms=0") => changes(),
        "/proxy/v1/changes" => return Answer::After(20_000, CallReply::json(200, &changes())),
        "/proxy/v1/reports" => json!({"epoch": 7, "revision": 1}),
        "/proxy/v1/leases" => {
            let question = call.json();
            let answer = lease(&question["n"], &question["ask"]);
            json!({"epoch": 7, "revision": 1, "answer": answer})
        }
        "/proxy/v1/admit" => match verdict {
            Verdict::Silence => return Answer::Later,
            Verdict::Refuse => {
                json!({"epoch": 7, "revision": 1, "key": "unknown", "lease": "not_needed"})
            }
            Verdict::Admit => admitted(call, &json!([])),
            Verdict::AdmitOneAMinute => admitted(
                call,
                &json!([{
                    "unit": "requests", "window": "1m", "max": 1, "scope": "proxy",
                    "subject": {"level": "key", "id": "key_1"},
                }]),
            ),
        },
        other => panic!("the filter calls {other}"),
    };
    Answer::Now(CallReply::json(200, &reply))
}

fn changes() -> Value {
    json!({"epoch": 7, "revision": 1})
}

fn catalogue() -> Value {
    json!({"epoch": 7, "revision": 1, "version": 1, "models": [{
        "name": "gpt-4o-mini", "aliases": ["fast"],
        "price": {"input": 150_000, "output": 600_000, "cached_input": 75_000},
        "context_length": 128_000, "max_output_tokens": 16_384, "input_overhead_tokens": 64,
        "created_unix_s": 1_700_000_000_u64,
    }]})
}

/// The last of the money: it pays for no more output than this.
fn lease(number: &Value, ask: &Value) -> Value {
    let input_tokens = ask["input_tokens"].as_u64().unwrap();
    json!({"granted": {
        "lease": format!("lease_{number}"), "n": number,
        "amount": 150 * input_tokens + 600 * LEASED_OUTPUT_TOKENS,
        "output_tokens": LEASED_OUTPUT_TOKENS, "scarce": true,
    }})
}

fn admitted(call: &CallOut, limits: &Value) -> Value {
    let question = call.json();
    // Who asks for no call, as for the list of models, gets no lease.
    let lease = match &question["ask"] {
        Value::Null => json!("not_needed"),
        ask => lease(&question["n"], ask),
    };
    let key = json!({"known": {
        "key": "key_1", "org": "acme", "state": "active", "models": {"only": ["gpt-4o-mini"]},
        "limits": limits, "budgeted": true,
    }});
    json!({"epoch": 7, "revision": 1, "key": key, "lease": lease})
}
