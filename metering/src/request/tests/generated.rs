//! Generated bodies, against what `serde_json` reads.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Operation::*;
use super::*;

/// JSON without meaning: names that mean something elsewhere, nested at will.
fn noise() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("model")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![
            Just("model".to_owned()),
            Just("stream".to_owned()),
            Just("max_tokens".to_owned()),
            Just("maxOutputTokens".to_owned()),
            Just("generationConfig".to_owned()),
            Just("n".to_owned()),
            Just("stream_options".to_owned()),
            ".{0,6}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes a body with its members in a given order, names escaped where `escape` says so.
fn written(
    body: &Map<String, Value>,
    order: &[prop::sample::Index],
    escape: u32,
    pretty: bool,
) -> String {
    let mut members: Vec<_> = body.iter().collect();
    for (at, index) in order.iter().enumerate().take(members.len()) {
        let other = index.index(members.len());
        members.swap(at, other);
    }
    let lines: Vec<String> = (0u32..)
        .zip(members)
        .map(|(at, (name, value))| {
            let name = if escape >> (at % 32) & 1 == 1 {
                let first = name.chars().next().map_or(0, |first| first as u32);
                format!("\"\\u{first:04x}{}\"", name.get(1..).unwrap_or_default())
            } else {
                Value::from(name.as_str()).to_string()
            };
            let value = if pretty { format!("{value:#}") } else { value.to_string() };
            format!("{name}{}:{value}", if pretty { " \n" } else { "" })
        })
        .collect();
    format!("{{{}}}", lines.join(if pretty { ",\n " } else { "," }))
}

#[derive(Debug, Clone)]
struct Wanted {
    operation: Operation,
    stream: Option<bool>,
    limit: Option<Option<u64>>,
    choices: Option<u64>,
    include_usage: Option<Option<bool>>,
    noise: Value,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let operations =
        [Chat, Completions, Responses, Messages, GenerateContent, StreamGenerateContent];
    let option = proptest::option::of::<proptest::bool::Any>;
    (
        prop::sample::select(operations.to_vec()),
        option(any::<bool>()),
        proptest::option::of(proptest::option::of(1u64..1 << 40)),
        proptest::option::of(1u64..=128),
        proptest::option::of(option(any::<bool>())),
        noise(),
    )
        .prop_map(|(operation, stream, limit, choices, include_usage, noise)| Wanted {
            operation,
            stream,
            limit,
            choices,
            include_usage,
            noise,
        })
}

/// The body that asks for it, the noise where it has no meaning.
fn body_of(wanted: &Wanted) -> Map<String, Value> {
    let mut body = json!({"metadata": wanted.noise, "labels": wanted.noise});
    let gemini = matches!(wanted.operation, GenerateContent | StreamGenerateContent);
    let limit = match wanted.operation {
        Messages => Some(json!(wanted.limit.flatten().unwrap_or(1))),
        _ => wanted.limit.map(|limit| json!(limit)),
    };
    if gemini {
        if limit.is_some() || wanted.choices.is_some() {
            body["generationConfig"] = json!({"responseSchema": wanted.noise});
        }
        if let Some(limit) = limit {
            body["generationConfig"]["maxOutputTokens"] = limit;
        }
        if let Some(choices) = wanted.choices {
            body["generationConfig"]["candidateCount"] = json!(choices);
        }
    } else {
        body["model"] = json!("fast");
        if let Some(limit) = limit {
            let name =
                if wanted.operation == Responses { "max_output_tokens" } else { "max_tokens" };
            body[name] = limit;
        }
        if let Some(stream) = wanted.stream {
            body["stream"] = json!(stream);
        }
    }
    if wanted.operation.reports_usage_when_asked() {
        if let Some(choices) = wanted.choices {
            body["n"] = json!(choices);
        }
        if let Some(include) = wanted.include_usage {
            body["stream_options"] = json!({"include_usage": include, "other": wanted.noise});
        }
    }
    body.as_object().cloned().unwrap_or_default()
}

proptest! {
    #[test]
    fn the_same_is_read_as_by_serde(
        wanted in wanted(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 12),
        escape: u32, pretty: bool,
    ) {
        let body = body_of(&wanted);
        let text = written(&body, &order, escape, pretty);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&value, &Value::Object(body));
        let request = read_as(wanted.operation, &text).unwrap();
        let gemini = matches!(wanted.operation, GenerateContent | StreamGenerateContent);
        let config = &value["generationConfig"];
        let limit = ["max_tokens", "max_output_tokens"]
            .iter()
            .find_map(|name| value[*name].as_u64())
            .or_else(|| config["maxOutputTokens"].as_u64());
        prop_assert_eq!(request.model.as_str(), value["model"].as_str().unwrap_or("gemini-2.5-pro"));
        prop_assert_eq!(request.output_limit, limit.map_or(OutputLimit::Absent, OutputLimit::Tokens));
        let streams = value["stream"].as_bool().unwrap_or(wanted.operation == StreamGenerateContent);
        prop_assert_eq!(request.stream, streams);
        let choices = value["n"].as_u64().or_else(|| config["candidateCount"].as_u64());
        prop_assert_eq!(request.choices, choices.unwrap_or(1));

        // and rewriting it changes exactly what it says
        let tokens = limit.unwrap_or(512);
        let edits = Edits {
            model: Some("real"),
            output_limit: Some(WrittenLimit { tokens, reads_max_completion_tokens: true }),
        };
        let out = apply_edits(text.as_bytes(), &request.edits(edits));
        let after: Value = serde_json::from_slice(&out).unwrap();
        let mut expected = value;
        if !gemini {
            expected["model"] = json!("real");
        }
        if wanted.operation == Chat && limit.is_some() {
            let members = expected.as_object_mut().unwrap();
            members.remove("max_tokens");
            members.insert("max_completion_tokens".to_owned(), json!(limit));
        } else if limit.is_none() {
            match wanted.operation {
                Chat => expected["max_completion_tokens"] = json!(512),
                Completions => expected["max_tokens"] = json!(512),
                Responses => expected["max_output_tokens"] = json!(512),
                _ if expected["generationConfig"].is_object() => {
                    expected["generationConfig"]["maxOutputTokens"] = json!(512);
                }
                _ => expected["generationConfig"] = json!({"maxOutputTokens": 512}),
            }
        }
        if streams && wanted.operation.reports_usage_when_asked() {
            if !expected["stream_options"].is_object() {
                expected["stream_options"] = json!({});
            }
            expected["stream_options"]["include_usage"] = json!(true);
        }
        prop_assert_eq!(after, expected);
    }

    /// A body, sound or damaged, that comes in chunks.
    #[test]
    fn chunks_make_no_difference(
        wanted in wanted(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 12),
        escape: u32, pretty: bool,
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut body = written(&body_of(&wanted), &order, escape, pretty).into_bytes();
        if let Some((place, byte)) = damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        let source = source(wanted.operation);
        prop_assert_eq!(read_in_chunks(&body, &cuts, source), read(&body, source));
        let single: Vec<_> = (0..body.len()).collect();
        prop_assert_eq!(read_in_chunks(&body, &single, source), read(&body, source));
    }

    /// A second spelling of a member that we read never goes through.
    #[test]
    fn a_second_spelling_is_refused(
        wanted in wanted(), case in 0u32..64, escaped: bool, first: bool,
    ) {
        let body = body_of(&wanted);
        let gemini = matches!(wanted.operation, GenerateContent | StreamGenerateContent);
        let name = if gemini { "generationConfig" } else { "model" };
        let mut again: String = (0u32..)
            .zip(name.chars())
            .map(|(at, letter)| {
                if case >> (at % 6) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
            })
            .collect();
        if escaped {
            let first = again.remove(0) as u32;
            again = format!("\\u{first:04x}{again}");
        }
        let mut text = Value::Object(body.clone()).to_string();
        if !body.contains_key(name) {
            text.insert_str(1, &format!(r#""{name}":null,"#));
        }
        let member = format!(r#""{again}":{}"#, if gemini { "{}" } else { r#""dear""# });
        if first {
            text.insert_str(1, &format!("{member},"));
        } else {
            text.insert_str(text.len() - 1, &format!(",{member}"));
        }
        let read = read_as(wanted.operation, &text);
        prop_assert_eq!(read, Err(Problem::Duplicate(name)));
    }

    #[test]
    fn no_bytes_break_the_reader(
        operation in prop::sample::select(vec![Chat, Responses, Messages, GenerateContent, BatchEmbedContents]),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = read(&bytes, source(operation));
    }

    /// Members with a meaning and values that they should not have: never a panic, and edits of
    /// whatever is accepted give JSON.
    #[test]
    fn nasty_values_are_read_or_refused(
        operation in prop::sample::select(vec![
            Chat, Completions, Responses, Embeddings, Messages, GenerateContent, BatchEmbedContents,
        ]),
        members in proptest::collection::vec((any::<prop::sample::Index>(), noise()), 0..6),
    ) {
        let known: Vec<_> = table(operation).all_members().collect();
        let mut body = Map::new();
        for (index, value) in members {
            body.insert(known[index.index(known.len())].name.to_owned(), value);
        }
        let text = Value::Object(body).to_string();
        if let Ok(request) = read_as(operation, &text) {
            let edits = Edits {
                model: Some("real"),
                output_limit: Some(WrittenLimit { tokens: 1, reads_max_completion_tokens: false }),
            };
            let out = apply_edits(text.as_bytes(), &request.edits(edits));
            prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{text}");
        }
    }
}
