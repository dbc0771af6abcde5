//! The provider behind the proxies: what it produces for each call, within what was reserved, and
//! the ways in which its answers fail.

use gate::Headers;
use serde_json::{Value, json};
use wire::v1::{CutCalls, Usage};

use crate::checker::Eras;
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
    /// Complete, and more was produced than the request allowed; usage says so at its end.
    Overrun,
}

/// What is fixed when a call comes to the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What the key pays for a call without usage.
    pub cut_calls: CutCalls,
    /// The most tokens that the prompt may have.
    pub input_bound: u64,
    /// Streams may take up to this long, in milliseconds; zero where none does.
    pub longest_ms: u64,
    /// The provider may pass the limit in the request.
    pub overruns: bool,
    /// Every answer is complete.
    pub is_reliable: bool,
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
    /// What whoever reads this learns.
    tells: Tells,
}

/// What an answer has said of its cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tells {
    /// Usage was reported.
    pub usage: bool,
    /// Content deltas that could be read.
    pub deltas: u64,
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
    /// Its gate knows that it is over, and has charged it.
    pub is_charged: bool,
    /// All that it will come to.
    pub whole: Usage,
    /// What the key pays for a call without usage.
    pub cut_calls: CutCalls,
    /// When it was admitted, in virtual time.
    pub admitted_ms: u64,
    /// Among which placements of its key that of its lease must be.
    pub eras: Eras,
    /// What the gate was shown.
    pub told: Tells,
    /// Prompt and answer at the limits of the request.
    limits: Usage,
    steps: std::vec::IntoIter<Step>,
}

/// Streams that take very long, where any does, in a thousand.
const LONG_PER_MILLE: u64 = 150;
/// Output tokens where no limit is written into the request.
const UNLIMITED_OUTPUT: u64 = 400;

impl UpstreamCall {
    /// Takes a call in and decides what becomes of it.
    pub fn begin(
        at: StreamAt,
        (request, key): (String, String),
        body: &[u8],
        terms: Terms,
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
            input_tokens: at_most(dice, terms.input_bound),
            output_tokens: at_most(dice, limit),
            ..Usage::default()
        };
        let fate = match dice.below(20) {
            _ if terms.is_reliable => Fate::Whole,
            0 | 1 => Fate::NoUsage,
            2 | 3 => Fate::Cut,
            4 => Fate::Error(429),
            5 => Fate::Error(500),
            6 => Fate::NoAnswer,
            7 => Fate::Unreadable,
            8 if terms.overruns => Fate::Overrun,
            _ => Fate::Whole,
        };
        let limits =
            Usage { input_tokens: terms.input_bound, output_tokens: limit, ..Usage::default() };
        let beyond = if fate == Fate::Overrun { dice.between(1, 200) } else { 0 };
        let output_tokens = if beyond > 0 { limit + beyond } else { whole.output_tokens };
        let whole = Usage { output_tokens, ..whole };
        let steps = if streamed {
            let is_long = terms.longest_ms > 0 && dice.per_mille(LONG_PER_MILLE);
            let longest_ms = if is_long { terms.longest_ms } else { 0 };
            streamed_steps(fate, (whole, limits), longest_ms, dice)
        } else {
            plain(fate, (whole, limits))
        };
        let whole = if let Fate::Error(_) = fate { Usage::default() } else { whole };
        let (produced, cut_calls) = (Usage::default(), terms.cut_calls);
        let steps = steps.into_iter();
        let (over, admitted_ms, eras) = (false, 0, 0..=0);
        Self {
            at,
            request,
            key,
            produced,
            over,
            is_charged: false,
            whole,
            cut_calls,
            admitted_ms,
            eras,
            told: Tells::default(),
            limits,
            steps,
        }
    }

    /// The most tokens that it may come to.
    #[must_use]
    pub fn most_tokens(&self) -> u64 {
        self.limits.input_tokens + self.limits.output_tokens
    }

    /// Prompt and answer at the limits of the request: what is to be reserved for it.
    #[must_use]
    pub fn limits(&self) -> Usage {
        self.limits
    }

    /// What was produced, as far as the request allowed it.
    #[must_use]
    pub fn within_limits(&self) -> Usage {
        within(self.produced, self.limits)
    }

    /// What its charge covers at least, whether or not anybody has heard of it: of an answer that
    /// ended without usage, only what was seen, unless the key pays the whole reservation. A prompt
    /// has a token at least, and so has every delta.
    #[must_use]
    pub fn charged_at_least(&self) -> Usage {
        let is_cut = self.is_charged && !self.told.usage && self.produced != Usage::default();
        if is_cut && self.cut_calls == CutCalls::Estimate {
            self.seen()
        } else {
            self.within_limits()
        }
    }

    /// What anybody who read the answer must take it for, at least.
    #[must_use]
    pub fn seen(&self) -> Usage {
        let (input_tokens, output_tokens) = (1, self.told.deltas);
        Usage { input_tokens, output_tokens, ..Usage::default() }
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
        self.told.usage |= step.tells.usage;
        self.told.deltas += step.tells.deltas;
        Some(step.part)
    }

    /// Nobody listens any more: the upstream stops, or produces the rest all the same.
    pub fn abandoned(&mut self, goes_on: bool) {
        if !self.over && goes_on {
            // Beyond the limits it is only ever seen together with the usage that tells of it.
            let (rest, known) = (within(self.whole, self.limits), self.produced);
            let output_tokens = rest.output_tokens.max(known.output_tokens);
            self.produced = Usage { output_tokens, ..rest };
        }
        self.over = true;
    }
}

fn within(usage: Usage, limits: Usage) -> Usage {
    Usage { output_tokens: usage.output_tokens.min(limits.output_tokens), ..usage }
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

fn plain(fate: Fate, (all, limits): (Usage, Usage)) -> Vec<Step> {
    let step =
        |after_ms, part, produced| Step { after_ms, part, produced, tells: Tells::default() };
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
        Fate::Whole | Fate::NoUsage | Fate::Overrun => {
            let (one, other) = text.split_at(text.len() * 2 / 3);
            let tells = Tells { usage: fate != Fate::NoUsage, deltas: 0 };
            vec![
                step(700, head(200, kind, None), whole),
                step(5, Part::Body(one.to_vec(), false), whole),
                Step { tells, ..step(5, Part::Body(other.to_vec(), true), all) },
                step(2, Part::End, all),
            ]
        }
    }
}

fn streamed_steps(
    fate: Fate,
    (all, limits): (Usage, Usage),
    longest_ms: u64,
    dice: &mut Dice,
) -> Vec<Step> {
    let early = match fate {
        Fate::Error(_) | Fate::NoAnswer => return plain(fate, (all, limits)),
        Fate::Unreadable => Some("gzip"),
        Fate::Whole | Fate::NoUsage | Fate::Cut | Fate::Overrun => None,
    };
    let whole = within(all, limits);
    let of_output = |output_tokens| Usage { output_tokens, ..whole };
    let mut steps = vec![Step {
        after_ms: dice.between(20, 800),
        part: head(200, "text/event-stream", early),
        produced: of_output(0),
        tells: Tells::default(),
    }];
    // Few events, many tokens each, but none without a token.
    let events = whole.output_tokens.clamp(1, 4);
    let last = if fate == Fate::Cut { dice.below(events) } else { events };
    for event in 1..=last {
        let text = r#"data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word"}}]}"#;
        steps.push(Step {
            after_ms: dice.between(10, (longest_ms / events).max(1_500)),
            part: Part::Body(format!("{text}\n\n").into_bytes(), false),
            produced: of_output(whole.output_tokens * event / events),
            tells: Tells { usage: false, deltas: u64::from(early.is_none()) },
        });
    }
    let mut produced = whole;
    if matches!(fate, Fate::Whole | Fate::Overrun) {
        let usage = json!({"object": "chat.completion.chunk", "choices": [],
            "usage": usage_block(all)});
        let text = format!("data: {usage}\n\n").into_bytes();
        produced = all;
        let tells = Tells { usage: true, deltas: 0 };
        steps.push(Step { after_ms: 5, part: Part::Body(text, false), produced, tells });
    }
    if fate != Fate::Cut {
        let done = b"data: [DONE]\n\n".to_vec();
        let tells = Tells::default();
        steps.push(Step { after_ms: 2, part: Part::Body(done, true), produced, tells });
    }
    let produced = steps.last().map_or(whole, |step| step.produced);
    steps.push(Step { after_ms: 2, part: Part::End, produced, tells: Tells::default() });
    steps
}
