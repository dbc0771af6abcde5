//! What an ended call is charged, exactly once, however it ended.

use wire::NanoUsd;
use wire::v1::{Basis, CutCalls, Price, Usage};

use crate::usage::{Seen, input_estimate};
use crate::{price, unseen};

/// What was known when the call was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Prices pinned at admission.
    pub price: Price,
    /// Length of the request body in bytes.
    pub body_bytes: u64,
    /// Bound on input tokens.
    pub input_bound: u64,
    /// It has input whose size the length of the body says nothing about.
    pub input_beyond_text: bool,
    /// Bound on output tokens, all choices together; `None` where nothing was reserved.
    pub output_bound: Option<u64>,
    /// Bound on uses of tools that the provider runs.
    pub server_tool_calls: u64,
    /// The money that was set aside; nothing where no budget pays.
    pub reserved: NanoUsd,
    /// The model reasons before it shows anything, always or because it was asked to.
    pub reasoning: bool,
    /// The answer comes as it is made, not all at once at its end.
    pub streamed: bool,
    /// What calls without usage are charged.
    pub cut_calls: CutCalls,
}

/// What became of the answer.
#[expect(clippy::large_enum_variant, reason = "made once per call and never kept")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered with an error status, or was never reached: nothing was produced.
    Failed,
    /// It answered in a form that can be read.
    Answered(Seen),
    /// It answered, but what it sent cannot be read (compressed, or of an unknown kind).
    Unreadable,
    /// The call ended before any answer.
    NoAnswer,
}

/// The charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What is taken as used.
    pub usage: Usage,
    /// Its cost.
    pub cost: NanoUsd,
    /// How it was found.
    pub basis: Basis,
}

/// Finds the charge.
///
/// A report that came with the end of the output is charged as it is. Without one, what is charged
/// is what had been set aside, where `cut_calls` says so or where seeing nothing says nothing (see
/// [`takes_whole`]), and an estimate otherwise: of the input what the answer said of it at its
/// beginning or else a part of the body, of the output what was seen. A count that was still running
/// is the least that such a call is charged. What nobody could see is charged at its bound
/// ([`unseen::raised`]).
///
/// No call that may have produced something is free, and none is charged for fewer tokens than its
/// answer had deltas. While an answer keeps to the bounds of its call, its charge is no more than
/// what was set aside.
#[must_use]
pub fn charge(admitted: &Admitted, outcome: Outcome) -> Charge {
    let seen = match outcome {
        Outcome::Failed => {
            let usage = Usage::default();
            return Charge { usage, cost: NanoUsd::ZERO, basis: Basis::Refunded };
        }
        Outcome::Answered(Seen { usage: Some(usage), usage_is_final: true, .. }) => {
            let cost = price::cost(&usage, &admitted.price);
            return Charge { usage, cost, basis: Basis::Measured };
        }
        Outcome::Answered(seen) => Some(seen),
        Outcome::NoAnswer => Some(Seen::default()),
        Outcome::Unreadable => None,
    };
    let takes_whole = takes_whole(admitted, seen.as_ref());
    let seen = seen.unwrap_or_default();
    let charge = match admitted.output_bound {
        Some(bound) if takes_whole => whole(admitted, bound, &seen),
        _ => estimate(admitted, &seen),
    };
    let charge = unseen::raised(admitted, &seen, charge);
    let at_least = seen.usage.map(|counted| {
        let output_tokens = counted.output_tokens.max(output_estimate(admitted, &seen));
        let counted = estimated(admitted, Usage { output_tokens, ..counted });
        unseen::raised(admitted, &seen, counted)
    });
    at_least.filter(|at_least| at_least.cost > charge.cost).unwrap_or(charge)
}

/// Whether a call without usage is charged all that was set aside: its key says so, the answer
/// cannot be read, or nothing came of it that says how much was produced. A reasoning model has
/// worked before it shows anything, and an answer that is no stream is all made before it begins.
fn takes_whole(admitted: &Admitted, seen: Option<&Seen>) -> bool {
    admitted.cut_calls == CutCalls::Reservation
        || seen.is_none_or(|seen| {
            let shows_nothing = seen.deltas == 0 && seen.output_bytes == 0;
            (admitted.reasoning && shows_nothing) || (!admitted.streamed && !seen.has_begun)
        })
}

/// Everything within the bounds, and what was seen beyond them.
fn whole(admitted: &Admitted, output_bound: u64, seen: &Seen) -> Charge {
    let charge = estimated(
        admitted,
        Usage {
            input_tokens: admitted.input_bound,
            output_tokens: output_bound.max(seen.deltas),
            server_tool_calls: admitted.server_tool_calls,
            ..Usage::default()
        },
    );
    // What was set aside covers every kind of token at its dearest; the usage names none of them.
    Charge { cost: charge.cost.max(admitted.reserved), ..charge }
}

fn estimate(admitted: &Admitted, seen: &Seen) -> Charge {
    let input = seen.input.unwrap_or_else(|| Usage {
        input_tokens: input_estimate(admitted.body_bytes, admitted.input_bound),
        ..Usage::default()
    });
    estimated(admitted, Usage { output_tokens: output_estimate(admitted, seen), ..input })
}

fn output_estimate(admitted: &Admitted, seen: &Seen) -> u64 {
    seen.output_estimate(admitted.output_bound.unwrap_or(u64::MAX))
}

fn estimated(admitted: &Admitted, usage: Usage) -> Charge {
    Charge { usage, cost: price::cost(&usage, &admitted.price), basis: Basis::Estimated }
}

#[cfg(test)]
#[path = "charge_tests.rs"]
mod tests;
