//! What a usage costs. Prices are pico-USD per token and a plan's multiplier is in millionths, so
//! tokens times price times multiplier is exact; that sum is rounded up to nano-USD once per call,
//! against the spender. [`Price::multiplier`] is applied here and nowhere else.

use wire::v1::{Price, Rates, Usage};
use wire::{NanoUsd, PicoUsdPerToken, PriceMultiplier};

const PICO_PER_NANO: u128 = 1_000;
/// Sums are in millionths of a pico-USD once they have been multiplied.
const MULTIPLIED_PER_NANO: u128 = PICO_PER_NANO * PriceMultiplier::ONE.ppm() as u128;

/// Cost of a usage in nano-USD, rounded up once. A cost that does not fit is [`NanoUsd::MAX`],
/// which no cap admits.
///
/// Kinds of input are parts of `input_tokens`, kinds of output of `output_tokens` (WIRE 2.1,
/// OpenAI's semantics). A report in which the parts come to more than the whole is read as if the
/// later kinds were fewer, in the order of the fields. The tier is that of all input tokens.
#[must_use]
pub fn cost(usage: &Usage, price: &Price) -> NanoUsd {
    let rates = rates_at(usage.input_tokens, price);
    let mut input = Whole::of(usage.input_tokens);
    let cached = input.take(usage.cached_input_tokens);
    let written = input.take(usage.cache_write_tokens);
    let written_1h = input.take(usage.cache_write_1h_tokens);
    let audio = input.take(usage.audio_input_tokens);
    let images = input.take(usage.image_input_tokens);
    let mut output = Whole::of(usage.output_tokens);
    let audio_output = output.take(usage.audio_output_tokens);
    let image_output = output.take(usage.image_output_tokens);
    let kinds = [
        (input.rest, rates.input),
        (cached, rates.cached_input.unwrap_or(rates.input)),
        (written, cache_write(rates)),
        (written_1h, cache_write_1h(rates)),
        (audio, rates.audio_input.unwrap_or_else(|| dearest_input(rates))),
        (images, rates.image_input.unwrap_or(rates.input)),
        (output.rest, rates.output),
        (audio_output, rates.audio_output.unwrap_or_else(|| dearest_output(rates))),
        (image_output, rates.image_output.unwrap_or_else(|| dearest_output(rates))),
    ];
    let tokens = kinds
        .into_iter()
        .fold(0u128, |sum, (tokens, price)| sum.saturating_add(times(tokens, price)));
    round_up(multiplied(tokens.saturating_add(surcharges(usage.server_tool_calls, price)), price))
}

/// Upper bound of the cost of a call that uses at most these tokens and tools, whatever kinds of
/// tokens they turn out to be and in whichever tier: every token at the dearest price of its
/// direction.
#[must_use]
pub fn bound(
    input_tokens: u64,
    output_tokens: u64,
    server_tool_calls: u64,
    price: &Price,
) -> NanoUsd {
    let (input, output) = dearest(input_tokens, price);
    let tokens = times(input_tokens, input).saturating_add(times(output_tokens, output));
    round_up(multiplied(tokens.saturating_add(surcharges(server_tool_calls, price)), price))
}

/// The most output tokens for which [`bound`] stays within `money`, or `None` when not even the
/// rest of the call fits. A free output is limited only by `u64`.
#[must_use]
pub fn affordable_output(
    input_tokens: u64,
    server_tool_calls: u64,
    price: &Price,
    money: NanoUsd,
) -> Option<u64> {
    let (input, output) = dearest(input_tokens, price);
    let fixed = times(input_tokens, input).saturating_add(surcharges(server_tool_calls, price));
    let money = u128::from(money.0) * MULTIPLIED_PER_NANO;
    let left = money.checked_sub(multiplied(fixed, price))?;
    if output.0 == 0 {
        return Some(u64::MAX);
    }
    let each = multiplied(u128::from(output.0), price);
    Some(u64::try_from(left / each).unwrap_or(u64::MAX))
}

/// A count of tokens of which kinds are taken.
struct Whole {
    rest: u64,
}

impl Whole {
    fn of(tokens: u64) -> Self {
        Self { rest: tokens }
    }

    fn take(&mut self, tokens: u64) -> u64 {
        let taken = tokens.min(self.rest);
        self.rest = self.rest.saturating_sub(taken);
        taken
    }
}

/// Prices of a call with this much input.
fn rates_at(input_tokens: u64, price: &Price) -> &Rates {
    let tiers = price.tiers.iter().filter(|tier| input_tokens > tier.above_input_tokens);
    tiers.last().map_or(&price.rates, |tier| &tier.rates)
}

/// The dearest prices of input and output that a call with at most this much input can meet.
fn dearest(input_tokens: u64, price: &Price) -> (PicoUsdPerToken, PicoUsdPerToken) {
    let tiers = price.tiers.iter().filter(|tier| input_tokens > tier.above_input_tokens);
    let rates = std::iter::once(&price.rates).chain(tiers.map(|tier| &tier.rates));
    rates.fold(Default::default(), |(input, output), rates| {
        (dearest_input(rates).max(input), dearest_output(rates).max(output))
    })
}

fn dearest_input(rates: &Rates) -> PicoUsdPerToken {
    let kinds = [
        rates.cached_input,
        rates.cache_write,
        rates.cache_write_1h,
        rates.audio_input,
        rates.image_input,
    ];
    kinds.into_iter().flatten().fold(rates.input, PicoUsdPerToken::max)
}

fn dearest_output(rates: &Rates) -> PicoUsdPerToken {
    let kinds = [rates.audio_output, rates.image_output];
    kinds.into_iter().flatten().fold(rates.output, PicoUsdPerToken::max)
}

fn cache_write(rates: &Rates) -> PicoUsdPerToken {
    rates.cache_write.unwrap_or(rates.input)
}

fn cache_write_1h(rates: &Rates) -> PicoUsdPerToken {
    rates.cache_write_1h.unwrap_or_else(|| cache_write(rates))
}

/// What does not depend on tokens, in pico-USD. A tool without a price is refused before the call;
/// one that was used all the same costs what the call costs anyway.
fn surcharges(server_tool_calls: u64, price: &Price) -> u128 {
    let tools = u128::from(server_tool_calls)
        .saturating_mul(u128::from(price.per_server_tool_call.unwrap_or_default().0));
    tools.saturating_add(u128::from(price.per_call.0)).saturating_mul(PICO_PER_NANO)
}

fn times(tokens: u64, price: PicoUsdPerToken) -> u128 {
    u128::from(tokens) * u128::from(price.0)
}

/// Pico-USD under the plan, in millionths.
fn multiplied(pico: u128, price: &Price) -> u128 {
    pico.saturating_mul(u128::from(price.multiplier.ppm()))
}

fn round_up(multiplied: u128) -> NanoUsd {
    NanoUsd(u64::try_from(multiplied.div_ceil(MULTIPLIED_PER_NANO)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::v1::{MOST_TIERS, Tier, Tiers};

    fn price(input: &str, output: &str, cached: Option<&str>) -> Price {
        let parse = |text| PicoUsdPerToken::from_usd_per_mtok(text).unwrap();
        Price::text(parse(input), parse(output), cached.map(parse))
    }

    fn usage(input: u64, cached: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: output,
            reasoning_tokens: 0,
            ..Usage::default()
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
        let dear = Price::text(PicoUsdPerToken(u64::MAX), PicoUsdPerToken(u64::MAX), None);
        assert_eq!(cost(&usage(u64::MAX, 0, u64::MAX), &dear), NanoUsd::MAX);
        let dearer = dear.times(PriceMultiplier::MOST);
        assert_eq!(cost(&usage(u64::MAX, 0, u64::MAX), &dearer), NanoUsd::MAX);
        assert_eq!(affordable_output(u64::MAX, 9, &dearer, NanoUsd::MAX), None);
        let cheap = price("0.000001", "0.000001", None);
        assert_eq!(affordable_output(0, 0, &cheap, NanoUsd::MAX), Some(u64::MAX));
    }

    fn nano(text: &str) -> NanoUsd {
        NanoUsd::from_usd(text).unwrap()
    }

    fn per_mtok(text: &str) -> PicoUsdPerToken {
        PicoUsdPerToken::from_usd_per_mtok(text).unwrap()
    }

    #[test]
    fn every_kind_has_its_price() {
        let rates = Rates {
            cached_input: Some(per_mtok("0.30")),
            cache_write: Some(per_mtok("3.75")),
            cache_write_1h: Some(per_mtok("6.00")),
            audio_input: Some(per_mtok("10.00")),
            image_input: Some(per_mtok("5.00")),
            audio_output: Some(per_mtok("20.00")),
            image_output: Some(per_mtok("40.00")),
            ..price("3.00", "15.00", None).rates
        };
        let price = Price {
            rates,
            per_call: nano("0.0005"),
            per_server_tool_call: Some(nano("0.01")),
            ..Price::default()
        };
        let usage = Usage {
            input_tokens: 10_000,
            cached_input_tokens: 2_000,
            cache_write_tokens: 1_000,
            cache_write_1h_tokens: 500,
            audio_input_tokens: 300,
            image_input_tokens: 200,
            output_tokens: 1_000,
            reasoning_tokens: 400,
            audio_output_tokens: 100,
            image_output_tokens: 50,
            server_tool_calls: 3,
        };
        // input: 6000 * 3 + 2000 * 0.3 + 1000 * 3.75 + 500 * 6 + 300 * 10 + 200 * 5 = 29350
        // output: 850 * 15 + 100 * 20 + 50 * 40 = 16750; call 500; tools 30000 micro-USD
        assert_eq!(cost(&usage, &price), nano("0.0766"));
        // a kind without a price costs as the dearest of its direction
        let unknown = Price::text(per_mtok("3.00"), per_mtok("15.00"), Some(per_mtok("4.00")));
        let audio = Usage { input_tokens: 10, audio_input_tokens: 10, ..Usage::default() };
        assert_eq!(cost(&audio, &unknown), NanoUsd(40_000));
    }

    #[test]
    fn a_tier_prices_the_whole_call() {
        let tier =
            Tier { above_input_tokens: 200_000, rates: price("6.00", "22.50", Some("0.60")).rates };
        let tiers = Tiers::try_from(vec![tier]).unwrap();
        let price = Price { tiers, ..price("3.00", "15.00", Some("0.30")) };
        assert_eq!(cost(&usage(200_000, 0, 1_000), &price), nano("0.615"));
        assert_eq!(cost(&usage(200_001, 0, 1_000), &price), nano("1.222506"));
        assert_eq!(cost(&usage(300_000, 100_000, 0), &price), nano("1.26"));
    }

    fn rate() -> impl Strategy<Value = PicoUsdPerToken> {
        (0u64..1 << 20).prop_map(PicoUsdPerToken)
    }

    fn maybe() -> impl Strategy<Value = Option<PicoUsdPerToken>> {
        proptest::option::of((0u64..1 << 21).prop_map(PicoUsdPerToken))
    }

    fn rates() -> impl Strategy<Value = Rates> {
        let kinds = (rate(), rate(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
        kinds.prop_map(|kinds| Rates {
            input: kinds.0,
            output: kinds.1,
            cached_input: kinds.2,
            cache_write: kinds.3,
            cache_write_1h: kinds.4,
            audio_input: kinds.5,
            image_input: kinds.6,
            audio_output: kinds.7,
            image_output: kinds.8,
        })
    }

    fn multiplier() -> impl Strategy<Value = PriceMultiplier> {
        let most = PriceMultiplier::MOST.ppm();
        let ppm = prop_oneof![Just(1_000_000), Just(1), Just(most), 1..=most, 1..=3_000_000u64];
        ppm.prop_map(|ppm| PriceMultiplier::from_ppm(ppm).unwrap())
    }

    fn any_price() -> impl Strategy<Value = Price> {
        let surcharges = (0u64..1 << 20, proptest::option::of(0u64..1 << 20));
        let tiers = proptest::collection::vec((1u64..1 << 20, rates()), 0..=MOST_TIERS);
        let all = (rates(), tiers, surcharges, multiplier());
        all.prop_map(|(rates, mut tiers, (per_call, per_tool), multiplier)| {
            tiers.sort_by_key(|(above, _)| *above);
            tiers.dedup_by_key(|(above, _)| *above);
            let tiers: Vec<_> = tiers
                .into_iter()
                .map(|(above_input_tokens, rates)| Tier { above_input_tokens, rates })
                .collect();
            Price {
                rates,
                tiers: Tiers::try_from(tiers).unwrap(),
                per_call: NanoUsd(per_call),
                per_server_tool_call: per_tool.map(NanoUsd),
                multiplier,
            }
        })
    }

    proptest! {
        /// Whatever kinds the tokens are of, in whichever tier the call ends.
        #[test]
        fn bound_covers_every_usage_within_it(
            price in any_price(),
            counts in proptest::collection::vec(0u64..1 << 21, 11),
            more in proptest::collection::vec(0u64..1 << 20, 3),
        ) {
            let [input, cached, written, hour, audio, images, output, reasoning, spoken, drawn, tools] =
                counts.try_into().unwrap();
            let usage = Usage {
                input_tokens: input,
                cached_input_tokens: cached,
                cache_write_tokens: written,
                cache_write_1h_tokens: hour,
                audio_input_tokens: audio,
                image_input_tokens: images,
                output_tokens: output,
                reasoning_tokens: reasoning,
                audio_output_tokens: spoken,
                image_output_tokens: drawn,
                server_tool_calls: tools,
            };
            let bound = bound(input + more[0], output + more[1], tools + more[2], &price);
            prop_assert!(cost(&usage, &price) <= bound);
        }

        #[test]
        fn affordable_output_is_the_largest_that_fits(
            price in any_price(), input in 0u64..1 << 30, tools in 0u64..9, money in 0u64..1 << 50,
        ) {
            match affordable_output(input, tools, &price, NanoUsd(money)) {
                None => prop_assert!(bound(input, 0, tools, &price) > NanoUsd(money)),
                Some(u64::MAX) => {}
                Some(output) => {
                    prop_assert!(bound(input, output, tools, &price) <= NanoUsd(money));
                    prop_assert!(bound(input, output + 1, tools, &price) > NanoUsd(money));
                }
            }
        }
    }
}
