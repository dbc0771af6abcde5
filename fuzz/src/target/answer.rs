//! Answers of an upstream: server-sent events and documents. Chunks make no difference to what was
//! used, nor to what the client gets; what is not priced passes as it is.

use metering::usage::{
    AnswerFormat, LONGEST_HELD_EVENT, PlainAnswer, Seen, StreamAnswer, StreamView,
};
use wire::NanoUsd;

use crate::input::{Input, pieces};

const FORMATS: [AnswerFormat; 6] = [
    AnswerFormat::OpenAiChat,
    AnswerFormat::OpenAiResponses,
    AnswerFormat::OpenAiEmbeddings,
    AnswerFormat::AnthropicMessages,
    AnswerFormat::GeminiGenerate,
    AnswerFormat::GeminiEmbed,
];

const VIEWS: [StreamView; 3] =
    [StreamView::WithUsage, StreamView::WithoutCost, StreamView::WithoutUsage];

/// Any price will do.
const COST: NanoUsd = NanoUsd(1_234_567);

fn stream<'a>(mut answer: StreamAnswer, pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut client = Vec::new();
    for piece in pieces {
        match answer.chunk(piece, |_| COST) {
            Some(bytes) => client.extend_from_slice(&bytes),
            None => client.extend_from_slice(piece),
        }
        assert!(answer.held_bytes() <= LONGEST_HELD_EVENT, "too much is held");
    }
    let seen = answer.seen();
    if !answer.has_passed_bound() {
        client.extend_from_slice(&answer.finish());
    }
    (client, seen, answer.has_passed_bound())
}

/// What the client got, what was seen, and whether the bound was passed.
type Read = (Vec<u8>, Seen, bool);

fn assert_same(whole: &Read, in_pieces: &Read) {
    assert_eq!(whole.1, in_pieces.1, "chunks make a difference to what is seen");
    assert_eq!(whole.2, in_pieces.2, "chunks make a difference to the bound");
    assert_eq!(
        String::from_utf8_lossy(&whole.0),
        String::from_utf8_lossy(&in_pieces.0),
        "chunks make a difference to the client"
    );
}

/// No bound on the output, or a small one.
fn bound(byte: u8) -> Option<u64> {
    byte.checked_sub(128).map(u64::from)
}

/// The bytes of a stream of events.
pub(crate) fn run_stream(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let format = input.one_of(&FORMATS);
    let view = input.one_of(&VIEWS);
    let bound = bound(input.byte());
    let seed = input.byte();
    let text = input.all();
    let answer = StreamAnswer::of(format, view, bound);
    let whole = stream(answer.clone(), std::iter::once(text));
    let in_pieces = stream(answer, pieces(text, seed));
    assert_same(&whole, &in_pieces);
    if view == StreamView::WithoutCost && !whole.2 {
        assert_eq!(whole.0, text, "something was changed");
    }
}

fn document<'a>(mut answer: PlainAnswer, pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut client = Vec::new();
    for piece in pieces {
        let edited = answer.chunk(piece, |_| COST);
        client.extend_from_slice(edited.as_deref().unwrap_or(piece));
    }
    (client, answer.seen(), answer.has_passed_bound())
}

/// The bytes of a document, or of a list of them.
pub(crate) fn run_document(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let format = input.one_of(&FORMATS);
    let shows_cost = input.byte() & 1 == 0;
    let bound = bound(input.byte());
    let seed = input.byte();
    let text = input.all();
    let answer = PlainAnswer::bounded(format, bound);
    let answer = if shows_cost { answer } else { answer.without_cost() };
    let whole = document(answer.clone(), std::iter::once(text));
    let in_pieces = document(answer, pieces(text, seed));
    assert_same(&whole, &in_pieces);
    if !shows_cost {
        assert_eq!(whole.0, text, "something was changed");
    }
    // What the client gets is JSON where the upstream's answer was.
    if serde_json::from_slice::<serde_json::Value>(text).is_ok() {
        let client = serde_json::from_slice::<serde_json::Value>(&whole.0);
        assert!(client.is_ok(), "{}", String::from_utf8_lossy(&whole.0));
    }
}
