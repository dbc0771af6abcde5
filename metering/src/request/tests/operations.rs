//! Bodies of every operation and what is read of them.

use super::Operation::*;
use super::*;

/// Model, stream, output limit, choices and prompts.
type Facts = (&'static str, bool, OutputLimit, u64, u64);

#[test]
fn bodies_and_what_they_ask_for() {
    use OutputLimit::{Absent, NoOutput, Tokens};
    const PRO: &str = "gemini-2.5-pro";
    let table: &[(Operation, &str, Facts)] = &[
        (Chat, r#"{"model":"m","n":3,"max_tokens":5}"#, ("m", false, Tokens(5), 3, 1)),
        (Chat, r#"{"model":"m","n":2,"best_of":4}"#, ("m", false, Absent, 4, 1)),
        (Completions, r#"{"model":"m","prompt":"a"}"#, ("m", false, Absent, 1, 1)),
        (Completions, r#"{"model":"m"}"#, ("m", false, Absent, 1, 1)),
        (Completions, r#"{"model":"m","prompt":[]}"#, ("m", false, Absent, 1, 1)),
        (Completions, r#"{"model":"m","prompt":["a","b"],"n":2}"#, ("m", false, Absent, 2, 2)),
        (Completions, r#"{"model":"m","prompt":[1,2,3]}"#, ("m", false, Absent, 1, 1)),
        (Completions, r#"{"model":"m","prompt":[[1,2],[3],[]]}"#, ("m", false, Absent, 1, 3)),
        (
            Completions,
            r#"{"prompt":["a","b","c"],"best_of":5,"n":1,"max_tokens":16,"stream":true,"model":"m"}"#,
            ("m", true, Tokens(16), 5, 3),
        ),
        (Embeddings, r#"{"model":"e","input":"text"}"#, ("e", false, NoOutput, 1, 1)),
        (Embeddings, r#"{"model":"e","input":["a","b"]}"#, ("e", false, NoOutput, 1, 2)),
        (Embeddings, r#"{"model":"e","input":[5,6,7,8]}"#, ("e", false, NoOutput, 1, 1)),
        (Embeddings, r#"{"model":"e","input":[[5,6],[7]]}"#, ("e", false, NoOutput, 1, 2)),
        (
            Responses,
            r#"{"model":"gpt-5","input":"hi","max_output_tokens":900,"stream":true}"#,
            ("gpt-5", true, Tokens(900), 1, 1),
        ),
        (
            Responses,
            r#"{"model":"gpt-5","input":[{"role":"user","content":"hi"}],"max_output_tokens":null}"#,
            ("gpt-5", false, Absent, 1, 1),
        ),
        (
            Messages,
            r#"{"model":"claude","max_tokens":1024,"messages":[],"stream":true}"#,
            ("claude", true, Tokens(1024), 1, 1),
        ),
        // Asked for on purpose: a prompt is scored, or put into a cache.
        (
            Completions,
            r#"{"model":"m","prompt":"x","echo":true,"max_tokens":0}"#,
            ("m", false, Tokens(0), 1, 1),
        ),
        (Messages, r#"{"model":"claude","max_tokens":0}"#, ("claude", false, Tokens(0), 1, 1)),
        (
            Messages,
            r#"{"model":"c","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":4000}}"#,
            ("c", false, Tokens(9000), 1, 1),
        ),
        (
            Messages,
            r#"{"model":"c","max_tokens":2000,"thinking":{"budget_tokens":4000}}"#,
            ("c", false, Tokens(4000), 1, 1),
        ),
        (CountMessageTokens, r#"{"model":"c","n":[],"tools":7}"#, ("c", false, NoOutput, 1, 1)),
        (GenerateContent, r#"{"contents":[]}"#, (PRO, false, Absent, 1, 1)),
        (GenerateContent, "{}", (PRO, false, Absent, 1, 1)),
        (StreamGenerateContent, "{}", (PRO, true, Absent, 1, 1)),
        (
            GenerateContent,
            r#"{"generationConfig":{"maxOutputTokens":77,"candidateCount":2}}"#,
            (PRO, false, Tokens(77), 2, 1),
        ),
        (
            GenerateContent,
            r#"{"generation_config":{"max_output_tokens":78,"candidate_count":3}}"#,
            (PRO, false, Tokens(78), 3, 1),
        ),
        (
            StreamGenerateContent,
            r#"{"generationConfig":{"maxOutputTokens":0,"candidateCount":0}}"#,
            (PRO, true, Absent, 1, 1),
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":-1},"maxOutputTokens":5}}"#,
            (PRO, false, Tokens(5), 1, 1),
        ),
        (
            GenerateContent,
            r#"{"generation_config":{"thinking_config":{"thinking_budget":64},"maxOutputTokens":5}}"#,
            (PRO, false, Tokens(64), 1, 1),
        ),
        (EmbedContent, r#"{"content":{"parts":[{"text":"x"}]}}"#, (PRO, false, NoOutput, 1, 1)),
        (
            BatchEmbedContents,
            r#"{"requests":[{"model":"models/gemini-2.5-pro","content":{}},{"model":"gemini-2.5-pro"},{}]}"#,
            (PRO, false, NoOutput, 1, 3),
        ),
        (
            CountTokens,
            r#"{"generateContentRequest":{"model":"models/gemini-2.5-pro","x":1},"contents":[]}"#,
            (PRO, false, NoOutput, 1, 1),
        ),
    ];
    for (operation, body, facts) in table {
        let read = read_as(*operation, body).unwrap_or_else(|problem| panic!("{body}: {problem}"));
        let found = (&*read.model, read.stream, read.output_limit, read.choices, read.prompts);
        assert_eq!(found, *facts, "{operation:?} {body}");
        assert_eq!(read.body_bytes, body.len() as u64);
        assert!(read.features.is_empty() && !read.by_reference, "{read:?}");
    }
}

#[test]
fn bodies_that_are_refused() {
    const COUNT: &str = "a non-negative integer";
    const POSITIVE: &str = "a positive integer";
    const PROMPT: &str = "a string, a list of strings, a list of tokens or a list of those";
    const CHOICES: &str = "an integer from 1 to 128";
    let invalid = |field, expected| Problem::Invalid { field, expected };
    let (duplicate, missing) = (Problem::Duplicate, Problem::Missing);
    let other_model = invalid("model", "the model of the path");
    for (operation, body, problem) in [
        (Completions, r#"{"prompt":"x"}"#, missing("model")),
        (Completions, r#"{"model":"m","prompt":{}}"#, invalid("prompt", PROMPT)),
        (Completions, r#"{"model":"m","prompt":7}"#, invalid("prompt", PROMPT)),
        (Completions, r#"{"model":"m","prompt":[{}]}"#, invalid("prompt", PROMPT)),
        (Completions, r#"{"model":"m","prompt":[null]}"#, invalid("prompt", PROMPT)),
        (Completions, r#"{"model":"m","prompt":"a","prompt":"b"}"#, duplicate("prompt")),
        (Completions, r#"{"model":"m","best_of":129}"#, invalid("best_of", CHOICES)),
        (Completions, r#"{"model":"m","n":1.0}"#, invalid("n", CHOICES)),
        (Completions, r#"{"model":"m","n":"2"}"#, invalid("n", CHOICES)),
        (Embeddings, r#"{"model":"m","input":[[1],{}]}"#, invalid("input", PROMPT)),
        (Embeddings, r#"{"model":"m","Input":"x"}"#, duplicate("input")),
        (Responses, r#"{"input":"x"}"#, missing("model")),
        (Responses, r#"{"input":"x","prompt":{"id":"pmpt_1"}}"#, missing("model")),
        (
            Responses,
            r#"{"model":"m","max_output_tokens":"9"}"#,
            invalid("max_output_tokens", COUNT),
        ),
        (Responses, r#"{"model":"m","max_tool_calls":-1}"#, invalid("max_tool_calls", COUNT)),
        (Responses, r#"{"model":"m","stream":"true"}"#, invalid("stream", "true or false")),
        (
            Responses,
            r#"{"model":"m","background":true,"background":false}"#,
            duplicate("background"),
        ),
        // Nothing to servers that leave zeros out of what they pass on, and then no limit at all.
        (Chat, r#"{"model":"m","max_tokens":0}"#, invalid("max_tokens", POSITIVE)),
        (
            Chat,
            r#"{"model":"m","max_tokens":9,"max_completion_tokens":0}"#,
            invalid("max_completion_tokens", POSITIVE),
        ),
        (Chat, r#"{"model":"m","max_tokens":9,"n_predict":0}"#, invalid("n_predict", POSITIVE)),
        (
            Responses,
            r#"{"model":"m","max_output_tokens":0}"#,
            invalid("max_output_tokens", POSITIVE),
        ),
        (Messages, r#"{"model":"c"}"#, missing("max_tokens")),
        (Messages, r#"{"model":"c","max_tokens":null}"#, missing("max_tokens")),
        (Messages, r#"{"max_tokens":5}"#, missing("model")),
        (
            Messages,
            r#"{"model":"c","max_tokens":18446744073709551616}"#,
            invalid("max_tokens", COUNT),
        ),
        (Messages, r#"{"model":"c","max_tokens":true}"#, invalid("max_tokens", COUNT)),
        (
            Messages,
            r#"{"model":"c","max_tokens":5,"stream":0}"#,
            invalid("stream", "true or false"),
        ),
        (
            Messages,
            r#"{"model":"c","max_tokens":5,"thinking":{"budget_tokens":1,"budget_tokens":2}}"#,
            duplicate("budget_tokens"),
        ),
        (
            Messages,
            r#"{"model":"c","max_tokens":5,"tools":[{"type":"web_search_20250305","max_uses":"3"}]}"#,
            invalid("max_uses", COUNT),
        ),
        (
            Messages,
            r#"{"model":"c","max_tokens":5,"tools":[{"type":"custom","type":"web_search_20250305"}]}"#,
            duplicate("type"),
        ),
        (CountMessageTokens, r#"{"messages":[]}"#, missing("model")),
        (GenerateContent, r#"{"generationConfig":[]}"#, invalid("generationConfig", "an object")),
        (GenerateContent, r#"{"generationConfig":"x"}"#, invalid("generationConfig", "an object")),
        (
            GenerateContent,
            r#"{"generationConfig":{},"generation_config":{}}"#,
            duplicate("generationConfig"),
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#,
            duplicate("maxOutputTokens"),
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"maxoutputtokens":1}}"#,
            duplicate("maxOutputTokens"),
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"maxOutputTokens":"100"}}"#,
            invalid("maxOutputTokens", COUNT),
        ),
        (
            GenerateContent,
            r#"{"generationConfig":{"candidateCount":129}}"#,
            invalid("candidateCount", CHOICES),
        ),
        (GenerateContent, r#"{"model":"models/other"}"#, other_model.clone()),
        (EmbedContent, r#"{"model":"models/other"}"#, other_model.clone()),
        (
            BatchEmbedContents,
            r#"{"requests":[{"model":"models/gemini-2.5-pro"},{"model":"models/dear"}]}"#,
            other_model.clone(),
        ),
        (CountTokens, r#"{"generateContentRequest":{"model":"models/dear"}}"#, other_model.clone()),
    ] {
        assert_eq!(read_as(operation, body), Err(problem), "{operation:?} {body}");
    }
    let many = format!(r#"{{"requests":[{}{{}}]}}"#, "{},".repeat(1000));
    let problem = invalid("requests", "at most 1000 requests");
    assert_eq!(read_as(BatchEmbedContents, &many), Err(problem));
}

#[test]
fn a_deployment_in_the_path_names_the_model() {
    let azure = |body: &str| {
        let source = Source { operation: Chat, path_model: Some("prod-4o"), betas: "" };
        read(body.as_bytes(), source)
    };
    for body in [r#"{"messages":[]}"#, r#"{"model":"prod-4o","messages":[]}"#] {
        let request = azure(body).unwrap();
        assert_eq!((&*request.model, request.model_place), ("prod-4o", ModelPlace::Path));
    }
    // Its SDKs send both: the upstream must not choose by the other one.
    for (body, model, edited) in [
        (r#"{"model":"gpt-4o","n":1}"#, None, r#"{"model":"prod-4o","n":1}"#),
        (r#"{"model":"gpt-4o","n":1}"#, Some("x\"y"), r#"{"model":"x\"y","n":1}"#),
        (r#"{"model":""}"#, None, r#"{"model":"prod-4o"}"#),
        (r#"{"model" : null }"#, None, r#"{"model" : "prod-4o" }"#),
        (r#"{"model":"prod-4o"}"#, None, r#"{"model":"prod-4o"}"#),
        (r#"{"model":"prod-4o"}"#, Some("m"), r#"{"model":"m"}"#),
        (r#"{"messages":[]}"#, Some("m"), r#"{"messages":[]}"#),
    ] {
        let edits = azure(body).unwrap().edits(Edits { model, ..Edits::default() });
        let written = String::from_utf8(apply_edits(body.as_bytes(), &edits)).unwrap();
        assert_eq!(written, edited, "{body}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(100_000));
    let edits = azure(&long).unwrap().edits(Edits::default());
    assert_eq!(apply_edits(long.as_bytes(), &edits), br#"{"model":"prod-4o"}"#);
    for (body, problem) in [
        (r#"{"model":7}"#, Problem::Invalid { field: "model", expected: "a string" }),
        (r#"{"model":"prod-4o","model":"prod-4o"}"#, Problem::Duplicate("model")),
    ] {
        assert_eq!(azure(body), Err(problem));
    }
}

#[test]
fn streams_report_usage_when_asked_or_always() {
    let wants = |operation, body: &str| read_as(operation, body).unwrap().wants_stream_usage;
    assert!(!wants(Chat, r#"{"model":"m","stream":true}"#));
    assert!(!wants(Completions, r#"{"model":"m","stream_options":{}}"#));
    assert!(wants(Completions, r#"{"model":"m","stream_options":{"include_usage":true}}"#));
    assert!(wants(Responses, r#"{"model":"m","stream":true}"#));
    assert!(wants(StreamGenerateContent, "{}"));
}

#[test]
fn lists_of_tokens_are_input_for_certain() {
    for (operation, body, tokens) in [
        (Completions, r#"{"model":"m","prompt":"text of some tokens"}"#, 0),
        (Completions, r#"{"model":"m","prompt":["a","b"]}"#, 0),
        (Completions, r#"{"model":"m","prompt":[1,2,3]}"#, 3),
        (Completions, r#"{"model":"m","prompt":[]}"#, 0),
        (Embeddings, r#"{"model":"m","input":[[1,2],[3,4,5,6],[],[7]]}"#, 4),
        (Embeddings, r#"{"model":"m","input":["a",[1,2,["x"],{"y":[1]}]]}"#, 2),
        (Embeddings, r#"{"model":"m","input":[1,2,3],"truncate_prompt_tokens":2}"#, 0),
        (Embeddings, r#"{"truncate":"END","model":"m","input":[1,2,3]}"#, 0),
        (Embeddings, r#"{"model":"m","input":[1,2,3],"truncate_prompt_tokens":null}"#, 3),
        (Chat, r#"{"model":"m","messages":[1,2,3]}"#, 0),
    ] {
        assert_eq!(read_as(operation, body).unwrap().least_input_tokens, tokens, "{body}");
    }
}
