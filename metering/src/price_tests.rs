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

pub(crate) fn any_price() -> impl Strategy<Value = Price> {
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

/// Any usage with at most so many tokens and tools; parts may come to more than their whole, as in a
/// report that makes no sense.
pub(crate) fn usage_within(
    input: u64,
    output: u64,
    tools: u64,
) -> impl Strategy<Value = Usage> + use<> {
    let part = |most: u64| prop_oneof![Just(0), Just(most), 0..=most, 0..=most.saturating_mul(2)];
    let whole = |most: u64| prop_oneof![Just(most), 0..=most];
    let inputs = (whole(input), part(input), part(input), part(input), part(input), part(input));
    let outputs = (whole(output), part(output), part(output), part(output));
    (inputs, outputs, whole(tools)).prop_map(|(inputs, outputs, tools)| Usage {
        input_tokens: inputs.0,
        cached_input_tokens: inputs.1,
        cache_write_tokens: inputs.2,
        cache_write_1h_tokens: inputs.3,
        audio_input_tokens: inputs.4,
        image_input_tokens: inputs.5,
        output_tokens: outputs.0,
        reasoning_tokens: outputs.1,
        audio_output_tokens: outputs.2,
        image_output_tokens: outputs.3,
        server_tool_calls: tools,
    })
}

/// Bounds on input, output and tools, with a usage within them.
fn bounded_usage() -> impl Strategy<Value = (u64, u64, u64, Usage)> {
    let tokens = || prop_oneof![0..3u64, 0..1u64 << 21, Just(1 << 40)];
    (tokens(), tokens(), 0..1u64 << 20).prop_flat_map(|(input, output, tools)| {
        usage_within(input, output, tools).prop_map(move |usage| (input, output, tools, usage))
    })
}

proptest! {
    /// Whatever kinds the tokens are of, in whichever tier the call ends, under whichever plan.
    #[test]
    fn bound_covers_every_usage_within_it(
        price in any_price(), (input, output, tools, usage) in bounded_usage(),
    ) {
        let bound = bound(input, output, tools, &price);
        prop_assert!(cost(&usage, &price) <= bound);
        // so that raising any bound never lowers the sum
        prop_assert!(super::bound(input + 1, output, tools, &price) >= bound);
        prop_assert!(super::bound(input, output + 1, tools, &price) >= bound);
        prop_assert!(super::bound(input, output, tools + 1, &price) >= bound);
    }

    /// Rounded once: the cost under a plan is the product of exact numbers, rounded up.
    #[test]
    fn a_plan_multiplies_the_exact_cost(
        price in any_price(), (_, _, _, usage) in bounded_usage(), factor in 1u64..=1_000,
    ) {
        let base = price.times(PriceMultiplier::ONE);
        let whole = price.times(PriceMultiplier::from_ppm(factor * 1_000_000).unwrap());
        let (one, many) = (cost(&usage, &base), cost(&usage, &whole));
        prop_assert!(many.0 <= one.0.saturating_mul(factor));
        prop_assert!(many.0 + factor > one.0.saturating_mul(factor));
        let least = price.times(PriceMultiplier::from_ppm(1).unwrap());
        prop_assert_eq!(cost(&usage, &least).0, one.0.div_ceil(1_000_000).max(u64::from(one.0 > 0)));
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
