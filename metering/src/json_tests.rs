use proptest::prelude::*;

use super::*;

/// Writes every event as a line, so that two readings can be compared.
#[derive(Default)]
struct Trace(Vec<String>);

impl Sink for Trace {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        let what = match event {
            Event::Name(text) => format!("name {:?}", String::from_utf8_lossy(text.bytes)),
            Event::Str { text, length } => {
                format!("str {:?} {length}", String::from_utf8_lossy(text.bytes))
            }
            Event::Number(text) => format!("num {}", String::from_utf8_lossy(text.bytes)),
            other => format!("{other:?}"),
        };
        self.0.push(format!("{depth} {start}..{end} {what}"));
    }

    fn wants_string(&self, _: usize) -> bool {
        true
    }
}

fn read(chunks: &[&[u8]]) -> Result<Vec<String>, SyntaxError> {
    let mut scanner = Scanner::default();
    let mut trace = Trace::default();
    let mut at = 0;
    for chunk in chunks {
        scanner.feed(chunk, at, &mut trace)?;
        at += chunk.len() as u64;
    }
    scanner.finish(at, &mut trace)?;
    Ok(trace.0)
}

#[test]
fn says_what_it_sees_and_where() {
    assert_eq!(
        read(&[br#"{"a": [1, -2.5e3, "x\n\u00e9\ud83d\ude00"], "b": null}"#]).unwrap(),
        [
            "0 0..1 Open { object: true }",
            "1 1..4 name \"a\"",
            "1 6..7 Open { object: false }",
            "2 7..8 num 1",
            "2 10..16 num -2.5e3",
            "2 18..41 str \"x\\né😀\" 21",
            "1 41..42 Close { object: false }",
            "1 44..47 name \"b\"",
            "1 49..53 Null",
            "0 53..54 Close { object: true }",
        ]
    );
}

#[test]
fn refuses_what_is_not_json() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "{]",
        "[}",
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "truee",
        "nul",
        "NaN",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"a",
        "1 2",
        "{} {}",
        "// c\n1",
        "[1 2]",
        "\u{feff}{}",
    ] {
        assert!(read(&[text.as_bytes()]).is_err(), "{text:?}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
    }
    let deep = "[".repeat(DEEPEST + 1);
    assert_eq!(read(&[deep.as_bytes()]), Err(SyntaxError::TooDeep));
}

#[test]
fn half_a_surrogate_pair_is_never_nothing() {
    for text in
        [r#""mod\ud800el""#, r#""mod\ud800\u0065l""#, r#""mod\ud800\ud800el""#, r#""model\ud800""#]
    {
        let seen = read(&[text.as_bytes()]).unwrap();
        assert!(seen[0].contains('\u{fffd}'), "{text} {seen:?}");
    }
}

#[test]
fn long_texts_are_cut_and_marked() {
    struct Ends(Vec<bool>);
    impl Sink for Ends {
        fn event(&mut self, event: Event<'_>, _: usize, _: u64, _: u64) {
            if let Event::Str { text, .. } = event {
                assert!(text.bytes.len() <= LONGEST_TEXT);
                self.0.push(text.complete);
            }
        }
        fn wants_string(&self, _: usize) -> bool {
            true
        }
    }
    let body = format!("[{:?},{:?}]", "a".repeat(LONGEST_TEXT), "a".repeat(LONGEST_TEXT + 1));
    let mut ends = Ends(Vec::new());
    let mut scanner = Scanner::default();
    scanner.feed(body.as_bytes(), 0, &mut ends).unwrap();
    assert_eq!(ends.0, [true, false]);
}

#[test]
fn counts_are_plain_integers_only() {
    let count_of = |bytes| count(Text { bytes, complete: true });
    assert_eq!(count_of(b"18446744073709551615"), Some(u64::MAX));
    for text in ["", "-1", "1.0", "1e3", "18446744073709551616", "1e30"] {
        assert_eq!(count_of(text.as_bytes()), None, "{text}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            proptest::collection::vec((".*", inner), 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// We read those as U+FFFD; others may refuse them.
fn has_half_a_pair(text: &str) -> bool {
    text.to_ascii_lowercase().contains("\\ud83d") || text.to_ascii_lowercase().contains("\\ude00")
}

proptest! {
    #[test]
    fn every_document_reads_the_same_at_every_split(value in json(), pretty: bool, at in 0usize..200) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let bytes = text.as_bytes();
        let whole = read(&[bytes]);
        prop_assert!(whole.is_ok(), "{whole:?} {text}");
        let (left, right) = bytes.split_at(at.min(bytes.len()));
        prop_assert_eq!(&whole, &read(&[left, right]));
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&whole, &read(&singles));
    }

    /// Whole escapes are read at once, cut ones byte by byte: what is seen, or where it ends, is the
    /// same.
    #[test]
    fn escapes_read_the_same_at_every_split(
        pieces in proptest::collection::vec(proptest::sample::select(&[
            "a", "plain text of some length", "é", "\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\u0000",
            "\\uD83D", "\\ude00", "\\ud83d\\ude00", "\\u20AC", "\\u12g4", "\\x", "\\u", "\\", "\t", "\"",
        ][..]), 0..12),
    ) {
        let text = format!("[\"{}\"]", pieces.concat());
        let bytes = text.as_bytes();
        let whole = read(&[bytes]);
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&whole, &read(&singles));
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            prop_assert_eq!(&whole, &read(&[left, right]), "{}", text);
        }
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert!(whole.is_ok() == theirs || has_half_a_pair(&text), "{}", text);
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(bytes in "[\\[\\]{}:,\"\\\\a0-9.eE+tn -]{0,12}") {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&bytes).is_ok();
        prop_assert_eq!(read(&[bytes.as_bytes()]).is_ok(), theirs, "{}", bytes);
    }
}
