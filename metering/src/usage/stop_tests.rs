//! A stream that is stopped, by its reader or by its own bound, is read on but shows no more.

use proptest::prelude::*;
use wire::NanoUsd;
use wire::v1::Usage;

use super::*;

const OWN: &str = "data: {\"own\":true}\n\n";

fn free(_: &Usage) -> NanoUsd {
    NanoUsd::ZERO
}

/// Name and data of each event, as the WHATWG's parser finds them.
fn named_events(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut found = Vec::new();
    let mut name = "";
    let mut data: Vec<&str> = Vec::new();
    let value = |rest: &'_ str| rest.strip_prefix(' ').unwrap_or(rest).len();
    for line in text.split_terminator('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                found.push((name.to_owned(), data.join("\n")));
            }
            (name, data) = ("", Vec::new());
        } else if let Some(rest) = line.strip_prefix("data:") {
            data.push(&rest[rest.len() - value(rest)..]);
        } else if let Some(rest) = line.strip_prefix("event:") {
            name = &rest[rest.len() - value(rest)..];
        }
    }
    found
}

/// The data of each event.
fn events(bytes: &[u8]) -> Vec<String> {
    named_events(bytes).into_iter().map(|(_, data)| data).collect()
}

/// Shows the first bytes, stops, says its own event and reads the rest.
fn stopped_at(format: AnswerFormat, text: &str, at: usize, own: &str) -> (Vec<u8>, Seen) {
    let mut answer = StreamAnswer::of(format, StreamView::WithUsage, None);
    let (before, after) = text.as_bytes().split_at(at);
    let mut out = answer.chunk(before, free).unwrap_or_else(|| before.to_vec());
    out.extend(answer.stop());
    out.extend(own.as_bytes());
    assert_eq!(answer.chunk(after, free), Some(Vec::new()), "something passed");
    assert_eq!(answer.chunk(b"", free), Some(Vec::new()));
    assert!(answer.finish().is_empty());
    (out, answer.seen())
}

fn delta(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}")
}

#[test]
fn our_event_stands_alone_wherever_the_stream_was_stopped() {
    for end in ["\n", "\r\n", "\r"] {
        let end = end.repeat(2);
        let usage =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}";
        let text = [&delta("a"), usage, &delta("b"), ": note", "data: [DONE]", ""].join(&end);
        for at in 0..=text.len() {
            let (out, seen) = stopped_at(AnswerFormat::OpenAiChat, &text, at, OWN);
            let found = events(&out);
            assert_eq!(found.last().map(String::as_str), Some("{\"own\":true}"), "at {at}");
            for event in &found {
                let event = event.replace(",\"cost_usd\":0.00", "");
                assert!(text.contains(&event) || event == "{\"own\":true}", "{event}");
            }
            // All of it is read all the same.
            assert_eq!(seen.usage.map(|usage| usage.output_tokens), Some(2), "at {at}");
            assert_eq!(seen.deltas, 2, "at {at}");
        }
    }
}

/// Streams as their APIs send them, and the event that ends each.
const OTHER_APIS: [(AnswerFormat, &str, &str); 3] = [
    (
        AnswerFormat::AnthropicMessages,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":2}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        "event: error\ndata: {\"own\":true}\n\n",
    ),
    (
        AnswerFormat::OpenAiResponses,
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"usage\":null}}\n\n\
event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"hi\"}\n\n\
event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
        "event: error\ndata: {\"own\":true}\n\n",
    ),
    (
        AnswerFormat::GeminiGenerate,
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1}}\n\n\
data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ho\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2}}\n\n",
        OWN,
    ),
];

#[test]
fn no_api_is_left_half_an_event_before_ours() {
    for (format, text, own) in OTHER_APIS {
        for end in ["\n", "\r\n", "\r"] {
            let (text, own_event) = (text.replace('\n', end), named_events(own.as_bytes()));
            let whole = named_events(text.as_bytes());
            for at in 0..=text.len() {
                let (out, seen) = stopped_at(format, &text, at, own);
                let mut found = named_events(&out);
                assert_eq!(found.pop(), own_event.first().cloned(), "{format:?} at {at}");
                for ((name, data), (whole_name, whole_data)) in found.iter().zip(&whole) {
                    let data = data.replace(",\"cost_usd\":0.00", "");
                    assert_eq!((name, &data), (whole_name, whole_data), "{format:?} at {at}");
                }
                // Nothing but whole events: the SDK of Google breaks on anything else.
                let shown = String::from_utf8(out).unwrap();
                let shown = shown.strip_suffix(own).unwrap().replace(",\"cost_usd\":0.00", "");
                let rest = shown.trim_end_matches(['\r', '\n']);
                assert!(text.starts_with(rest), "{format:?} at {at}: {shown:?}");
                assert!(rest.is_empty() || text[rest.len()..].starts_with(&end.repeat(2)));
                assert_eq!(seen.usage.map(|usage| usage.output_tokens), Some(2), "at {at}");
            }
        }
    }
}

#[test]
fn our_event_has_the_next_number() {
    let (_, text, _) = OTHER_APIS[1];
    let mut answer = StreamAnswer::of(AnswerFormat::OpenAiResponses, StreamView::WithUsage, None);
    assert_eq!(answer.next_sequence_number(), 0);
    let mut numbers = Vec::new();
    for event in text.split_inclusive("\n\n") {
        answer.chunk(event.as_bytes(), free);
        numbers.push(answer.next_sequence_number());
    }
    assert_eq!(numbers, [1, 2, 3]);
    for odd in ["-1", "1.5", "1e3", "\"9\"", "null", "99999999999999999999", "2"] {
        answer.chunk(format!("data: {{\"sequence_number\":{odd}}}\n\n").as_bytes(), free);
        assert_eq!(answer.next_sequence_number(), 3, "{odd}");
    }
}

#[test]
fn an_event_that_ends_with_crlf_waits_for_no_other() {
    let event = format!("{}\r\n\r\n", delta("a"));
    let mut answer = StreamAnswer::new(StreamView::WithUsage, None);
    for _ in 0..3 {
        assert_eq!(answer.chunk(event.as_bytes(), free), None, "something is held back");
        assert_eq!(answer.held_bytes(), 0);
    }
    // Also where the chunk ends within the line break.
    let (most, last) = event.split_at(event.len() - 1);
    assert_eq!(answer.chunk(most.as_bytes(), free), None);
    assert_eq!(answer.chunk(last.as_bytes(), free), None);
    assert_eq!(answer.seen().deltas, 4);
}

const ARRAY: &str = r#" [{"candidates":[{"content":{"parts":[{"text":"h}],[{i"}]}}],
"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}
,
{"candidates":[{"content":{"parts":[{"text":"ho"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}
]
"#;

#[test]
fn an_array_is_ended_at_the_next_border_of_elements() {
    let whole: Vec<serde_json::Value> = serde_json::from_str(ARRAY).unwrap();
    for (at, size) in (0..ARRAY.len()).flat_map(|at| [1, 7, 1000].map(|size| (at, size))) {
        let mut answer = PlainAnswer::new(AnswerFormat::GeminiGenerate);
        assert!(answer.is_open_array());
        let (before, after) = ARRAY.as_bytes().split_at(at);
        let mut out = answer.chunk(before, free).unwrap_or_else(|| before.to_vec());
        if !answer.is_open_array() {
            assert!(ARRAY[at..].trim().is_empty(), "at {at}");
            continue;
        }
        let mut ended = false;
        for chunk in after.chunks(size) {
            if ended {
                answer.chunk(chunk, free);
                continue;
            }
            let (shown, is_border) = answer.chunk_to_border(chunk, free);
            out.extend(shown);
            if is_border {
                out.extend(b"{\"own\":true}]");
                ended = true;
            }
        }
        let text = String::from_utf8(out).unwrap().replace(",\"cost_usd\":0.00", "");
        let mut found: Vec<serde_json::Value> = serde_json::from_str(&text).expect(&text);
        assert_eq!(found.pop(), Some(serde_json::json!({"own": true})), "at {at}");
        assert!(whole.starts_with(&found), "at {at}: {text}");
        // No element has passed that had not begun to.
        let begun = ARRAY.match_indices("{\"candidates").filter(|(start, _)| *start < at).count();
        assert_eq!(found.len(), begun, "at {at}: {text}");
        let seen = answer.seen();
        assert_eq!(seen.usage.map(|usage| usage.output_tokens), Some(2), "at {at}");
        assert!(seen.complete);
    }
}

#[test]
fn only_an_array_that_may_come_or_has_begun_is_open() {
    for (format, text, is_open) in [
        (AnswerFormat::GeminiGenerate, "", true),
        (AnswerFormat::GeminiGenerate, "\r\n", true),
        (AnswerFormat::GeminiGenerate, "[", true),
        (AnswerFormat::GeminiGenerate, "[{\"a\":1}", true),
        (AnswerFormat::GeminiGenerate, "[{]", true),
        (AnswerFormat::GeminiGenerate, "[]", false),
        (AnswerFormat::GeminiGenerate, "[{\"a\":1}]", false),
        (AnswerFormat::GeminiGenerate, "{", false),
        (AnswerFormat::GeminiGenerate, "{\"a\":[", false),
        (AnswerFormat::GeminiGenerate, "oops", false),
        (AnswerFormat::GeminiEmbed, "", false),
        (AnswerFormat::OpenAiChat, "", false),
        (AnswerFormat::OpenAiChat, "[", false),
        (AnswerFormat::AnthropicMessages, "", false),
    ] {
        let mut answer = PlainAnswer::new(format);
        answer.chunk(text.as_bytes(), free);
        assert_eq!(answer.is_open_array(), is_open, "{format:?} {text:?}");
        let may_end = is_open && text != "[{]";
        assert_eq!(answer.chunk_to_border(b"", free).1, may_end, "{format:?} {text:?}");
    }
}

#[test]
fn an_event_too_large_to_be_held_is_ended_first() {
    let text = format!("{}\n\n", delta(&"a".repeat(LONGEST_HELD_EVENT + 9)));
    let (out, _) = stopped_at(AnswerFormat::OpenAiChat, &text, LONGEST_HELD_EVENT + 5, OWN);
    assert!(out.len() > LONGEST_HELD_EVENT);
    assert_eq!(events(&out).last().map(String::as_str), Some("{\"own\":true}"));
}

/// What the client sees of a stream with this bound, and whether it was passed.
fn bounded(text: &str, bound: u64, size: usize) -> (String, bool, Seen) {
    let mut answer = StreamAnswer::new(StreamView::WithoutUsage, Some(bound));
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(size) {
        out.extend(answer.chunk(chunk, free).unwrap_or_else(|| chunk.to_vec()));
    }
    out.extend(answer.finish());
    (String::from_utf8(out).unwrap(), answer.has_passed_bound(), answer.seen())
}

#[test]
fn deltas_up_to_the_bound_pass_and_no_more() {
    let text: String = (0..5).map(|n| format!("{}\n\n", delta(&n.to_string()))).collect();
    for size in [1, 7, text.len()] {
        for bound in 0..8 {
            let (out, passed, seen) = bounded(&text, bound, size);
            assert_eq!(passed, bound < 5, "{bound}");
            let shown = if passed { bound } else { 5 };
            assert_eq!(events(out.as_bytes()).len() as u64, shown, "{bound}");
            assert_eq!(seen.deltas, 5);
        }
    }
}

#[test]
fn reported_usage_above_the_bound_stops_the_stream() {
    let report = |tokens: u64| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"x\"}}}}],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":{tokens}}}}}\r\n\r\n"
        )
    };
    let text = [report(10), report(20), report(21), report(22)].concat();
    for size in [1, 9, text.len()] {
        let (out, passed, seen) = bounded(&text, 20, size);
        assert_eq!((passed, events(out.as_bytes()).len()), (true, 2));
        assert!(out.ends_with("\r\n\r\n"), "{out:?}");
        assert_eq!(seen.usage.map(|usage| usage.output_tokens), Some(22));
    }
}

/// Chunk, its end, its usage report and the end of the stream, by API; the report is 30 tokens.
const REPORTED_LAST: [(AnswerFormat, &[&str]); 5] = [
    (
        AnswerFormat::OpenAiChat,
        &[
            "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":30}}\n\n",
            "data: [DONE]\n\n",
        ],
    ),
    (
        AnswerFormat::AnthropicMessages,
        &[
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hi\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":30}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ],
    ),
    (
        AnswerFormat::OpenAiResponses,
        &[
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n",
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":30}}}\n\n",
        ],
    ),
    (
        AnswerFormat::GeminiGenerate,
        &[
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1}}\n\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ho\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":30}}\n\n",
        ],
    ),
    (
        AnswerFormat::GeminiGenerate,
        &[
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]},\"finishReason\":1}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":30}}\n\n",
        ],
    ),
];

fn bounded_in(format: AnswerFormat, text: &str, bound: u64, size: usize) -> (String, bool, Seen) {
    let mut answer = StreamAnswer::of(format, StreamView::WithUsage, Some(bound));
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(size) {
        out.extend(answer.chunk(chunk, free).unwrap_or_else(|| chunk.to_vec()));
    }
    out.extend(answer.finish());
    let text = String::from_utf8(out).unwrap().replace(",\"cost_usd\":0.00", "");
    (text, answer.has_passed_bound(), answer.seen())
}

#[test]
fn a_report_above_the_bound_that_ends_the_output_lets_the_client_have_its_end() {
    for (format, events) in REPORTED_LAST {
        let text = events.concat();
        for size in [1, 5, text.len()] {
            let (out, passed, seen) = bounded_in(format, &text, 20, size);
            assert_eq!((out, passed), (text.clone(), false), "{format:?}");
            assert_eq!(seen.usage.map(|usage| usage.output_tokens), Some(30), "{format:?}");
            assert!(seen.complete, "{format:?}");
        }
    }
}

#[test]
fn an_end_that_was_none_helps_nobody() {
    for (format, events) in REPORTED_LAST {
        // The same again: it goes on after its end, in more pieces than it may have.
        let text = events.concat();
        let again = text.replace("30", "31").replace("[DONE]", "{}");
        let text = format!("{}{again}", text.replace("[DONE]", "{}"));
        let (_, passed, seen) = bounded_in(format, &text, 20, 7);
        assert!(passed, "{format:?}");
        assert!(seen.usage.is_some_and(|usage| usage.output_tokens >= 30), "{format:?}");
    }
}

#[test]
fn an_array_above_its_bound_is_ended_unless_it_has_ended_itself() {
    let element = |tokens: u64, finish: &str| {
        format!(
            "{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"x\"}}]}}{finish}}}],\"usageMetadata\":{{\"promptTokenCount\":1,\"candidatesTokenCount\":{tokens}}}}}"
        )
    };
    let stop = ",\"finishReason\":\"STOP\"";
    for (elements, expected) in [
        (vec![element(10, ""), element(20, stop)], false),
        (vec![element(10, ""), element(21, stop)], false),
        (vec![element(10, ""), element(21, "")], true),
        (vec![element(21, stop), element(22, stop)], true),
    ] {
        let text = format!("[{}", elements.join(",\n"));
        for size in [1, 9, text.len()] {
            let mut answer = PlainAnswer::bounded(AnswerFormat::GeminiGenerate, Some(20));
            for chunk in text.as_bytes().chunks(size) {
                answer.chunk(chunk, free);
            }
            assert!(answer.is_open_array());
            assert_eq!(answer.has_passed_bound(), expected, "{text} by {size}");
        }
    }
}

#[test]
fn one_token_under_several_names_is_one_delta() {
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning\":\"x\",\"reasoning_content\":\"x\",\"reasoning_details\":[{\"text\":\"x\"}]}}]}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"x\"}},{\"delta\":{\"content\":\"y\"}}]}\n\n";
    assert_eq!(bounded(text, 3, 5).2.deltas, 3);
}

proptest! {
    #[test]
    fn nothing_of_the_upstream_follows_our_event(
        text in "(data: |\\{\"choices\":\\[\\{\"delta\":\\{\"content\":\"a\"\\}\\}\\]\\}|\n|\r|\r\n|\n\n|: x|\\[DONE\\]){0,40}",
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(text.len() + 1);
        let (out, _) = stopped_at(AnswerFormat::OpenAiChat, &text, at, OWN);
        let found = events(&out);
        prop_assert_eq!(found.last().map(String::as_str), Some("{\"own\":true}"));
    }
}
