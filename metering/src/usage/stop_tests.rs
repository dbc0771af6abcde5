//! A stream that is stopped, by its reader or by its own bound, is read on but shows no more.

use proptest::prelude::*;
use wire::NanoUsd;
use wire::v1::Usage;

use super::*;

const OWN: &str = "data: {\"own\":true}\n\n";

fn free(_: &Usage) -> NanoUsd {
    NanoUsd::ZERO
}

/// The data of each event, as the WHATWG's parser finds them.
fn events(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut found = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    for line in text.split_terminator('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                found.push(data.join("\n"));
            }
            data.clear();
        } else if let Some(rest) = line.strip_prefix("data:") {
            data.push(rest.strip_prefix(' ').unwrap_or(rest));
        }
    }
    found
}

/// Shows the first bytes, stops, says its own event and reads the rest.
fn stopped_at(text: &str, at: usize) -> (Vec<u8>, Seen) {
    let mut answer = StreamAnswer::new(StreamView::WithUsage, None);
    let (before, after) = text.as_bytes().split_at(at);
    let mut out = answer.chunk(before, free).unwrap_or_else(|| before.to_vec());
    out.extend(answer.stop());
    out.extend(OWN.as_bytes());
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
            let (out, seen) = stopped_at(&text, at);
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

#[test]
fn an_event_too_large_to_be_held_is_ended_first() {
    let text = format!("{}\n\n", delta(&"a".repeat(LONGEST_HELD_EVENT + 9)));
    let (out, _) = stopped_at(&text, LONGEST_HELD_EVENT + 5);
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
        let (out, _) = stopped_at(&text, at.index(text.len() + 1));
        let found = events(&out);
        prop_assert_eq!(found.last().map(String::as_str), Some("{\"own\":true}"));
    }
}
