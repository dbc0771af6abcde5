//! Where nothing goes wrong and all others are silent, a client that was told to wait gets what it
//! waits for: money that others kept is recalled, permits return when it was said.

use simulation::{Invariant, Mutation, Outcome, Scenario, Tally};

const SEEDS: u64 = 12;

fn hushed(seed: u64, mutation: Option<Mutation>) -> Outcome {
    simulation::run_in(Scenario::hushed(seed), seed, mutation, false).unwrap()
}

#[test]
fn money_that_others_keep_comes_within_two_seconds() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let outcome = hushed(seed, None);
        assert_eq!(outcome.violation, None, "seed {seed}");
        tally.add(&outcome.tally);
    }
    println!("{} clients waited for money", tally.hushes);
    assert!(tally.hushes >= SEEDS, "only {} waited: {tally:?}", tally.hushes);
}

#[test]
fn permits_come_when_it_was_said() {
    let mut tally = Tally::default();
    for limit in [10, 60] {
        for seed in 0..SEEDS / 4 {
            let scenario = Scenario { hushes: true, ..Scenario::saturating(seed, limit) };
            let outcome = simulation::run_in(scenario, seed, None, false).unwrap();
            assert_eq!(outcome.violation, None, "seed {seed}");
            tally.add(&outcome.tally);
        }
    }
    println!("{} clients waited for permits", tally.hushes);
    assert!(tally.hushes >= SEEDS, "only {} waited: {tally:?}", tally.hushes);
}

#[test]
fn recalls_that_are_ignored_are_found() {
    // Few worlds have a worker that keeps money which another one needs.
    let broken = (0..8 * SEEDS).find_map(|seed| {
        let violation = hushed(seed, Some(Mutation::IgnoredRecall)).violation?;
        (violation.invariant == Invariant::Liveness).then_some((seed, violation))
    });
    let (seed, violation) = broken.expect("ignored recalls delayed nobody");
    println!("IgnoredRecall: seed {seed}: {violation}");
}
