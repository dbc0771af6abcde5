//! The provider behind the proxies: what it produces for each call, within what was reserved, and
//! the ways in which its answers fail.

use serde_json::Value;
use wire::PriceMultiplier;
use wire::v1::{CutCalls, Usage};

use crate::answers::{Fate, Part, Plan, Step, Tells, plain, streamed, within};
use crate::checker::Eras;
use crate::dice::Dice;
use crate::worker::{Life, StreamAt};

/// What is fixed when a call comes to the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What the key pays for a call without usage.
    pub cut_calls: CutCalls,
    /// The most tokens that the prompt may have.
    pub input_bound: u64,
    /// The most tokens of prompt and answer together. Each use of a tool may read as many again.
    pub context_tokens: u64,
    /// The most uses of its tools by a request that asks for them.
    pub tool_calls: u64,
    /// Prompts are read from caches and written to them.
    pub caches: bool,
    /// Streams may take up to this long, in milliseconds; zero where none does.
    pub longest_ms: u64,
    /// Streams that do, in a thousand.
    pub long_per_mille: u64,
    /// The provider may pass the limit in the request.
    pub overruns: bool,
    /// Every answer is complete.
    pub is_reliable: bool,
    /// The most that it produces where the request holds it to no limit.
    pub unlimited_output: u64,
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
    /// What its organisation's plan may have multiplied prices by when it was admitted.
    pub multipliers: Vec<PriceMultiplier>,
    /// What would have refused it, where nothing refuses: it is on nobody's account.
    pub would_refuse: Option<&'static str>,
    /// It comes as a stream.
    is_streamed: bool,
    /// What the gate was shown.
    pub told: Tells,
    /// Prompt and answer at the limits of the request.
    limits: Usage,
    steps: std::vec::IntoIter<Step>,
}

/// Prompts of which caches hold some, where there are caches, in a thousand.
const CACHED_PER_MILLE: u64 = 500;
/// Output tokens of a call for which nothing is reserved, so that no limit is written into it.
pub const UNLIMITED_OUTPUT: u64 = 400;

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
            .unwrap_or(terms.unlimited_output);
        let is_streamed = document.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let counts = document.pointer("/stream_options/continuous_usage_stats").is_some();
        let server_tool_calls = document.get("web_search_options").map_or(0, |_| terms.tool_calls);
        let input_bound = match server_tool_calls {
            0 => terms.input_bound,
            uses => terms.context_tokens * (uses + 1),
        };
        // Often exactly what was reserved: the case in which nothing may go wrong.
        let at_most = |dice: &mut Dice, bound: u64| {
            if dice.per_mille(300) { bound } else { dice.between(1, bound.max(1)) }
        };
        let whole = Usage {
            output_tokens: at_most(dice, limit),
            server_tool_calls: dice.between(0, server_tool_calls),
            ..prompt(at_most(dice, input_bound), terms.caches, dice)
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
        let limits = Usage {
            input_tokens: input_bound,
            output_tokens: limit,
            server_tool_calls,
            ..Usage::default()
        };
        let beyond = if fate == Fate::Overrun { dice.between(1, 200) } else { 0 };
        let output_tokens = if beyond > 0 { limit + beyond } else { whole.output_tokens };
        let whole = Usage { output_tokens, ..whole };
        let is_long = is_streamed && terms.longest_ms > 0 && dice.per_mille(terms.long_per_mille);
        let longest_ms = if is_long { terms.longest_ms } else { 0 };
        let plan = Plan { fate, all: whole, limits, counts, longest_ms };
        let steps = if is_streamed { streamed(plan, dice) } else { plain(plan) };
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
            multipliers: Vec::new(),
            would_refuse: None,
            is_streamed,
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
    /// ended without usage, only what was seen, unless the whole reservation is paid.
    #[must_use]
    pub fn charged_at_least(&self) -> Usage {
        let is_cut = self.is_charged && !self.told.usage && self.produced != Usage::default();
        if is_cut && !self.takes_whole() { self.seen() } else { self.within_limits() }
    }

    /// Without usage it is charged all that was reserved: its key says so, nobody can read it, or it
    /// is no stream and nothing of its body has come.
    #[must_use]
    pub fn takes_whole(&self) -> bool {
        let nothing_came = !self.is_streamed && !self.told.body;
        self.cut_calls == CutCalls::Reservation || self.told.is_unreadable || nothing_came
    }

    /// What anybody who read the answer must take it for, at least: what it has counted. A prompt
    /// has a token at least, and so has every delta.
    #[must_use]
    pub fn seen(&self) -> Usage {
        let one = Usage { input_tokens: 1, ..Usage::default() };
        let counted = self.told.counted.unwrap_or(one);
        Usage { output_tokens: counted.output_tokens.max(self.told.deltas), ..counted }
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
        self.told.add(step.tells);
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

/// A prompt of so many tokens, some of which may be read from a cache or written to one.
fn prompt(input_tokens: u64, caches: bool, dice: &mut Dice) -> Usage {
    let mut usage = Usage { input_tokens, ..Usage::default() };
    if caches && dice.per_mille(CACHED_PER_MILLE) {
        usage.cached_input_tokens = dice.between(0, input_tokens);
        let written = dice.between(0, input_tokens - usage.cached_input_tokens);
        usage.cache_write_1h_tokens = dice.between(0, written);
        usage.cache_write_tokens = written - usage.cache_write_1h_tokens;
    }
    usage
}
