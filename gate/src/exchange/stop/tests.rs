//! What the client gets of an answer that is ended.

use metering::usage::{AnswerFormat, StreamView};
use serde_json::Value;

use super::*;

const ELEMENT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}"#;

fn free(_: &Usage) -> NanoUsd {
    NanoUsd::ZERO
}

fn asked() -> Stop {
    Stop { phase: Phase::Asked(Reason::Revoked), ..Stop::default() }
}

fn array() -> PlainAnswer {
    PlainAnswer::new(AnswerFormat::GeminiGenerate)
}

/// What the client gets of these chunks, each coming a millisecond after the one before it; the
/// stop is asked for before the chunk with this number.
fn ended_before(ask: usize, chunks: &[&str]) -> (String, Stop, Vec<bool>) {
    let (mut stop, mut answer) = (Stop::default(), array());
    let (mut out, mut closes) = (Vec::new(), Vec::new());
    for (at, chunk) in chunks.iter().enumerate() {
        if at == ask {
            stop.phase = Phase::Asked(Reason::Revoked);
        }
        let passage = stop.document_passes(&mut answer, (chunk.as_bytes(), false), at as u64, free);
        out.extend(passage.replaced.unwrap_or_else(|| chunk.as_bytes().to_vec()));
        closes.push(passage.close);
    }
    (String::from_utf8(out).unwrap(), stop, closes)
}

fn elements(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

#[test]
fn an_array_ends_with_the_reason_as_its_last_element() {
    let (first, rest) = ELEMENT.split_at(20);
    let begin = format!("[{first}");
    let (end, next) = (format!("{rest}\r\n"), format!(",\r\n{ELEMENT}"));
    let chunks = [begin.as_str(), &end, &next, &next, "]"];
    // (asked before this chunk, elements that pass, closes with this chunk)
    for (ask, passing, closed_at) in [(0, 0, 1), (1, 1, 2), (2, 1, 3), (3, 2, 4)] {
        let (text, _, closes) = ended_before(ask, &chunks);
        let mut found = elements(&text);
        let error = found.pop().unwrap();
        assert_eq!(error["error"]["status"], "UNAUTHENTICATED", "{text}");
        assert_eq!(error["error"]["details"][0]["reason"], "KEY_REVOKED");
        assert_eq!(found.len(), passing, "{text}");
        assert_eq!(closes.iter().position(|close| *close), Some(closed_at), "{ask}");
        assert_eq!(closes.iter().filter(|close| **close).count(), 1);
    }
}

#[test]
fn an_element_that_has_begun_goes_on_for_a_time() {
    let mut answer = array();
    assert!(answer.chunk(b"[{\"candidates\":", free).is_none());
    // Nothing has come since: closed at once.
    assert!(!asked().may_wait(100));
    let mut stop = Stop { last_chunk_ms: Some(100), ..asked() };
    assert!(stop.may_wait(100));
    let passage = stop.document_passes(&mut answer, (b"[", false), 500, free);
    assert_eq!(passage, Passage { replaced: Some(b"[".to_vec()), close: false });
    stop.last_chunk_ms = Some(500);
    assert!(stop.may_wait(100 + SILENT_MS - 1));
    stop.last_chunk_ms = Some(900);
    assert!(!stop.may_wait(100 + SILENT_MS), "an endless element is cut");
}

#[test]
fn every_stream_ends_in_the_form_of_its_api() {
    for (format, begin, last) in [
        (
            AnswerFormat::OpenAiChat,
            "data: {\"choices\":[{\"delta\":",
            "data: {\"error\":{\"code\":\"key_revoked\"",
        ),
        (
            AnswerFormat::OpenAiResponses,
            "event: response.output_text.delta\ndata: {\"sequence_number\":41,",
            "event: error\ndata: {\"code\":\"key_revoked\"",
        ),
        (
            AnswerFormat::AnthropicMessages,
            "event: content_block_delta\n",
            "event: error\ndata: {\"error\":{\"details\":{\"error_code\":\"key_revoked\"}",
        ),
        (AnswerFormat::GeminiGenerate, "data: {\"candidates\":", "data: {\"error\":{\"code\":401,"),
    ] {
        let mut answer = StreamAnswer::of(format, StreamView::WithUsage, None);
        assert_eq!(answer.chunk(begin.as_bytes(), free), Some(Vec::new()), "half an event passed");
        let mut stop = asked();
        let passage = stop.stream_passes(&mut answer, (b"more", false), 5, free);
        let shown = String::from_utf8(passage.replaced.unwrap()).unwrap();
        assert!(shown.starts_with(last), "{shown}");
        assert!(shown.ends_with("}\n\n") && !passage.close);
        if format == AnswerFormat::OpenAiResponses {
            assert!(shown.contains("\"sequence_number\":42"), "{shown}");
        }
        let after = stop.stream_passes(&mut answer, (b"\n\ndata: x\n\n", false), 6, free);
        assert_eq!(after, Passage { replaced: Some(Vec::new()), close: true });
    }
}
