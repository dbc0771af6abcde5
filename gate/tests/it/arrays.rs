//! Gemini's streams without `alt=sse` are one JSON array that comes piece by piece. However it is cut
//! into pieces and whatever happens meanwhile, the client gets what the upstream sent, or a whole array
//! whose last element says why it ends there, or the beginning of one that broke off.

use proptest::prelude::*;
use serde_json::Value;

use super::sequences::{Event, run};

/// What the upstream sends on each stream.
pub(super) const ARRAY: &str = r#"[{"candidates":[{"content":{"parts":[{"text":"one, {two}],["}]}}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3}}
,
{"candidates":[{"content":{"parts":[{"text":"three"}]}}]},
{"candidates":[{"content":{"parts":[{"text":"four \"five\""},{"text":"]}"}]}}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7}}
,{"candidates":[{"content":{"parts":[{"text":"six"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":9}}
]
"#;

/// The client of such a stream.
#[derive(Debug, Default)]
pub(super) struct ArrayClient {
    /// Bytes that the upstream has sent.
    sent: usize,
    got: Vec<u8>,
    is_told: bool,
}

impl ArrayClient {
    /// The upstream's next bytes, and whether they are the last.
    pub(super) fn next(&mut self, size: usize) -> (&'static [u8], bool) {
        let from = self.sent;
        self.sent = ARRAY.len().min(from + size);
        (&ARRAY.as_bytes()[from..self.sent], self.sent == ARRAY.len())
    }

    /// An element can still follow.
    pub(super) fn is_open(&self) -> bool {
        self.sent < ARRAY.trim_end().len() && !self.is_told
    }

    /// Something comes to the client. True when it has just been told of the end.
    pub(super) fn gets(&mut self, bytes: &[u8]) -> bool {
        if self.is_told {
            assert_eq!(bytes, b"", "something follows the error");
            return false;
        }
        self.got.extend_from_slice(bytes);
        self.is_told = self.got.windows(7).any(|window| window == b"\"error\"");
        if self.is_told {
            let mut all: Vec<Value> = serde_json::from_slice(&self.got).unwrap();
            let error = all.pop().unwrap();
            assert!(error["error"]["code"].is_u64(), "{error}");
            let whole: Vec<Value> = serde_json::from_str(ARRAY).unwrap();
            all.iter_mut().for_each(without_cost);
            assert!(whole.starts_with(&all), "{all:?}");
        }
        self.is_told
    }

    /// The stream is over.
    pub(super) fn is_over(&self) {
        if !self.is_told {
            let got = String::from_utf8_lossy(&self.got);
            let mut pieces = got.split(",\"cost_usd\":");
            let mut text = pieces.next().unwrap_or_default().to_owned();
            for piece in pieces {
                text.push_str(piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
            }
            assert_eq!(text, ARRAY[..self.sent], "other than was sent");
        }
    }
}

fn without_cost(element: &mut Value) {
    if let Some(usage) = element.get_mut("usageMetadata").and_then(Value::as_object_mut) {
        usage.remove("cost_usd");
    }
}

/// What brings three such answers under way, and a poll that can tell of the key.
fn three_arrays() -> Vec<Event> {
    let mut events = Vec::new();
    for stream in 1..4 {
        events.push(Event::ArrayRequest { stream });
        events.extend((0..3).map(|_| Event::Answer { which: 0, kind: 8 }));
        events.push(Event::Head { stream, kind: 0 });
    }
    events.push(Event::Tick);
    events
}

fn array_events() -> impl Strategy<Value = Vec<Event>> {
    let stream = 1u32..4;
    let event = prop_oneof![
        12 => (stream.clone(), prop_oneof![1usize..12, 1usize..300])
            .prop_map(|(stream, size)| Event::Piece { stream, size }),
        2 => (0usize..2, 4u8..9).prop_map(|(which, kind)| Event::Answer { which, kind }),
        1 => (0usize..2, 0u8..4).prop_map(|(which, kind)| Event::Answer { which, kind }),
        1 => stream.clone().prop_map(|stream| Event::End { stream }),
        1 => stream.prop_map(|stream| Event::ArrayRequest { stream }),
        1 => Just(Event::ClockFails),
        2 => Just(Event::Tick),
        3 => (1u64..300).prop_map(Event::Wait),
        1 => (900u64..40_000).prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 1..80)
        .prop_map(|events| three_arrays().into_iter().chain(events).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn each_array_has_one_end(events in array_events()) {
        run(events);
    }
}
