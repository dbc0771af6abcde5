//! What a call could cost at most, before it is sent, and how far its output limit is lowered to
//! what can be paid.

use wire::NanoUsd;
use wire::v1::{Ask, Price};

use crate::price;

/// An output limit that Tollgate chooses is never lowered below this: shorter answers are of no
/// use to anybody, so the call is refused instead (402).
pub const LEAST_OUTPUT_TOKENS: u64 = 256;

/// What is set aside for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Money that covers every usage within the bounds.
    pub amount: NanoUsd,
    /// Bound on the output tokens of one answer, at most what was asked.
    pub output_tokens: u64,
}

/// The bounds of a call after the key's default output limit has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    input_tokens: u64,
    output_tokens: u64,
    least_output_tokens: u64,
    choices: u64,
    server_tool_calls: u64,
}

impl Bounds {
    /// Bounds of an ask. `default_max_output_tokens` is the key's and applies only where the
    /// client set no limit of its own; only then may the limit be lowered later.
    #[must_use]
    pub fn new(ask: &Ask, default_max_output_tokens: Option<u64>) -> Self {
        let (output_tokens, least_output_tokens) = if ask.output_is_clients {
            (ask.output_tokens, ask.output_tokens)
        } else {
            let wanted = default_max_output_tokens
                .map_or(ask.output_tokens, |default| default.min(ask.output_tokens));
            (wanted, wanted.min(LEAST_OUTPUT_TOKENS))
        };
        Self {
            input_tokens: ask.input_tokens,
            output_tokens,
            least_output_tokens,
            choices: ask.choices.max(1),
            server_tool_calls: ask.server_tool_calls,
        }
    }

    /// The wanted reservation.
    #[must_use]
    pub fn wanted(&self, price: &Price) -> Reservation {
        self.at(self.output_tokens, price)
    }

    /// The bounds with which the call sets no more aside than one call of its key may: an output
    /// limit that the client did not choose is lowered for it, as for what budgets can pay.
    ///
    /// # Errors
    /// The least that the call would set aside, where that is more than `most`.
    pub fn under_ceiling(&self, price: &Price, most: Option<NanoUsd>) -> Result<Self, NanoUsd> {
        let Some(most) = most else { return Ok(*self) };
        match self.within(price, most) {
            Some(fitting) => Ok(self.lowered_to(fitting.output_tokens)),
            None => Err(self.least(price).amount),
        }
    }

    /// The smallest reservation with which the call may still be made.
    #[must_use]
    pub fn least(&self, price: &Price) -> Reservation {
        self.at(self.least_output_tokens, price)
    }

    /// The largest reservation that `money` pays, or `None` when not even the least one fits.
    #[must_use]
    pub fn within(&self, price: &Price, money: NanoUsd) -> Option<Reservation> {
        let affordable =
            price::affordable_output(self.input_tokens, self.server_tool_calls, price, money)?
                / self.choices;
        let output_tokens = affordable.min(self.output_tokens);
        (output_tokens >= self.least_output_tokens).then(|| self.at(output_tokens, price))
    }

    /// Tokens to set aside in token windows at a given output bound: all input and all output.
    #[must_use]
    pub fn window_tokens(&self, output_tokens: u64) -> u64 {
        self.input_tokens.saturating_add(output_tokens.saturating_mul(self.choices))
    }

    /// The largest output bound whose [`Bounds::window_tokens`] fit `room`, or `None` when not
    /// even the least bound does.
    #[must_use]
    pub fn output_within_window(&self, room: u64) -> Option<u64> {
        let output_tokens =
            (room.checked_sub(self.input_tokens)? / self.choices).min(self.output_tokens);
        (output_tokens >= self.least_output_tokens).then_some(output_tokens)
    }

    /// The same bounds with the output limited further; never raised.
    #[must_use]
    pub fn lowered_to(self, output_tokens: u64) -> Self {
        let output_tokens = output_tokens.min(self.output_tokens);
        Self {
            output_tokens,
            least_output_tokens: self.least_output_tokens.min(output_tokens),
            ..self
        }
    }

    /// Wanted bound on the output tokens of one answer.
    #[must_use]
    pub fn output_tokens(&self) -> u64 {
        self.output_tokens
    }

    /// The smallest bound on the output tokens of one answer with which the call may be made.
    #[must_use]
    pub fn least_output_tokens(&self) -> u64 {
        self.least_output_tokens
    }

    fn at(&self, output_tokens: u64, price: &Price) -> Reservation {
        let all_output = output_tokens.saturating_mul(self.choices);
        Reservation {
            amount: price::bound(self.input_tokens, all_output, self.server_tool_calls, price),
            output_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::tests::{any_price, usage_within};
    use proptest::prelude::*;
    use wire::v1::Usage;
    use wire::{CatalogueVersion, ModelName, PicoUsdPerToken, PriceMultiplier};

    /// 1 and 2 micro-USD per token.
    const PRICE: Price = Price::text(PicoUsdPerToken(1_000_000), PicoUsdPerToken(2_000_000), None);

    fn ask(input: u64, output: u64, clients: bool, choices: u64) -> Ask {
        Ask {
            model: ModelName::new("m").unwrap(),
            catalogue_version: CatalogueVersion(1),
            input_tokens: input,
            output_tokens: output,
            output_is_clients: clients,
            choices,
            server_tool_calls: 0,
            price_multiplier: PriceMultiplier::ONE,
        }
    }

    #[test]
    fn the_clients_own_limit_is_neither_defaulted_nor_lowered() {
        let bounds = Bounds::new(&ask(100, 1000, true, 1), Some(50));
        let wanted = bounds.wanted(&PRICE);
        assert_eq!(wanted, Reservation { amount: NanoUsd(2_100_000), output_tokens: 1000 });
        assert_eq!(bounds.least(&PRICE), wanted);
        assert_eq!(bounds.within(&PRICE, NanoUsd(2_099_999)), None);
        assert_eq!(bounds.within(&PRICE, NanoUsd(2_100_000)), Some(wanted));
    }

    #[test]
    fn a_chosen_limit_is_lowered_to_the_money_but_not_below_the_least() {
        let bounds = Bounds::new(&ask(100, 16_384, false, 1), None);
        let at = |micro: u64| bounds.within(&PRICE, NanoUsd(micro * 1000));
        assert_eq!(at(100 + 2 * 16_384).map(|r| r.output_tokens), Some(16_384));
        assert_eq!(at(100 + 2 * 300).map(|r| r.output_tokens), Some(300));
        assert_eq!(at(100 + 2 * 256).map(|r| r.output_tokens), Some(256));
        assert_eq!(at(100 + 2 * 256 - 1), None);
        assert_eq!(at(99), None);
    }

    #[test]
    fn a_default_below_the_least_is_kept() {
        let bounds = Bounds::new(&ask(0, 16_384, false, 1), Some(10));
        assert_eq!(bounds.wanted(&PRICE).output_tokens, 10);
        assert_eq!(bounds.least(&PRICE).output_tokens, 10);
    }

    #[test]
    fn every_choice_is_paid_for() {
        let bounds = Bounds::new(&ask(10, 100, true, 4), None);
        assert_eq!(bounds.wanted(&PRICE).amount, NanoUsd((10 + 2 * 400) * 1000));
        assert_eq!(bounds.window_tokens(100), 410);
    }

    /// An ask with any price and a usage within what the ask bounds.
    fn bounded_call() -> impl Strategy<Value = (Ask, Price, Usage)> {
        let sizes = (0u64..1 << 21, 0u64..1 << 17, 0u64..6, 0u64..40);
        (sizes, any_price(), any::<bool>()).prop_flat_map(|(sizes, price, clients)| {
            let (input, output, choices, tools) = sizes;
            let ask = Ask { server_tool_calls: tools, ..ask(input, output, clients, choices) };
            usage_within(input, output * choices.max(1), tools)
                .prop_map(move |usage| (ask.clone(), price, usage))
        })
    }

    proptest! {
        /// With tiers, a plan, tools, surcharges and choices: what was set aside covers every usage
        /// that it allows, also where money was short and the limit was lowered.
        #[test]
        fn a_reservation_covers_every_usage_that_it_allows(
            (ask, price, usage) in bounded_call(), default in proptest::option::of(0u64..1 << 17),
            money in 0u64..1 << 45,
        ) {
            let bounds = Bounds::new(&ask, default);
            let reservations = [Some(bounds.wanted(&price)), bounds.within(&price, NanoUsd(money))];
            for reservation in reservations.into_iter().flatten() {
                let allowed = reservation.output_tokens * ask.choices.max(1);
                let output_tokens = usage.output_tokens.min(allowed);
                let within = Usage { output_tokens, ..usage };
                prop_assert!(price::cost(&within, &price) <= reservation.amount);
                prop_assert!(reservation.amount <= bounds.wanted(&price).amount);
            }
        }

        #[test]
        fn a_reservation_never_passes_the_money(
            input in 0u64..100_000, output in 0u64..100_000, choices in 0u64..5,
            clients: bool, money in 0u64..1 << 40,
        ) {
            let bounds = Bounds::new(&ask(input, output, clients, choices), None);
            if let Some(found) = bounds.within(&PRICE, NanoUsd(money)) {
                prop_assert!(found.amount <= NanoUsd(money));
                prop_assert!(found.amount >= bounds.least(&PRICE).amount);
                prop_assert!(found.output_tokens <= output);
            } else {
                prop_assert!(bounds.least(&PRICE).amount > NanoUsd(money));
            }
        }
    }
}
