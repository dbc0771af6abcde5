use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::SyntaxError;

fn read(text: &str) -> Result<ChatRequest, Problem> {
    read_chat(text.as_bytes())
}

#[test]
fn reads_what_matters() {
    let request = read(
        r#" {"messages":[{"role":"user","content":"hi"}],"stream":true,"n":2,
             "max_tokens":7,"model":"gpt-4o-mini","stream_options":{"include_usage":true}} "#,
    )
    .unwrap();
    assert_eq!(request.model, "gpt-4o-mini");
    assert!(request.stream && request.wants_stream_usage && !request.has_media);
    assert_eq!((request.choices, request.output_limit), (2, OutputLimit::Tokens(7)));
}

#[test]
fn nulls_count_as_absent() {
    let request = read(
        r#"{"model":"m","stream":null,"n":null,"max_tokens":null,"stream_options":null,
            "service_tier":null,"web_search_options":null}"#,
    )
    .unwrap();
    assert_eq!((request.choices, request.output_limit), (1, OutputLimit::Absent));
    assert!(!request.stream);
}

#[test]
fn of_two_limits_the_larger_bounds() {
    let request = read(r#"{"model":"m","max_tokens":5,"max_completion_tokens":9}"#).unwrap();
    assert_eq!(request.output_limit, OutputLimit::Tokens(9));
}

#[test]
fn names_inside_messages_are_not_ours() {
    let request =
        read(r#"{"messages":[{"model":"x","stream":true,"n":[1]}],"model":"m"}"#).unwrap();
    assert_eq!(request.model, "m");
    assert!(!request.stream);
}

#[test]
fn escaped_names_are_read_as_what_they_are() {
    assert_eq!(read(r#"{"mod\u0065l":"m"}"#).unwrap().model, "m");
    assert_eq!(read(r#"{"model":"a","mod\u0065l":"b"}"#), Err(Problem::Duplicate("model")));
}

#[test]
fn media_are_noticed() {
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"","format":"wav"}}"#,
        r#"{"type":"file","file":{"file_id":"f"}}"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#);
        assert!(read(&body).unwrap().has_media, "{part}");
    }
}

#[test]
fn each_bad_body_has_its_own_error() {
    let duplicate = Problem::Duplicate;
    let unsupported = Problem::Unsupported;
    let invalid = |field, expected| Problem::Invalid { field, expected };
    for (body, problem) in [
        ("", Problem::Syntax(SyntaxError::Truncated)),
        ("{\"model\":\"m\"", Problem::Syntax(SyntaxError::Truncated)),
        ("hello", Problem::Syntax(SyntaxError::Unexpected(0))),
        ("{} {}", Problem::Syntax(SyntaxError::Unexpected(3))),
        ("[]", Problem::NotAnObject),
        ("\"model\"", Problem::NotAnObject),
        ("{}", Problem::Missing("model")),
        (r#"{"model":1}"#, invalid("model", "a string")),
        (r#"{"model":{"model":"m"}}"#, invalid("model", "a string")),
        (r#"{"model":""}"#, invalid("model", "a model name of 1 to 256 bytes")),
        (r#"{"model":"m","stream":"true"}"#, invalid("stream", "true or false")),
        (r#"{"model":"m","stream":1}"#, invalid("stream", "true or false")),
        (r#"{"model":"m","stream_options":[]}"#, invalid("stream_options", "an object")),
        (
            r#"{"model":"m","stream_options":{"include_usage":1}}"#,
            invalid("stream_options.include_usage", "true or false"),
        ),
        (r#"{"model":"m","max_tokens":-1}"#, invalid("max_tokens", "a non-negative integer")),
        (r#"{"model":"m","max_tokens":1.5}"#, invalid("max_tokens", "a non-negative integer")),
        (r#"{"model":"m","max_tokens":1e30}"#, invalid("max_tokens", "a non-negative integer")),
        (r#"{"model":"m","max_tokens":"9"}"#, invalid("max_tokens", "a non-negative integer")),
        (r#"{"model":"m","max_tokens":[9]}"#, invalid("max_tokens", "a non-negative integer")),
        (r#"{"model":"m","n":0}"#, invalid("n", "an integer from 1 to 128")),
        (r#"{"model":"m","n":129}"#, invalid("n", "an integer from 1 to 128")),
        (r#"{"model":"m","n":true}"#, invalid("n", "an integer from 1 to 128")),
        (r#"{"model":"a","model":"b"}"#, duplicate("model")),
        (r#"{"model":"a","Model":"b"}"#, duplicate("model")),
        (r#"{"MODEL":"a"}"#, duplicate("model")),
        (r#"{"model":"a","max_tokens":1,"max_tokens":2}"#, duplicate("max_tokens")),
        (
            r#"{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}"#,
            duplicate("include_usage"),
        ),
        (r#"{"model":"m","service_tier":"priority"}"#, unsupported("service_tier")),
        (r#"{"model":"m","web_search_options":{}}"#, unsupported("web_search_options")),
        (r#"{"model":"m","audio":{"voice":"x"}}"#, unsupported("audio")),
        (r#"{"model":"m","modalities":["text","audio"]}"#, unsupported("modalities")),
        (r#"{"model":"m","store":true}"#, unsupported("store")),
        (r#"{"model":"m","models":["x"]}"#, unsupported("models")),
    ] {
        assert_eq!(read(body), Err(problem), "{body}");
    }
    assert_eq!(read_chat(b"{\"model\":\"\xff\"}"), Err(Problem::NotUtf8));
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(600));
    assert!(matches!(read(&long), Err(Problem::Invalid { field: "model", .. })));
    assert!(read(r#"{"model":"m","modalities":["text"],"store":false}"#).is_ok());
}

fn rewritten(body: &str, edits: Edits<'_>) -> String {
    let edits = read(body).unwrap().edits(edits);
    let out = apply_edits(body.as_bytes(), &edits);
    assert_eq!(out.len(), edited_length(body.len(), &edits));
    String::from_utf8(out).unwrap()
}

#[test]
fn edits_touch_nothing_else() {
    let limit = Edits { output_limit: Some((OutputField::MaxTokens, 256)), model: None };
    assert_eq!(rewritten(r#"{ "model":"m"}"#, limit), r#"{"max_tokens":256, "model":"m"}"#);
    assert_eq!(
        rewritten(r#"{"model":"m","max_tokens": null }"#, limit),
        r#"{"model":"m","max_tokens": 256 }"#
    );
    let alias = Edits { model: Some("real\"one"), ..Edits::default() };
    assert_eq!(rewritten(r#"{"model" : "fast"}"#, alias), r#"{"model" : "real\"one"}"#);
    let none = Edits::default();
    for (before, after) in [
        (
            r#"{"stream":true,"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"m"}"#,
        ),
        (
            r#"{"stream":true,"model":"m","stream_options":null}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"m","stream_options":{}}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"m","stream_options":{"x":{"y":1}}}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true,"x":{"y":1}}}"#,
        ),
        (
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":false}}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":null}}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(rewritten(before, none), after);
    }
    assert_eq!(read(r#"{"model":"m"}"#).unwrap().edits(none), []);
}

proptest! {
    /// Whatever else a request holds, the rewritten body is JSON with exactly the edits made.
    #[test]
    fn rewriting_changes_only_what_it_says(
        content in ".*", stream in proptest::option::of(any::<bool>()),
        options in proptest::option::of(proptest::option::of(any::<bool>())),
        limit in proptest::option::of(0u64..1000), pretty: bool,
    ) {
        let mut body = json!({"messages": [{"role": "user", "content": content}], "model": "fast"});
        if let Some(stream) = stream { body["stream"] = json!(stream); }
        if let Some(options) = options { body["stream_options"] = json!({"include_usage": options, "o": 1}); }
        if let Some(limit) = limit { body["max_tokens"] = json!(limit); }
        let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
        let request = read(&text).unwrap();
        let write_limit = limit.is_none().then_some((OutputField::MaxCompletionTokens, 512));
        let edits = Edits { model: Some("real"), output_limit: write_limit };
        let out = apply_edits(text.as_bytes(), &request.edits(edits));
        let after: Value = serde_json::from_slice(&out).unwrap();
        body["model"] = json!("real");
        if limit.is_none() { body["max_completion_tokens"] = json!(512); }
        if stream == Some(true) {
            if options.is_none() { body["stream_options"] = json!({}); }
            body["stream_options"]["include_usage"] = json!(true);
        }
        prop_assert_eq!(after, body);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_chat(&bytes);
    }
}
