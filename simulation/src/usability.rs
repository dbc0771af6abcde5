//! How much of a budget its clients get: caps that hold are worth little when money is stranded.

use wire::NanoUsd;

use crate::scenario::Scenario;
use crate::world::World;

/// What became of one budget of a thousand calls, spent until nothing more was to be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usability {
    /// The cap.
    pub cap: NanoUsd,
    /// What was spent and recorded.
    pub settled: NanoUsd,
    /// What was spent by calls whose records died with their VMs; parked money covers it.
    pub lost: NanoUsd,
    /// What lost holders could have spent: beyond `lost` it is stranded until it is released.
    pub parked: NanoUsd,
    /// Calls that went to the upstream.
    pub calls: u64,
    /// VMs that crashed.
    pub crashes: u64,
    /// Refusals although the money was only out with others (429).
    pub contended: u64,
}

impl Usability {
    /// Money that bought answers, in a thousandth of the cap.
    #[must_use]
    pub fn used_per_mille(&self) -> u64 {
        ((self.settled.0 + self.lost.0) * 1_000).checked_div(self.cap.0).unwrap_or(0)
    }
}

/// Lets the clients of a seed spend a budget; a VM crashes so many times in a thousand calls.
///
/// # Errors
/// As [`crate::run`], and where an invariant broke.
pub fn measure(seed: u64, crashes_per_mille: u64) -> anyhow::Result<Usability> {
    let scenario = Scenario::exhausting(seed, crashes_per_mille);
    let mut world = World::new(seed, scenario, None, false)?;
    world.run()?;
    let accounts = world.ledger.accounts()?;
    let account = accounts.iter().find(|account| account.cap.is_some());
    let account = account.ok_or_else(|| anyhow::anyhow!("there is no budget"))?;
    let lost = world.checker.lost_cost(&world.calls, &world.ledger.records()?);
    Ok(Usability {
        cap: account.cap.unwrap_or_default(),
        settled: account.settled,
        lost,
        parked: account.parked,
        calls: world.tally.forwarded,
        crashes: world.tally.crashes,
        contended: world.tally.replies.get(&429).copied().unwrap_or(0),
    })
}
