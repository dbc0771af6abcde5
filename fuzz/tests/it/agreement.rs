//! Generated bodies: wherever the filter lets one through, Python, Node and serde_json see the model,
//! the bounds and the flags in it that it was charged for, as it came and as the upstream gets it.

use fuzz::Input;
use fuzz::agreement::{Reading, body, judge, views_of_serde};
use metering::request::{Operation, Source};

use super::other_parser::OtherParser;

const OPERATIONS: [Operation; 5] = [
    Operation::Chat,
    Operation::Completions,
    Operation::Responses,
    Operation::Messages,
    Operation::GenerateContent,
];

/// Bodies; the two processes read some 5,000 a second.
const BODIES: u64 = 12_000;

/// Bytes that are the same in every run (SplitMix64).
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let word = std::iter::from_fn(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some((mixed ^ mixed >> 31).to_le_bytes())
    });
    word.take(16).flatten().collect()
}

#[test]
fn what_is_let_through_is_read_alike_by_all() {
    let mut python = OtherParser::python().unwrap();
    let mut node = OtherParser::node().unwrap();
    let mut let_through = 0;
    for seed in 0..BODIES {
        let bytes = bytes(seed << 8);
        let mut input = Input::new(&bytes);
        let operation = input.one_of(&OPERATIONS);
        let reads_newer = input.byte() & 1 == 1;
        let path_model = (operation == Operation::GenerateContent).then_some("cheap");
        let body = body(operation, &mut input);
        let source = Source { operation, path_model, betas: "" };
        let Some(reading) = Reading::of(&body, source, reads_newer) else { continue };
        let_through += 1;
        judge(&reading, &body, |text| {
            let mut views = views_of_serde(text);
            views.extend(python.views(text).unwrap());
            views.extend(node.views(text).unwrap());
            views
        });
    }
    // Neither may everything be refused, nor may nothing nasty be among what is made.
    assert!((BODIES / 5..BODIES / 2).contains(&let_through), "{let_through} of {BODIES}");
}
