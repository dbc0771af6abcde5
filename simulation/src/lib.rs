//! Many filters and one policy server in virtual time, everything following from one seed.
//!
//! Real gates and the real engine on a real database file; only what lies between them and around
//! them is imagined. After every event the laws of the ledger, of windows and of revocation are
//! checked, and once all has come to rest, every charge against what the upstream produced.
//!
//! | question | module |
//! | --- | --- |
//! | How large is a seed's world, how bad its weather? | [`scenario`] |
//! | What happens when? | `world`, `requests`, `call_outs` |
//! | What do messages suffer? | [`network`] |
//! | What else goes wrong? | `faults`, `pauses`, `clocks`, [`restores`] |
//! | What do administrators do? | `administration`, `keys`, `tenancy` |
//! | What does a provider produce? | [`upstream`] |
//! | What must hold? | [`checker`], `ends`, reading the tables by [`ledger`] |
//! | Does what a client waits for come? | `hush` |
//! | Would it be noticed? | [`mutation`] |
//! | How much of a budget, of a window can be used? | [`usability`], [`saturation`] |

mod administration;
mod answers;
mod call_outs;
pub mod checker;
mod clocks;
pub mod dice;
mod ends;
pub mod event_log;
mod events;
mod faults;
mod hush;
mod keys;
pub mod ledger;
pub mod mutation;
pub mod network;
mod pauses;
mod requests;
mod rest;
pub mod restores;
pub mod saturation;
pub mod scenario;
pub mod server;
mod tally;
mod tenancy;
mod traffic;
pub mod upstream;
pub mod usability;
pub mod worker;
mod world;

pub use checker::{Invariant, Violation};
pub use mutation::Mutation;
pub use scenario::Scenario;
pub use tally::Tally;

use world::World;

/// What came of one seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was broken on purpose.
    pub mutation: Option<Mutation>,
    /// The invariant that broke, if one did.
    pub violation: Option<Violation>,
    /// What the run met.
    pub tally: Tally,
    /// Its events, where they were to be kept.
    pub log: Vec<String>,
}

impl Outcome {
    /// The command that repeats the run.
    #[must_use]
    pub fn replay_command(&self) -> String {
        let broken = self.mutation.map(|it| format!(" --mutation {it:?}")).unwrap_or_default();
        format!("cargo run -p simulation --bin simulate -- --seed {}{broken}", self.seed)
    }
}

/// Runs one seed, with something broken on purpose or nothing.
///
/// # Errors
/// When the world itself cannot be built or goes on: no temporary folder, a message that cannot
/// be read. A broken invariant is no error but part of the outcome.
pub fn run(seed: u64, mutation: Option<Mutation>, keeps_log: bool) -> anyhow::Result<Outcome> {
    run_in(Scenario::of(seed), seed, mutation, keeps_log)
}

/// Runs one seed in this scenario.
///
/// # Errors
/// As [`run`].
pub fn run_in(
    scenario: Scenario,
    seed: u64,
    mutation: Option<Mutation>,
    keeps_log: bool,
) -> anyhow::Result<Outcome> {
    let mut world = World::new(seed, scenario, mutation, keeps_log)?;
    let violation = match world.run() {
        Ok(()) => None,
        Err(error) => Some(error.downcast::<Violation>()?),
    };
    let World { tally, mut log, now_ms, .. } = world;
    if let Some(violation) = &violation {
        log.note(now_ms, || format!("BROKEN {violation}"));
    }
    Ok(Outcome { seed, mutation, violation, tally, log: log.into_lines() })
}
