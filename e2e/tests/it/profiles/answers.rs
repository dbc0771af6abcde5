//! The form of errors, and what an answer tells beside what the model said.

use serde_json::{Value, json};
use xtask::http_client::Client;

use super::{Profile, walk};

#[test]
fn error_envelope() {
    walk(|product| {
        let (_, key) = product.key(json!({"models": ["gpt-4o"]}));
        let client = Client::new(&product.gateway_url, Some(&key));
        let send =
            |path: &str, body: &str| client.send("POST", path, &[], Some(body.to_owned())).unwrap();
        let chat = "/v1/chat/completions";
        let long =
            r#"{"model":"gpt-4o","max_tokens":999999,"messages":[{"role":"user","content":"x"}]}"#;
        let not_allowed = r#"{"model":"fast","messages":[]}"#;
        let mut seen = Vec::new();
        for (path, body) in [(chat, "{"), (chat, long), (chat, not_allowed), ("/v1/nothing", "{}")]
        {
            let answer = send(path, body);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let document = answer.json();
            let members = |value: &Value| {
                let names = value.as_object().into_iter().flatten().map(|(name, _)| name.clone());
                names.collect::<Vec<_>>().join(" ")
            };
            seen.push((answer.status, members(&document), members(&document["error"])));
        }
        let of = |statuses: [u16; 4], members: &str| {
            statuses.map(|status| (status, "error".to_owned(), members.to_owned())).to_vec()
        };
        let expected = match product.profile {
            Profile::PrivateMind => of([400, 400, 403, 404], "code message type"),
            Profile::MindProxy => of([400, 400, 403, 404], "message type"),
            Profile::DeltaLlm => {
                let mut all = of([422, 400, 403, 404], "code message param type");
                for detail in [0, 3] {
                    (all[detail].1, all[detail].2) = ("detail".to_owned(), String::new());
                }
                all
            }
        };
        assert_eq!(seen, expected);
    });
}

#[test]
fn usage_query() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        let (_, other) = product.key(json!({}));
        let metadata = [("x-tollgate-metadata", r#"{"project":"nightly"}"#)];
        product.chat_with(&key, &metadata, json!({})).success().unwrap();
        product.chat(&other, json!({})).success().unwrap();
        product.records(&id, 1);
        let client = Client::new(&product.gateway_url, Some(&key));
        let shown =
            client.get("/v1/usage?from=2020-01-01&limit=10").unwrap().success().unwrap().json();
        assert_eq!(shown["success"], true);
        let calls = shown["data"].as_array().unwrap();
        assert_eq!(calls.len(), 1, "only its own: {shown}");
        let names: Vec<_> = calls[0].as_object().unwrap().keys().map(String::as_str).collect();
        for name in [
            "id",
            "model",
            "prompt_tokens",
            "cached_prompt_tokens",
            "completion_tokens",
            "cost_usd",
            "latency_ms",
            "status_code",
            "created_at",
            "metadata",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert_eq!(calls[0]["metadata"], json!({"project": "nightly"}));
        // DeltaLLM's report, as an administrator asks for it.
        let sums = product.admin("GET", &format!("usage?group_by=model&key={id}"), Value::Null);
        assert_eq!(
            (&sums["data"][0]["requests"], sums["data"][0]["model"].is_string()),
            (&json!(1), true)
        );
    });
}

#[test]
fn request_id() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        let own = [("x-request-id", "made-by-the-client")];
        let answer = product.chat_with(&key, &own, json!({})).success().unwrap();
        let given = answer.header("x-tollgate-request-id").unwrap();
        assert_ne!(given, "made-by-the-client", "no client chooses it");
        let theirs = (product.profile == Profile::MindProxy).then_some(given);
        assert_eq!(answer.header("x-tt-request-id"), theirs);
        product.records(&id, 1);
        let record = product.admin("GET", &format!("requests/{given}"), Value::Null);
        assert_eq!(record["key"], id.as_str());
        let refused = product.chat(&key, json!({"model": "nope"}));
        let given = refused.header("x-tollgate-request-id").unwrap();
        let theirs = (product.profile == Profile::MindProxy).then_some(given);
        assert_eq!(refused.header("x-tt-request-id"), theirs);
    });
}

#[test]
fn dry_run() {
    walk(|product| {
        let (id, key) = product.key(json!({"budget": {"usd": "1"}}));
        let theirs = product.profile == Profile::MindProxy;
        let header = if theirs { "x-tt-dry-run" } else { "x-tollgate-dry-run" };
        let dry = product.chat_with(&key, &[(header, "true")], json!({})).success().unwrap().json();
        assert_eq!((&dry["object"], &dry["allowed"]), (&json!("tollgate.dry_run"), &json!(true)));
        assert!(dry["at_most"]["cost_usd"].is_string(), "{dry}");
        assert_eq!(product.upstream_requests(&id).len(), 0, "no model is called");
        let (_, poor) = product.key(json!({"budget": {"usd": "0"}}));
        let refused = product.chat_with(&poor, &[(header, "true")], json!({}));
        assert_eq!(refused.status, product.pick(402, 402, 429), "every check is made");
        product.served(&key, json!({}));
        assert_eq!(product.records(&id, 1).len(), 1, "a dry run is no call");
        assert_eq!(product.upstream_requests(&id).len(), 1);
    });
}

#[test]
fn idempotency() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        let same = [("idempotency-key", "invoice-7")];
        let send = |key: &str, members: Value| product.chat_with(key, &same, members);
        // One that was refused was not made, so it can be.
        assert_ne!(send(&key, json!({"model": "nope"})).status, 200);
        send(&key, json!({})).success().unwrap();
        product.records(&id, 1);
        let again = send(&key, json!({}));
        let calls = if product.profile == Profile::MindProxy {
            assert_eq!(product.refused(&again), (409, "idempotent_replay".to_owned()));
            1
        } else {
            assert_eq!(again.status, 200, "nothing is known of the header there");
            2
        };
        assert_eq!(product.records(&id, calls).len(), calls, "each is charged once");
        let sent = product.upstream_requests(&id);
        assert_eq!(sent.len(), calls);
        assert!(!json!(sent).to_string().contains("invoice-7"), "it is nothing for the provider");
        // The word of another key is another word.
        let (_, other) = product.key(json!({}));
        send(&other, json!({})).success().unwrap();
    });
}
