//! What a call that reported no usage may have used without anybody seeing it: the estimate of its
//! charge is raised to the bounds of that, never beyond them.

use wire::v1::Usage;

use crate::charge::{Admitted, Charge};
use crate::price;
use crate::usage::Seen;

/// Raises the charge of a call without a final report.
///
/// - Input whose size the body does not tell (media, what is drawn in, what tools of the provider
///   read) counts at its bound, unless the answer told how much there was. Tools read more with
///   each use, so what was told before them is only the beginning.
/// - Output of a call that reasons counts at its bound: thoughts cost as much as what is shown, and
///   how many there were, only a report says.
/// - Uses of tools count as many as were asked for.
pub(crate) fn raised(admitted: &Admitted, seen: &Seen, charge: Charge) -> Charge {
    let uses_tools = admitted.server_tool_calls > 0;
    let is_told = seen.usage.is_some() || seen.input.is_some();
    let hides_input = uses_tools || admitted.input_beyond_text && !is_told;
    let hides_output = admitted.reasoning && seen.usage.is_none();
    let least = Usage {
        input_tokens: if hides_input { admitted.input_bound } else { 0 },
        output_tokens: admitted.output_bound.filter(|_| hides_output).unwrap_or(0),
        server_tool_calls: admitted.server_tool_calls,
        ..Usage::default()
    };
    let usage = Usage {
        input_tokens: charge.usage.input_tokens.max(least.input_tokens),
        output_tokens: charge.usage.output_tokens.max(least.output_tokens),
        server_tool_calls: charge.usage.server_tool_calls.max(least.server_tool_calls),
        ..charge.usage
    };
    let cost = price::cost(&usage, &admitted.price);
    // A tier for more input may be cheaper.
    if cost > charge.cost { Charge { usage, cost, ..charge } } else { charge }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charge::{Outcome, charge};
    use crate::price::tests::any_price;
    use proptest::prelude::*;
    use wire::v1::{Basis, CutCalls, Price};
    use wire::{NanoUsd, PicoUsdPerToken};

    /// 1 and 2 micro-USD per token, 5 per use of a tool.
    const PRICE: Price = Price {
        per_server_tool_call: Some(NanoUsd(5_000)),
        ..Price::text(PicoUsdPerToken(1_000_000), PicoUsdPerToken(2_000_000), None)
    };

    const PLAIN: Admitted = Admitted {
        price: PRICE,
        body_bytes: 300,
        input_bound: 364,
        input_beyond_text: false,
        output_bound: Some(1000),
        server_tool_calls: 0,
        reserved: NanoUsd(2_364_000),
        reasoning: false,
        streamed: true,
        cut_calls: CutCalls::Estimate,
    };

    fn seen(deltas: u64) -> Seen {
        Seen { deltas, output_bytes: deltas * 2, ..Seen::default() }
    }

    #[test]
    fn what_nobody_saw_is_charged_at_its_bound() {
        let usage = |input_tokens, output_tokens| {
            Some(Usage { input_tokens, output_tokens, ..Usage::default() })
        };
        let media = Admitted { input_beyond_text: true, ..PLAIN };
        let searches =
            Admitted { server_tool_calls: 3, input_beyond_text: true, input_bound: 4_000, ..PLAIN };
        let reasoning = Admitted { reasoning: true, ..PLAIN };
        let unbounded = Admitted { output_bound: None, reserved: NanoUsd::ZERO, ..reasoning };
        let told = Seen { input: usage(40, 0), ..seen(7) };
        let so_far = Seen { usage: usage(10, 20), ..seen(7) };
        let complete = Seen { complete: true, ..seen(7) };
        for (name, admitted, seen, micro) in [
            ("text, cut", PLAIN, seen(7), 100 + 2 * 7),
            ("media, cut", media, seen(7), 364 + 2 * 7),
            ("media, no report", media, complete, 364 + 2 * 7),
            ("media, input told", media, told, 40 + 2 * 7),
            ("media, counted so far", media, so_far, 100 + 2 * 7),
            ("tools, cut", searches, seen(7), 4_000 + 2 * 7 + 3 * 5),
            ("tools, input told", searches, told, 4_000 + 2 * 7 + 3 * 5),
            ("tools, counted so far", searches, so_far, 4_000 + 2 * 20 + 3 * 5),
            ("reasoning, cut", reasoning, seen(7), 100 + 2 * 1000),
            ("reasoning, no report", reasoning, complete, 100 + 2 * 1000),
            ("reasoning, input told", reasoning, told, 40 + 2 * 1000),
            ("reasoning, counted so far", reasoning, so_far, 100 + 2 * 7),
            ("reasoning, no bound", unbounded, seen(7), 100 + 2 * 7),
        ] {
            let charge = charge(&admitted, Outcome::Answered(seen));
            assert_eq!(charge.cost, NanoUsd(micro * 1000), "{name}");
            assert_eq!(charge.basis, Basis::Estimated, "{name}");
        }
    }

    #[test]
    fn a_final_report_stands() {
        let usage = Usage { input_tokens: 10, output_tokens: 20, ..Usage::default() };
        let seen = Seen { usage: Some(usage), usage_is_final: true, complete: true, ..seen(7) };
        let all =
            Admitted { input_beyond_text: true, server_tool_calls: 3, reasoning: true, ..PLAIN };
        assert_eq!(charge(&all, Outcome::Answered(seen)).usage, usage);
    }

    proptest! {
        /// Whatever the price: what keeps to its bounds is charged no more than was set aside.
        #[test]
        fn bounds_are_never_passed(
            price in any_price(), input in 1u64..1 << 20, output in 0u64..1 << 16, tools in 0u64..9,
            deltas in 0u64..1 << 17, told in proptest::option::of(0u64..1 << 21),
            reasoning: bool, input_beyond_text: bool, body_bytes in 0u64..1 << 22,
        ) {
            let reserved = price::bound(input, output, tools, &price);
            let admitted = Admitted {
                price, body_bytes, input_bound: input, input_beyond_text,
                output_bound: Some(output), server_tool_calls: tools, reserved, reasoning,
                streamed: true, cut_calls: CutCalls::Estimate,
            };
            let input = told.map(|told| Usage { input_tokens: told.min(input), ..Usage::default() });
            let seen = Seen { input, ..seen(deltas.min(output)) };
            let charge = charge(&admitted, Outcome::Answered(seen));
            prop_assert!(charge.cost <= reserved);
        }
    }
}
