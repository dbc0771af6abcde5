//! Calls that are checked, counted and paid for like any other, and then taken back and answered
//! here: what would they cost, would they be let through.

use metering::request::Problem;
use metering::reservation::Bounds;
use serde_json::json;
use wire::v1::{Ask, Price};
use wire::{ModelName, NanoUsd};

use crate::io::{Headers, Reply};
use crate::profile::{Profile, Voice};
use crate::refusal::Refusal;

/// The header by which a client asks. It does not reach the upstream.
const HEADER: &str = "x-tollgate-dry-run";

/// The header where nothing would be called: whoever sends it wants nothing to be done.
pub(crate) fn not_here() -> Refusal {
    Refusal::Body(Problem::Unsupported(HEADER.into()))
}

/// Whether a request is a dry run. Whoever sends the header does not want to pay, so only the two
/// words that say no mean no.
pub(crate) fn is_asked_for(headers: &Headers, profile: Profile) -> bool {
    let says_no = |value: &[u8]| {
        let value = value.trim_ascii();
        value == b"0" || value.eq_ignore_ascii_case(b"false")
    };
    let is_ours = |name: &[u8]| name == HEADER.as_bytes() || Some(name) == profile.dry_run_header();
    headers.iter().any(|(name, value)| is_ours(name) && !says_no(value))
}

/// What a call costs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Costs<'a> {
    /// Nothing, whatever it asks for.
    Nothing,
    /// Its model has no price.
    Unknown,
    /// As much as this.
    Price(&'a Price),
}

/// The bounds within which a call would have been let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Most input tokens.
    pub(crate) input_tokens: u64,
    /// Most output tokens of one answer, after the limits that Tollgate would write.
    pub(crate) output_tokens: u64,
    /// Most answers.
    pub(crate) choices: u64,
    /// What every use within these bounds is covered by; none where nobody knows a price.
    pub(crate) cost: Option<NanoUsd>,
}

impl Estimate {
    /// Of a call with these bounds.
    pub(crate) fn of(ask: &Ask, bounds: &Bounds, costs: Costs<'_>) -> Self {
        Self {
            input_tokens: ask.input_tokens,
            output_tokens: bounds.output_tokens(),
            choices: ask.choices,
            cost: match costs {
                Costs::Nothing => Some(NanoUsd::ZERO),
                Costs::Unknown => None,
                Costs::Price(price) => Some(bounds.wanted(price).amount),
            },
        }
    }

    /// The answer to a dry run of a call that would be let through. A call that would not gets the
    /// same error as it would without the header.
    pub(crate) fn reply(self, voice: Voice, model: &ModelName, request_id: &str) -> Reply {
        let body = json!({
            "object": "tollgate.dry_run",
            "allowed": true,
            "model": model,
            "at_most": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "answers": self.choices,
                "cost_usd": self.cost.map(NanoUsd::to_usd),
            },
        });
        Reply::json(voice, &body, request_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_words_say_no() {
        let asks = |value: &str| {
            is_asked_for(
                &vec![(HEADER.as_bytes().to_vec(), value.as_bytes().to_vec())],
                Profile::Native,
            )
        };
        assert!(["true", "1", "yes", "", "0 0"].map(asks).iter().all(|asks| *asks));
        assert!(!["false", "False", " 0 "].map(asks).iter().any(|asks| *asks));
        assert!(!is_asked_for(&Vec::new(), Profile::Native));
    }

    #[test]
    fn the_answer_is_that_of_the_documentation() {
        let page = include_str!("../../docs/apis.md");
        let section = page.split("## Dry runs").nth(1).unwrap();
        let example = section.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
        let cost = Some(NanoUsd::from_usd("0.000133").unwrap());
        let estimate = Estimate { input_tokens: 113, output_tokens: 10, choices: 1, cost };
        let model = ModelName::new("gpt-4o-mini").unwrap();
        let reply = estimate.reply(Voice::default(), &model, "req_1");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body, serde_json::from_str::<serde_json::Value>(example).unwrap());
    }
}
