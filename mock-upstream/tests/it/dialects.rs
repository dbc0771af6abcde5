//! Each API in its own form, and one count for all of them.

use serde_json::{Value, json};

use crate::server::{TestServer, json_body};

const HELLO: &str = r#""messages":[{"role":"user","content":"hello"}]"#;
const CONTENTS: &str = r#""contents":[{"role":"user","parts":[{"text":"hello"}]}]"#;

/// Path, body, input and output tokens of one request for each operation and delivery.
fn operations() -> Vec<(String, String, u64, u64)> {
    let stream = r#""stream":true"#;
    let mut all: Vec<(String, String, u64, u64)> = Vec::new();
    let mut add = |path: &str, body: String, input, output| {
        all.push((path.to_owned(), body, input, output));
    };
    for more in [r#""stream":false"#, stream] {
        let options =
            if more == stream { r#","stream_options":{"include_usage":true}"# } else { "" };
        add("/v1/chat/completions", format!(r#"{{"model":"m",{HELLO},{more}{options}}}"#), 5, 16);
        let tool = r#""tools":[{"type":"function","function":{"name":"f","parameters":{}}}]"#;
        add("/v1/chat/completions", format!(r#"{{"model":"m",{HELLO},{tool},{more}}}"#), 5, 16);
        add(
            "/openai/deployments/m/chat/completions?api-version=2024-10-21",
            format!(r#"{{{HELLO},{more}}}"#),
            5,
            16,
        );
        let many = r#""prompt":["ab","cde"],"n":2,"max_tokens":3"#;
        add("/v1/completions", format!(r#"{{"model":"m",{many},{more}{options}}}"#), 5, 12);
        add("/v1/responses", format!(r#"{{"model":"m","input":"hello",{more}}}"#), 5, 16);
        let tool = r#""tools":[{"type":"function","name":"f","parameters":{}}]"#;
        add("/v1/responses", format!(r#"{{"model":"m","input":"hello",{tool},{more}}}"#), 5, 16);
        let limit = r#""max_output_tokens":4"#;
        add(
            "/openai/responses",
            format!(r#"{{"model":"m","input":"hello",{limit},{more}}}"#),
            5,
            4,
        );
        let limit = r#""max_tokens":100"#;
        add("/v1/messages", format!(r#"{{"model":"m",{limit},{HELLO},{more}}}"#), 5, 16);
        let thinking = r#""thinking":{"type":"enabled","budget_tokens":50}"#;
        add("/v1/messages", format!(r#"{{"model":"m",{limit},{HELLO},{thinking},{more}}}"#), 5, 16);
        let tool = r#""tools":[{"name":"f","input_schema":{"type":"object"}}]"#;
        add("/v1/messages", format!(r#"{{"model":"m",{limit},{HELLO},{tool},{more}}}"#), 5, 16);
    }
    for version in ["v1", "v1beta"] {
        for verb in ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"] {
            let path = format!("/{version}/models/m:{verb}");
            add(&path, format!("{{{CONTENTS}}}"), 5, 16);
            let config = r#""generationConfig":{"maxOutputTokens":8,"candidateCount":2,"thinkingConfig":{"includeThoughts":true}}"#;
            add(&path, format!("{{{CONTENTS},{config}}}"), 5, 16);
            let tools = r#""tools":[{"functionDeclarations":[{"name":"f"}]}]"#;
            add(&path, format!("{{{CONTENTS},{tools}}}"), 5, 16);
        }
        let content = r#""content":{"parts":[{"text":"hello"}]}"#;
        add(&format!("/{version}/models/m:embedContent"), format!("{{{content}}}"), 5, 0);
        let two = format!(r#"{{"requests":[{{{content}}},{{{content}}}]}}"#);
        add(&format!("/{version}/models/m:batchEmbedContents"), two, 10, 0);
    }
    for format in ["float", "base64"] {
        let body = format!(r#"{{"model":"m","input":["ab","c"],"encoding_format":"{format}"}}"#);
        add("/v1/embeddings", body, 3, 0);
    }
    all
}

/// Whether an answer is a stream with several deltas: a Gemini function call is one.
fn has_deltas(path: &str, body: &str) -> bool {
    (body.contains("\"stream\":true") || path.contains("stream"))
        && !body.contains("functionDeclarations")
}

/// Every JSON document of an answer, in order, whichever way it was framed.
fn documents(answer: &str) -> Vec<Value> {
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    if let Ok(whole) = serde_json::from_str::<Value>(body) {
        return match whole {
            Value::Array(items) => items,
            one => vec![one],
        };
    }
    body.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// Input and output as the last report of an answer has them.
fn reported(documents: &[Value]) -> Option<(u64, u64)> {
    let usage = documents.iter().rev().find_map(|document| {
        ["usage", "usageMetadata"]
            .iter()
            .flat_map(|name| [&document[*name], &document["response"][*name]])
            .find(|usage| usage.is_object())
    })?;
    let sum = |names: &[&str]| names.iter().filter_map(|name| usage[*name].as_u64()).sum::<u64>();
    Some((
        sum(&["prompt_tokens", "input_tokens", "promptTokenCount"]),
        sum(&["completion_tokens", "output_tokens", "candidatesTokenCount", "thoughtsTokenCount"]),
    ))
}

#[test]
fn every_operation_reports_and_counts_what_it_produced() {
    let server = TestServer::start();
    for (path, body, input, output) in operations() {
        server.post("/_mock/reset", &Value::Null);
        let answer = server.whole(&path, &body, "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path} {body}: {answer}");
        let documents = documents(&answer);
        let asked = !body.contains("\"stream\":true")
            || body.contains("include_usage")
            || !path.contains("completions");
        let expected = asked.then_some((input, output));
        assert_eq!(reported(&documents), expected, "{path} {body}: {answer}");
        server.settled_stats();
        let call = server.get("/_mock/calls")["calls"][0].clone();
        let counted = (call["prompt_tokens"].as_u64(), call["completion_tokens"].as_u64());
        assert_eq!(counted, (Some(input), Some(output)), "{path} {body}");
        assert_eq!(call["complete"], true, "{path} {body}");
        assert_eq!(path.split('?').next(), call["path"].as_str());
    }
    assert!(server.get("/_mock/stats")["elsewhere"] == 0);
}

#[test]
fn the_same_question_has_the_same_answer_byte_for_byte() {
    let server = TestServer::start();
    let without_date = |answer: String| {
        let kept = answer.lines().filter(|line| !line.starts_with("date: "));
        kept.collect::<Vec<_>>().join("\n")
    };
    for (path, body, ..) in operations() {
        let first = without_date(server.whole(&path, &body, ""));
        assert_eq!(first, without_date(server.whole(&path, &body, "")), "{path} {body}");
    }
}

#[test]
fn a_cut_stream_of_any_api_counts_what_was_sent() {
    let server = TestServer::start();
    for (path, body, input, _) in operations() {
        if !has_deltas(&path, &body) {
            continue;
        }
        server.post("/_mock/reset", &Value::Null);
        let answer = server.raw(&path, &body, "cut=2");
        assert!(!answer.ends_with("0\r\n\r\n"), "{path}: ended in order");
        let stats = server.settled_stats();
        assert_eq!((&stats["prompt_tokens"], &stats["completed"]), (&json!(input), &json!(0)));
        assert_eq!(stats["completion_tokens"], 2, "{path} {body}");
    }
}

#[test]
fn a_stream_ends_with_an_error_in_its_own_form() {
    let server = TestServer::start();
    for (path, body, ..) in operations() {
        if !has_deltas(&path, &body) {
            continue;
        }
        let raw = server.raw(&path, &body, "error_after=1");
        assert!(raw.ends_with("0\r\n\r\n"), "{path}: {raw}");
        let answer = server.whole(&path, &body, "error_after=1");
        let documents = documents(&answer);
        let last = documents.last().unwrap();
        let is_error = last["error"].is_object() || last["type"] == "error";
        assert!(is_error, "{path} {body}: {answer}");
        let named = answer.contains("event: error\n");
        assert_eq!(named, path.contains("responses") || path.contains("messages"), "{path}");
    }
}

#[test]
fn errors_have_the_form_of_the_api_that_is_asked() {
    let server = TestServer::start();
    let failed = |path: &str| json_body(&server.whole(path, "{}", "status=429"));
    assert_eq!(failed("/v1/chat/completions")["error"]["code"], "mock_fault");
    let anthropic = failed("/v1/messages");
    assert_eq!(anthropic["type"], "error");
    assert_eq!(anthropic["error"]["type"], "rate_limit_error");
    let gemini = failed("/v1beta/models/m:generateContent");
    assert_eq!(gemini["error"]["code"], 429);
    assert_eq!(gemini["error"]["status"], "RESOURCE_EXHAUSTED");
    let answer = server.whole("/v1/messages", "{}", "status=503,retry_after=7,no_retry");
    assert!(answer.contains("retry-after: 7\r\n") && answer.contains("x-should-retry: false\r\n"));
}

#[test]
fn caches_are_a_part_of_the_input_or_stand_beside_it() {
    let server = TestServer::start();
    let chat = format!(r#"{{"model":"m",{HELLO}}}"#);
    let usage =
        json_body(&server.whole("/v1/chat/completions", &chat, "cached=3"))["usage"].clone();
    assert_eq!(usage["prompt_tokens"], 5);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 3);
    let message = format!(r#"{{"model":"m","max_tokens":9,{HELLO}}}"#);
    let answer = server.whole("/v1/messages", &message, "cached=3,cache_write=1");
    let usage = json_body(&answer)["usage"].clone();
    assert_eq!(usage["input_tokens"], 1);
    assert_eq!(usage["cache_read_input_tokens"], 3);
    assert_eq!(usage["cache_creation_input_tokens"], 1);
    let calls = server.get("/_mock/calls");
    assert_eq!(calls["calls"][1]["prompt_tokens"], 5);
    assert_eq!(calls["calls"][1]["cached_tokens"], 3);
    assert_eq!(calls["calls"][1]["cache_write_tokens"], 1);
}

#[test]
fn what_is_billed_beyond_what_is_shown_is_counted_and_reported() {
    let server = TestServer::start();
    let message = format!(r#"{{"model":"m","max_tokens":9,{HELLO}}}"#);
    let answer = server.whole("/v1/messages", &message, "searches=2,unseen=100");
    let usage = json_body(&answer)["usage"].clone();
    assert_eq!(usage["server_tool_use"]["web_search_requests"], 2);
    assert_eq!(usage["output_tokens"], 109);
    let calls = server.get("/_mock/calls");
    assert_eq!(calls["calls"][0]["searches"], 2);
    assert_eq!(calls["calls"][0]["completion_tokens"], 109);
}

#[test]
fn counting_and_listing_is_free_and_in_the_form_of_who_asks() {
    let server = TestServer::start();
    let message = format!(r#"{{"model":"m",{HELLO}}}"#);
    let counted = json_body(&server.whole("/v1/messages/count_tokens", &message, ""));
    assert_eq!(counted, json!({"input_tokens": 5}));
    let path = "/v1/models/m:countTokens";
    let counted = json_body(&server.whole(path, &format!("{{{CONTENTS}}}"), ""));
    assert_eq!(counted["totalTokens"], 5);
    assert!(server.get("/v1beta/models")["models"].is_array());
    assert!(server.get("/v1/models?key=k")["models"].is_array());
    assert_eq!(server.get("/v1/models/gpt-4o")["id"], "gpt-4o");
    assert_eq!(server.get("/v1beta/models/gpt-4o")["name"], "models/gpt-4o");
    let stats = server.settled_stats();
    assert_eq!((&stats["answered"], &stats["elsewhere"]), (&json!(0), &json!(0)));
}

#[test]
fn an_answer_can_be_compressed_against_the_wish_of_who_asks() {
    let server = TestServer::start();
    for (path, body, ..) in operations() {
        let plain = server.whole_bytes(&path, &body, "");
        let packed = server.whole_bytes(&path, &body, "gzip");
        let (head, rest) = split(&packed);
        assert!(head.contains("content-encoding: gzip\r\n"), "{path}: {head}");
        let mut unpacked = String::new();
        let mut reader = flate2::read::GzDecoder::new(rest.as_slice());
        std::io::Read::read_to_string(&mut reader, &mut unpacked).unwrap();
        assert_eq!(unpacked.as_bytes(), split(&plain).1, "{path} {body}");
    }
}

/// Head and body of an answer, the body without its HTTP chunks.
fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let mut rest = &answer[at..];
    if !head.contains("transfer-encoding: chunked\r\n") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
        if size == 0 {
            return (head, body);
        }
    }
}
