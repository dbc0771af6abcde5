//! Bodies that are known to be read differently, and what each parser makes of them:
//! `tests/golden/nasty_bodies.txt`. `UPDATE_BODIES=1` writes it anew. Where the filter lets one
//! through, all must agree on it.

use std::fmt::Write as _;
use std::path::Path;

use fuzz::agreement::{Reading, View, judge, views_of_serde};
use metering::request::{Operation, Source, read};

use super::other_parser::OtherParser;

/// Longest body that is written down as a whole, in characters.
const LONGEST_SHOWN: usize = 160;

struct Case {
    what: &'static str,
    operation: Operation,
    body: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |operation, what, body: &[u8]| {
        all.push(Case { what, operation, body: body.to_vec() });
    };
    let mut chat = |what, body: &str| add(Operation::Chat, what, body.as_bytes());
    chat("as it should be", r#"{"model":"cheap","max_tokens":12,"stream":true}"#);
    chat("escaped, once", r#"{"mod\u0065l":"che\u0061p","max\u005Ftokens":12}"#);
    chat("the model twice", r#"{"model":"cheap","model":"dear"}"#);
    chat("the model twice, one escaped", r#"{"model":"cheap","mod\u0065l":"dear"}"#);
    chat("the model in capitals too", r#"{"model":"cheap","MODEL":"dear"}"#);
    chat("the model in capitals only", r#"{"Model":"cheap"}"#);
    chat("a name that ends at a NUL", r#"{"model":"cheap","max_tokens\u0000":99999}"#);
    chat("half a pair behind a name", r#"{"model":"cheap","max_tokens\ud800":99999}"#);
    chat("an s that is none", "{\"model\":\"cheap\",\"\u{17f}tream\":true}");
    chat("a k that is none", "{\"model\":\"cheap\",\"max_tokens\":5,\"max_to\u{212a}ens\":99999}");
    chat("a prototype", r#"{"model":"cheap","__proto__":{"stream":true,"max_tokens":99999}}"#);
    chat("the flag twice", r#"{"model":"cheap","stream":false,"stream":true}"#);
    chat(
        "options twice",
        r#"{"model":"cheap","stream":true,"stream_options":{"include_usage":true},"stream_options":{}}"#,
    );
    chat(
        "an option twice",
        r#"{"model":"cheap","stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
    );
    chat("a model in another object", r#"{"metadata":{"model":"dear"},"model":"cheap"}"#);
    chat("a model in a list", r#"{"model":["cheap"]}"#);
    chat("a model that is an object", r#"{"model":{"name":"cheap"}}"#);
    chat("no model", r#"{"max_tokens":5}"#);
    chat("a model with a NUL", r#"{"model":"cheap\u0000dear"}"#);
    chat("a model with half a pair", r#"{"model":"cheap\ud800"}"#);
    for number in [
        "12",
        "0",
        "-0",
        "-1",
        "1.0",
        "1e2",
        "1E+2",
        "12.5",
        "9007199254740991",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "012",
        "+12",
        "0x10",
        ".5",
        "5.",
        "NaN",
        "Infinity",
        "-Infinity",
        "1_000",
        "\"12\"",
        "true",
        "null",
        "[12]",
    ] {
        chat("a limit", &format!(r#"{{"model":"cheap","max_tokens":{number}}}"#));
    }
    for flag in ["1", "\"true\"", "\"false\"", "null", "True", "{}", "0"] {
        chat("a flag", &format!(r#"{{"model":"cheap","stream":{flag}}}"#));
    }
    for choices in ["1", "0", "129", "1.0", "\"2\"", "true"] {
        chat("choices", &format!(r#"{{"model":"cheap","n":{choices}}}"#));
    }
    chat("a comma at the end", r#"{"model":"cheap",}"#);
    chat("a comment", "{\"model\":\"cheap\"/*,\"model\":\"dear\"*/}");
    chat("a comment to the end of the line", "{\"model\":\"cheap\"//\n}");
    chat("single quotes", "{'model':'cheap'}");
    chat("a bare name", r#"{model:"cheap"}"#);
    chat("two documents", r#"{"model":"cheap"}{"model":"dear"}"#);
    chat("two documents on lines", "{\"model\":\"cheap\"}\n{\"model\":\"dear\"}");
    chat("something behind it", r#"{"model":"cheap"} x"#);
    chat("a NUL behind it", "{\"model\":\"cheap\"}\0");
    chat("cut off", r#"{"model":"cheap""#);
    chat("a list around it", r#"[{"model":"cheap"}]"#);
    chat("nothing", "");
    chat("a control character in a name", "{\"model\":\"cheap\",\"max\n_tokens\":9}");
    chat("a control character in a text", "{\"model\":\"cheap\",\"user\":\"a\tb\"}");
    chat("another white space", "{\"model\":\"cheap\"\u{a0}}");
    chat("a mark of byte order", "\u{feff}{\"model\":\"cheap\"}");
    let deep = |depth: usize| {
        format!(r#"{{"model":"cheap","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    chat("63 brackets deep", &deep(62));
    chat("66 brackets deep", &deep(65));
    chat("100,000 brackets deep", &deep(99_999));
    add(
        Operation::Chat,
        "a letter longer than it must be",
        b"{\"model\":\"cheap\",\"\xc1\xadodel\":\"dear\"}",
    );
    add(Operation::Chat, "half a pair in UTF-8", b"{\"model\":\"cheap\xed\xa0\x80\"}");
    add(Operation::Chat, "no UTF-8 in a name", b"{\"model\":\"cheap\",\"max_tokens\xff\":99999}");
    add(Operation::Chat, "no UTF-8 in a text", b"{\"model\":\"cheap\",\"user\":\"\xe9\"}");
    add(Operation::Chat, "UTF-16", &utf16("{\"model\":\"cheap\"}", u16::to_le_bytes));
    add(
        Operation::Chat,
        "UTF-16, the other way",
        &utf16("{\"model\":\"cheap\"}", u16::to_be_bytes),
    );
    add(
        Operation::Chat,
        "UTF-16 with its mark",
        &[b"\xff\xfe".as_slice(), &utf16("{\"model\":\"cheap\"}", u16::to_le_bytes)].concat(),
    );
    add(
        Operation::Chat,
        "gzip",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\xca\xcd\x4f\x49\xcd\x01\x00",
    );
    let mut gemini = |what, body: &str| add(Operation::GenerateContent, what, body.as_bytes());
    gemini(
        "both spellings",
        r#"{"generationConfig":{"maxOutputTokens":5,"max_output_tokens":99999}}"#,
    );
    gemini(
        "two objects for it",
        r#"{"generationConfig":{"maxOutputTokens":5},"generation_config":{"maxOutputTokens":99999}}"#,
    );
    gemini("another model than the path's", r#"{"model":"models/dear"}"#);
    gemini("a limit as a text", r#"{"generationConfig":{"maxOutputTokens":"5"}}"#);
    let mut messages = |what, body: &str| add(Operation::Messages, what, body.as_bytes());
    messages("a limit twice", r#"{"model":"cheap","max_tokens":5,"max_tokens":99999}"#);
    messages("no limit", r#"{"model":"cheap"}"#);
    all
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn shown(body: &[u8]) -> String {
    let text: String = match std::str::from_utf8(body) {
        Ok(text) => text.escape_debug().to_string().replace("\\\"", "\"").replace("\\\\", "\\"),
        Err(_) => body.escape_ascii().to_string().replace("\\\"", "\""),
    };
    match text.char_indices().nth(LONGEST_SHOWN) {
        None => text,
        Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], body.len()),
    }
}

/// A value of a view, readable.
fn plain(value: &str) -> String {
    let Some(digits) = value.strip_prefix("s:") else {
        return value.trim_start_matches("i:").trim_start_matches("f:").to_owned();
    };
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    format!("\"{}\"", String::from_utf8_lossy(&bytes).escape_debug())
}

fn seen(view: &View) -> String {
    if view.error.is_some() {
        return "refused".to_owned();
    }
    let members: Vec<String> =
        view.seen.iter().map(|(path, value)| format!("{path}={}", plain(value))).collect();
    if members.is_empty() { "nothing".to_owned() } else { members.join(" ") }
}

/// Who sees what: those who see the same together, and a whole language by its name.
fn opinions(views: &[View]) -> Vec<(String, String)> {
    let mut opinions: Vec<(String, Vec<&str>)> = Vec::new();
    for view in views {
        let opinion = seen(view);
        match opinions.iter_mut().find(|(other, _)| *other == opinion) {
            Some((_, parsers)) => parsers.push(&view.parser),
            None => opinions.push((opinion, vec![&view.parser])),
        }
    }
    let is_only = opinions.len() == 1;
    let who = |parsers: &[&str]| {
        if is_only {
            return "all".to_owned();
        }
        let mut shown: Vec<&str> = Vec::new();
        for parser in parsers {
            let language = ["python", "node"].into_iter().find(|name| parser.starts_with(name));
            let of = |all: &mut dyn Iterator<Item = &str>, language: &str| {
                all.filter(|parser| parser.starts_with(language)).count()
            };
            let whole = language.filter(|language| {
                let all = of(&mut views.iter().map(|view| view.parser.as_str()), language);
                of(&mut parsers.iter().copied(), language) == all
            });
            let name = whole.unwrap_or(parser);
            if !shown.contains(&name) {
                shown.push(name);
            }
        }
        shown.join(", ")
    };
    opinions.iter().map(|(opinion, parsers)| (who(parsers), opinion.clone())).collect()
}

fn source(operation: Operation) -> Source<'static> {
    let path_model = (operation == Operation::GenerateContent).then_some("cheap");
    Source { operation, path_model, betas: "" }
}

fn filters_view(case: &Case) -> String {
    match read(&case.body, source(case.operation)) {
        Ok(_) => "let through".to_owned(),
        Err(problem) => format!("{} ({problem})", problem.code()),
    }
}

#[test]
fn each_is_refused_or_read_alike_by_all() {
    let mut python = OtherParser::python().unwrap();
    let mut node = OtherParser::node().unwrap();
    let mut views = |body: &[u8]| {
        let mut views = views_of_serde(body);
        views.extend(python.views(body).unwrap());
        views.extend(node.views(body).unwrap());
        views
    };
    let mut table = String::new();
    for case in cases() {
        if let Some(reading) = Reading::of(&case.body, source(case.operation), false) {
            judge(&reading, &case.body, &mut views);
        }
        let body = shown(&case.body);
        writeln!(table, "{}, {:?}: {body}", case.what, case.operation).unwrap();
        writeln!(table, "  filter: {}", filters_view(&case)).unwrap();
        for (who, opinion) in opinions(&views(&case.body)) {
            writeln!(table, "  {who}: {opinion}").unwrap();
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nasty_bodies.txt");
    if std::env::var_os("UPDATE_BODIES").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    assert!(table == golden, "read otherwise than {} says:\n{table}", file.display());
}
