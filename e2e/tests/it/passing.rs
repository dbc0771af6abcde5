//! What an allowed call looks like to client and upstream.

use e2e::{Fixture, MODEL, chat, streamed_chat};
use serde_json::json;

#[test]
fn an_allowed_call_is_priced_and_shows_the_upstream_no_secret() {
    let fixture = Fixture::start(2).unwrap();
    let members = json!({"budget": {"usd": "1.00", "period": "month"}});
    let (id, key) = fixture.key(members).unwrap();
    let (_, pair) = fixture.key(json!({"format": "privatemind"})).unwrap();
    let client = fixture.stack.gateway(&key);

    let body = json!({"model": "fast", "messages": [{"role": "user", "content": "hello"}]});
    let headers = [
        ("x-tollgate-org", "liar"),
        ("x-tollgate-anything", "x"),
        ("cookie", "session=secret-cookie"),
        ("accept-encoding", "gzip, br"),
    ];
    let answer =
        client.send("POST", "/v1/chat/completions", &headers, Some(body.to_string())).unwrap();
    let answer = answer.success().unwrap();
    let usage = &answer.json()["usage"];
    // "hello" is 5 prompt tokens and the mock answers with 16: 5 * 0.153 + 16 * 0.617 micro-USD
    assert_eq!(usage["prompt_tokens"], 5);
    assert_eq!(usage["completion_tokens"], 16);
    assert_eq!(usage["cost_usd"].to_string(), "0.000010637");
    let request_id = answer.header("x-tollgate-request-id").unwrap().to_owned();
    assert_eq!(answer.header("x-request-id"), Some(request_id.as_str()));

    let seen = fixture.upstream_requests().unwrap();
    let seen = seen.last().unwrap();
    let text = seen.to_string().to_ascii_lowercase();
    for secret in [key.as_str(), "liar", "secret-cookie", "x-tollgate-anything", "authorization"] {
        assert!(!text.contains(&secret.to_ascii_lowercase()), "{secret} reached the upstream");
    }
    let header = |name: &str| {
        let pairs = seen["headers"].as_array().unwrap();
        pairs.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    assert_eq!(header("x-tollgate-org").as_deref(), Some("acme"));
    assert_eq!(header("x-tollgate-key-id"), Some(id.clone()));
    assert_eq!(header("x-tollgate-model").as_deref(), Some(MODEL));
    assert_eq!(header("x-tollgate-request-id"), Some(request_id.clone()));
    assert_eq!(header("accept-encoding").as_deref(), Some("identity"));
    let sent: serde_json::Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["model"], MODEL, "the alias is resolved");
    assert_eq!(sent["max_tokens"], 16_384, "the output limit is written");

    // the pair form of a key, and one without a budget: nothing is written
    chat(&fixture.stack.gateway(&pair), json!({})).unwrap().success().unwrap();
    let seen = fixture.upstream_requests().unwrap();
    let body = seen.last().unwrap()["body"].as_str().unwrap().to_owned();
    assert!(!body.contains("max_tokens"), "{body}");

    let records = fixture.records(&id, 1).unwrap();
    assert_eq!(records[0]["request"], request_id.as_str());
    assert_eq!(records[0]["cost_usd"], "0.000010637");
    assert_eq!(records[0]["basis"], "measured");
    assert_eq!(records[0]["differs"], false);
}

#[test]
fn usage_of_a_stream_is_forced_and_shown_only_to_who_asked() {
    let fixture = Fixture::start(1).unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "1", "period": "none"}})).unwrap();
    let client = fixture.stack.gateway(&key);

    let asked = json!({"stream_options": {"include_usage": true}});
    let events = streamed_chat(&client, asked).unwrap();
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(usage["cost_usd"].to_string(), "0.000010637", "{events:?}");
    assert!(events[0]["usage"].is_null() && events[0].get("usage").is_some());

    for not_asked in [json!({}), json!({"stream_options": {"include_usage": false}})] {
        let events = streamed_chat(&client, not_asked).unwrap();
        assert!(events.iter().all(|event| event.get("usage").is_none()), "{events:?}");
        assert!(events.iter().all(|event| !event["choices"].as_array().unwrap().is_empty()));
        let text: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "tok ".repeat(16));
    }
    let records = fixture.records(&id, 3).unwrap();
    assert!(records.iter().all(|record| record["basis"] == "measured"), "{records:?}");
    assert!(records.iter().all(|record| record["cost_usd"] == "0.000010637"));
}

#[test]
fn models_are_listed_for_the_key_and_count_in_no_window() {
    let fixture = Fixture::start(1).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 1, "scope": "proxy"}]);
    let (_, key) = fixture.key(json!({"models": [MODEL], "limits": limits})).unwrap();
    let client = fixture.stack.gateway(&key);
    for _ in 0..5 {
        let list = client.get("/v1/models").unwrap().success().unwrap().json();
        let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
        assert_eq!(ids, [MODEL]);
    }
    assert_eq!(client.get("/v1/models/gpt-4o").unwrap().status, 404);
    chat(&client, json!({})).unwrap().success().unwrap();
    assert_eq!(chat(&client, json!({})).unwrap().status, 429);

    let (_, none) = fixture.key(json!({"models": []})).unwrap();
    let list = fixture.stack.gateway(&none).get("/v1/models").unwrap().success().unwrap().json();
    assert_eq!(list["data"], json!([]));
    let org = json!({"name": "Acme", "models": []});
    let changed = fixture.stack.admin().put("/admin/v1/orgs/acme?wait=2000", &org).unwrap();
    assert_eq!(changed.success().unwrap().json()["applied"], true);
    let refused = client.get("/v1/models").unwrap();
    assert_eq!((refused.status, refused.error_code().as_str()), (403, "no_models"));
}

#[test]
fn a_dry_run_passes_every_check_and_costs_nothing() {
    let fixture = Fixture::start(2).unwrap();
    // Each of them counts as a request, and so does the call behind them.
    let four_a_minute = json!([{"unit": "requests", "window": "1m", "max": 4, "scope": "proxy"}]);
    let members = json!({"budget": {"usd": "0.02", "period": "none"}, "limits": four_a_minute});
    let (id, key) = fixture.key(members).unwrap();
    let client = fixture.stack.gateway(&key);
    let text = [("role", "user"), ("content", "hello")];
    let call = |tokens: u64, headers: &[(&str, &str)]| {
        let message: serde_json::Map<_, _> =
            text.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let body = json!({"model": "fast", "max_tokens": tokens, "messages": [message]});
        client.send("POST", "/v1/chat/completions", headers, Some(body.to_string())).unwrap()
    };
    let dry = [("x-tollgate-dry-run", "true")];
    for _ in 0..3 {
        let answer = call(16, &dry).success().unwrap().json();
        assert_eq!(
            (&answer["object"], &answer["allowed"]),
            (&json!("tollgate.dry_run"), &json!(true))
        );
        assert_eq!(
            (&answer["model"], &answer["at_most"]["output_tokens"]),
            (&json!(MODEL), &json!(16))
        );
        let most = answer["at_most"]["cost_usd"].as_str().unwrap().parse::<f64>().unwrap();
        assert!((0.000_010..0.000_2).contains(&most), "{answer}");
    }
    // More than the budget holds, and then more than the window holds.
    let dear = call(100_000, &dry);
    assert_eq!((dear.status, &dear.json()["error"]["code"]), (402, &json!("budget_exceeded")));
    assert_eq!(fixture.upstream_requests().unwrap().len(), 0);
    call(16, &[]).success().unwrap();
    let late = call(16, &dry);
    assert_eq!((late.status, &late.json()["error"]["code"]), (429, &json!("rpm_exceeded")));
    let records = fixture.records(&id, 1).unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
}
