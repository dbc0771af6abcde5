//! What a usage costs. Prices are pico-USD per token, so tokens times price is exact; the sum is
//! rounded up to nano-USD once per call, against the spender.

use wire::v1::{Price, Usage};
use wire::{NanoUsd, PicoUsdPerToken};

const PICO_PER_NANO: u128 = 1_000;

/// Cost of a usage in nano-USD, rounded up once. A cost that does not fit is [`NanoUsd::MAX`],
/// which no cap admits.
///
/// Cached input is part of input and reasoning part of output (WIRE 2.1, OpenAI's semantics); a
/// report that claims more cached than input tokens is read as all input cached.
#[must_use]
pub fn cost(usage: &Usage, price: &Price) -> NanoUsd {
    let cached = usage.cached_input_tokens.min(usage.input_tokens);
    let fresh = usage.input_tokens - cached;
    let cached_price = price.cached_input.unwrap_or(price.input);
    let pico = times(fresh, price.input)
        .saturating_add(times(cached, cached_price))
        .saturating_add(times(usage.output_tokens, price.output));
    round_up(pico)
}

/// Upper bound of the cost of a call that uses at most these tokens, whatever kinds they turn out
/// to be: every input token at the dearest input price.
#[must_use]
pub fn bound(input_tokens: u64, output_tokens: u64, price: &Price) -> NanoUsd {
    let dearest_input = price.cached_input.map_or(price.input, |cached| cached.max(price.input));
    let pico =
        times(input_tokens, dearest_input).saturating_add(times(output_tokens, price.output));
    round_up(pico)
}

/// The most output tokens for which [`bound`] stays within `money`, or `None` when not even the
/// input fits. A free output is limited only by `u64`.
#[must_use]
pub fn affordable_output(input_tokens: u64, price: &Price, money: NanoUsd) -> Option<u64> {
    let dearest_input = price.cached_input.map_or(price.input, |cached| cached.max(price.input));
    let left =
        (u128::from(money.0) * PICO_PER_NANO).checked_sub(times(input_tokens, dearest_input))?;
    if price.output.0 == 0 {
        return Some(u64::MAX);
    }
    Some(u64::try_from(left / u128::from(price.output.0)).unwrap_or(u64::MAX))
}

fn times(tokens: u64, price: PicoUsdPerToken) -> u128 {
    u128::from(tokens) * u128::from(price.0)
}

fn round_up(pico: u128) -> NanoUsd {
    NanoUsd(u64::try_from(pico.div_ceil(PICO_PER_NANO)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(input: &str, output: &str, cached: Option<&str>) -> Price {
        let parse = |text| PicoUsdPerToken::from_usd_per_mtok(text).unwrap();
        Price { input: parse(input), output: parse(output), cached_input: cached.map(parse) }
    }

    fn usage(input: u64, cached: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: output,
            reasoning_tokens: 0,
        }
    }

    #[test]
    fn costs_computed_by_hand() {
        let mini = price("0.15", "0.60", Some("0.075"));
        // 2006 input of which 1920 cached, 300 output:
        // 86 * 0.15 + 1920 * 0.075 + 300 * 0.60 = 12.9 + 144 + 180 = 336.9 micro-USD
        assert_eq!(cost(&usage(2006, 1920, 300), &mini), NanoUsd(336_900));
        assert_eq!(cost(&usage(1, 0, 0), &mini), NanoUsd(150));
        assert_eq!(cost(&usage(0, 0, 0), &mini), NanoUsd::ZERO);
        // more cached than input is all input cached
        assert_eq!(cost(&usage(10, 50, 0), &mini), NanoUsd(750));
    }

    #[test]
    fn fractions_round_up_once() {
        let tiny = price("0.0001", "0.0001", None); // 100 pico-USD per token
        assert_eq!(cost(&usage(1, 0, 1), &tiny), NanoUsd(1));
        assert_eq!(cost(&usage(5, 0, 5), &tiny), NanoUsd(1));
        assert_eq!(cost(&usage(5, 0, 6), &tiny), NanoUsd(2));
    }

    #[test]
    fn what_does_not_fit_is_the_largest_amount() {
        let dear = Price {
            input: PicoUsdPerToken(u64::MAX),
            output: PicoUsdPerToken(u64::MAX),
            cached_input: None,
        };
        assert_eq!(cost(&usage(u64::MAX, 0, u64::MAX), &dear), NanoUsd::MAX);
    }

    proptest! {
        #[test]
        fn bound_covers_every_usage_within_it(
            input in 0u64..1 << 40, cached in 0u64..1 << 40, output in 0u64..1 << 40,
            prices in (0u64..1 << 20, 0u64..1 << 20, proptest::option::of(0u64..1 << 21)),
        ) {
            let price = Price {
                input: PicoUsdPerToken(prices.0),
                output: PicoUsdPerToken(prices.1),
                cached_input: prices.2.map(PicoUsdPerToken),
            };
            prop_assert!(cost(&usage(input, cached, output), &price) <= bound(input, output, &price));
        }

        #[test]
        fn affordable_output_is_the_largest_that_fits(
            input in 0u64..1 << 30, money in 0u64..1 << 50, p in 1u64..1 << 20, q in 1u64..1 << 20,
        ) {
            let price =
                Price { input: PicoUsdPerToken(p), output: PicoUsdPerToken(q), cached_input: None };
            match affordable_output(input, &price, NanoUsd(money)) {
                None => prop_assert!(bound(input, 0, &price) > NanoUsd(money)),
                Some(output) => {
                    prop_assert!(bound(input, output, &price) <= NanoUsd(money));
                    prop_assert!(bound(input, output + 1, &price) > NanoUsd(money));
                }
            }
        }
    }
}
