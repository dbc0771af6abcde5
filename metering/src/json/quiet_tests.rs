use proptest::prelude::*;

use crate::json::{Event, Scanner, Sink, SyntaxError};

/// Writes down what stands outside of brackets at a depth, and counts what is inside.
struct Listener {
    depth: usize,
    is_quiet: bool,
    told: Vec<String>,
    inside: u64,
    passed_over: u64,
}

impl Sink for Listener {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        if depth > self.depth {
            self.inside += 1;
        } else {
            self.told.push(format!("{depth} {start}..{end} {event:?}"));
        }
    }

    fn wants_string(&self, depth: usize) -> bool {
        depth <= self.depth
    }

    fn passes_over(&self, depth: usize) -> bool {
        self.is_quiet && depth == self.depth
    }

    fn passed_over(&mut self, events: u64) {
        self.inside += events;
        self.passed_over += events;
    }
}

fn listen(chunks: &[&[u8]], depth: usize, is_quiet: bool) -> (Result<(), SyntaxError>, Listener) {
    let mut listener = Listener { depth, is_quiet, told: Vec::new(), inside: 0, passed_over: 0 };
    let mut scanner = Scanner::default();
    let mut at = 0;
    let mut read = || {
        for chunk in chunks {
            scanner.feed(chunk, at, &mut listener)?;
            at += chunk.len() as u64;
        }
        scanner.finish(at, &mut listener)
    };
    (read(), listener)
}

/// What is passed over is checked and counted as if it had been told.
fn compare(text: &str) {
    let bytes = text.as_bytes();
    for depth in 0..3 {
        let (expected, loud) = listen(&[bytes], depth, false);
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        let (left, right) = bytes.split_at(bytes.len() / 2);
        for chunks in [&[bytes][..], &[left, right], &singles] {
            let (result, quiet) = listen(chunks, depth, true);
            assert_eq!(result, expected, "{text}");
            assert_eq!(quiet.told, loud.told, "{text}");
            assert_eq!(quiet.inside, loud.inside, "{text}");
        }
    }
}

#[test]
fn what_is_passed_over_is_not_told() {
    let text = r#"{"a":[1,-2.50e+3, {"b":"c","d":[null,true ,false]}, "e\n"],"f":0}"#;
    compare(text);
    let (result, quiet) = listen(&[text.as_bytes()], 1, true);
    assert_eq!(result, Ok(()));
    // All but the text with an escape.
    assert_eq!((quiet.inside, quiet.passed_over), (13, 12));
    assert_eq!(quiet.told.len(), 7);
}

#[test]
fn what_is_passed_over_is_checked() {
    for wrong in [
        "01",
        "-",
        "1.",
        "1e",
        "tru",
        "truee",
        "{]",
        "[}",
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "\"a\nb\"",
        "\"\\x\"",
        "1 2",
        "]",
        "}",
        "",
        "[[",
        "{\"a\":1 \"b\":2}",
        "\u{0}",
    ] {
        let text = format!("{{\"a\":[{wrong}],\"b\":[0,{wrong}]}}");
        compare(&text);
        assert!(wrong.is_empty() || listen(&[text.as_bytes()], 1, true).0.is_err(), "{text}");
    }
    let deep = crate::json::DEEPEST;
    compare(&("[".repeat(deep) + &"]".repeat(deep)));
    compare(&("[".repeat(deep + 1) + &"]".repeat(deep + 1)));
}

proptest! {
    #[test]
    fn passing_over_changes_nothing_but_what_is_told(
        pieces in proptest::collection::vec(proptest::sample::select(&[
            "[", "]", "{", "}", ",", ":", "\"a\"", "\"a\":", "\"\\n\"", "\"\\u0061\":", "0", "-1", "12.5", "1e9", "-",
            "1.", "true", "false", "null", "nul", " ", "\n", "[]", "{}", ",1", "\"b\":2,", "é", "\"é\"",
        ][..]), 0..16),
    ) {
        compare(&pieces.concat());
        compare(&format!("{{\"a\":[{}]}}", pieces.concat()));
    }
}
