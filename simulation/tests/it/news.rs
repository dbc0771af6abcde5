//! Where the server can only say that something has changed, filters ask about every key of running
//! calls, and do not say that it is in force before they know.

use simulation::{Invariant, Mutation, Outcome, Scenario, Tally};

const SEEDS: u64 = 60;

fn forgetful(seed: u64, mutation: Option<Mutation>) -> Outcome {
    simulation::run_in(Scenario::forgetful(seed), seed, mutation, false).unwrap()
}

#[test]
fn calls_of_withdrawn_keys_end_though_nobody_heard_of_them() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let outcome = forgetful(seed, None);
        assert_eq!(outcome.violation, None, "seed {seed}");
        tally.add(&outcome.tally);
    }
    let (withdrawals, ended) = (tally.withdrawals, tally.ended_by_filter);
    // Few of them are left to end when it is said that all have heard.
    println!("{withdrawals} withdrawals, {ended} calls were ended, {} after", tally.expected_ends);
    assert!(withdrawals >= SEEDS && ended >= 2 * SEEDS, "{tally:?}");
}

#[test]
fn changes_acknowledged_too_early_are_found() {
    let broken = (0..SEEDS).find_map(|seed| {
        let violation = forgetful(seed, Some(Mutation::EarlyAcknowledgement)).violation?;
        (violation.invariant == Invariant::Revocation).then_some((seed, violation))
    });
    let (seed, violation) = broken.expect("acknowledged before it was known, and nobody minded");
    println!("EarlyAcknowledgement: seed {seed}: {violation}");
}
