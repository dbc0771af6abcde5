//! The JSON reader: chunks make no difference, and it accepts what serde_json accepts.

use metering::json::{DEEPEST, Event, LONGEST_TEXT, Scanner, Sink, SyntaxError};
use serde_json::Value;

use crate::input::{Input, pieces};

/// What the scanner told, each event by itself and where it stood.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    events: Vec<(String, usize, u64, u64)>,
    /// Names and strings, each cut where the scanner cuts them.
    texts: Vec<Vec<u8>>,
}

impl Sink for Told {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        if let Event::Name(text) | Event::Str { text, .. } = event {
            self.texts.push(text.bytes.to_vec());
        }
        self.events.push((format!("{event:?}"), depth, start, end));
    }

    fn wants_string(&self, _: usize) -> bool {
        true
    }
}

fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Told, Result<(), SyntaxError>) {
    let mut told = Told::default();
    let mut scanner = Scanner::default();
    let mut at = 0;
    for piece in pieces {
        if let Err(error) = scanner.feed(piece, at, &mut told) {
            return (told, Err(error));
        }
        at += piece.len() as u64;
    }
    let end = scanner.finish(at, &mut told);
    (told, end)
}

/// Reads JSON, or what is none.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let seed = input.byte();
    let text = input.all();
    let (told, result) = scan(std::iter::once(text));
    let (in_pieces, same) = scan(pieces(text, seed));
    assert_eq!(result, same, "chunks make a difference");
    assert_eq!(told, in_pieces, "chunks make a difference");
    // Whether a text is UTF-8 is looked at apart from this.
    let Ok(text) = std::str::from_utf8(text) else { return };
    match (&result, serde_json::from_str::<Value>(text)) {
        (Ok(()), Ok(value)) => {
            let mut texts = Vec::new();
            collect(&value, &mut texts);
            for text in texts {
                assert!(told.texts.contains(&text), "a text was not told");
            }
        }
        // serde_json has no numbers that are too large, and no halves of pairs.
        (Ok(()), Err(error)) => {
            let why = error.to_string();
            let known = ["number out of range", "surrogate", "hex escape"];
            assert!(known.iter().any(|known| why.contains(known)), "only we read it: {why}");
        }
        (Err(SyntaxError::TooDeep), Ok(value)) => {
            assert!(depth(&value) > DEEPEST, "not too deep");
        }
        (Err(error), Ok(_)) => panic!("only serde_json reads it: {error}"),
        (Err(_), Err(_)) => {}
    }
}

/// Names and strings as the scanner keeps them.
fn collect(value: &Value, texts: &mut Vec<Vec<u8>>) {
    let mut keep = |text: &str| {
        texts.push(text.as_bytes().iter().copied().take(LONGEST_TEXT).collect());
    };
    match value {
        Value::String(text) => keep(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                texts.push(name.as_bytes().iter().copied().take(LONGEST_TEXT).collect());
                collect(value, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
