//! What a provider sends, piece by piece, and what whoever reads each piece learns of its cost.

use gate::Headers;
use serde_json::{Value, json};
use wire::v1::Usage;

use crate::dice::Dice;

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
    /// Complete, and more was produced than the request allowed; usage says so at its end.
    Overrun,
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

/// A part of an answer.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) after_ms: u64,
    pub(crate) part: Part,
    /// What has been produced once this is sent.
    pub(crate) produced: Usage,
    /// What whoever reads this learns.
    pub(crate) tells: Tells,
}

/// What an answer has said of its cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tells {
    /// Usage was reported.
    pub usage: bool,
    /// Content deltas that could be read.
    pub deltas: u64,
    /// A count of what has been produced so far. It may be behind.
    pub counted: Option<Usage>,
    /// Something of the body has come.
    pub body: bool,
    /// It is compressed.
    pub is_unreadable: bool,
}

impl Tells {
    /// Learns more.
    pub(crate) fn add(&mut self, more: Self) {
        self.usage |= more.usage;
        self.deltas += more.deltas;
        self.counted = more.counted.or(self.counted);
        self.body |= more.body;
        self.is_unreadable |= more.is_unreadable;
    }
}

/// What an answer is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) fate: Fate,
    /// All that it comes to.
    pub(crate) all: Usage,
    /// Prompt and answer at the limits of the request.
    pub(crate) limits: Usage,
    /// Each piece of a stream counts what was produced before it, the last one all of it.
    pub(crate) counts: bool,
    /// For how long a stream may last, in milliseconds; zero for a short time.
    pub(crate) longest_ms: u64,
}

/// As much of this as the limits allow.
pub(crate) fn within(usage: Usage, limits: Usage) -> Usage {
    Usage { output_tokens: usage.output_tokens.min(limits.output_tokens), ..usage }
}

fn step(after_ms: u64, part: Part, produced: Usage) -> Step {
    let body = matches!(&part, Part::Body(bytes, _) if !bytes.is_empty());
    Step { after_ms, part, produced, tells: Tells { body, ..Tells::default() } }
}

fn head(status: u16, kind: &str) -> Part {
    Part::Headers(vec![
        (b":status".to_vec(), status.to_string().into_bytes()),
        (b"content-type".to_vec(), kind.as_bytes().to_vec()),
    ])
}

/// The head of an answer that nobody between can read.
fn compressed(after_ms: u64, kind: &str, produced: Usage) -> Step {
    let mut part = head(200, kind);
    if let Part::Headers(headers) = &mut part {
        headers.push((b"content-encoding".to_vec(), b"gzip".to_vec()));
    }
    let tells = Tells { is_unreadable: true, ..Tells::default() };
    Step { tells, ..step(after_ms, part, produced) }
}

fn usage_block(usage: Usage) -> Value {
    let (minutes, hours) = (usage.cache_write_tokens, usage.cache_write_1h_tokens);
    let mut block = json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    });
    if usage.cached_input_tokens + minutes + hours > 0 {
        block["prompt_tokens_details"] = json!({
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": minutes + hours,
            "cache_write_tokens_details": {"ttl_12h_tokens": hours},
        });
    }
    if usage.server_tool_calls > 0 {
        block["server_tool_use"] = json!({"web_search_requests": usage.server_tool_calls});
    }
    block
}

/// An answer in one document.
pub(crate) fn plain(plan: Plan) -> Vec<Step> {
    let Plan { fate, all, limits, .. } = plan;
    let whole = within(all, limits);
    let nothing = Usage::default();
    let mut document = json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word"}}],
    });
    if matches!(fate, Fate::Whole | Fate::Overrun) {
        document["usage"] = usage_block(all);
    }
    let text = document.to_string().into_bytes();
    let kind = "application/json";
    match fate {
        Fate::Error(status) => vec![
            step(40, head(status, kind), nothing),
            step(1, Part::Body(br#"{"error":{}}"#.to_vec(), true), nothing),
            step(1, Part::End, nothing),
        ],
        Fate::NoAnswer => vec![step(900, Part::End, whole)],
        Fate::Unreadable => vec![
            compressed(600, kind, whole),
            step(5, Part::Body(vec![0x1f, 0x8b, 8], true), whole),
            step(1, Part::End, whole),
        ],
        Fate::Cut => {
            let half = text.get(..text.len() / 2).unwrap_or_default().to_vec();
            vec![
                step(700, head(200, kind), whole),
                step(5, Part::Body(half, false), whole),
                step(3, Part::End, whole),
            ]
        }
        Fate::Whole | Fate::NoUsage | Fate::Overrun => {
            let (one, other) = text.split_at(text.len() * 2 / 3);
            let mut last = step(5, Part::Body(other.to_vec(), true), all);
            last.tells.usage = fate != Fate::NoUsage;
            vec![
                step(700, head(200, kind), whole),
                step(5, Part::Body(one.to_vec(), false), whole),
                last,
                step(2, Part::End, all),
            ]
        }
    }
}

/// An answer as a stream of events.
pub(crate) fn streamed(plan: Plan, dice: &mut Dice) -> Vec<Step> {
    let Plan { fate, all, limits, counts, longest_ms } = plan;
    if matches!(fate, Fate::Error(_) | Fate::NoAnswer) {
        return plain(plan);
    }
    let whole = within(all, limits);
    let of_output = |output_tokens| Usage { output_tokens, ..whole };
    let kind = "text/event-stream";
    let first_ms = dice.between(20, 800);
    let is_unreadable = fate == Fate::Unreadable;
    let mut steps = vec![if is_unreadable {
        compressed(first_ms, kind, of_output(0))
    } else {
        step(first_ms, head(200, kind), of_output(0))
    }];
    // Few events, many tokens each, but none without a token.
    let events = whole.output_tokens.clamp(1, 4);
    let last = if fate == Fate::Cut { dice.below(events) } else { events };
    let until = |event: u64| whole.output_tokens * event / events;
    for event in 1..=last {
        let mut chunk = json!({
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": "word"}}],
        });
        let counted = match (counts, event == events) {
            (false, _) => None,
            (true, true) => Some(whole),
            (true, false) => Some(Usage { server_tool_calls: 0, ..of_output(until(event - 1)) }),
        };
        if let Some(counted) = counted {
            chunk["usage"] = usage_block(counted);
        }
        let bytes = format!("data: {chunk}\n\n").into_bytes();
        let after_ms = dice.between(10, (longest_ms / events).max(1_500));
        let mut step = step(after_ms, Part::Body(bytes, false), of_output(until(event)));
        if !is_unreadable {
            step.tells.deltas = 1;
            step.tells.counted = counted;
        }
        steps.push(step);
    }
    let mut produced = whole;
    if matches!(fate, Fate::Whole | Fate::Overrun) {
        let usage = json!({"object": "chat.completion.chunk", "choices": [],
            "usage": usage_block(all)});
        produced = all;
        let bytes = format!("data: {usage}\n\n").into_bytes();
        let mut step = step(5, Part::Body(bytes, false), produced);
        step.tells.usage = true;
        steps.push(step);
    }
    if fate != Fate::Cut {
        let mut done = step(2, Part::Body(b"data: [DONE]\n\n".to_vec(), true), produced);
        // The last count was that of all, as one knows now.
        done.tells.usage = counts && !is_unreadable;
        steps.push(done);
    }
    let produced = steps.last().map_or(whole, |step| step.produced);
    steps.push(step(2, Part::End, produced));
    steps
}
