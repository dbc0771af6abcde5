//! Shadow mode through a real Envoy: what would be refused goes on, is told and recorded, and costs no
//! account anything.

use std::time::Duration;

use e2e::{Fixture, RawAnswer, chat, streamed_chat, wait_within};
use serde_json::{Value, json};
use xtask::http_client::Answer;
use xtask::stack::StackOptions;

/// Counts are told once a second, and Envoy writes its log every ten seconds at the latest.
const SOON: Duration = Duration::from_secs(15);

fn told(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("x-tollgate-shadow"))
}

fn counted(fixture: &Fixture, line: &str) -> bool {
    let page =
        fixture.stack.envoy_admin().get("/stats/prometheus").unwrap().success().unwrap().body;
    page.lines().any(|other| other == line)
}

#[test]
fn a_key_in_shadow_mode_is_refused_nothing_until_that_ends() {
    let fixture = Fixture::start(1).unwrap();
    let (id, secret) = fixture
        .key(json!({"budget": {"usd": "0.000001", "period": "none"}, "models": [e2e::MODEL],
                    "shadow": true}))
        .unwrap();
    let gateway = fixture.stack.gateway(&secret);

    let answer = chat(&gateway, json!({})).unwrap();
    assert_eq!(told(&answer), (200, Some("budget_exceeded")), "{}", answer.body);
    let other = chat(&gateway, json!({"model": "gpt-4o", "max_tokens": 5})).unwrap();
    assert_eq!(told(&other), (200, Some("model_not_allowed")));
    let events = streamed_chat(&gateway, json!({"max_tokens": 50})).unwrap();
    assert!(events.len() > 2, "{events:?}");

    let records = fixture.records(&id, 3).unwrap();
    let mut codes: Vec<&Value> = records.iter().map(|record| &record["would_refuse"]).collect();
    codes.sort_by_key(|code| code.to_string());
    assert_eq!(codes, ["budget_exceeded", "budget_exceeded", "model_not_allowed"]);
    let of_first =
        records.iter().find(|record| record["status"] == 200 && record["streamed"] == false);
    let (usage, record) = (answer.json()["usage"].clone(), of_first.unwrap());
    assert_eq!(record["basis"], "measured");
    assert!(usage["cost_usd"].as_f64().unwrap() > 0.000001, "it costs more than there is: {usage}");
    let spend = fixture.spend(&id).unwrap();
    assert_eq!((spend.settled, spend.outstanding, spend.overdraft), (0, 0, 0));
    let line = |code: &str, count: u32| {
        format!("tollgate_shadow_decisions_total{{code=\"{code}\"}} {count}")
    };
    wait_within(SOON, Duration::from_millis(200), "the counts", || {
        let shadow = counted(&fixture, &line("budget_exceeded", 2))
            && counted(&fixture, &line("model_not_allowed", 1));
        Ok(shadow && counted(&fixture, "tollgate_decisions_total{code=\"allowed\"} 3"))
    })
    .unwrap();

    let path = format!("/admin/v1/keys/{id}?wait=2000");
    let changed = fixture.stack.admin().patch(&path, &json!({"shadow": false})).unwrap();
    assert_eq!(changed.success().unwrap().json()["applied"], true);
    let refused = chat(&gateway, json!({})).unwrap();
    assert_eq!((told(&refused), refused.error_code()), ((402, None), "budget_exceeded".to_owned()));
}

#[test]
fn on_a_path_in_shadow_mode_everything_goes_on_without_the_clients_credential() {
    let mut filter_config = StackOptions::default().filter_config;
    filter_config["shadow"] = json!({"paths": ["/v1/embeddings", "/v1/unheard-of*"]});
    filter_config["limits"]["body_bytes"] = json!(100_000);
    let options = StackOptions { concurrency: 1, filter_config, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let url = fixture.stack.gateway_url.clone();
    let (_, key) = fixture.key(json!({})).unwrap();
    let nobody = "sk-nobody-0123456789abcdef0123456789";
    let small = r#"{"model":"gpt-4o-mini","input":"hello"}"#;
    let large = format!(r#"{{"model":"gpt-4o-mini","input":"{}"}}"#, "hello ".repeat(50_000));
    let send = |path: &str, headers: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n{headers}\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        RawAnswer::of(&url, request.as_bytes()).unwrap()
    };
    let bearer = |key: &str| format!("authorization: Bearer {key}\r\n");
    let both = format!("{}x-api-key: {key}\r\ncookie: {key}\r\n", bearer(&key));
    let path = "/v1/embeddings";
    let with_key = format!("{path}?key={key}");
    for (path, headers, body, code) in [
        (path, String::new(), small, "missing_api_key"),
        (path, bearer(nobody), small, "invalid_api_key"),
        (path, both, small, "invalid_api_key"),
        (&with_key, String::new(), small, "invalid_api_key"),
        (path, bearer(&key), &large, "body_too_large"),
        (path, bearer(nobody), &large, "invalid_api_key"),
        (path, bearer(&key), r#"{"model":"nothing","input":"x"}"#, "unknown_model"),
    ] {
        let answer = send(path, &headers, body);
        assert_eq!(
            (answer.status, answer.header("x-tollgate-shadow")),
            (200, Some(code)),
            "{path}"
        );
        assert!(answer.text().contains("\"embedding\""), "{code}: {}", answer.text());
    }
    let unheard_of = send("/v1/unheard-of/path", &bearer(&key), small);
    assert_eq!(unheard_of.header("x-tollgate-shadow"), Some("unknown_endpoint"));
    let elsewhere = send("/v1/chat/completions", "", small);
    assert_eq!((elsewhere.status, elsewhere.header("x-tollgate-shadow")), (401, None));

    let seen = fixture.upstream_requests().unwrap();
    assert!(seen.len() >= 7, "{}", seen.len());
    for request in &seen {
        let text = request.to_string();
        assert!(!text.contains(&key) && !text.contains(nobody), "{text}");
    }
}
