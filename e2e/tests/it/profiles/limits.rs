//! Rate limits: what is counted, for whom, and how a client hears of it.

use serde_json::{Value, json};
use xtask::http_client::Answer;

use super::stage::limit;
use super::{Product, Profile, walk};

/// A key that may call once a minute.
fn once_a_minute(product: &Product) -> String {
    product.key(json!({"limits": [limit("requests", "1m", 1)]})).1
}

fn twice_a_minute() -> Value {
    limit("requests", "1m", 2)
}

/// The answer to the call after those that the limit allows.
fn one_too_many(product: &Product, limits: Value, members: Value) -> Answer {
    let (_, key) = product.key(json!({"limits": limits}));
    product.served(&key, members.clone());
    product.chat(&key, members)
}

#[test]
fn rate_limit() {
    walk(|product| {
        let (_, key) = product.key(json!({"limits": [limit("requests", "1m", 10)]}));
        for _ in 0..10 {
            product.served(&key, json!({}));
        }
        let code = product.pick("rpm_exceeded", "rate_limited", "key_rpm_exceeded");
        assert_eq!(product.chat_refused(&key, json!({})), (429, code.to_owned()));
        if product.profile != Profile::DeltaLlm {
            return;
        }
        // Its other units and windows. A call of 16 tokens at most sets some 50 aside.
        for (unit, window, most, code) in [
            ("requests", "1h", 1, "key_rph_exceeded"),
            ("requests", "1d", 1, "key_rpd_exceeded"),
            ("tokens", "1m", 200, "key_tpm_exceeded"),
            ("tokens", "1d", 200, "key_tpd_exceeded"),
        ] {
            let (_, key) = product.key(json!({"limits": [limit(unit, window, most)]}));
            let answers: Vec<_> = (0..30).map(|_| product.chat(&key, json!({}))).collect();
            let full = answers.iter().find(|answer| answer.status != 200).expect(code);
            assert_eq!(product.refused(full), (429, code.to_owned()));
        }
        let (id, key) = product.key(json!({"limits": [limit("concurrent", "", 1)]}));
        std::thread::scope(|scope| {
            let slow = scope
                .spawn(|| product.chat_with(&key, &[("x-mock-fault", "delay=2000")], json!({})));
            product.wait_for("the slow call", || !product.upstream_requests(&id).is_empty());
            let beside = product.chat(&key, json!({}));
            assert_eq!((beside.status, beside.header("retry-after")), (429, Some("1")));
            let message = beside.json()["error"]["message"].clone();
            assert_eq!(message, "Parallel request limit exceeded");
            assert_eq!(slow.join().unwrap().status, 200);
        });
        product.served(&key, json!({}));
    });
}

#[test]
fn rate_scopes() {
    walk(|product| {
        // Each key has its own.
        let (one, other) = (once_a_minute(product), once_a_minute(product));
        for key in [&one, &other] {
            product.served(key, json!({}));
            assert_eq!(product.chat(key, json!({})).status, 429);
        }
        if product.profile != Profile::DeltaLlm {
            return;
        }
        // All keys of an organisation, a team or a user share its limits, of all models or of one.
        let of_model = json!([{"unit": "requests", "window": "1m", "max": 2, "model": "fast"}]);
        product.admin(
            "PUT",
            "orgs/limited",
            json!({"models": ["*"], "limits": [twice_a_minute()]}),
        );
        for (path, limits) in [
            ("teams/limited", json!([twice_a_minute()])),
            ("users/limited", json!([twice_a_minute()])),
            ("teams/of-a-model", of_model),
        ] {
            product.admin("PUT", &format!("orgs/acme/{path}"), json!({"limits": limits}));
        }
        for (members, scope) in [
            (json!({"org": "limited"}), "org_rpm"),
            (json!({"team": "limited"}), "team_rpm"),
            (json!({"user": "limited"}), "user_rpm"),
            (json!({"team": "of-a-model"}), "team_model_rpm"),
        ] {
            let (one, other) = (product.key(members.clone()).1, product.key(members).1);
            product.served(&one, json!({}));
            product.served(&other, json!({}));
            for key in [&one, &other] {
                let full = product.chat(key, json!({}));
                assert_eq!(product.refused(&full), (429, format!("{scope}_exceeded")));
                assert_eq!(full.json()["error"]["param"], scope);
                let elsewhere = product.chat(key, json!({"model": "gpt-4o"})).status;
                assert_eq!(elsewhere == 200, scope.contains("model"), "{scope}");
            }
        }
    });
}

#[test]
fn body_of_429() {
    walk(|product| {
        let full = one_too_many(product, json!([limit("requests", "1m", 1)]), json!({}));
        assert_eq!(full.status, 429);
        let mut error = full.json()["error"].take();
        let message = error["message"].take();
        let message = message.as_str().unwrap();
        match product.profile {
            Profile::PrivateMind => {
                assert!(message.starts_with("Rate limit exceeded"), "{message}");
                let rest =
                    json!({"message": null, "type": "rate_limit_error", "code": "rpm_exceeded"});
                assert_eq!(error, rest);
            }
            Profile::MindProxy => {
                assert_eq!(error, json!({"message": null, "type": "rate_limited"}));
            }
            Profile::DeltaLlm => {
                assert_eq!(message, "Rate limit exceeded for scope 'key_rpm'");
                let rest = json!({"message": null, "type": "rate_limit_error", "param": "key_rpm",
                    "code": "key_rpm_exceeded"});
                assert_eq!(error, rest);
            }
        }
    });
}

#[test]
fn retry_after() {
    walk(|product| {
        let full = one_too_many(product, json!([limit("requests", "1m", 1)]), json!({}));
        let wait: u64 = full.header("retry-after").unwrap().parse().unwrap();
        assert!((50..=60).contains(&wait), "a minute slides: {wait}");
        let full = one_too_many(product, json!([limit("requests", "1h", 1)]), json!({}));
        let wait: u64 = full.header("retry-after").unwrap().parse().unwrap();
        assert!((3_550..=3_600).contains(&wait), "{wait}");
    });
}

#[test]
fn rate_headers() {
    walk(|product| {
        let limits = json!([limit("requests", "1m", 20), limit("tokens", "1d", 100_000)]);
        let (_, key) = product.key(json!({"limits": limits}));
        let answers: Vec<_> = (0..19).map(|_| product.chat(&key, json!({}))).collect();
        assert!(answers.iter().all(|answer| answer.status == 200));
        let (first, last) = (&answers[0], &answers[18]);
        let number = |answer: &Answer, name: &str| -> u64 {
            answer.header(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
        };
        let full = product.chat(&once_a_minute(product), json!({}));
        assert_eq!(full.status, 200);
        match product.profile {
            // Nothing is documented: those of OpenAI's API, which its SDKs know.
            Profile::PrivateMind => {
                assert_eq!(number(first, "x-ratelimit-limit-requests"), 20);
                assert_eq!(number(first, "x-ratelimit-remaining-requests"), 19);
                assert_eq!(number(last, "x-ratelimit-remaining-requests"), 1);
            }
            Profile::MindProxy => {
                assert_eq!(number(first, "x-ratelimit-limit"), 20);
                assert_eq!(number(last, "x-ratelimit-remaining"), 1);
                assert!((1..=60).contains(&number(last, "x-ratelimit-reset")));
                assert_eq!(last.header("x-ratelimit-limit-requests"), None);
                let refused = one_too_many(product, json!([limit("requests", "1m", 1)]), json!({}));
                let left = ["limit", "remaining"]
                    .map(|what| number(&refused, &format!("x-ratelimit-{what}")));
                assert_eq!(left, [1, 0]);
                let wait = number(&refused, "retry-after");
                assert_eq!(number(&refused, "x-ratelimit-reset"), wait);
            }
            Profile::DeltaLlm => {
                assert_eq!(number(first, "x-ratelimit-limit-requests"), 20);
                assert_eq!(number(first, "x-ratelimit-limit-tokens"), 100_000);
                assert_eq!(number(last, "x-ratelimit-remaining-requests"), 1);
                assert!(number(last, "x-ratelimit-reset-requests") > 1_700_000_000, "Unix seconds");
                assert_eq!(last.header("x-deltallm-ratelimit-scope"), Some("key_rpm"));
                assert_eq!(first.header("x-ratelimit-warning"), None);
                let at = |answer: &Answer| answer.header("x-ratelimit-warning").map(str::to_owned);
                assert_eq!(at(&answers[16]).as_deref(), Some("approaching_limit"), "17 of 20");
                assert_eq!(at(last).as_deref(), Some("near_limit"), "19 of 20");
                let refused = one_too_many(product, json!([limit("requests", "1m", 1)]), json!({}));
                assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0);
            }
        }
        let (_, free) = product.key(json!({}));
        let answer = product.chat(&free, json!({})).success().unwrap();
        let has_any = answer.headers.iter().any(|(name, _)| name.starts_with("x-ratelimit"));
        assert!(!has_any, "no limit, no header: {:?}", answer.headers);
    });
}
