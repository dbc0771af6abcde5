//! What a policy server says to a call of the filter, well-meaning or not.

use gate::Call;
use serde_json::{Value, json};

/// How an answer is chosen that a server gives where all is well.
pub(crate) const WELL: u8 = 255;

/// When keys expire that do, in wall milliseconds.
const EXPIRES_UNIX_MS: u64 = 30_000;

/// The path that is called.
pub(crate) fn path(call: &Call) -> &str {
    let path = call.headers.iter().find(|(name, _)| *name == ":path");
    path.map(|(_, path)| path.as_str()).unwrap_or_default()
}

fn policy(state: &str, how: u8) -> Value {
    let mut policy = json!({
        "key": "k", "org": "o", "state": state, "models": "all", "budgeted": true,
        "limits": [
            {"unit": "requests", "window": "1m", "max": 5, "scope": "proxy", "subject": {"level": "key", "id": "k"}},
            {"unit": "tokens", "window": "1m", "max": 90_000, "scope": "proxy", "subject": {"level": "org", "id": "o"}},
            {"unit": "concurrent", "window": "1m", "max": 3, "scope": "proxy", "subject": {"level": "key", "id": "k"}},
        ],
    });
    if how & 7 == 3 {
        policy["expires_at_unix_ms"] = json!(EXPIRES_UNIX_MS);
    }
    if how & 7 == 4 {
        policy["limits"] = json!([]);
    }
    if how & 7 == 5 {
        policy["budgeted"] = json!(false);
    }
    json!({"known": policy})
}

/// Money under the number that was asked with; asked again, the same lease.
fn grant(call: &Call, how: u8) -> Value {
    let asked: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let n = find_number(&asked).unwrap_or(1);
    let amount = if how & 8 == 0 { 5_000_000 } else { 700_000 };
    json!({"granted": {"lease": format!("l{n}"), "n": n, "amount": amount, "output_tokens": 300, "scarce": how & 16 != 0}})
}

/// The number of an ask, wherever it stands in the message.
fn find_number(message: &Value) -> Option<u64> {
    match message {
        Value::Object(members) => members
            .get("n")
            .and_then(Value::as_u64)
            .or_else(|| members.values().find_map(find_number)),
        _ => None,
    }
}

/// An answer to a call. `how` chooses it.
pub(crate) fn answer(call: &Call, how: u8) -> (Option<u16>, Vec<u8>) {
    let path = path(call);
    let refused = json!({"refused": {"reason": "key_not_usable"}});
    let kind = if how == WELL { 9 } else { how >> 3 & 15 };
    match kind {
        0 => return (Some(503), b"upstream connect error".to_vec()),
        1 => {
            let gone = br#"{"error":{"code":"unknown_holder","message":""}}"#;
            return (Some(409), gone.to_vec());
        }
        2 => return (Some(200), b"{}".to_vec()),
        _ => {}
    }
    let how = if how == WELL { 0 } else { how };
    let (epoch, revision) = (7, 1);
    let body = if path.contains("holders") {
        let epoch = if kind == 4 { 8 } else { epoch };
        json!({"holder": "h", "epoch": epoch, "revision": 1, "session_ttl_ms": 60_000, "catalogue_version": 1})
    } else if path.contains("catalogue") {
        json!({"epoch": epoch, "revision": revision, "version": 1, "models": [
            {"name": "m", "aliases": ["alias"], "price": {"input": 1000, "output": 2000}, "context_length": 9000, "max_output_tokens": 900},
        ]})
    } else if path.contains("admit") {
        let (key, lease) = match kind {
            4 => (json!("unknown"), json!("not_needed")),
            5 => (policy("revoked", how), json!("not_needed")),
            6 => (policy("active", how), refused),
            7 => (policy("active", how), json!("not_needed")),
            _ => (policy("active", how), grant(call, how)),
        };
        json!({"epoch": epoch, "revision": revision, "key": key, "lease": lease})
    } else if path.contains("leases") {
        let lease = if kind == 4 { refused } else { grant(call, how) };
        json!({"epoch": epoch, "revision": revision, "answer": lease})
    } else if path.contains("changes") {
        let changes = match kind {
            4 => json!([{"what": "all_keys"}]),
            5 => json!([{"what": "key", "key": "k", "digests": [], "state": "revoked"}]),
            6 => json!([{"what": "key", "key": "k", "digests": [], "state": "disabled"}]),
            7 => {
                json!([{"what": "key", "key": "k", "digests": [], "state": "active", "user_keys": true}])
            }
            8 => json!([{"what": "below", "level": "org", "owner": "o"}]),
            _ => json!([]),
        };
        json!({"epoch": epoch, "revision": revision, "changes": changes})
    } else if path.contains("exchange") {
        let answer = match kind {
            4 => json!("key_not_usable"),
            5 => json!({"too_many": {"most": 60, "retry_after_ms": 1}}),
            _ => json!({"user_key": {"secret": "tgu_x", "expires_at_unix_ms": 1}}),
        };
        json!({"epoch": epoch, "revision": revision, "answer": answer})
    } else {
        json!({"epoch": epoch, "revision": revision})
    };
    (Some(200), body.to_string().into_bytes())
}
