//! A cap that holds must also be of use: how much of a budget of a thousand calls its clients get.

use simulation::usability::{Usability, measure};

const SEEDS: u64 = 20;

/// Measures every seed, prints the figures, and answers the least share in a thousandth.
fn least_used(crashes_per_mille: u64) -> (u64, u64) {
    let all: Vec<Usability> =
        (0..SEEDS).map(|seed| measure(seed, crashes_per_mille).unwrap()).collect();
    let mut shares: Vec<_> = all.iter().map(Usability::used_per_mille).collect();
    shares.sort_unstable();
    let of = |part: fn(&Usability) -> u64| all.iter().map(part).sum::<u64>();
    let share = |amount: u64| amount * 1_000 / of(|one| one.cap.0);
    let stranded = share(of(|one| one.parked.0 - one.lost.0));
    let (calls, crashes) = (of(|one| one.calls), of(|one| one.crashes));
    println!(
        "{crashes_per_mille} crashes per 1,000 calls: used, in 1/1000 of the cap: {shares:?}; \
         stranded on average: {stranded}; {calls} calls, {crashes} crashes, {} refused as contended",
        of(|one| one.contended)
    );
    (shares.first().copied().unwrap_or(0), crashes)
}

#[test]
fn a_budget_is_used_up_where_nothing_crashes() {
    let (least, crashes) = least_used(0);
    assert_eq!(crashes, 0);
    assert!(least >= 970, "only {least} of 1,000 of a cap were used");
}

#[test]
fn a_crash_in_a_hundred_calls_strands_little() {
    let (least, crashes) = least_used(10);
    assert!(crashes > 5 * SEEDS, "only {crashes} crashes");
    assert!(least >= 900, "only {least} of 1,000 of a cap were used");
}
