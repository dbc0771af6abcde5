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
/// Reported usage is charged as it is. Without it the input is what the answer said of it at its
/// beginning, or else estimated from the body, and the output is estimated from what was seen; the whole reservation is charged where seeing nothing says nothing
/// (a reasoning model, an unreadable answer) or where `cut_calls` says so. What nobody could see is
/// charged at its bound ([`unseen::raised`]). No call that may have
/// produced something is free, and none is charged for fewer tokens than its answer had deltas.
#[must_use]
pub fn charge(admitted: &Admitted, outcome: Outcome) -> Charge {
    let seen = match outcome {
        Outcome::Failed => {
            let usage = Usage::default();
            return Charge { usage, cost: NanoUsd::ZERO, basis: Basis::Refunded };
        }
        Outcome::Answered(Seen { usage: Some(usage), complete, usage_is_final, .. })
            if complete || usage_is_final =>
        {
            let cost = price::cost(&usage, &admitted.price);
            return Charge { usage, cost, basis: Basis::Measured };
        }
        Outcome::Answered(seen) => Some(seen),
        Outcome::NoAnswer => Some(Seen::default()),
        Outcome::Unreadable => None,
    };
    // A count so far is a lower bound of what the upstream goes on to count.
    let counted = seen.and_then(|seen| seen.usage);
    let counted_output = counted.map_or(0, |usage| usage.output_tokens);
    let shown = seen.filter(|seen| seen.deltas > 0 || seen.output_bytes > 0);
    let by_reservation = admitted.cut_calls == CutCalls::Reservation
        || seen.is_none()
        || (admitted.reasoning && shown.is_none());
    let usage = match admitted.output_bound {
        Some(bound) if by_reservation => Usage {
            input_tokens: admitted.input_bound,
            output_tokens: bound.max(seen.map_or(0, |seen| seen.deltas)).max(counted_output),
            server_tool_calls: admitted.server_tool_calls,
            ..Usage::default()
        },
        bound => {
            let seen = seen.unwrap_or_default();
            let estimate = Usage {
                input_tokens: input_estimate(admitted.body_bytes, admitted.input_bound),
                ..Usage::default()
            };
            Usage {
                output_tokens: seen.output_estimate(bound.unwrap_or(u64::MAX)).max(counted_output),
                ..counted.or(seen.input).unwrap_or(estimate)
            }
        }
    };
    let cost = price::cost(&usage, &admitted.price);
    // What was set aside covers every kind of token at its dearest; the usage names none of them.
    let cost = if by_reservation { cost.max(admitted.reserved) } else { cost };
    let charge = Charge { usage, cost, basis: Basis::Estimated };
    unseen::raised(admitted, &seen.unwrap_or_default(), charge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::PicoUsdPerToken;

    const ADMITTED: Admitted = Admitted {
        price: Price::text(PicoUsdPerToken(1_000_000), PicoUsdPerToken(2_000_000), None),
        body_bytes: 300,
        input_bound: 364,
        input_beyond_text: false,
        output_bound: Some(1000),
        server_tool_calls: 0,
        reserved: NanoUsd(2_364_000),
        reasoning: false,
        cut_calls: CutCalls::Estimate,
    };

    fn by_reservation_of(admitted: Admitted) -> Admitted {
        Admitted { cut_calls: CutCalls::Reservation, ..admitted }
    }

    fn micro(amount: u64) -> NanoUsd {
        NanoUsd(amount * 1000)
    }

    fn seen(deltas: u64) -> Outcome {
        Outcome::Answered(Seen { deltas, output_bytes: deltas * 2, ..Seen::default() })
    }

    fn prose(deltas: u64, output_bytes: u64) -> Outcome {
        Outcome::Answered(Seen { deltas, output_bytes, ..Seen::default() })
    }

    #[test]
    fn each_ending_has_its_charge() {
        let usage = Usage { input_tokens: 10, output_tokens: 20, ..Usage::default() };
        let so_far = Outcome::Answered(Seen { usage: Some(usage), deltas: 7, ..Seen::default() });
        let measured =
            Outcome::Answered(Seen { usage: Some(usage), usage_is_final: true, ..Seen::default() });
        let dear = Admitted { reserved: NanoUsd(9_000_000), ..by_reservation_of(ADMITTED) };
        let by_reservation = by_reservation_of(ADMITTED);
        let reasoning = Admitted { reasoning: true, ..ADMITTED };
        let unbounded = Admitted { output_bound: None, reserved: NanoUsd::ZERO, ..ADMITTED };
        let whole = 364 + 2 * 1000;
        let input = Some(Usage { input_tokens: 40, ..Usage::default() });
        let told =
            Outcome::Answered(Seen { deltas: 7, output_bytes: 14, input, ..Seen::default() });
        for (name, admitted, outcome, basis, cost) in [
            ("reported", ADMITTED, measured, Basis::Measured, 10 + 2 * 20),
            ("reported wins", by_reservation, measured, Basis::Measured, 10 + 2 * 20),
            ("counted so far", ADMITTED, so_far, Basis::Estimated, 10 + 2 * 20),
            ("counted so far, reservation", by_reservation, so_far, Basis::Estimated, whole),
            ("cut, dearer kinds reserved", dear, seen(7), Basis::Estimated, 9_000),
            ("failed", by_reservation, Outcome::Failed, Basis::Refunded, 0),
            ("cut", ADMITTED, seen(7), Basis::Estimated, 100 + 2 * 7),
            ("cut, many bytes", ADMITTED, prose(7, 9000), Basis::Estimated, 100 + 2 * 1000),
            ("cut, input told", ADMITTED, told, Basis::Estimated, 40 + 2 * 7),
            ("cut, input told, reservation", by_reservation, told, Basis::Estimated, whole),
            ("cut, past its bound", ADMITTED, seen(1001), Basis::Estimated, 100 + 2 * 1001),
            ("past its bound, whole", by_reservation, seen(1001), Basis::Estimated, whole + 2),
            ("cut, reservation", by_reservation, seen(7), Basis::Estimated, whole),
            ("no answer", ADMITTED, Outcome::NoAnswer, Basis::Estimated, 100),
            ("no answer, reservation", by_reservation, Outcome::NoAnswer, Basis::Estimated, whole),
            ("reasoning shown", reasoning, seen(7), Basis::Estimated, 100 + 2 * 1000),
            ("reasoning hidden", reasoning, seen(0), Basis::Estimated, whole),
            ("reasoning unanswered", reasoning, Outcome::NoAnswer, Basis::Estimated, whole),
            ("unreadable", ADMITTED, Outcome::Unreadable, Basis::Estimated, whole),
            ("unreadable, unbounded", unbounded, Outcome::Unreadable, Basis::Estimated, 100),
        ] {
            let charge = charge(&admitted, outcome);
            assert_eq!((charge.basis, charge.cost), (basis, micro(cost)), "{name}");
        }
    }
}
