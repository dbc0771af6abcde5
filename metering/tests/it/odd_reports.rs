//! Reports that say nothing, streams that go on for too long, and bytes that are no answer.

use metering::usage::AnswerFormat::{self, *};
use metering::usage::{PlainAnswer, Seen, StreamAnswer, StreamView};
use proptest::prelude::*;

use super::answers::{Answer, simple_cost};

const FORMATS: [AnswerFormat; 6] =
    [OpenAiChat, OpenAiResponses, OpenAiEmbeddings, AnthropicMessages, GeminiGenerate, GeminiEmbed];

fn whole(mut answer: Answer, text: &str) -> (String, Seen) {
    let mut out = Vec::new();
    answer.pass(text.as_bytes(), &mut out);
    let seen = answer.end(&mut out);
    (String::from_utf8(out).unwrap(), seen)
}

/// A plain answer with this as its usage, and the names of the counts of input and of output.
fn names(format: AnswerFormat) -> (&'static str, &'static str, &'static str) {
    match format {
        OpenAiChat | OpenAiEmbeddings => ("usage", "prompt_tokens", "completion_tokens"),
        OpenAiResponses | AnthropicMessages => ("usage", "input_tokens", "output_tokens"),
        GeminiGenerate | GeminiEmbed => {
            ("usageMetadata", "promptTokenCount", "candidatesTokenCount")
        }
    }
}

#[test]
fn what_is_no_count_is_no_usage() {
    for format in FORMATS {
        let (report, input, output) = names(format);
        let document =
            |count: &str| format!("{{\"{report}\":{{\"{output}\":2,\"{input}\":{count}}}}}");
        let (_, seen) = whole(Answer::plain(format), &document("7"));
        assert_eq!(seen.usage.map(|usage| usage.input_tokens), Some(7), "{format:?}");
        for count in [
            "-1",
            "1.5",
            "1.0",
            "1e3",
            "1099511627777",
            "99999999999999999999",
            "\"7\"",
            "true",
            "null",
            "{}",
            "[]",
            "[7]",
        ] {
            let text = document(count);
            let (out, seen) = whole(Answer::plain(format), &text);
            assert_eq!(seen.usage, None, "{format:?} {count}");
            assert_eq!(out, text);
        }
        for report in ["null", "[]", "7", "{}", "\"x\"", "[{\"prompt_tokens\":1}]"] {
            let text = format!("{{\"usage\":{report},\"usageMetadata\":{report}}}");
            let (out, seen) = whole(Answer::plain(format), &text);
            assert_eq!((out, seen.usage), (text, None), "{format:?} {report}");
        }
    }
}

#[test]
fn a_broken_detail_breaks_the_report() {
    for (format, report) in [
        (OpenAiChat, r#""usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":-2}"#),
        (
            OpenAiChat,
            r#""usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"audio_tokens":0.5}}"#,
        ),
        (
            OpenAiResponses,
            r#""usage":{"input_tokens":1,"output_tokens":1,"output_tokens_details":{"reasoning_tokens":-1}}"#,
        ),
        (
            AnthropicMessages,
            r#""usage":{"input_tokens":1,"output_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":"5"}}"#,
        ),
        (
            AnthropicMessages,
            r#""usage":{"input_tokens":1,"output_tokens":1,"iterations":[{"type":"compaction","output_tokens":-7}]}"#,
        ),
        (
            GeminiGenerate,
            r#""usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":1.5}]}"#,
        ),
    ] {
        let text = format!("{{{report}}}");
        let (out, seen) = whole(Answer::plain(format), &text);
        assert_eq!((out, seen.usage), (text, None), "{format:?} {report}");
    }
}

#[test]
fn counts_of_another_dialect_are_not_read() {
    for format in FORMATS {
        for other in FORMATS {
            let (report, input, output) = names(other);
            let text = format!("{{\"{report}\":{{\"{input}\":3,\"{output}\":2}}}}");
            let is_own = names(format).1 == input;
            let (_, seen) = whole(Answer::plain(format), &text);
            assert_eq!(seen.usage.is_some(), is_own, "{format:?} reads {other:?}");
        }
    }
}

/// One event with output.
fn event(format: AnswerFormat, n: usize) -> String {
    match format {
        OpenAiResponses => format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"{n}\"}}\n\n"
        ),
        AnthropicMessages => format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"{n}\"}}}}\n\n"
        ),
        GeminiGenerate => format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{n}\"}}]}}}}]}}\r\n\r\n"
        ),
        _ => format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{n}\"}}}}]}}\n\n"),
    }
}

const STREAMED: [AnswerFormat; 4] =
    [OpenAiChat, OpenAiResponses, AnthropicMessages, GeminiGenerate];

#[test]
fn output_above_the_bound_stops_a_stream_of_every_dialect() {
    for format in STREAMED {
        let events: Vec<_> = (0..6).map(|n| event(format, n)).collect();
        for size in [1, 7, 10_000] {
            let mut answer = StreamAnswer::of(format, StreamView::WithUsage, Some(4));
            let mut out = Vec::new();
            for chunk in events.concat().as_bytes().chunks(size) {
                let shown = answer.chunk(chunk, simple_cost);
                out.extend(shown.unwrap_or_else(|| chunk.to_vec()));
            }
            assert!(answer.has_passed_bound(), "{format:?}");
            assert_eq!(answer.seen().deltas, 6);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out.trim_end(), events[..4].concat().trim_end(), "{format:?} by {size}");
        }
    }
}

#[test]
fn a_stopped_stream_is_still_read() {
    for (format, end) in [
        (
            OpenAiChat,
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
        ),
        (
            OpenAiResponses,
            "data: {\"type\":\"response.failed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
        ),
        (AnthropicMessages, "data: {\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}\n\n"),
        (
            GeminiGenerate,
            "data: {\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2}}\r\n\r\n",
        ),
    ] {
        let first = event(format, 1);
        for at in 0..first.len() {
            let mut answer = StreamAnswer::of(format, StreamView::WithUsage, None);
            let (before, after) = first.as_bytes().split_at(at);
            answer.chunk(before, simple_cost);
            answer.stop();
            assert_eq!(answer.chunk(after, simple_cost), Some(Vec::new()));
            assert_eq!(answer.chunk(end.as_bytes(), simple_cost), Some(Vec::new()));
            let usage = answer.seen().usage.unwrap_or_default();
            assert_eq!((usage.input_tokens, usage.output_tokens), (3, 2), "{format:?} at {at}");
        }
    }
}

#[test]
fn only_the_last_event_of_a_response_shows_a_cost() {
    let report = |kind: &str| {
        format!(
            "data: {{\"type\":\"{kind}\",\"response\":{{\"usage\":{{\"input_tokens\":3,\"output_tokens\":2}}}}}}\n\n"
        )
    };
    let answer = || Answer::stream(OpenAiResponses, StreamView::WithUsage);
    let early = report("response.in_progress");
    assert_eq!(whole(answer(), &early).0, early);
    let last = report("response.completed");
    let expected =
        last.replace("\"output_tokens\":2", "\"output_tokens\":2,\"cost_usd\":0.000002003");
    assert_eq!(whole(answer(), &last).0, expected);
}

#[test]
fn a_gemini_stream_is_over_when_its_last_candidate_is() {
    let chunk = |candidates: &str| format!("data: {{\"candidates\":[{candidates}]}}\r\n\r\n");
    let text = "{\"content\":{\"parts\":[{\"text\":\"x\"}]}}";
    let last = "{\"finishReason\":\"STOP\"}";
    let mut answer = StreamAnswer::of(GeminiGenerate, StreamView::WithUsage, None);
    for (candidates, over) in [(text, false), (last, true), (text, false), (last, true)] {
        answer.chunk(chunk(candidates).as_bytes(), simple_cost);
        assert_eq!(answer.seen().complete, over, "{candidates}");
    }
}

#[test]
fn a_document_that_broke_off_counts_all_its_bytes_unless_it_has_vectors() {
    for format in FORMATS {
        let mut answer = PlainAnswer::new(format);
        answer.chunk(b"{\"content\":[{\"text\":\"abc", simple_cost);
        let bytes = if matches!(format, OpenAiEmbeddings | GeminiEmbed) { 0 } else { 24 };
        assert_eq!((answer.seen().output_bytes, answer.seen().complete), (bytes, false));
    }
}

proptest! {
    /// Valid or not, in whatever dialect: the chunks do not matter.
    #[test]
    fn any_bytes_at_any_split_give_the_same(
        text in "(data: |event: message_delta\n|\\{|\\}|\\[|\\]|,|:|\n|\r\n|\r\n\r\n|\n\n|1|2|null|\\[DONE\\]|\"(usage|usageMetadata|response|message|type|delta|text|choices|candidates|content|parts|finishReason|STOP|message_stop|response\\.completed|prompt_tokens|completion_tokens|input_tokens|output_tokens|promptTokenCount|candidatesTokenCount|iterations|cost_usd)\"){0,60}",
        sizes in proptest::collection::vec(1usize..25, 1..8),
    ) {
        for format in FORMATS {
            let stream = |view| Answer::stream(format, view);
            let answers =
                [Answer::plain(format), stream(StreamView::WithUsage), stream(StreamView::WithoutUsage)];
            for answer in answers {
                let expected = whole(answer.clone(), &text);
                let (mut answer, mut out) = (answer, Vec::new());
                let mut rest = text.as_bytes();
                for size in sizes.iter().cycle() {
                    if rest.is_empty() {
                        break;
                    }
                    let (chunk, after) = rest.split_at((*size).min(rest.len()));
                    answer.pass(chunk, &mut out);
                    rest = after;
                }
                let seen = answer.end(&mut out);
                prop_assert_eq!((String::from_utf8(out).unwrap(), seen), expected);
            }
        }
    }
}
