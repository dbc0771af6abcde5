//! Every seed must end at rest with every invariant whole.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulation::{Outcome, Tally};

/// Some seventy seconds on two idle cores.
const SEEDS: u64 = 2_000;

#[test]
fn every_seed_keeps_the_invariants() {
    let next = AtomicU64::new(0);
    let found: Mutex<(Tally, Vec<Outcome>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    let outcome = simulation::run(seed, None, false).unwrap();
                    let mut found = found.lock().unwrap();
                    found.0.add(&outcome.tally);
                    if outcome.violation.is_some() {
                        found.1.push(outcome);
                    }
                }
            });
        }
    });
    let (tally, failed) = found.into_inner().unwrap();
    let failed: Vec<_> = failed
        .iter()
        .map(|outcome| format!("{}\n  {:?}", outcome.replay_command(), outcome.violation))
        .collect();
    assert!(failed.is_empty(), "{} of {SEEDS} seeds:\n{}", failed.len(), failed.join("\n"));
    // Runs in which little happens prove little.
    let met = |status: u16| tally.replies.get(&status).copied().unwrap_or(0);
    for (name, count) in [
        ("forwarded", tally.forwarded),
        ("withdrawals", tally.withdrawals),
        ("crashes", tally.crashes),
        ("restarts", tally.restarts),
        ("cuts", tally.cuts),
        ("parked accounts", tally.parked),
        ("overdrawn accounts", tally.overdrawn),
        ("proxy restarts", tally.proxy_restarts),
        ("pauses", tally.pauses),
        ("clock steps", tally.clock_steps),
        ("rollovers", tally.rollovers),
        ("punctual retries", tally.retries),
        ("payments into wallets", tally.top_ups),
        ("commits replayed from journals", tally.replayed),
        ("frozen budgets", tally.frozen),
        ("released budgets", tally.released),
        ("moved keys", tally.moved_keys),
        ("moves in force", tally.moves_in_force),
        ("plans in force", tally.plans_in_force),
        ("calls that used tools", tally.tool_calls),
        ("calls that broke off with a count so far", tally.counted_so_far),
        ("moved limits of windows over all proxies", tally.moved_limits),
        ("refusals by windows over all proxies", tally.full_everywhere),
        ("streams that had to end", tally.expected_ends),
        ("requests let pass in shadow mode", tally.let_pass),
        ("shadow modes switched", tally.shadow_moves),
        ("401", met(401)),
        ("402", met(402)),
        ("429", met(429)),
        ("503", met(503)),
    ] {
        assert!(count > SEEDS / 20, "{name}: only {count}: {tally:?}");
    }
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in [3, 4, 5, 6, 7, 8] {
        let (one, other) = (simulation::run(seed, None, true), simulation::run(seed, None, true));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.log, other.log, "seed {seed}");
        assert_eq!(one.tally, other.tally, "seed {seed}");
        assert!(one.tally.events > 100);
    }
}
