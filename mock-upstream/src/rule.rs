//! The fixed rule that turns a request into an answer and its usage. Pure: the same request always
//! has the same answer and costs the same.

use crate::ask::Ask;
use crate::fault::Fault;

/// Completion tokens of one choice when nothing else limits them.
pub const DEFAULT_COMPLETION_TOKENS: u64 = 16;

/// One token in so many is a thought, where thoughts are shown.
const TOKENS_PER_THOUGHT: u64 = 4;

/// The text of one token.
pub const TOKEN: &str = "tok ";

/// `created` of an answer is this and up to a million seconds more, by the request's fingerprint.
const FIRST_CREATED_UNIX_SECONDS: u64 = 1_700_000_000;

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is whole.
    Stop,
    /// The request's limit was reached.
    Length,
    /// It calls a function of the client.
    Tool,
}

/// Everything about one answer that is decided before its first byte.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The request.
    pub ask: Ask,
    /// Whether it came on a path of Azure's own.
    pub azure: bool,
    /// Tokens of the text or the function's arguments, for each choice.
    pub text_tokens: u64,
    /// Tokens of thoughts, for each choice.
    pub thought_tokens: u64,
    /// Why it ends.
    pub finish: Finish,
    /// Input tokens.
    pub prompt_tokens: u64,
    /// Those of them that were read from a cache.
    pub cached_tokens: u64,
    /// Those of them that were written to a cache.
    pub cache_write_tokens: u64,
    /// Searches that the provider made and bills.
    pub searches: u64,
    /// Output tokens of all choices, thoughts and what is not shown included.
    pub completion_tokens: u64,
    /// Whether usage is ever reported.
    pub reports_usage: bool,
}

/// What is answered to `ask`, which came in a body of this length.
#[must_use]
pub fn plan(ask: Ask, azure: bool, body_bytes: usize, fault: &Fault) -> Plan {
    let per_choice = fault.tokens.unwrap_or_else(|| completion_tokens(ask.limit));
    let (prompt_tokens, completion_tokens) = if fault.usage_is_reservation {
        let limit = ask.limit.unwrap_or(per_choice);
        let bytes = u64::try_from(body_bytes).unwrap_or(u64::MAX);
        (bytes, limit.saturating_mul(ask.made_choices))
    } else {
        let shown = per_choice.saturating_mul(ask.made_choices);
        (ask.prompt_tokens, shown.saturating_add(fault.unseen))
    };
    let cut_short = ask.limit.is_some_and(|limit| limit <= per_choice);
    let finish = match (&ask.tool, cut_short) {
        (Some(_), _) => Finish::Tool,
        (None, true) => Finish::Length,
        (None, false) => Finish::Stop,
    };
    let thought_tokens = if ask.thinks { per_choice / TOKENS_PER_THOUGHT } else { 0 };
    // No cache is asked for vectors.
    let (cached, cache_write) =
        if ask.vectors > 0 { (None, None) } else { (fault.cached, fault.cache_write) };
    let cached_tokens = cached.unwrap_or(0).min(prompt_tokens);
    Plan {
        azure,
        text_tokens: per_choice - thought_tokens,
        thought_tokens,
        finish,
        prompt_tokens,
        cached_tokens,
        cache_write_tokens: cache_write.unwrap_or(0).min(prompt_tokens - cached_tokens),
        searches: fault.searches,
        completion_tokens: if ask.vectors > 0 { 0 } else { completion_tokens },
        reports_usage: !fault.no_usage,
        ask,
    }
}

/// Output tokens of one choice: the request's limit, but at most [`DEFAULT_COMPLETION_TOKENS`].
#[must_use]
pub fn completion_tokens(limit: Option<u64>) -> u64 {
    limit.unwrap_or(DEFAULT_COMPLETION_TOKENS).min(DEFAULT_COMPLETION_TOKENS)
}

impl Plan {
    /// An id of the kind that `prefix` names.
    #[must_use]
    pub fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.ask.fingerprint)
    }

    /// When the answer was made, in seconds of Unix time, as far as it says.
    #[must_use]
    pub fn created(&self) -> u64 {
        FIRST_CREATED_UNIX_SECONDS + self.ask.fingerprint % 1_000_000
    }

    /// The text of one choice.
    #[must_use]
    pub fn text(&self) -> String {
        words(self.text_tokens)
    }

    /// The thoughts of one choice.
    #[must_use]
    pub fn thoughts(&self) -> String {
        words(self.thought_tokens)
    }

    /// The arguments with which the client's function is called, as JSON.
    #[must_use]
    pub fn arguments(&self) -> String {
        (0..self.text_tokens.max(1)).map(|piece| self.argument_piece(piece)).collect()
    }

    /// One token of [`Plan::arguments`], by its number.
    #[must_use]
    pub fn argument_piece(&self, piece: u64) -> String {
        let begin = if piece == 0 { "{\"value\":\"" } else { "" };
        let end = if piece + 1 >= self.text_tokens { "\"}" } else { "" };
        format!("{begin}{TOKEN}{end}")
    }

    /// One number of a vector; a multiple of 1/64, so that it is exact in every form.
    #[must_use]
    pub fn vector_number(&self, vector: u64, place: u64) -> f32 {
        let mixed = self.ask.fingerprint.rotate_left(u32::try_from(place % 64).unwrap_or(0));
        let step = u8::try_from((mixed ^ vector) % 128).unwrap_or(0);
        (f32::from(step) - 64.0) / 64.0
    }
}

fn words(tokens: u64) -> String {
    TOKEN.repeat(usize::try_from(tokens).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Dialect, Operation, Route};

    fn planned(operation: Operation, dialect: Dialect, body: &str, fault: &str) -> Plan {
        let route = Route { dialect, operation, model: None, azure: false };
        let ask = Ask::read(&route, body.as_bytes()).unwrap();
        plan(ask, false, body.len(), &Fault::parse(fault).unwrap())
    }

    #[track_caller]
    fn check(body: &str, prompt: u64, completion: u64) {
        let plan = planned(Operation::Chat, Dialect::OpenAi, body, "");
        assert_eq!((plan.prompt_tokens, plan.completion_tokens), (prompt, completion));
    }

    #[test]
    fn usage_follows_the_documented_rule() {
        check(r#"{"model":"m","messages":[]}"#, 1, 16);
        check(r#"{"model":"m","messages":[{"content":"hé"}]}"#, 3, 16);
        check(r#"{"model":"m","messages":[{"content":"ab"}],"max_tokens":4,"n":2}"#, 2, 8);
        check(r#"{"model":"m","messages":[],"max_tokens":1000}"#, 1, 16);
    }

    #[test]
    fn thoughts_are_a_part_of_the_output_and_caches_of_the_input() {
        let body = r#"{"model":"m","max_tokens":100,"thinking":{"type":"enabled"},"messages":[{"content":"hello"}]}"#;
        let plan = planned(Operation::Messages, Dialect::Anthropic, body, "cached=3,cache_write=9");
        assert_eq!((plan.text_tokens, plan.thought_tokens, plan.completion_tokens), (12, 4, 16));
        assert_eq!((plan.cached_tokens, plan.cache_write_tokens), (3, 2));
    }

    #[test]
    fn arguments_are_json_and_have_a_piece_for_each_token() {
        for tokens in [1, 2, 16] {
            let body = format!(r#"{{"model":"m","messages":[],"max_tokens":{tokens}}}"#);
            let plan = planned(Operation::Chat, Dialect::OpenAi, &body, "");
            let arguments: serde_json::Value = serde_json::from_str(&plan.arguments()).unwrap();
            assert_eq!(arguments["value"].as_str().unwrap().len() as u64, 4 * tokens);
        }
    }

    #[test]
    fn what_a_gateway_may_write_changes_no_id() {
        let id = |body: &str| planned(Operation::Chat, Dialect::OpenAi, body, "").id("x-");
        let plain = id(r#"{"model":"m","messages":["a"]}"#);
        assert_eq!(
            plain,
            id(r#"{"max_tokens":99,"stream_options":{},"model":"m","messages":["a"]}"#)
        );
        assert_ne!(plain, id(r#"{"model":"m","messages":["b"]}"#));
        assert_ne!(plain, id(r#"{"model":"n","messages":["a"]}"#));
    }
}
