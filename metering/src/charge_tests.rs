use super::*;
use crate::price::tests::{any_price, usage_within};
use crate::reservation::Bounds;
use crate::usage::{AnswerFormat, StreamAnswer, StreamView};
use proptest::prelude::*;
use wire::v1::Ask;
use wire::{CatalogueVersion, ModelName, PicoUsdPerToken, PriceMultiplier};

/// 1 and 2 micro-USD per token.
const ADMITTED: Admitted = Admitted {
    price: Price::text(PicoUsdPerToken(1_000_000), PicoUsdPerToken(2_000_000), None),
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

fn by_reservation_of(admitted: Admitted) -> Admitted {
    Admitted { cut_calls: CutCalls::Reservation, ..admitted }
}

fn micro(amount: u64) -> NanoUsd {
    NanoUsd(amount * 1000)
}

fn seen(deltas: u64) -> Outcome {
    prose(deltas, deltas * 2)
}

fn prose(deltas: u64, output_bytes: u64) -> Outcome {
    Outcome::Answered(Seen { deltas, output_bytes, has_begun: true, ..Seen::default() })
}

fn counted(output_tokens: u64, deltas: u64, usage_is_final: bool) -> Outcome {
    let usage = Some(Usage { input_tokens: 10, output_tokens, ..Usage::default() });
    Outcome::Answered(Seen { usage, usage_is_final, deltas, has_begun: true, ..Seen::default() })
}

#[test]
fn each_ending_has_its_charge() {
    let measured = counted(20, 0, true);
    let dear = Admitted { reserved: NanoUsd(9_000_000), ..by_reservation_of(ADMITTED) };
    let by_reservation = by_reservation_of(ADMITTED);
    let reasoning = Admitted { reasoning: true, ..ADMITTED };
    let plain = Admitted { streamed: false, ..ADMITTED };
    let unbounded = Admitted { output_bound: None, reserved: NanoUsd::ZERO, ..ADMITTED };
    let plain_unbounded = Admitted { streamed: false, ..unbounded };
    let whole = 364 + 2 * 1000;
    let input = Some(Usage { input_tokens: 40, ..Usage::default() });
    let told = Outcome::Answered(Seen { deltas: 7, output_bytes: 14, input, ..Seen::default() });
    let nothing = Outcome::Answered(Seen::default());
    for (name, admitted, outcome, basis, cost) in [
        ("reported", ADMITTED, measured, Basis::Measured, 10 + 2 * 20),
        ("reported wins", by_reservation, measured, Basis::Measured, 10 + 2 * 20),
        ("counted so far", ADMITTED, counted(20, 7, false), Basis::Estimated, 100 + 2 * 7),
        ("counted more", ADMITTED, counted(80, 7, false), Basis::Estimated, 10 + 2 * 80),
        ("shown since", ADMITTED, counted(60, 90, false), Basis::Estimated, 100 + 2 * 90),
        ("so far, whole", by_reservation, counted(20, 7, false), Basis::Estimated, whole),
        ("past, whole", by_reservation, counted(2000, 7, false), Basis::Estimated, 10 + 2 * 2000),
        ("cut, dearer kinds reserved", dear, seen(7), Basis::Estimated, 9_000),
        ("failed", by_reservation, Outcome::Failed, Basis::Refunded, 0),
        ("failed, plain", plain, Outcome::Failed, Basis::Refunded, 0),
        ("cut", ADMITTED, seen(7), Basis::Estimated, 100 + 2 * 7),
        ("cut, many bytes", ADMITTED, prose(7, 9000), Basis::Estimated, 100 + 2 * 1000),
        ("cut, input told", ADMITTED, told, Basis::Estimated, 40 + 2 * 7),
        ("cut, input told, reservation", by_reservation, told, Basis::Estimated, whole),
        ("cut, past its bound", ADMITTED, seen(1001), Basis::Estimated, 100 + 2 * 1001),
        ("past its bound, whole", by_reservation, seen(1001), Basis::Estimated, whole + 2),
        ("cut, reservation", by_reservation, seen(7), Basis::Estimated, whole),
        ("stream unanswered", ADMITTED, Outcome::NoAnswer, Basis::Estimated, 100),
        ("stream, no event", ADMITTED, nothing, Basis::Estimated, 100),
        ("unanswered, reservation", by_reservation, Outcome::NoAnswer, Basis::Estimated, whole),
        ("plain, unanswered", plain, Outcome::NoAnswer, Basis::Estimated, whole),
        ("plain, head only", plain, nothing, Basis::Estimated, whole),
        ("plain, body cut", plain, seen(7), Basis::Estimated, 100 + 2 * 7),
        ("plain, unbounded", plain_unbounded, Outcome::NoAnswer, Basis::Estimated, 100),
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

/// Charged as soon as these bytes have come of a stream.
fn charge_of(admitted: &Admitted, bytes: &[u8]) -> (Charge, Seen) {
    let mut answer =
        StreamAnswer::of(AnswerFormat::OpenAiChat, StreamView::WithoutUsage, Some(1000));
    answer.chunk(bytes, |usage| price::cost(usage, &admitted.price));
    (charge(admitted, Outcome::Answered(answer.seen())), answer.seen())
}

/// vLLM's `stream_options.continuous_usage_stats`: every chunk counts what has been made so far.
#[test]
fn a_stream_cut_after_a_running_count_is_charged_its_estimate_at_least() {
    let delta = |text: &str, count: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]{count}}}\n\n")
    };
    let count =
        |output: u64| format!(",\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{output}}}");
    let with = [
        delta("", &count(0)),
        delta("one and two and three", &count(1)),
        delta("four", &count(40)),
        delta("a long piece, then nothing more is counted", ""),
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":90}}\n\n"
            .to_owned(),
    ];
    let without = [
        delta("", ""),
        delta("one and two and three", ""),
        delta("four", ""),
        delta("a long piece, then nothing more is counted", ""),
    ];
    let least_counts = [0, 1, 40, 40];
    for (at, least) in least_counts.into_iter().enumerate() {
        let (counted, seen) = charge_of(&ADMITTED, with[..=at].concat().as_bytes());
        let (uncounted, _) = charge_of(&ADMITTED, without[..=at].concat().as_bytes());
        assert!(!seen.usage_is_final && seen.usage.is_some(), "{at}: {seen:?}");
        assert_eq!(counted.basis, Basis::Estimated);
        assert!(counted.cost >= uncounted.cost, "{at}: {counted:?} {uncounted:?}");
        assert!(counted.cost >= micro(9 + 2 * least), "{at}: {counted:?}");
        assert!(counted.cost <= ADMITTED.reserved);
        let by_reservation = by_reservation_of(ADMITTED);
        let (whole, _) = charge_of(&by_reservation, with[..=at].concat().as_bytes());
        assert_eq!(whole.cost, ADMITTED.reserved, "{at}");
    }
    let (all, _) = charge_of(&ADMITTED, with.concat().as_bytes());
    assert_eq!((all.basis, all.cost), (Basis::Measured, micro(9 + 2 * 90)));
}

/// A count that stands before more output is not that of the end, however the stream ends.
#[test]
fn output_after_the_last_count_is_charged() {
    let early =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":0}}\n\n";
    let delta = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";
    let done = "data: [DONE]\n\n";
    let (charge, seen) = charge_of(&ADMITTED, [early, delta, delta, done].concat().as_bytes());
    assert!(seen.complete);
    assert_eq!((charge.basis, charge.cost), (Basis::Estimated, micro(100 + 2 * 2)));
}

/// A call as it was admitted, and what was seen of its answer, which kept to the bounds.
#[derive(Debug, Clone)]
struct Bounded {
    admitted: Admitted,
    seen: Seen,
}

fn ask() -> impl Strategy<Value = Ask> {
    let sizes = (0u64..1 << 21, 0u64..1 << 17, 1u64..6, 0u64..40);
    (sizes, any::<bool>()).prop_map(|((input, output, choices, tools), is_clients)| Ask {
        model: ModelName::new("m").unwrap(),
        catalogue_version: CatalogueVersion(1),
        input_tokens: input,
        output_tokens: output,
        output_is_clients: is_clients,
        choices,
        server_tool_calls: tools,
        price_multiplier: PriceMultiplier::ONE,
    })
}

/// Any price with its tiers, media, caches, tools and plan, any request, with as much set aside as
/// it wanted or as little as there was.
fn admitted() -> impl Strategy<Value = Admitted> {
    let kinds = (any::<bool>(), any::<bool>(), 0u64..1 << 23);
    let money = proptest::option::of(0u64..1 << 45);
    (ask(), any_price(), money, kinds).prop_map(|(ask, price, money, kinds)| {
        let bounds = Bounds::new(&ask, None);
        let within = money.and_then(|money| bounds.within(&price, NanoUsd(money)));
        let reservation = within.unwrap_or_else(|| bounds.wanted(&price));
        let (reasoning, streamed, body_bytes) = kinds;
        Admitted {
            price,
            body_bytes,
            input_bound: ask.input_tokens,
            input_beyond_text: false,
            output_bound: Some(reservation.output_tokens * ask.choices),
            server_tool_calls: ask.server_tool_calls,
            reserved: reservation.amount,
            reasoning,
            streamed,
            cut_calls: CutCalls::Estimate,
        }
    })
}

fn bounded() -> impl Strategy<Value = Bounded> {
    admitted().prop_flat_map(|admitted| {
        let output = admitted.output_bound.unwrap_or(0);
        let usage = || {
            let within = usage_within(admitted.input_bound, output, admitted.server_tool_calls);
            proptest::option::of(within)
        };
        let deltas = prop_oneof![Just(0), Just(output), 0..=output];
        let bytes = prop_oneof![Just(0), 0u64..1 << 22];
        let rest = (deltas, bytes, any::<bool>(), any::<bool>());
        (usage(), usage(), rest).prop_map(move |(usage, input, rest)| {
            let (deltas, output_bytes, has_begun, complete) = rest;
            let input = input.map(|input| Usage {
                output_tokens: 0,
                reasoning_tokens: 0,
                audio_output_tokens: 0,
                image_output_tokens: 0,
                ..input
            });
            let usage_is_final = false;
            let seen =
                Seen { usage, usage_is_final, input, deltas, output_bytes, has_begun, complete };
            Bounded { admitted, seen }
        })
    })
}

/// What the server finds right of an estimate.
fn is_explained(admitted: &Admitted, charge: &Charge) -> bool {
    let by_usage = price::cost(&charge.usage, &admitted.price);
    charge.basis == Basis::Estimated && [by_usage, admitted.reserved].contains(&charge.cost)
}

proptest! {
    #[test]
    fn by_reservation_it_is_exactly_the_reservation(call in bounded()) {
        let admitted = by_reservation_of(call.admitted);
        for outcome in [Outcome::NoAnswer, Outcome::Unreadable, Outcome::Answered(call.seen)] {
            let charge = charge(&admitted, outcome);
            prop_assert_eq!(charge.cost, admitted.reserved, "{:?}: {:?}", outcome, charge);
            prop_assert!(is_explained(&admitted, &charge), "{:?}", charge);
        }
        // without usage a plain answer of which nothing came, and one that cannot be read, is so in
        // either mode
        let plain = Admitted { streamed: false, ..call.admitted };
        prop_assert_eq!(charge(&plain, Outcome::NoAnswer).cost, plain.reserved);
        prop_assert_eq!(charge(&call.admitted, Outcome::Unreadable).cost, plain.reserved);
    }

    #[test]
    fn no_estimate_passes_the_reservation_or_falls_below_what_was_told(call in bounded()) {
        let Bounded { admitted, seen } = call;
        let charged = charge(&admitted, Outcome::Answered(seen));
        prop_assert!(charged.cost <= admitted.reserved, "{:?}", charged);
        prop_assert!(is_explained(&admitted, &charged), "{:?}", charged);
        let told = seen.usage.map_or(NanoUsd::ZERO, |usage| price::cost(&usage, &admitted.price));
        let untold = charge(&admitted, Outcome::Answered(Seen { usage: None, ..seen }));
        prop_assert!(charged.cost >= told, "{:?}", charged);
        // A running count tells how much was thought so far; without one all of it is unseen.
        prop_assert!(admitted.reasoning || charged.cost >= untold.cost, "{:?}", charged);
        prop_assert!(charged.usage.output_tokens >= seen.deltas);
    }
}
