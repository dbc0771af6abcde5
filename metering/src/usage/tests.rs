use proptest::prelude::*;
use wire::NanoUsd;
use wire::v1::Usage;

use super::*;

/// One nano-USD per input token and a thousand per output token: easy to see in a text.
fn cost(usage: &Usage) -> NanoUsd {
    NanoUsd(usage.input_tokens + 1000 * usage.output_tokens)
}

fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
    Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        output_tokens: output,
        reasoning_tokens: reasoning,
        ..Usage::default()
    }
}

/// Feeds an answer in chunks of the given size and returns what the client sees.
fn plain(text: &str, size: usize) -> (String, Seen) {
    let mut answer = PlainAnswer::default();
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(size) {
        out.extend(answer.chunk(chunk, cost).unwrap_or_else(|| chunk.to_vec()));
    }
    (String::from_utf8(out).unwrap(), answer.seen())
}

fn stream(text: &str, size: usize, view: StreamView) -> (String, Seen) {
    let mut answer = StreamAnswer::new(view, None);
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(size) {
        out.extend(answer.chunk(chunk, cost).unwrap_or_else(|| chunk.to_vec()));
    }
    out.extend(answer.finish());
    (String::from_utf8(out).unwrap(), answer.seen())
}

const PLAIN: &str = r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"a \"usage\": {}"},"finish_reason":"stop"}],
 "usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
  "prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},
  "completion_tokens_details":{"reasoning_tokens":128}},"system_fingerprint":"fp"}"#;

const STREAM: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n\
: a comment\n\n\
data: {\"usage\":null,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\r\n\r\n\
data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\" two\"},\"finish_reason\":\"stop\"}],\"usage\" : null}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2,\"total_tokens\":13}}\n\n\
data: [DONE]\n\n";

#[test]
fn a_plain_answer_gets_its_cost_at_every_split() {
    let expected = PLAIN.replace(
        "\"reasoning_tokens\":128}}",
        "\"reasoning_tokens\":128},\"cost_usd\":0.000302006}",
    );
    for size in 1..=PLAIN.len() {
        let (text, seen) = plain(PLAIN, size);
        assert_eq!(text, expected, "chunks of {size}");
        assert_eq!(seen.usage, Some(usage(2006, 1920, 300, 128)));
        assert!(seen.complete);
    }
}

#[test]
fn a_stream_whose_client_asked_gets_its_cost_at_every_split() {
    let expected =
        STREAM.replace("\"total_tokens\":13}", "\"total_tokens\":13,\"cost_usd\":0.000002011}");
    for size in 1..=STREAM.len() {
        let (text, seen) = stream(STREAM, size, StreamView::WithUsage);
        assert_eq!(text, expected, "chunks of {size}");
        assert_eq!(seen.usage, Some(usage(11, 0, 2, 0)));
        assert!(seen.complete);
        assert_eq!((seen.deltas, seen.output_bytes), (2, 7));
    }
}

#[test]
fn a_stream_whose_client_did_not_ask_shows_no_usage_at_every_split() {
    let expected = STREAM
        .replace(",\"usage\":null", "")
        .replace("\"usage\":null,", "")
        .replace(",\"usage\" : null", "")
        .replace(
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2,\"total_tokens\":13}}\n\n",
            "",
        );
    for size in 1..=STREAM.len() {
        let (text, seen) = stream(STREAM, size, StreamView::WithoutUsage);
        assert_eq!(text, expected, "chunks of {size}");
        assert_eq!(seen.usage, Some(usage(11, 0, 2, 0)));
    }
}

#[test]
fn usage_on_the_last_choice_is_hidden_without_losing_the_choice() {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
    let (text, seen) = stream(event, 7, StreamView::WithoutUsage);
    assert_eq!(text, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    assert_eq!(seen.usage, Some(usage(1, 0, 1, 0)));
    assert!(!seen.complete);
}

#[test]
fn azures_first_chunk_without_choices_stays() {
    let event = "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\n\n";
    let (text, _) = stream(event, 100, StreamView::WithoutUsage);
    assert_eq!(text, "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n");
}

#[test]
fn the_last_valid_usage_wins() {
    let twice = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":2}}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-3,\"completion_tokens\":3}}\n\n\
data: [DONE]\n\n";
    let (_, seen) = stream(twice, 5, StreamView::WithUsage);
    assert_eq!(seen.usage, Some(usage(2, 0, 2, 0)));
}

#[test]
fn broken_counts_are_no_usage() {
    for report in [
        r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1,"completion_tokens":1e30}"#,
        r#"{"prompt_tokens":1,"completion_tokens":99999999999999999999}"#,
        r#"{"prompt_tokens":"1","completion_tokens":1}"#,
        r#"{"prompt_tokens":1}"#,
        r#"{}"#,
        "null",
        "[]",
        "7",
    ] {
        let text = format!(r#"{{"choices":[],"usage":{report}}}"#);
        let (out, seen) = plain(&text, 3);
        assert_eq!(seen.usage, None, "{report}");
        assert_eq!(out, text);
    }
}

#[test]
fn usage_elsewhere_is_not_the_answers() {
    let text = r#"{"x":{"usage":{"prompt_tokens":9,"completion_tokens":9}},"choices":[{"usage":{"prompt_tokens":8,"completion_tokens":8}}]}"#;
    assert_eq!(plain(text, 4).1.usage, None);
}

#[test]
fn what_breaks_off_is_estimated_from_what_was_seen() {
    let (_, seen) = plain(&PLAIN[..100], 9);
    assert!(!seen.complete);
    assert_eq!(seen.output_estimate(1_000_000), 25);
    assert_eq!(seen.output_estimate(10), 10);
    let cut = &STREAM[..STREAM.find("data: [DONE]").unwrap()];
    let cut = &cut[..cut.find("data: {\"choices\":[],").unwrap()];
    let (_, seen) = stream(cut, 9, StreamView::WithUsage);
    assert_eq!((seen.usage, seen.complete, seen.output_estimate(100)), (None, false, 2));
    assert_eq!(
        (input_estimate(300, 1000), input_estimate(301, 1000), input_estimate(9, 2)),
        (100, 101, 2)
    );
}

#[test]
fn no_json_passes_untouched() {
    let html = "<html>usage</html>";
    assert_eq!(plain(html, 4).0, html);
    let events = "event: x\ndata: hello\n\ndata: {broken\n\n\n\nno end";
    for size in 1..events.len() {
        assert_eq!(stream(events, size, StreamView::WithoutUsage).0, events);
    }
}

#[test]
fn a_giant_event_passes_in_bounded_memory_and_is_still_read() {
    let text = "a".repeat(LONGEST_HELD_EVENT + 10);
    let giant = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2}}}}\n\n"
    );
    let mut answer = StreamAnswer::new(StreamView::WithoutUsage, None);
    let mut out = Vec::new();
    for chunk in giant.as_bytes().chunks(16 << 10) {
        out.extend(answer.chunk(chunk, cost).unwrap_or_else(|| chunk.to_vec()));
        assert!(answer.held_bytes() <= LONGEST_HELD_EVENT);
    }
    assert_eq!(out, giant.as_bytes());
    assert_eq!(answer.seen().usage, Some(usage(1, 0, 2, 0)));
}

#[test]
fn two_data_lines_are_one_document() {
    let event = "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let (text, seen) = stream(event, 6, StreamView::WithUsage);
    assert_eq!(seen.usage, Some(usage(1, 0, 2, 0)));
    assert!(text.contains("\"completion_tokens\":2,\"cost_usd\":0.000002001}}"));
}

proptest! {
    #[test]
    fn any_bytes_at_any_split_give_the_same(
        bytes in "(data: |\\{|\\}|\"usage\":|null|,|\"choices\":|\\[|\\]|\n|\r|\r\n|\n\n|a|\"prompt_tokens\":1|\"completion_tokens\":2|\\[DONE\\]){0,40}",
        size in 1usize..20,
    ) {
        for view in [StreamView::WithUsage, StreamView::WithoutUsage] {
            let whole = stream(&bytes, bytes.len().max(1), view);
            prop_assert_eq!(&whole, &stream(&bytes, size, view));
        }
        let whole = plain(&bytes, bytes.len().max(1));
        prop_assert_eq!(whole, plain(&bytes, size));
    }
}
