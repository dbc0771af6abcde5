//! Bodies of which parsers are known to make different things, put together as bytes say.

use metering::request::Operation;

use crate::input::Input;

/// Names that are read somewhere, and some beside them.
const NAMES: &[&str] = &[
    "model",
    "max_tokens",
    "stream",
    "n",
    "stream_options",
    "include_usage",
    "max_completion_tokens",
    "max_output_tokens",
    "generationConfig",
    "generation_config",
    "maxOutputTokens",
    "max_output_tokens",
    "candidateCount",
    "best_of",
    "max_new_tokens",
    "num_predict",
    "thinking",
    "reasoning",
    "budget_tokens",
    "tools",
    "type",
    "background",
    "store",
    "service_tier",
    "messages",
    "contents",
    "input",
    "temperature",
    "metadata",
    "__proto__",
    "constructor",
    "",
    "x",
];

/// Values as they are written.
const VALUES: &[&str] = &[
    r#""cheap""#,
    r#""dear""#,
    "7",
    "true",
    "false",
    "null",
    "1",
    "128",
    "100000",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e2",
    "1E2",
    "7.000000000000000001",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "0x10",
    "010",
    "+7",
    ".5",
    "5.",
    "NaN",
    "Infinity",
    "-Infinity",
    "True",
    "None",
    "undefined",
    r#""7""#,
    r#""true""#,
    r#""ch\u0065ap""#,
    r#""ch\u0000eap""#,
    r#""cheap\u0000""#,
    r#""\ud800""#,
    r#""\udc00cheap""#,
    r#""\ud83d\ude00""#,
    r#""\x63heap""#,
    r#""che\ap""#,
    r#"'cheap'"#,
    "[]",
    "{}",
    r#"["cheap"]"#,
    r#"{"model":"dear"}"#,
    r#"{"include_usage":true}"#,
    r#"{"include_usage":false,"include_usage":true}"#,
    r#"{"include_usa\u0067e":true}"#,
    r#"{"Include_Usage":true}"#,
    r#"{"maxOutputTokens":9}"#,
    r#"{"maxOutputTokens":9,"max_output_tokens":99999}"#,
    r#"{"candidateCount":3}"#,
    r#"{"type":"enabled","budget_tokens":5000}"#,
    r#"{"max_tokens":4000}"#,
    r#"[{"type":"function","function":{"name":"f"}}]"#,
    r#"[{"type":"web_search"}]"#,
    r#"[{"type":"function","type":"web_search"}]"#,
    r#"[{"role":"user","content":"hi"}]"#,
    r#"[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#,
    r#"{"__proto__":{"stream":true,"max_tokens":99999,"model":"dear"}}"#,
    r#"{"stream":true,"n":99}"#,
    "[[[[[[[[]]]]]]]]",
];

/// A body for an operation.
pub fn body(operation: Operation, input: &mut Input<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    let form = input.byte();
    text.extend_from_slice(match form {
        0xf0 => b"\xef\xbb\xbf{".as_slice(),
        0xf1 => b"\0{",
        0xf2 => b"[{",
        0xf3 => b"/* */{",
        0xf4 => b" \t\r\n{",
        _ => b"{",
    });
    // Most bodies should be let through as far as what is always needed goes.
    let mut members: Vec<Vec<u8>> = Vec::new();
    if form & 7 != 0 && !matches!(operation, Operation::GenerateContent) {
        members.push(br#""model":"cheap""#.to_vec());
    }
    if form & 7 != 0 && operation == Operation::Messages {
        members.push(br#""max_tokens":9"#.to_vec());
    }
    for _ in 0..input.byte() % 6 {
        let mut member = name(input);
        member.extend_from_slice(match input.byte() {
            0xf0 => b" : ".as_slice(),
            0xf1 => b"=",
            0xf2 => b":/**/",
            _ => b":",
        });
        member.extend_from_slice(&value(input));
        let at = usize::from(input.byte()) % (members.len() + 1);
        members.insert(at, member);
    }
    let comma = match input.byte() {
        0xf0 => b",,".as_slice(),
        0xf1 => b",//\n",
        0xf2 => b" ",
        0xf3 => b"\n,\t",
        0xf4 => b";",
        _ => b",",
    };
    text.extend(members.join(comma));
    text.extend_from_slice(match input.byte() {
        0xf0 => b",}".as_slice(),
        0xf1 => b"}{}",
        0xf2 => b"} x",
        0xf3 => b"}\0",
        0xf4 => b"",
        0xf5 => b"}\n\r\t ",
        0xf6 => br#"}{"model":"dear"}"#,
        0xf7 => b"}}",
        0xf8 => b"}]",
        0xf9 => b"}\x0b",
        _ => b"}",
    });
    match input.byte() {
        0xf0 => utf16(&text, u16::to_le_bytes),
        0xf1 => utf16(&text, u16::to_be_bytes),
        0xf2 => [b"\xff\xfe".as_slice(), &utf16(&text, u16::to_le_bytes)].concat(),
        _ => text,
    }
}

fn utf16(text: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    String::from_utf8_lossy(text).encode_utf16().flat_map(bytes).collect()
}

/// A name in quotation marks, somehow written.
fn name(input: &mut Input<'_>) -> Vec<u8> {
    let name = input.one_of(NAMES);
    let form = input.byte();
    let at = usize::from(input.byte()) % name.len().max(1);
    let (before, after) = name.split_at(at.min(name.len()));
    let (letter, rest) = after.split_at(after.len().min(1));
    let code = letter.bytes().next().unwrap_or(b'_');
    let text = match form {
        0..=99 => name.to_owned(),
        100..=119 => format!("{before}\\u{code:04x}{rest}"),
        120..=129 => format!("{before}\\u{code:04X}{rest}"),
        130..=139 => name.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
        140..=154 => format!("{before}{}{rest}", letter.to_ascii_uppercase()),
        155..=159 => name.to_ascii_uppercase(),
        160..=169 => name.replacen('s', "\u{17f}", 1),
        170..=179 => name.replacen('k', "\u{212a}", 1),
        180..=184 => name.replacen('k', "\\u212A", 1).replacen('s', "\\u017F", 1),
        185..=194 => format!("{name}\\u0000"),
        195..=199 => format!("{name}\\u0000{rest}"),
        200..=204 => format!("{name}\\ud800"),
        205..=209 => format!("{before}\\udc00{after}"),
        210..=214 => format!("\u{feff}{name}"),
        215..=219 => format!("{before}\u{200b}{after}"),
        220..=224 => format!("{name} "),
        225..=229 => before.to_owned(),
        230..=234 => format!("{before}\\{after}"),
        235..=239 => format!("{before}\n{after}"),
        240..=244 => format!("{before}\\u{code:03x}"),
        245..=247 => return name.as_bytes().to_vec(),
        248..=249 => return format!("'{name}'").into_bytes(),
        // Bytes that are no UTF-8: a letter longer than it must be, the end of a character, and half
        // of a pair.
        250 => {
            let long = [0xc0 | code >> 6, 0x80 | code & 0x3f];
            return [b"\"", before.as_bytes(), &long, rest.as_bytes(), b"\""].concat();
        }
        251 => return [b"\"", before.as_bytes(), b"\xbf", after.as_bytes(), b"\""].concat(),
        252 => return [b"\"", name.as_bytes(), b"\xed\xa0\x80\""].concat(),
        253 => return [b"\"", name.as_bytes(), b"\xff\""].concat(),
        _ => return [b"\"", name.as_bytes(), b"\0\""].concat(),
    };
    format!("\"{text}\"").into_bytes()
}

/// A value: one of those above, one in another, or anything.
fn value(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        // Everything behind a member that is passed over must still be told from it.
        0..=7 => {
            let inside = [name(input), b":".to_vec(), input.one_of(VALUES).into()].concat();
            [b"{", inside.as_slice(), b"}"].concat()
        }
        8..=11 => {
            let deep = usize::from(input.byte());
            [b"[".repeat(deep), b"]".repeat(deep)].concat()
        }
        12..=15 => {
            let length = usize::from(input.byte() % 24);
            input.take(length).to_vec()
        }
        16..=63 => input.one_of(&VALUES[..12]).into(),
        _ => input.one_of(VALUES).into(),
    }
}
