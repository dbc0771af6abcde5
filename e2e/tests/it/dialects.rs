//! What is charged in each dialect, against the upstream's own count; what is not served in any.

use e2e::audit::{compare, nano_of};
use e2e::disk::files_holding;
use e2e::models::add_models;
use e2e::operations::{self, Comes, Operation, get, post};
use e2e::{Fixture, RawAnswer};
use serde_json::{Value, json};

fn fixture() -> Fixture {
    let fixture = Fixture::start(2).unwrap();
    add_models(&fixture).unwrap();
    fixture
}

/// Sends these operations under one fault with a key of their own. Answers the records, in any
/// order, once they agree with the upstream's count.
fn charged(fixture: &Fixture, fault: &str, operations: &[Operation]) -> Vec<Value> {
    let (id, key) = fixture.key(json!({"budget": {"usd": "5", "period": "month"}})).unwrap();
    let header =
        if fault.is_empty() { String::new() } else { format!("x-mock-fault: {fault}\r\n") };
    let requests: Vec<_> =
        operations.iter().map(|operation| operation.request(&key, &header)).collect();
    let answers = RawAnswer::of_all(&fixture.stack.gateway_url, &requests).unwrap();
    for (operation, answer) in operations.iter().zip(answers) {
        assert_eq!(answer.status, 200, "{}: {}", operation.name, answer.text());
    }
    fixture.upstream_at_rest().unwrap();
    let records = fixture.records(&id, operations.len()).unwrap();
    let calls = fixture.upstream_calls(&id).unwrap();
    let comparison = compare(&records, &calls);
    assert_eq!((comparison.calls, comparison.lost), (operations.len(), 0), "{comparison:?}");
    assert!(comparison.recorded >= comparison.upstream, "{fault}: {comparison:?}");
    let spend = fixture.spend_at_rest(&id, std::time::Duration::from_secs(20)).unwrap();
    assert_eq!((spend.settled, spend.overdraft), (comparison.recorded, 0), "{fault}");
    records
}

fn streams() -> Vec<Operation> {
    let all = operations::all().into_iter();
    all.filter(|operation| operation.comes != Comes::Whole && operation.deltas > 4).collect()
}

#[test]
fn every_operation_is_charged_what_the_upstream_counts() {
    let fixture = fixture();
    for fault in ["", "cached=3"] {
        for record in charged(&fixture, fault, &operations::all()) {
            assert_eq!(record["basis"], "measured", "{fault}: {record}");
            assert!(nano_of(&record, "cost_usd") > 0, "{record}");
        }
    }
}

#[test]
fn no_operation_is_free_for_want_of_usage() {
    let fixture = fixture();
    for record in charged(&fixture, "no_usage", &operations::all()) {
        assert_eq!(record["basis"], "estimated", "{record}");
    }
    // Compressed although identity was asked for: read all the same, or estimated.
    for record in charged(&fixture, "gzip", &operations::all()) {
        assert!(nano_of(&record, "cost_usd") > 0, "{record}");
    }
    for fault in ["cut=4", "cut=4,no_usage", "error_after=4"] {
        for record in charged(&fixture, fault, &streams()) {
            assert!(nano_of(&record, "cost_usd") > 0, "{fault}: {record}");
        }
    }
}

#[test]
fn counting_tokens_and_listing_models_is_free() {
    let fixture = fixture();
    let (id, key) = fixture.key(json!({"budget": {"usd": "0.000001", "period": "none"}})).unwrap();
    let message = r#"{"model":"claude-mock","messages":[{"role":"user","content":"hello"}]}"#;
    let contents = r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#;
    let anthropic = format!("x-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n");
    let google = format!("x-goog-api-key: {key}\r\n");
    for (request, expected) in [
        (post("/v1/messages/count_tokens", &anthropic, message), r#"{"input_tokens":5}"#),
        (
            post("/v1beta/models/gemini-2.5-flash:countTokens", &google, contents),
            r#""totalTokens":5"#,
        ),
        (get("/v1/models", &anthropic), r#""has_more":false"#),
        (get("/v1/models", &google), r#""name":"models/gemini-2.5-flash""#),
        (get("/v1/models", &format!("authorization: Bearer {key}\r\n")), r#""object":"list""#),
    ] {
        let answer = RawAnswer::of(&fixture.stack.gateway_url, &request).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains(expected), "{}", answer.text());
    }
    let spend = fixture.spend(&id).unwrap();
    assert_eq!((spend.settled, spend.overdraft), (0, 0), "{spend:?}");
    assert_eq!(fixture.upstream_stats().unwrap()["answered"], 0);
}

#[test]
fn what_is_not_served_never_reaches_the_upstream() {
    let fixture = fixture();
    let (_, key) = fixture.key(json!({})).unwrap();
    let auth = format!("authorization: Bearer {key}\r\n");
    let body = r#"{"model":"gpt-4o-mini","messages":[],"input":"x"}"#;
    let posts = [
        "/",
        "/v1",
        "/v1/files",
        "/v1/batches",
        "/v1/responses/compact",
        "/v1/responses/resp_1/cancel",
        "/v1/audio/speech",
        "/v1/audio/transcriptions",
        "/v1/images/generations",
        "/v1/moderations",
        "/v1/decisions",
        "/v1/complete",
        "/v1/messages/batches",
        "/v1/messages/",
        "/v1/chat/completions/",
        "/v1/chat/completions/chatcmpl-1",
        "/V1/chat/completions",
        "/v1/chat/Completions",
        "/v1/chat/completions%00",
        "/v1/chat/completions;x=1",
        "/v2/chat/completions",
        "/openai/v1/messages",
        "/openai/deployments/gpt-4o-mini/audio/speech?api-version=1",
        "/openai/deployments//chat/completions?api-version=1",
        "/anthropic/v1/chat/completions",
        "/anthropic",
        "/anthropic/",
        "/gemini/v1/messages",
        "/v1beta/models/gemini-2.5-flash:predict",
        "/v1beta/models/gemini-2.5-flash:batchGenerateContent",
        "/v1beta/models/gemini-2.5-flash",
        "/v1beta/tunedModels/x:generateContent",
        "/v1beta/interactions",
        "/v1beta/cachedContents",
        "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
        "/_mock/reset",
        "/v1%2Fchat/completions",
        "/v1/chat%2Fcompletions",
        "/v1%2fchat%2fcompletions",
        "/v1/x%2F..%2Fchat/completions",
        "/v1%5Cchat/completions",
        "/openai/deployments/gpt-4o-mini%2Fchat/completions?api-version=1",
        "/openai/deployments/x%2F..%2Fgpt-4o-mini/chat/completions?api-version=1",
        "/gemini%2Fv1beta/models/gemini-2.5-flash:generateContent",
        "/v1beta/models%2Fgemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash%3AgenerateContent",
        "/v1beta/models/gemini-2.5-flash:GenerateContent",
    ];
    let gets = [
        "/",
        "/v1/files",
        "/v1/responses/resp_1",
        "/v1/chat/completions",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/realtime",
        "/v1/messages/batches",
        "/v1beta/files",
        "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        "/_mock/requests",
    ];
    let paths: Vec<_> = posts.iter().chain(&gets).collect();
    let requests: Vec<_> = posts
        .iter()
        .map(|path| post(path, &auth, body))
        .chain(gets.iter().map(|path| get(path, &auth)))
        .collect();
    let answers = RawAnswer::of_all(&fixture.stack.gateway_url, &requests).unwrap();
    for (path, answer) in paths.into_iter().zip(answers) {
        // A path that the proxy itself finds malformed is its own to refuse.
        let says = answer.text().to_lowercase().contains("unknown_endpoint");
        let refused = answer.status == 404 && says || answer.status == 400;
        assert!(refused, "{path}: {} {}", answer.status, answer.text());
    }
    let methods = ["DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"];
    for method in methods {
        let request = format!(
            "{method} /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n{auth}\r\n"
        );
        let answer = RawAnswer::of(&fixture.stack.gateway_url, request.as_bytes()).unwrap();
        assert!([403, 404, 405].contains(&answer.status), "{method}: {}", answer.status);
    }
    assert_eq!(fixture.upstream_stats().unwrap()["requests"], 0, "something came through");
}

/// SDKs escape the slash of such a name.
#[test]
fn a_model_with_a_slash_in_its_name_is_found_by_a_path() {
    let fixture = fixture();
    let model = json!({
        "input_usd_per_mtok": "0.153", "output_usd_per_mtok": "0.617",
        "context_length": 128_000, "max_output_tokens": 16_384, "aliases": ["llama/latest"],
    });
    let admin = fixture.stack.admin();
    admin.put("/admin/v1/models/meta%2Fllama", &model).unwrap().success().unwrap();
    let (id, key) = fixture.key(json!({})).unwrap();
    let auth = format!("authorization: Bearer {key}\r\n");
    let of = |request: &[u8]| RawAnswer::of(&fixture.stack.gateway_url, request).unwrap();
    for name in ["meta%2Fllama", "meta%2fllama", "meta/llama", "llama%2Flatest"] {
        let answer = of(&get(&format!("/v1/models/{name}"), &auth));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert!(answer.text().contains(r#""id":"meta/llama""#), "{name}: {}", answer.text());
    }
    let body = r#"{"model":"another","max_tokens":4,"messages":[{"role":"user","content":"x"}]}"#;
    let path = "/openai/deployments/llama%2Flatest/chat/completions?api-version=2024-10-21";
    let answer = of(&post(path, &auth, body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = fixture.upstream_requests().unwrap();
    let seen = seen.last().unwrap();
    let path = "/openai/deployments/meta%2Fllama/chat/completions?api-version=2024-10-21";
    assert_eq!(seen["path"], path);
    assert!(seen["body"].as_str().unwrap().starts_with(r#"{"model":"meta/llama","#), "{seen}");
    assert_eq!(fixture.records(&id, 1).unwrap()[0]["model"], "meta/llama");
}

#[test]
fn no_connection_becomes_a_websocket() {
    let mut fixture = fixture();
    let (_, key) = fixture.key(json!({})).unwrap();
    let upgrade = "upgrade: websocket\r\nconnection: upgrade, close\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for path in
        ["/v1/realtime?model=gpt-4o-mini", "/v1/responses", "/v1/models", "/gemini/v1beta/models"]
    {
        // Envoy refuses these itself, before the filter can take a key out of the URL.
        let in_url = if path.contains('?') { "&key=" } else { "?key=" };
        for request in [
            get(path, "").strip_suffix(b"\r\n").unwrap().to_vec(),
            get(&format!("{path}{in_url}{key}"), "").strip_suffix(b"\r\n").unwrap().to_vec(),
        ] {
            let request = String::from_utf8(request).unwrap().replace("connection: close\r\n", "");
            let request = format!("{request}{upgrade}authorization: Bearer {key}\r\n\r\n");
            let answer = RawAnswer::of(&fixture.stack.gateway_url, request.as_bytes()).unwrap();
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.text());
        }
    }
    assert_eq!(fixture.upstream_stats().unwrap()["requests"], 0, "something came through");
    for gateway in fixture.stack.gateways_mut() {
        gateway.stop();
    }
    let (holding, _) = files_holding(&fixture.stack.run_folder, &key).unwrap();
    assert_eq!(holding, Vec::<String>::new(), "the shipped access log has no query");
    let (logs, _) = files_holding(&fixture.stack.run_folder, "upgrade_failed").unwrap();
    assert!(!logs.is_empty(), "the log is not where it was looked for");
}
