//! What runs met: figures that tell whether they were of use.

use std::collections::BTreeMap;

/// What a run met; tests see from it that runs are of use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that happened.
    pub events: u64,
    /// Calls that went to the upstream.
    pub forwarded: u64,
    /// Answers of gates, by status.
    pub replies: BTreeMap<u16, u64>,
    /// VMs that crashed.
    pub crashes: u64,
    /// Times that the server stopped.
    pub restarts: u64,
    /// Times that a proxy was cut off.
    pub cuts: u64,
    /// Withdrawals that the server said were in force everywhere.
    pub withdrawals: u64,
    /// Accounts that ended with parked money.
    pub parked: u64,
    /// Proxies that started anew as a whole.
    pub proxy_restarts: u64,
    /// Times that a worker, a proxy or the server was kept from running.
    pub pauses: u64,
    /// Times that a wall clock was set.
    pub clock_steps: u64,
    /// Accounts that ended overdrawn.
    pub overdrawn: u64,
    /// Budgets that came to another period while they were spent.
    pub rollovers: u64,
    /// Requests made exactly when a refusal had said.
    pub retries: u64,
    /// Streams that had to be over because their key was taken out of use.
    pub expected_ends: u64,
    /// Calls that filters ended while the upstream worked on them.
    pub ended_by_filter: u64,
    /// Times that all clients but one fell silent.
    pub hushes: u64,
    /// Commits that journals brought back.
    pub replayed: u64,
    /// Budgets that were frozen because a past was lost.
    pub frozen: u64,
    /// Those of them that an operator released.
    pub released: u64,
    /// Payments into wallets.
    pub top_ups: u64,
    /// Keys that were moved to another team or user.
    pub moved_keys: u64,
    /// Keys for which another place, or another period of a budget, came to be in force.
    pub moves_in_force: u64,
    /// Plans of organisations that came to be in force.
    pub plans_in_force: u64,
    /// Calls that used the provider's tools.
    pub tool_calls: u64,
    /// Calls that ended without usage after they had counted some.
    pub counted_so_far: u64,
    /// Windows over all proxies that got another limit.
    pub moved_limits: u64,
    /// Refusals by windows over all proxies.
    pub full_everywhere: u64,
    /// Requests that went on although something would have refused them.
    pub let_pass: u64,
    /// Those of them whose calls were not to be recorded.
    pub let_pass_unread: u64,
    /// Times that a key's shadow mode was switched on or off.
    pub shadow_moves: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.forwarded += other.forwarded;
        for (status, count) in &other.replies {
            *self.replies.entry(*status).or_default() += count;
        }
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.cuts += other.cuts;
        self.withdrawals += other.withdrawals;
        self.parked += other.parked;
        self.proxy_restarts += other.proxy_restarts;
        self.pauses += other.pauses;
        self.clock_steps += other.clock_steps;
        self.overdrawn += other.overdrawn;
        self.rollovers += other.rollovers;
        self.retries += other.retries;
        self.expected_ends += other.expected_ends;
        self.ended_by_filter += other.ended_by_filter;
        self.hushes += other.hushes;
        self.replayed += other.replayed;
        self.frozen += other.frozen;
        self.released += other.released;
        self.top_ups += other.top_ups;
        self.moved_keys += other.moved_keys;
        self.moves_in_force += other.moves_in_force;
        self.plans_in_force += other.plans_in_force;
        self.tool_calls += other.tool_calls;
        self.counted_so_far += other.counted_so_far;
        self.moved_limits += other.moved_limits;
        self.full_everywhere += other.full_everywhere;
        self.let_pass += other.let_pass;
        self.let_pass_unread += other.let_pass_unread;
        self.shadow_moves += other.shadow_moves;
    }
}
