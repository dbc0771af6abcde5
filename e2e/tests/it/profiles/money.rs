//! Budgets and prices: when there is no money, who is said to have none, and what a call costs.

use serde_json::{Value, json};

use super::{Product, Profile, walk};

/// Less than any call costs.
fn next_to_nothing(period: &str) -> Value {
    json!({"usd": "0.000001", "period": period})
}

fn budget(product: &Product) -> Value {
    next_to_nothing(product.pick("none", "month", "none"))
}

/// The status of a spent budget.
fn spent(product: &Product) -> u16 {
    product.pick(402, 402, 429)
}

#[test]
fn key_budget() {
    walk(|product| {
        let (_, unlimited) = product.key(json!({}));
        product.served(&unlimited, json!({}));
        let (id, key) = product.key(json!({"budget": budget(product)}));
        let refused = product.chat(&key, json!({}));
        assert_eq!(refused.status, spent(product));
        assert_eq!(refused.header("x-should-retry"), Some("false"), "waiting does not help");
        // Until the cap is raised.
        let more = json!({"budget": {"usd": "5"}});
        let changed = product.admin("PATCH", &format!("keys/{id}?wait=5000"), more);
        let period = product.pick("none", "month", "none");
        assert_eq!(changed["spend"]["period"], period);
        product.served(&key, json!({}));
    });
}

#[test]
fn other_budgets() {
    walk(|product| {
        let org = |id: &str, budget: Value| {
            product.admin("PUT", &format!("orgs/{id}"), json!({"models": ["*"], "budget": budget}));
        };
        let mut levels = Vec::new();
        match product.profile {
            Profile::PrivateMind | Profile::DeltaLlm => {
                product.admin("PUT", "orgs/acme/users/poor/budget", next_to_nothing("month"));
                levels.push(("user", product.key(json!({"user": "poor"})).1));
                org("poor", next_to_nothing("month"));
                levels.push(("org", product.key(json!({"org": "poor"})).1));
                if product.profile == Profile::DeltaLlm {
                    product.admin("PUT", "orgs/acme/teams/poor/budget", next_to_nothing("none"));
                    levels.push(("team", product.key(json!({"team": "poor"})).1));
                }
            }
            Profile::MindProxy => {
                org("prepaid", Value::Null);
                let top_up = json!({"usd": "0.000001"});
                product.admin("POST", "orgs/prepaid/wallet/top-ups", top_up);
                levels.push(("wallet", product.key(json!({"org": "prepaid"})).1));
            }
        }
        for (level, key) in levels {
            let refused = product.chat(&key, json!({}));
            let code = product.pick("budget_exceeded", "billing_shortfall", "budget_exceeded");
            assert_eq!(product.refused(&refused), (spent(product), code.to_owned()), "{level}");
            if product.profile == Profile::DeltaLlm {
                assert_eq!(refused.json()["error"]["param"], level);
            }
        }
        if product.profile == Profile::MindProxy {
            let (_, key) = product.key(json!({"org": "prepaid"}));
            let top_up = json!({"usd": "5"});
            product.admin("POST", "orgs/prepaid/wallet/top-ups?wait=5000", top_up);
            product.served(&key, json!({}));
        }
    });
}

#[test]
fn budget_status() {
    walk(|product| {
        let (_, key) = product.key(json!({"budget": budget(product)}));
        let refused = product.chat(&key, json!({}));
        assert_eq!(refused.status, product.pick(402, 402, 429));
        // The client of DeltaLLM that tries again on 429 is told not to.
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        assert_eq!(refused.header("retry-after"), None);
        let streamed = product.chat(&key, json!({"stream": true}));
        assert_eq!(streamed.status, refused.status);
    });
}

#[test]
fn budget_codes() {
    walk(|product| {
        let (_, key) = product.key(json!({"budget": budget(product)}));
        let mut error = product.chat(&key, json!({})).json()["error"].take();
        let message = error["message"].take();
        assert!(message.as_str().unwrap().len() > 10, "{message}");
        let expected = product.pick(
            json!({"message": null, "type": "billing_error", "code": "budget_exceeded"}),
            json!({"message": null, "type": "api_key_quota_exceeded"}),
            json!({"message": null, "type": "budget_exceeded", "param": "key",
                "code": "budget_exceeded"}),
        );
        assert_eq!(error, expected);
        if product.profile == Profile::PrivateMind {
            assert!(message.as_str().unwrap().starts_with("Key budget exhausted"), "{message}");
        }
    });
}

#[test]
fn accounting() {
    walk(|product| {
        // Five calls of at most 16 tokens out, at 617 nano-USD each, and a body of some 90 bytes.
        let (id, key) = product.key(json!({"budget": {"usd": "0.0001"}}));
        let statuses: Vec<_> = (0..12).map(|_| product.chat(&key, json!({})).status).collect();
        let served = statuses.iter().filter(|status| **status == 200).count();
        assert!((2..12).contains(&served), "{statuses:?}");
        assert_eq!(*statuses.last().unwrap(), spent(product), "{statuses:?}");
        // Settled by what was used, and what was set aside comes back.
        let records = product.records(&id, served);
        assert_eq!(records.len(), served, "refused calls are no calls");
        product.wait_for("the money to come back", || {
            let shown = product.admin("GET", &format!("keys/{id}"), Value::Null);
            shown["spend"]["outstanding_usd"] == "0.00"
        });
        let spend = product.admin("GET", &format!("keys/{id}"), Value::Null)["spend"].take();
        let usd = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let cost: f64 = records.iter().map(|record| usd(&record["cost_usd"])).sum();
        assert!((usd(&spend["settled_usd"]) - cost).abs() < 1e-9, "{spend} {cost}");
        assert!(usd(&spend["settled_usd"]) <= 0.0001, "no profile lets a cap be passed: {spend}");
    });
}

#[test]
fn per_call_cost_shown() {
    walk(|product| {
        let (_, key) = product.key(json!({}));
        let usage = product.served(&key, json!({}))["usage"].take();
        let is_shown = product.profile == Profile::PrivateMind;
        assert_eq!(usage.get("cost_usd").is_some_and(Value::is_number), is_shown, "{usage}");
        let total = usage["prompt_tokens"].as_u64().zip(usage["completion_tokens"].as_u64());
        let total = total.map(|(prompt, completion)| prompt + completion);
        assert_eq!(usage["total_tokens"].as_u64(), total);
        // Of a stream, whether or not usage was asked for.
        for (asked, shows_usage) in [(false, is_shown), (true, true)] {
            let options = json!({"stream": true, "stream_options": {"include_usage": asked}});
            let stream = product.chat(&key, options).success().unwrap().body;
            assert_eq!(stream.contains("\"total_tokens\""), shows_usage, "{stream}");
            assert_eq!(stream.contains("\"cost_usd\""), is_shown, "{stream}");
            assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
        }
        let body = json!({"model": "text-embedding-3-small", "input": "hello"});
        let client = xtask::http_client::Client::new(&product.gateway_url, Some(&key));
        let vectors = client.post("/v1/embeddings", &body).unwrap().success().unwrap().json();
        assert_eq!(vectors["usage"].get("cost_usd").is_some(), is_shown, "{vectors}");
    });
}

#[test]
fn price_rule() {
    walk(|product| {
        // Input and output of the model have a price each, and a plan multiplies both.
        let cost = |org: &str| {
            let (id, key) = product.key(json!({"org": org}));
            let usage = product.served(&key, json!({}))["usage"].take();
            let tokens = |name: &str| usage[name].as_u64().unwrap();
            let record = product.records(&id, 1)[0].take();
            let picos = tokens("prompt_tokens") * 153_000 + tokens("completion_tokens") * 617_000;
            (picos, record["cost_usd"].as_str().unwrap().parse::<f64>().unwrap(), usage)
        };
        let (picos, charged, usage) = cost("acme");
        let nanos = picos.div_ceil(1_000) as f64;
        assert!((charged * 1e9 - nanos).abs() < 0.5, "{charged} {nanos}");
        if product.profile == Profile::PrivateMind {
            assert_eq!(usage["cost_usd"].as_f64(), Some(charged));
        }
        if product.profile != Profile::MindProxy {
            return;
        }
        product.admin("PUT", "plans/double", json!({"price_multiplier": "2"}));
        product.admin("PUT", "orgs/doubled", json!({"models": ["*"]}));
        product.admin("PUT", "orgs/doubled/plan", json!({"plan": "double"}));
        let (picos, charged, _) = cost("doubled");
        let nanos = (2 * picos).div_ceil(1_000) as f64;
        assert!((charged * 1e9 - nanos).abs() < 0.5, "{charged} {nanos}");
        // What came from a cache costs its own price.
        let mut model = super::stage::simple_model();
        model["cached_input_usd_per_mtok"] = json!("0.015");
        product.admin("PUT", "models/cached", model);
        let (id, key) = product.key(json!({}));
        let fault = [("x-mock-fault", "cached=3")];
        let answer = product.chat_with(&key, &fault, json!({"model": "cached"})).success().unwrap();
        let usage = answer.json()["usage"].take();
        let tokens = |name: &str| usage[name].as_u64().unwrap();
        let fresh = (tokens("prompt_tokens") - 3) * 153_000;
        let picos = fresh + 3 * 15_000 + tokens("completion_tokens") * 617_000;
        let charged =
            product.records(&id, 1)[0]["cost_usd"].as_str().unwrap().parse::<f64>().unwrap();
        assert!((charged * 1e9 - picos.div_ceil(1_000) as f64).abs() < 0.5, "{charged} {picos}");
    });
}
