//! Uses of the provider's tools by what answers say of them, and totals that stand for a count.

use metering::usage::AnswerFormat::{self, *};
use metering::usage::{Seen, StreamView};

use super::answers::Answer;

fn read(mut answer: Answer, text: &str) -> Seen {
    let mut out = Vec::new();
    answer.pass(text.as_bytes(), &mut out);
    answer.end(&mut out)
}

fn plain(format: AnswerFormat, text: &str) -> Seen {
    read(Answer::plain(format), text)
}

#[test]
fn each_api_says_in_its_own_way_which_tools_were_used() {
    const CHAT: &str = r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#;
    const RESPONSE: &str = r#""usage":{"input_tokens":1,"output_tokens":2}"#;
    const GEMINI: &str = r#""usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}"#;
    let cites = r#"{"message":{"content":"x","annotations":[{"type":"url_citation","url_citation":{}},{"type":"url_citation"}]}}"#;
    for (format, text, uses) in [
        (OpenAiChat, format!(r#"{{"choices":[{{"message":{{"content":"x"}}}}],{CHAT}}}"#), 0),
        // that pages are cited says that one search was made at least
        (OpenAiChat, format!(r#"{{"choices":[{cites}],{CHAT}}}"#), 1),
        (OpenAiChat, format!(r#"{{{CHAT},"choices":[{cites}]}}"#), 1),
        (
            OpenAiChat,
            format!(r#"{{"choices":[{{"message":{{"annotations":[{{"type":"file"}}]}}}}],{CHAT}}}"#),
            0,
        ),
        (
            OpenAiChat,
            format!(
                r#"{{"choices":[{cites}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"num_sources_used":7}}}}"#
            ),
            7,
        ),
        (
            OpenAiChat,
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"num_search_queries":3}}"#.into(),
            3,
        ),
        (
            OpenAiChat,
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"server_side_tool_usage_details":{"web_search_calls":2,"x_search_calls":1,"mcp_calls":9}}}"#.into(),
            3,
        ),
        // a shell that ran at the provider has its output in the answer, one at the client has not
        (OpenAiResponses, format!(r#"{{"output":[{{"type":"shell_call"}}],{RESPONSE}}}"#), 0),
        (
            OpenAiResponses,
            format!(
                r#"{{"output":[{{"type":"shell_call"}},{{"type":"shell_call_output"}},{{"type":"code_interpreter_call"}}],{RESPONSE}}}"#
            ),
            2,
        ),
        // items are not counted again where the usage counts them
        (
            OpenAiResponses,
            r#"{"output":[{"type":"web_search_call"},{"type":"x_search_call"}],"usage":{"input_tokens":1,"output_tokens":2,"server_side_tool_usage_details":{"web_search_calls":1,"x_search_calls":1}}}"#.into(),
            2,
        ),
        (OpenAiResponses, format!(r#"{{"output":[{{"type":"x_search_call"}}],{RESPONSE}}}"#), 1),
        (
            GeminiGenerate,
            format!(
                r#"{{"candidates":[{{"groundingMetadata":{{"groundingChunks":[{{"maps":{{}}}},{{"maps":{{}}}}]}}}}],{GEMINI}}}"#
            ),
            1,
        ),
        (
            GeminiGenerate,
            format!(
                r#"{{{GEMINI},"candidates":[{{"groundingMetadata":{{"webSearchQueries":["a","b"],"groundingChunks":[{{"web":{{}}}},{{"maps":{{}}}}]}}}}]}}"#
            ),
            3,
        ),
        (
            GeminiGenerate,
            format!(
                r#"{{"candidates":[{{"groundingMetadata":{{"groundingChunks":[{{"web":{{}}}}]}}}}],{GEMINI}}}"#
            ),
            1,
        ),
        (
            GeminiGenerate,
            format!(
                r#"{{"candidates":[{{"groundingMetadata":{{"groundingChunks":[{{"retrievedContext":{{}}}}]}}}}],{GEMINI}}}"#
            ),
            0,
        ),
    ] {
        let usage = plain(format, &text).usage.unwrap_or_else(|| panic!("{text}"));
        assert_eq!(usage.server_tool_calls, uses, "{text}");
        assert_eq!((usage.input_tokens, usage.output_tokens), (1, 2), "{text}");
    }
}

#[test]
fn citations_of_a_stream_are_remembered_until_its_usage_comes() {
    let stream = "data: {\"choices\":[{\"delta\":{\"annotations\":[{\"type\":\"url_citation\"}]}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n\
                  data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n\
                  data: [DONE]\n\n";
    let seen = read(Answer::stream(OpenAiChat, StreamView::WithUsage), stream);
    assert_eq!(seen.usage.map(|usage| usage.server_tool_calls), Some(1));
}

#[test]
fn a_total_stands_for_the_count_that_is_left_out() {
    let count = |format, report: &str| {
        let seen = plain(format, &format!(r#"{{"usage":{{{report}}}}}"#));
        seen.usage.map(|usage| (usage.input_tokens, usage.output_tokens))
    };
    for (format, report, counts) in [
        (OpenAiChat, r#""prompt_tokens":9,"total_tokens":14"#, Some((9, 5))),
        (OpenAiChat, r#""prompt_tokens":8,"total_tokens":8"#, Some((8, 0))),
        (OpenAiChat, r#""prompt_tokens":8,"total_tokens":7"#, None),
        (OpenAiChat, r#""prompt_tokens":8"#, None),
        (OpenAiChat, r#""total_tokens":8"#, None),
        (OpenAiResponses, r#""input_tokens":9,"total_tokens":14"#, Some((9, 5))),
        (OpenAiEmbeddings, r#""prompt_tokens":8,"total_tokens":8"#, Some((8, 0))),
        (OpenAiEmbeddings, r#""total_tokens":8"#, Some((8, 0))),
        (OpenAiEmbeddings, r#""prompt_tokens":6,"total_tokens":8"#, Some((6, 0))),
        (OpenAiEmbeddings, "", None),
    ] {
        assert_eq!(count(format, report), counts, "{format:?} {report}");
    }
}

/// A report like that of an embedding does not make shown output free.
#[test]
fn a_total_without_output_is_no_report_of_an_answer_that_shows_some() {
    let text = r#"{"choices":[{"message":{"content":"shown"}}],"usage":{"prompt_tokens":9,"total_tokens":9}}"#;
    let seen = plain(OpenAiChat, text);
    assert_eq!((seen.usage, seen.deltas, seen.output_bytes), (None, 1, 5));
    assert_eq!(seen.input.map(|usage| usage.input_tokens), Some(9));
    let said = text.replace("\"total", "\"completion_tokens\":0,\"total");
    assert!(plain(OpenAiChat, &said).usage.is_some());
}
