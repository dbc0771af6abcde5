//! The provider behind the proxies: what it produces for each call, within what was reserved, and
//! the ways in which its answers fail.

use gate::Headers;
use serde_json::{Value, json};
use wire::v1::Usage;

use crate::dice::Dice;
use crate::worker::{Life, StreamAt};

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Complete, with usage.
    Whole,
    /// Complete, without usage.
    NoUsage,
    /// It breaks off; usage has not been reported.
    Cut,
    /// An error status; nothing is produced.
    Error(u16),
    /// The connection ends before any answer, though something was produced.
    NoAnswer,
    /// Compressed: nobody between can read it.
    Unreadable,
}

/// Something that the upstream sends.
#[derive(Debug, Clone)]
pub enum Part {
    /// The head.
    Headers(Headers),
    /// A piece of the body, and whether it is the last.
    Body(Vec<u8>, bool),
    /// The stream is over.
    End,
}

#[derive(Debug)]
struct Step {
    after_ms: u64,
    part: Part,
    /// What has been produced once this is sent.
    produced: Usage,
}

/// One call that an upstream works on, or has worked on.
#[derive(Debug)]
pub struct UpstreamCall {
    /// Where its answer goes.
    pub at: StreamAt,
    /// The request's id, as set by the gate.
    pub request: String,
    /// The key's id, as set by the gate.
    pub key: String,
    /// What was produced so far.
    pub produced: Usage,
    /// The answer is over, as far as anybody will see.
    pub over: bool,
    /// All that it will come to.
    pub whole: Usage,
    steps: std::vec::IntoIter<Step>,
}

/// Output tokens where no limit is written into the request.
const UNLIMITED_OUTPUT: u64 = 400;

impl UpstreamCall {
    /// Takes a call in and decides what becomes of it. `input_bound` are the most tokens that its
    /// prompt may have.
    pub fn begin(
        at: StreamAt,
        (request, key): (String, String),
        body: &[u8],
        input_bound: u64,
        dice: &mut Dice,
    ) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let limit = ["max_tokens", "max_completion_tokens"]
            .iter()
            .find_map(|field| document.get(field)?.as_u64())
            .unwrap_or(UNLIMITED_OUTPUT);
        let streamed = document.get("stream").and_then(Value::as_bool).unwrap_or(false);
        // Often exactly what was reserved: the case in which nothing may go wrong.
        let at_most = |dice: &mut Dice, bound: u64| {
            if dice.per_mille(300) { bound } else { dice.between(1, bound.max(1)) }
        };
        let whole = Usage {
            input_tokens: at_most(dice, input_bound),
            output_tokens: at_most(dice, limit),
            ..Usage::default()
        };
        let fate = match dice.below(20) {
            0 | 1 => Fate::NoUsage,
            2 | 3 => Fate::Cut,
            4 => Fate::Error(429),
            5 => Fate::Error(500),
            6 => Fate::NoAnswer,
            7 => Fate::Unreadable,
            _ => Fate::Whole,
        };
        let steps = if streamed { streamed_steps(fate, whole, dice) } else { plain(fate, whole) };
        let whole = if let Fate::Error(_) = fate { Usage::default() } else { whole };
        let produced = Usage::default();
        let steps = steps.into_iter();
        Self { at, request, key, produced, over: false, whole, steps }
    }

    /// In which life the answer is expected.
    #[must_use]
    pub fn life(&self) -> Life {
        self.at.life
    }

    /// When the next part comes, in milliseconds from the one before.
    #[must_use]
    pub fn next_after_ms(&self) -> Option<u64> {
        self.steps.as_slice().first().map(|step| step.after_ms)
    }

    /// The next part of the answer.
    pub fn next_part(&mut self) -> Option<Part> {
        let step = self.steps.next()?;
        self.produced = step.produced;
        self.over |= matches!(step.part, Part::End);
        Some(step.part)
    }

    /// Nobody listens any more: the upstream stops, or produces the rest all the same.
    pub fn abandoned(&mut self, goes_on: bool) {
        if !self.over && goes_on {
            self.produced = self.whole;
        }
        self.over = true;
    }
}

fn head(status: u16, kind: &str, coding: Option<&str>) -> Part {
    let mut headers: Headers = vec![
        (b":status".to_vec(), status.to_string().into_bytes()),
        (b"content-type".to_vec(), kind.as_bytes().to_vec()),
    ];
    if let Some(coding) = coding {
        headers.push((b"content-encoding".to_vec(), coding.as_bytes().to_vec()));
    }
    Part::Headers(headers)
}

fn usage_block(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    })
}

fn plain(fate: Fate, whole: Usage) -> Vec<Step> {
    let step = |after_ms, part, produced| Step { after_ms, part, produced };
    let nothing = Usage::default();
    let mut document = json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word"}}],
    });
    if fate == Fate::Whole {
        document["usage"] = usage_block(whole);
    }
    let text = document.to_string().into_bytes();
    let kind = "application/json";
    match fate {
        Fate::Error(status) => vec![
            step(40, head(status, kind, None), nothing),
            step(1, Part::Body(br#"{"error":{}}"#.to_vec(), true), nothing),
            step(1, Part::End, nothing),
        ],
        Fate::NoAnswer => vec![step(900, Part::End, whole)],
        Fate::Unreadable => vec![
            step(600, head(200, kind, Some("gzip")), whole),
            step(5, Part::Body(vec![0x1f, 0x8b, 8], true), whole),
            step(1, Part::End, whole),
        ],
        Fate::Cut => {
            let half = text.get(..text.len() / 2).unwrap_or_default().to_vec();
            vec![
                step(700, head(200, kind, None), whole),
                step(5, Part::Body(half, false), whole),
                step(3, Part::End, whole),
            ]
        }
        Fate::Whole | Fate::NoUsage => {
            let (one, other) = text.split_at(text.len() * 2 / 3);
            vec![
                step(700, head(200, kind, None), whole),
                step(5, Part::Body(one.to_vec(), false), whole),
                step(5, Part::Body(other.to_vec(), true), whole),
                step(2, Part::End, whole),
            ]
        }
    }
}

fn streamed_steps(fate: Fate, whole: Usage, dice: &mut Dice) -> Vec<Step> {
    let early = match fate {
        Fate::Error(_) | Fate::NoAnswer => return plain(fate, whole),
        Fate::Unreadable => Some("gzip"),
        Fate::Whole | Fate::NoUsage | Fate::Cut => None,
    };
    let of_output = |output_tokens| Usage { output_tokens, ..whole };
    let mut steps = vec![Step {
        after_ms: dice.between(20, 800),
        part: head(200, "text/event-stream", early),
        produced: of_output(0),
    }];
    // Few events, many tokens each, but none without a token.
    let events = whole.output_tokens.clamp(1, 4);
    let last = if fate == Fate::Cut { dice.below(events) } else { events };
    for event in 1..=last {
        let text = r#"data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word"}}]}"#;
        steps.push(Step {
            after_ms: dice.between(10, 1_500),
            part: Part::Body(format!("{text}\n\n").into_bytes(), false),
            produced: of_output(whole.output_tokens * event / events),
        });
    }
    if fate == Fate::Whole {
        let usage = json!({"object": "chat.completion.chunk", "choices": [],
            "usage": usage_block(whole)});
        let text = format!("data: {usage}\n\n").into_bytes();
        steps.push(Step { after_ms: 5, part: Part::Body(text, false), produced: whole });
    }
    if fate != Fate::Cut {
        let done = b"data: [DONE]\n\n".to_vec();
        steps.push(Step { after_ms: 2, part: Part::Body(done, true), produced: whole });
    }
    let produced = steps.last().map_or(whole, |step| step.produced);
    steps.push(Step { after_ms: 2, part: Part::End, produced });
    steps
}
