//! Which models a key may call, and what it is shown of them.

use e2e::operations::post;
use e2e::{MODEL, RawAnswer};
use serde_json::{Value, json};
use xtask::http_client::Client;

use super::{Product, Profile, walk};

const OTHER: &str = "gpt-4o";

/// An organisation that may call these models.
fn org(product: &Product, id: &str, models: Value) {
    product.admin("PUT", &format!("orgs/{id}"), json!({"models": models}));
}

fn status(product: &Product, key: &str, model: &str) -> u16 {
    product.chat(key, json!({"model": model})).status
}

#[test]
fn model_limit() {
    walk(|product| {
        match product.profile {
            // The key's list and the organisation's, both.
            Profile::PrivateMind => {
                org(product, "narrow", json!([MODEL]));
                let (_, key) = product.key(json!({"org": "narrow", "models": [MODEL, OTHER]}));
                assert_eq!(status(product, &key, MODEL), 200);
                assert_eq!(status(product, &key, OTHER), 403);
                let (_, key) = product.key(json!({"models": [OTHER]}));
                assert_eq!(
                    (status(product, &key, MODEL), status(product, &key, OTHER)),
                    (403, 200)
                );
            }
            // The key's scope and its plan.
            Profile::MindProxy => {
                product.admin("PUT", "plans/basic", json!({"models": [MODEL]}));
                let (_, key) = product.key(json!({"plan": "basic", "models": [MODEL, OTHER]}));
                assert_eq!(status(product, &key, MODEL), 200);
                assert_eq!(status(product, &key, OTHER), 403);
            }
            // What the organisation is granted, then team, user and key, each by names and groups.
            Profile::DeltaLlm => {
                product.admin("PUT", "groups/granted", json!({"models": [MODEL, OTHER]}));
                let granted = json!({"mode": "restrict", "models": [], "groups": ["granted"]});
                org(product, "granted", granted);
                for member in ["teams/t", "users/u"] {
                    product.admin("PUT", &format!("orgs/granted/{member}"), json!({}));
                }
                let members = json!({"org": "granted", "team": "t", "user": "u"});
                let (id, key) = product.key(members);
                let both = || (status(product, &key, MODEL), status(product, &key, OTHER));
                assert_eq!(both(), (200, 200));
                let only = |model: &str| json!({"models": {"mode": "restrict", "models": [model], "groups": []}});
                let inherit = json!({"models": {"mode": "inherit", "models": [], "groups": []}});
                for path in [
                    "orgs/granted/teams/t".to_owned(),
                    "orgs/granted/users/u".to_owned(),
                    format!("keys/{id}"),
                ] {
                    product.admin("PATCH", &format!("{path}?wait=5000"), only(OTHER));
                    assert_eq!(both(), (403, 200), "{path}");
                    product.admin("PATCH", &format!("{path}?wait=5000"), inherit.clone());
                    assert_eq!(both(), (200, 200), "{path}");
                }
                // A group holds what is put into it later too.
                product.admin("PATCH", "groups/granted?wait=5000", json!({"remove": [MODEL]}));
                assert_eq!(both(), (403, 200));
                product.admin("PATCH", "groups/granted?wait=5000", json!({"add": [MODEL]}));
                assert_eq!(both(), (200, 200));
            }
        }
    });
}

#[test]
fn empty_model_list() {
    walk(|product| {
        // A key that chooses nothing has all that is above it, also what comes later.
        let (_, key) = product.key(json!({}));
        let later = format!("later-{}", product.pick("a", "b", "c"));
        product.admin("PUT", &format!("models/{later}?wait=5000"), super::stage::simple_model());
        assert_eq!(status(product, &key, &later), 200);
        // An organisation to which nothing was granted has nothing.
        org(product, "bare", json!([]));
        let (_, bare) = product.key(json!({"org": "bare"}));
        assert_eq!(status(product, &bare, MODEL), 403);
    });
}

#[test]
fn disallowed_model() {
    walk(|product| {
        let (_, key) = product.key(json!({"models": [OTHER]}));
        let code = product.pick("model_not_allowed", "model_not_allowed", "permission_denied");
        let refused = product.chat(&key, json!({}));
        assert_eq!(product.refused(&refused), (403, code.to_owned()));
        let error = refused.json()["error"].take();
        if product.profile == Profile::DeltaLlm {
            assert_eq!(error["message"], "Model 'fast' is not allowed for this key");
            assert_eq!((&error["param"], &error["code"]), (&Value::Null, &Value::Null));
        }
        // Of Gemini, whose model stands in the path.
        let path = "/v1beta/models/gemini-2.5-flash:generateContent";
        let bearer = format!("authorization: Bearer {key}\r\n");
        let body = r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#;
        let answer = RawAnswer::of(&product.gateway_url, &post(path, &bearer, body)).unwrap();
        assert_eq!(answer.status, 403);
    });
}

#[test]
fn unknown_model() {
    walk(|product| {
        let (_, key) = product.key(json!({}));
        let (status, code) = product.pick(
            (400, "unknown_model"),
            (400, "unknown_model"),
            (403, "permission_denied"),
        );
        let refused = product.chat_refused(&key, json!({"model": "nope"}));
        assert_eq!(refused, (status, code.to_owned()));
        // One that was there and is not any more.
        product.admin("PUT", "models/old", super::stage::simple_model());
        product.admin("POST", "models/old/retire?wait=5000", Value::Null);
        let code = product.pick("model_removed", "model_removed", "model_not_found");
        assert_eq!(product.chat_refused(&key, json!({"model": "old"})), (404, code.to_owned()));
    });
}

#[test]
fn get_v1_models() {
    walk(|product| {
        let mut chat = super::stage::simple_model();
        chat["image_tokens"] = json!(1_445);
        chat["supported_parameters"] = json!(["temperature", "tools", "response_format"]);
        chat["aliases"] = json!(["able"]);
        product.admin("PUT", "models/able-model", chat);
        let mut vectors = super::stage::simple_model();
        vectors["output_usd_per_mtok"] = json!("0");
        product.admin("PUT", "models/vectors?wait=5000", vectors);
        let (_, key) = product.key(json!({"models": ["able-model", "vectors"]}));
        let listed = product.models(&key);
        assert_eq!(listed.len(), 2, "only what the key may call");
        let of = |id: &str| listed.iter().find(|model| model["id"] == id).unwrap().clone();
        match product.profile {
            Profile::PrivateMind => {
                assert_eq!(
                    of("able-model"),
                    json!({"id": "able-model", "object": "model", "owned_by": "privatemind",
                        "context_length": 128_000, "model_type": "chat", "aliases": ["able"],
                        "capabilities": {"tools": true, "response_format": true, "image_input": true},
                        "supported_parameters":
                            ["temperature", "tools", "response_format", "max_tokens", "stream"]})
                );
                let vectors = of("vectors");
                assert_eq!(vectors["model_type"], "embedding");
                assert_eq!(vectors["supported_parameters"], json!([]), "not shaped for chat");
                assert_eq!(vectors["capabilities"], json!({}));
                // What is not listed is not taken.
                let seed = product.chat_refused(&key, json!({"model": "able", "seed": 1}));
                assert_eq!(seed, (400, "unsupported_parameter".to_owned()));
            }
            Profile::MindProxy => {
                let expected = json!({"id": "able-model", "object": "model", "owned_by": "tt"});
                assert_eq!(of("able-model"), expected);
            }
            Profile::DeltaLlm => {
                let mut model = of("able-model");
                assert!(model["created"].take().as_u64() > Some(1_700_000_000));
                assert_eq!(
                    model,
                    json!({"id": "able-model", "object": "model", "created": null,
                    "owned_by": "deltallm"})
                );
            }
        }
        // An organisation that is entitled to nothing is told so; a key, that there is nothing.
        let (_, none) = product.key(json!({"models": []}));
        assert_eq!(product.models(&none), [Value::Null; 0]);
        org(product, "listless", json!([]));
        let (_, bare) = product.key(json!({"org": "listless"}));
        let client = Client::new(&product.gateway_url, Some(&bare));
        assert_eq!(client.get("/v1/models").unwrap().status, 403);
    });
}

#[test]
fn aliases() {
    walk(|product| {
        let put = |model: &str| {
            product.admin("PUT", "aliases/reasoning?wait=5000", json!({"model": model}));
        };
        let (id, key) = product.key(json!({"models": [MODEL, OTHER]}));
        for (number, model) in [MODEL, OTHER].into_iter().enumerate() {
            put(model);
            product.served(&key, json!({"model": "reasoning"}));
            let records = product.records(&id, number + 1);
            assert_eq!(records[0]["model"], model, "the newest first");
        }
        if product.profile == Profile::PrivateMind {
            let listed = product.models(&key);
            let other = listed.iter().find(|model| model["id"] == OTHER).unwrap();
            assert_eq!(other["aliases"], json!(["reasoning"]));
        }
        // The permission is of the model, not of the name.
        let (_, narrow) = product.key(json!({"models": [MODEL]}));
        assert_eq!(status(product, &narrow, "reasoning"), 403);
    });
}

#[test]
fn native_api_families() {
    walk(|product| {
        let (_, key) = product.key(json!({}));
        let bearer = format!("authorization: Bearer {key}\r\n");
        let chat = format!(
            r#"{{"model":"{MODEL}","max_tokens":9,"messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let contents = r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#;
        let gemini = "v1beta/models/gemini-2.5-flash:generateContent";
        let input =
            format!(r#"{{"model":"{MODEL}","input":"x","store":false,"max_output_tokens":16}}"#);
        let served = [
            ("/v1/chat/completions", chat.as_str()),
            ("/v1/embeddings", r#"{"model":"text-embedding-3-small","input":"x"}"#),
            ("/v1/responses", &input),
            ("/v1/messages", &chat),
            ("/anthropic/v1/messages", &chat),
            (&format!("/{gemini}"), contents),
            (&format!("/gemini/{gemini}"), contents),
        ];
        for (path, body) in served {
            let answer = RawAnswer::of(&product.gateway_url, &post(path, &bearer, body)).unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
        // Each needs a price per call in the filter's configuration (`paths`).
        for path in ["/v1/rerank", "/v1/batches", "/v1/tasks", "/v1/images/generations"] {
            let answer = RawAnswer::of(&product.gateway_url, &post(path, &bearer, "{}")).unwrap();
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        }
    });
}
