//! How much of a window over all proxies is served when more is asked for than it allows.

use crate::scenario::{SATURATED_MINUTES, Scenario};
use crate::world::World;

const MINUTE_MS: u64 = 60_000;

/// Requests served, in a thousandth of what the limit allows. The first minute does not count: it
/// begins with an unused window.
///
/// # Errors
/// As [`crate::run`], and where an invariant broke.
pub fn served_per_mille(seed: u64, limit: u64) -> anyhow::Result<u64> {
    let scenario = Scenario::saturating(seed, limit);
    let mut world = World::new(seed, scenario, None, false)?;
    world.run()?;
    let counts = |at_ms: u64| (MINUTE_MS..SATURATED_MINUTES * MINUTE_MS).contains(&at_ms);
    let served = world.calls.iter().filter(|call| counts(call.admitted_ms)).count() as u64;
    Ok((served * 1_000).checked_div(limit * (SATURATED_MINUTES - 1)).unwrap_or(0))
}
