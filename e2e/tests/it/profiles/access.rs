//! Who is let in: the form of keys, where they are sent, from where, and what is said to others.

use e2e::RawAnswer;
use e2e::operations::{get, post};
use serde_json::{Value, json};

use super::{Product, Profile, walk};

/// A key as DeltaLLM makes them, `sk-` and 32 characters that are safe in URLs, and its SHA-256.
const DELTALLM_KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUvWx_z012-45";
const DELTALLM_DIGEST: &str = "734492a439848bbbf8c730f02dee69c58a2c78d42b3248d634f051092f3b906c";

const CHAT: &str =
    r#"{"model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
const CONTENTS: &str = r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#;
/// A path of each API, with a body.
const OPENAI: (&str, &str) = ("/v1/chat/completions", CHAT);
const ANTHROPIC: (&str, &str) = ("/v1/messages", CHAT);
const GEMINI: (&str, &str) = ("/v1beta/models/gemini-2.5-flash:generateContent", CONTENTS);

fn raw(product: &Product, request: &[u8]) -> RawAnswer {
    RawAnswer::of(&product.gateway_url, request).unwrap()
}

#[test]
fn token() {
    walk(|product| {
        let (_, key) = product.key(json!({}));
        product.served(&key, json!({}));
        match product.profile {
            Profile::PrivateMind => {
                let (id, secret) = key.split_once(':').unwrap();
                assert!(id.starts_with("PMIND") && id.len() == 32, "{id}");
                let is_hex = secret.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(is_hex && secret.len() == 64, "64 hexadecimal digits");
                for half in [id, secret] {
                    assert_eq!(product.chat(half, json!({})).status, 401);
                }
            }
            Profile::MindProxy => assert!(key.starts_with("sk-") && !key.contains(':')),
            Profile::DeltaLlm => {
                let import =
                    json!({"org": "acme", "name": "from there", "sha256": DELTALLM_DIGEST});
                product.admin("POST", "keys/import", import);
                product.served(DELTALLM_KEY, json!({}));
            }
        }
        let (_, native) = product.key(json!({"format": "tollgate"}));
        product.served(&native, json!({}));
    });
}

#[test]
fn storage() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        let path = format!("keys/{id}");
        for path in [path.as_str(), "keys?limit=200", "audit?limit=200"] {
            let shown = product.admin("GET", path, Value::Null).to_string();
            assert!(shown.contains(&id) && !shown.contains(&key), "{path}: it is shown once");
        }
        let export = product.admin.get("/admin/v1/requests/export").unwrap().success().unwrap();
        assert!(!export.body.contains(&key));
    });
}

#[test]
fn where_sent() {
    walk(|product| {
        let (_, key) = product.key(json!({}));
        let sent = |(path, body): (&str, &str), place: &str| {
            let request = match place {
                "bearer" => post(path, &format!("authorization: Bearer {key}\r\n"), body),
                "?key=" => post(&format!("{path}?key={key}"), "", body),
                name => post(path, &format!("{name}: {key}\r\n"), body),
            };
            let answer = raw(product, &request);
            assert!(!answer.text().contains(&key), "{path} {place}");
            answer.status
        };
        let also = product.profile == Profile::MindProxy;
        let admitted = |is: bool| if is { 200 } else { 401 };
        for (call, place, is_admitted) in [
            (OPENAI, "bearer", true),
            (ANTHROPIC, "bearer", true),
            (GEMINI, "bearer", true),
            (ANTHROPIC, "x-api-key", also),
            (GEMINI, "?key=", also),
            (GEMINI, "x-goog-api-key", also),
            (OPENAI, "x-api-key", false),
            (OPENAI, "api-key", false),
            (OPENAI, "?key=", false),
            (ANTHROPIC, "?key=", false),
            (GEMINI, "x-api-key", false),
        ] {
            assert_eq!(sent(call, place), admitted(is_admitted), "{} {place}", call.0);
        }
    });
}

#[test]
fn ip_restriction() {
    walk(|product| {
        let (id, key) = product.key(json!({"allowed_ips": ["127.0.0.0/8"]}));
        product.served(&key, json!({}));
        // PrivateMind shows the last address; it stands with the key's use.
        product.records(&id, 1);
        let shown = product.admin("GET", &format!("keys/{id}"), Value::Null);
        assert_eq!(shown["usage"]["last_address"], "127.0.0.1");
        let (_, elsewhere) = product.key(json!({"allowed_ips": ["192.0.2.0/24"]}));
        let code = product.pick("ip_not_allowed", "ip_not_allowed", "permission_denied");
        assert_eq!(product.chat_refused(&elsewhere, json!({})), (403, code.to_owned()));
    });
}

#[test]
fn bad_key() {
    walk(|product| {
        let (id, revoked) = product.key(json!({}));
        product.admin("POST", &format!("keys/{id}/revoke"), Value::Null);
        let unknown = product.pick(
            "PMIND0000000000000000000000000000:0000000000000000000000000000000000000000000000000000000000000000",
            "sk-000000000000000000000000000000",
            "sk-000000000000000000000000000000",
        );
        let said = |answer: &RawAnswer| {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let asks = answer.headers.iter().any(|(name, _)| name == "www-authenticate");
            assert!(asks, "{:?}", answer.headers);
            match product.profile {
                Profile::PrivateMind => body["error"]["code"].clone(),
                Profile::MindProxy => body["error"]["type"].clone(),
                Profile::DeltaLlm => body["detail"].clone(),
            }
        };
        let (path, body) = OPENAI;
        let bearer = |key: &str| format!("authorization: Bearer {key}\r\n");
        let basic = format!("authorization: Basic {revoked}\r\n");
        for (headers, privatemind, deltallm) in [
            (String::new(), "missing_api_key", "Missing bearer token"),
            (basic, "invalid_api_key", "Missing bearer token"),
            (bearer("short"), "invalid_api_key", "Invalid API key"),
            (bearer(unknown), "invalid_api_key", "Invalid API key"),
            (bearer(&revoked), "key_revoked", "Invalid API key"),
        ] {
            let answer = raw(product, &post(path, &headers, body));
            assert_eq!(answer.status, 401, "{headers}");
            let expected = product.pick(privatemind, "unauthorized", deltallm);
            assert_eq!(said(&answer), expected, "{headers}");
            let listed = raw(product, &get("/v1/models", &headers));
            assert_eq!((listed.status, said(&listed)), (401, json!(expected)), "{headers}");
        }
    });
}
