//! Every fixture says the same whatever the chunks, and nothing but `cost_usd` is added to it.

use std::collections::BTreeSet;
use std::path::Path;

use metering::usage::AnswerFormat::{self, *};
use metering::usage::{Seen, StreamView};
use wire::v1::Usage;

use super::answers::{Answer, simple_cost};

/// Fixtures up to this many bytes are split at every pair of places too.
const SHORT: usize = 256;

/// What a fixture comes to.
struct Expected {
    file: &'static str,
    format: AnswerFormat,
    usage: Option<Usage>,
    deltas: u64,
    output_bytes: u64,
    complete: bool,
    /// Usage blocks that get a cost.
    costs: usize,
}

const NONE: Usage = Usage {
    input_tokens: 0,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    cache_write_1h_tokens: 0,
    audio_input_tokens: 0,
    image_input_tokens: 0,
    output_tokens: 0,
    reasoning_tokens: 0,
    audio_output_tokens: 0,
    image_output_tokens: 0,
    server_tool_calls: 0,
};

const fn tokens(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, ..NONE }
}

fn expected() -> Vec<Expected> {
    // WIRE's example, the same call in every dialect.
    let example = Usage { cached_input_tokens: 1920, reasoning_tokens: 128, ..tokens(2006, 300) };
    let anthropic =
        Usage { cached_input_tokens: 1920, cache_write_tokens: 51, ..tokens(2006, 300) };
    let response = Usage {
        cached_input_tokens: 100,
        cache_write_tokens: 200,
        cache_write_1h_tokens: 100,
        ..tokens(900, 50)
    };
    let thinking = Usage { reasoning_tokens: 30, ..tokens(11, 33) };
    [
        (OpenAiChat, "plain.json", Some(example), 1, 2, true, 1),
        (OpenAiChat, "short.json", Some(tokens(4, 2)), 1, 10, true, 1),
        (OpenAiChat, "completion.json", Some(tokens(7, 16)), 2, 6, true, 1),
        (OpenAiChat, "stream.sse", Some(tokens(11, 7)), 2, 11, true, 1),
        (OpenAiChat, "stream_crlf.sse", Some(tokens(11, 7)), 2, 11, true, 1),
        (OpenAiChat, "stream_cr.sse", Some(tokens(11, 7)), 2, 11, true, 1),
        (OpenAiChat, "short.sse", Some(tokens(1, 2)), 1, 1, true, 1),
        (OpenAiChat, "azure.sse", Some(tokens(11, 7)), 1, 2, true, 1),
        (OpenAiChat, "running_totals.sse", Some(tokens(5, 3)), 3, 3, true, 3),
        (OpenAiChat, "tool_calls.sse", Some(tokens(11, 7)), 2, 9, true, 1),
        (OpenAiChat, "error.sse", None, 1, 2, false, 0),
        (OpenAiChat, "broken_reports.sse", Some(tokens(3, 1)), 1, 1, true, 1),
        // the reasoning stands beside the completion: 135 - 32
        (
            OpenAiChat,
            "reasoning_apart.json",
            Some(Usage { reasoning_tokens: 94, ..tokens(32, 103) }),
            1,
            2,
            true,
            1,
        ),
        (
            OpenAiChat,
            "audio_and_tools.json",
            Some(Usage {
                audio_input_tokens: 420,
                image_input_tokens: 30,
                audio_output_tokens: 60,
                ..tokens(500, 90)
            }),
            2,
            8 + 33,
            true,
            1,
        ),
        (
            OpenAiChat,
            "openrouter.json",
            Some(Usage { cache_write_tokens: 100, server_tool_calls: 2, ..tokens(194, 2) }),
            1,
            2,
            true,
            1,
        ),
        (
            OpenAiChat,
            "openrouter.sse",
            Some(Usage { cached_input_tokens: 64, ..tokens(194, 4) }),
            2,
            6,
            true,
            1,
        ),
        (OpenAiResponses, "plain.json", Some(example), 2, 10, true, 1),
        (OpenAiResponses, "short.json", Some(tokens(4, 2)), 1, 1, true, 1),
        (OpenAiResponses, "queued.json", None, 0, 0, true, 0),
        (OpenAiResponses, "stream.sse", Some(example), 2, 10, true, 1),
        (OpenAiResponses, "incomplete.sse", Some(example), 2, 10, true, 1),
        (OpenAiResponses, "failed.sse", Some(tokens(8, 0)), 0, 0, true, 1),
        (OpenAiResponses, "short.sse", Some(tokens(1, 2)), 1, 2, true, 1),
        (OpenAiResponses, "cut.sse", None, 1, 8, false, 0),
        (OpenAiResponses, "error.sse", None, 0, 0, false, 0),
        // 40 tokens into and 4160 out of the image model, one search (the other item opened a
        // page), one file search
        (
            OpenAiResponses,
            "tools.json",
            Some(Usage {
                input_tokens: 940,
                image_input_tokens: 30,
                output_tokens: 4210,
                image_output_tokens: 4160,
                server_tool_calls: 2,
                ..response
            }),
            2,
            10,
            true,
            1,
        ),
        // no `tool_usage`: every item is a call
        (
            OpenAiResponses,
            "tools.sse",
            Some(Usage { server_tool_calls: 4, ..response }),
            1,
            13,
            true,
            1,
        ),
        (OpenAiEmbeddings, "plain.json", Some(tokens(8, 0)), 0, 0, true, 1),
        (OpenAiEmbeddings, "base64.json", Some(tokens(21, 0)), 0, 0, true, 1),
        (
            AnthropicMessages,
            "plain.json",
            Some(Usage { reasoning_tokens: 128, server_tool_calls: 1, ..anthropic }),
            1,
            2,
            true,
            1,
        ),
        (AnthropicMessages, "short.json", Some(tokens(4, 2)), 1, 2, true, 1),
        (
            AnthropicMessages,
            "tools_and_hour_cache.json",
            Some(Usage {
                cache_write_tokens: 100,
                cache_write_1h_tokens: 500,
                server_tool_calls: 2,
                ..tokens(610, 70)
            }),
            3,
            8,
            true,
            1,
        ),
        (AnthropicMessages, "iterations.json", Some(tokens(180_045, 4734)), 1, 4, true, 1),
        (AnthropicMessages, "stream.sse", Some(anthropic), 1, 2, true, 1),
        (AnthropicMessages, "output_only_delta.sse", Some(anthropic), 1, 2, true, 1),
        (
            AnthropicMessages,
            "zero_start.sse",
            Some(Usage { cached_input_tokens: 7, ..tokens(42, 9) }),
            1,
            2,
            true,
            1,
        ),
        (AnthropicMessages, "zero_delta.sse", Some(tokens(35, 9)), 1, 2, true, 1),
        (
            AnthropicMessages,
            "several_deltas.sse",
            Some(Usage {
                cached_input_tokens: 200,
                cache_write_tokens: 400,
                cache_write_1h_tokens: 600,
                reasoning_tokens: 30,
                server_tool_calls: 1,
                ..tokens(6200, 90)
            }),
            3,
            6 + 17 + 2,
            true,
            2,
        ),
        (
            AnthropicMessages,
            "iterations.sse",
            Some(Usage { cached_input_tokens: 5, cache_write_tokens: 10, ..tokens(1860, 1584) }),
            1,
            2,
            true,
            1,
        ),
        (
            AnthropicMessages,
            "broken_delta.sse",
            Some(Usage { output_tokens: 20, ..anthropic }),
            1,
            2,
            true,
            1,
        ),
        // what message_start says of the output is no usage
        (AnthropicMessages, "cut.sse", None, 1, 2, false, 0),
        (AnthropicMessages, "error.sse", None, 1, 2, false, 0),
        (AnthropicMessages, "short.sse", Some(tokens(4, 2)), 0, 0, true, 1),
        (GeminiGenerate, "plain.json", Some(example), 1, 2, true, 1),
        (GeminiGenerate, "short.json", Some(tokens(4, 2)), 1, 1, true, 1),
        (GeminiGenerate, "blocked.json", Some(tokens(31, 0)), 0, 0, true, 1),
        (
            GeminiGenerate,
            "media_and_tools.json",
            Some(Usage {
                cached_input_tokens: 400,
                audio_input_tokens: 100,
                image_input_tokens: 210,
                reasoning_tokens: 50,
                image_output_tokens: 1290,
                server_tool_calls: 2,
                ..tokens(1200, 1350)
            }),
            1,
            8 + 6 + 8 + 8,
            true,
            1,
        ),
        (GeminiGenerate, "stream.sse", Some(thinking), 3, 18, true, 3),
        (GeminiGenerate, "stream_lf.sse", Some(thinking), 3, 18, true, 3),
        (GeminiGenerate, "stream_array.json", Some(thinking), 3, 18, true, 3),
        (
            GeminiGenerate,
            "cut_array.json",
            Some(Usage { output_tokens: 31, ..thinking }),
            2,
            15,
            false,
            2,
        ),
        (GeminiGenerate, "late_count.sse", Some(tokens(9, 5)), 2, 7, true, 1),
        (GeminiGenerate, "late_count_cut.sse", None, 2, 7, false, 0),
        (
            GeminiGenerate,
            "fields_once.sse",
            Some(Usage { cached_input_tokens: 30, ..tokens(40, 3) }),
            3,
            3,
            true,
            2,
        ),
        (
            GeminiGenerate,
            "thoughts_only.sse",
            Some(Usage { reasoning_tokens: 64, ..tokens(8, 64) }),
            1,
            2,
            true,
            1,
        ),
        (GeminiGenerate, "begun.sse", None, 0, 0, false, 0),
        (GeminiGenerate, "array_error.json", None, 0, 0, true, 0),
        (GeminiGenerate, "short_array.json", Some(tokens(4, 2)), 1, 1, true, 1),
        (GeminiGenerate, "short.sse", Some(tokens(4, 2)), 1, 1, true, 2),
        (GeminiEmbed, "embed.json", Some(tokens(6, 0)), 0, 0, true, 1),
        (GeminiEmbed, "batch.json", Some(tokens(13, 0)), 0, 0, true, 1),
        (GeminiEmbed, "without_usage.json", None, 0, 0, true, 0),
    ]
    .into_iter()
    .map(|(format, file, usage, deltas, output_bytes, complete, costs)| Expected {
        file,
        format,
        usage,
        deltas,
        output_bytes,
        complete,
        costs,
    })
    .collect()
}

fn folder(format: AnswerFormat) -> &'static str {
    match format {
        OpenAiChat => "openai-chat",
        OpenAiResponses => "openai-responses",
        OpenAiEmbeddings => "openai-embeddings",
        AnthropicMessages => "anthropic-messages",
        GeminiGenerate => "gemini-generate",
        GeminiEmbed => "gemini-embed",
    }
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

impl Expected {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(fixtures().join(folder(self.format)).join(self.file)).unwrap()
    }

    fn answer(&self, view: StreamView) -> Answer {
        if self.file.ends_with(".sse") {
            Answer::stream(self.format, view)
        } else {
            Answer::plain(self.format)
        }
    }

    fn read(&self, view: StreamView, chunks: &[&[u8]]) -> (Vec<u8>, Seen) {
        let mut answer = self.answer(view);
        let mut out = Vec::new();
        for chunk in chunks {
            answer.pass(chunk, &mut out);
        }
        let seen = answer.end(&mut out);
        (out, seen)
    }
}

/// The text without the costs, and the costs.
fn without_costs(text: &str) -> (String, Vec<String>) {
    const NAME: &str = ",\"cost_usd\":";
    let mut pieces = text.split(NAME);
    let mut rest = pieces.next().unwrap().to_owned();
    let mut costs = Vec::new();
    for piece in pieces {
        let brace = piece.find('}').unwrap();
        costs.push(piece[..brace].to_owned());
        rest.push_str(&piece[brace..]);
    }
    (rest, costs)
}

#[test]
fn every_fixture_comes_to_what_it_should() {
    for case in expected() {
        let name = format!("{}/{}", folder(case.format), case.file);
        let bytes = case.bytes();
        let (out, seen) = case.read(StreamView::WithUsage, &[&bytes]);
        let expected = Seen {
            usage: case.usage,
            input: seen.input,
            usage_is_final: case.usage.is_some() && case.complete,
            deltas: case.deltas,
            output_bytes: case.output_bytes,
            has_begun: true,
            complete: case.complete,
        };
        assert_eq!(seen, expected, "{name}");
        let (rest, costs) = without_costs(std::str::from_utf8(&out).unwrap());
        assert_eq!(rest.as_bytes(), bytes, "{name}");
        assert_eq!(costs.len(), case.costs, "{name}: {costs:?}");
        if let Some(cost) = costs.last() {
            let usage = case.usage.unwrap();
            assert_eq!(*cost, simple_cost(&usage).to_usd(), "{name}");
        }
    }
}

#[test]
fn a_broken_stream_has_told_its_input() {
    let input = |format, file: &str| {
        let case = expected().into_iter().find(|case| (case.format, case.file) == (format, file));
        let case = case.unwrap();
        assert_eq!(case.usage, None, "{file}");
        case.read(StreamView::WithUsage, &[&case.bytes()]).1.input
    };
    let told = Usage { cached_input_tokens: 1920, cache_write_tokens: 51, ..tokens(2006, 0) };
    assert_eq!(input(AnthropicMessages, "cut.sse"), Some(told));
    assert_eq!(input(GeminiGenerate, "late_count_cut.sse"), Some(tokens(9, 0)));
    assert_eq!(input(OpenAiResponses, "cut.sse"), None);
}

#[test]
fn every_split_gives_the_same() {
    for case in expected() {
        let bytes = case.bytes();
        for view in [StreamView::WithUsage, StreamView::WithoutUsage] {
            let whole = case.read(view, &[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(case.read(view, &single), whole, "{} byte by byte", case.file);
            for at in 0..=bytes.len() {
                let (first, second) = bytes.split_at(at);
                assert_eq!(case.read(view, &[first, second]), whole, "{} at {at}", case.file);
            }
        }
    }
}

#[test]
fn every_pair_of_splits_of_short_fixtures_gives_the_same() {
    let mut formats = BTreeSet::new();
    for case in expected() {
        let bytes = case.bytes();
        if bytes.len() > SHORT {
            continue;
        }
        formats.insert(folder(case.format));
        let view = StreamView::WithoutUsage;
        let whole = case.read(view, &[&bytes]);
        for first in 0..=bytes.len() {
            let mut begun = case.answer(view);
            let mut shown = Vec::new();
            begun.pass(&bytes[..first], &mut shown);
            for second in first..=bytes.len() {
                let (mut answer, mut out) = (begun.clone(), shown.clone());
                answer.pass(&bytes[first..second], &mut out);
                answer.pass(&bytes[second..], &mut out);
                let seen = answer.end(&mut out);
                assert_eq!((out, seen), whole, "{} at {first}, {second}", case.file);
            }
        }
    }
    assert_eq!(formats.len(), 6, "a format without a short fixture: {formats:?}");
}

#[test]
fn every_file_is_expected_to_come_to_something() {
    let mut files = BTreeSet::new();
    for folder in std::fs::read_dir(fixtures()).unwrap().map(Result::unwrap) {
        if folder.file_type().unwrap().is_dir() {
            let name = folder.file_name().into_string().unwrap();
            for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                files.insert(format!("{name}/{}", file.file_name().into_string().unwrap()));
            }
        }
    }
    let expected: BTreeSet<_> =
        expected().iter().map(|case| format!("{}/{}", folder(case.format), case.file)).collect();
    assert_eq!(files, expected);
}

#[test]
fn a_chat_client_that_did_not_ask_sees_no_usage() {
    for case in expected().iter().filter(|case| case.format == OpenAiChat) {
        if !case.file.ends_with(".sse") {
            continue;
        }
        let (out, _) = case.read(StreamView::WithoutUsage, &[&case.bytes()]);
        let text = String::from_utf8(out).unwrap().replace('\r', "\n");
        for data in text.lines().filter_map(|line| line.strip_prefix("data:")) {
            if let Ok(event) = serde_json::from_str::<serde_json::Value>(data) {
                assert!(event.get("usage").is_none(), "{}: {data}", case.file);
            }
        }
    }
}
