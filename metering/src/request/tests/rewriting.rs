//! Edits of every operation: the same JSON, but for exactly what was asked.

use super::Operation::*;
use super::*;
use serde_json::Value;

fn rewritten(operation: Operation, body: &str, edits: Edits<'_>) -> String {
    let edits = read_as(operation, body).unwrap().edits(edits);
    let out = apply_edits(body.as_bytes(), &edits);
    assert_eq!(out.len(), edited_length(body.len(), &edits));
    let out = String::from_utf8(out).unwrap();
    serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{out}: {error}"));
    out
}

fn limit(tokens: u64, reads_max_completion_tokens: bool) -> Edits<'static> {
    Edits { model: None, output_limit: Some(WrittenLimit { tokens, reads_max_completion_tokens }) }
}

#[test]
fn limits_go_where_the_operation_reads_them() {
    for (operation, before, after) in [
        (Chat, r#"{"model":"m"}"#, r#"{"max_completion_tokens":7,"model":"m"}"#),
        (
            Chat,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":null}"#,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":7}"#,
        ),
        (Completions, r#"{"model":"m"}"#, r#"{"max_tokens":7,"model":"m"}"#),
        (Responses, r#"{"model":"m"}"#, r#"{"max_output_tokens":7,"model":"m"}"#),
        (
            Responses,
            r#"{"model":"m","max_output_tokens": null}"#,
            r#"{"model":"m","max_output_tokens": 7}"#,
        ),
        (GenerateContent, "{}", r#"{"generationConfig":{"maxOutputTokens":7}}"#),
        (GenerateContent, " { } ", r#" {"generationConfig":{"maxOutputTokens":7} } "#),
        (
            GenerateContent,
            r#"{"contents":[]}"#,
            r#"{"generationConfig":{"maxOutputTokens":7},"contents":[]}"#,
        ),
        (
            StreamGenerateContent,
            r#"{"generationConfig":null,"contents":[]}"#,
            r#"{"generationConfig":{"maxOutputTokens":7},"contents":[]}"#,
        ),
        (
            GenerateContent,
            r#"{"generation_config":{}}"#,
            r#"{"generation_config":{"maxOutputTokens":7}}"#,
        ),
        (
            GenerateContent,
            r#"{"generation_config":{"top_k":1}}"#,
            r#"{"generation_config":{"maxOutputTokens":7,"top_k":1}}"#,
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"max_output_tokens":null}}"#,
            r#"{"generationConfig":{"max_output_tokens":7}}"#,
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"maxOutputTokens":0,"topK":1}}"#,
            r#"{"generationConfig":{"maxOutputTokens":7,"topK":1}}"#,
        ),
        // a limit of the client's own is never raised, and what has no output gets none
        (
            Responses,
            r#"{"model":"m","max_output_tokens":5}"#,
            r#"{"model":"m","max_output_tokens":5}"#,
        ),
        (Messages, r#"{"model":"m","max_tokens":5}"#, r#"{"model":"m","max_tokens":5}"#),
        (Embeddings, r#"{"model":"m","input":"x"}"#, r#"{"model":"m","input":"x"}"#),
        (EmbedContent, "{}", "{}"),
        (CountTokens, "{}", "{}"),
    ] {
        assert_eq!(rewritten(operation, before, limit(7, true)), after, "{operation:?}");
    }
}

/// Which of chat's limits an upstream reads depends on the model; the other one may be ignored.
#[test]
fn limits_of_the_client_hold_where_the_upstream_reads_them() {
    for (reasoning, before, after) in [
        // where it is read already, nothing changes
        (false, r#"{"model":"m","max_tokens":7}"#, r#"{"model":"m","max_tokens":7}"#),
        (
            true,
            r#"{"model":"m","max_completion_tokens":7}"#,
            r#"{"model":"m","max_completion_tokens":7}"#,
        ),
        // OpenAI refuses both at once, so one takes the name of the other
        (
            false,
            r#"{"max_completion_tokens" : 7,"model":"m"}"#,
            r#"{"max_tokens" : 7,"model":"m"}"#,
        ),
        (true, r#"{"max_tokens":7,"model":"m"}"#, r#"{"max_completion_tokens":7,"model":"m"}"#),
        (
            true,
            r#"{"max\u005ftokens":7,"model":"m"}"#,
            r#"{"max_completion_tokens":7,"model":"m"}"#,
        ),
        (
            true,
            r#"{"model":"m","max_tokens":7,"max_completion_tokens":null}"#,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":7}"#,
        ),
        (
            true,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":7}"#,
            r#"{"model":"m","max_tokens":null,"max_completion_tokens":7}"#,
        ),
        // of several the smallest counts, in all of them
        (
            false,
            r#"{"model":"m","max_tokens":900,"max_completion_tokens":7}"#,
            r#"{"model":"m","max_tokens":7,"max_completion_tokens":7}"#,
        ),
        (
            false,
            r#"{"model":"m","max_tokens":7,"max_completion_tokens":900}"#,
            r#"{"model":"m","max_tokens":7,"max_completion_tokens":7}"#,
        ),
        (
            false,
            r#"{"model":"m","n_predict":900,"max_completion_tokens":7}"#,
            r#"{"model":"m","n_predict":7,"max_tokens":7}"#,
        ),
        // names of other servers stay, beside the one that everybody reads
        (
            false,
            r#"{"model":"m","max_new_tokens":7}"#,
            r#"{"max_tokens":7,"model":"m","max_new_tokens":7}"#,
        ),
    ] {
        let request = read_as(Chat, before).unwrap();
        assert_eq!(request.output_limit, OutputLimit::Tokens(7), "{before}");
        assert_eq!(rewritten(Chat, before, limit(7, reasoning)), after);
    }
    // the name may stand where something else is inserted
    assert_eq!(
        rewritten(Chat, r#"{"max_tokens":7,"stream":true,"model":"m"}"#, limit(7, true)),
        r#"{"stream_options":{"include_usage":true},"max_completion_tokens":7,"stream":true,"model":"m"}"#
    );
    let both = r#"{"model":"m","max_completion_tokens":7}"#;
    assert_eq!(rewritten(Completions, both, limit(7, true)), r#"{"model":"m","max_tokens":7}"#);
    // a budget of thoughts above the limit counts, but never raises it
    let thinking =
        r#"{"generationConfig":{"maxOutputTokens":5,"thinkingConfig":{"thinkingBudget":64}}}"#;
    assert_eq!(rewritten(GenerateContent, thinking, limit(64, true)), thinking);
}

#[test]
fn usage_is_forced_only_where_it_must_be_asked_for() {
    for (operation, before, after) in [
        (
            Completions,
            r#"{"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
        ),
        (
            Completions,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (Responses, r#"{"model":"m","stream":true}"#, r#"{"model":"m","stream":true}"#),
        (
            Messages,
            r#"{"model":"m","stream":true,"max_tokens":1}"#,
            r#"{"model":"m","stream":true,"max_tokens":1}"#,
        ),
        (StreamGenerateContent, "{}", "{}"),
    ] {
        assert_eq!(rewritten(operation, before, Edits::default()), after);
    }
    // both at once are one insertion
    assert_eq!(
        rewritten(Chat, r#"{"model":"m","stream":true}"#, limit(9, false)),
        r#"{"max_tokens":9,"stream_options":{"include_usage":true},"model":"m","stream":true}"#
    );
}

#[test]
fn aliases_are_replaced_wherever_they_stand() {
    let alias = Edits { model: Some("real\"one"), output_limit: None };
    for (operation, before, after) in [
        (
            Messages,
            r#"{"max_tokens":1,"model" : "fast", "x":"fast"}"#,
            r#"{"max_tokens":1,"model" : "real\"one", "x":"fast"}"#,
        ),
        (GenerateContent, "{}", "{}"),
        (
            BatchEmbedContents,
            r#"{"requests":[{"model":"models/gemini-2.5-pro"},{"model":"gemini-2.5-pro"}]}"#,
            r#"{"requests":[{"model":"models/real\"one"},{"model":"real\"one"}]}"#,
        ),
    ] {
        assert_eq!(rewritten(operation, before, alias), after);
    }
}
