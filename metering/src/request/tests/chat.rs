//! OpenAI chat: problems, limits and edits.

use super::*;
use crate::json::SyntaxError;

fn read(text: &str) -> Result<Request, Problem> {
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
    assert!(request.stream && request.wants_stream_usage && !request.by_reference);
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
fn of_several_limits_the_smallest_counts() {
    for (limits, tokens) in [
        (r#""max_tokens":5,"max_completion_tokens":9"#, 5),
        (r#""max_tokens":9,"max_completion_tokens":5"#, 5),
        (r#""max_tokens":null,"max_completion_tokens":7"#, 7),
        (r#""max_new_tokens":3,"max_tokens":9"#, 3),
        (r#""n_predict":8"#, 8),
    ] {
        let request = read(&format!(r#"{{"model":"m",{limits}}}"#)).unwrap();
        assert_eq!(request.output_limit, OutputLimit::Tokens(tokens), "{limits}");
    }
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
fn each_bad_body_has_its_own_error() {
    let duplicate = Problem::Duplicate;
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
    ] {
        assert_eq!(read(body), Err(problem), "{body}");
    }
    assert_eq!(read_chat(b"{\"model\":\"\xff\"}"), Err(Problem::NotUtf8));
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(600));
    assert!(matches!(read(&long), Err(Problem::Invalid { field: "model", .. })));
}

fn plain(tokens: u64) -> Option<WrittenLimit> {
    Some(WrittenLimit { tokens, reads_max_completion_tokens: false })
}

fn rewritten(body: &str, edits: Edits<'_>) -> String {
    let edits = read(body).unwrap().edits(edits);
    let out = apply_edits(body.as_bytes(), &edits);
    assert_eq!(out.len(), edited_length(body.len(), &edits));
    String::from_utf8(out).unwrap()
}

#[test]
fn edits_touch_nothing_else() {
    let limit = Edits { output_limit: plain(256), model: None };
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
