//! The leases of one key, and how much of it its calls need.

use std::rc::Rc;

use metering::demand::{Demand, REPORT_INTERVAL_MS};
use metering::held_lease::{Draw, HeldLease};
use wire::v1::{Ask, Grant, KeyPolicy, LeaseReport};
use wire::{LeaseId, NanoUsd};

use super::{Ahead, Said, Want, Which};

/// Without a draw for this long, in milliseconds, money goes back: others may need it.
const IDLE_MS: u64 = 2 * REPORT_INTERVAL_MS;
/// Most leases of one key that are asked for ahead. More would only be small pieces.
const MOST_AHEAD: usize = 16;
/// Calls in the last two report intervals from which on it is worth asking ahead. A key that is used
/// now and then would hand most of it back.
const LIVELY_CALLS: u64 = 4;
/// For how long nothing is asked for ahead where money is scarce, in milliseconds.
const HOLD_OFF_MS: u64 = 2_000;

#[derive(Debug)]
struct Held {
    id: LeaseId,
    lease: HeldLease,
}

/// One key's leases, the oldest first.
#[derive(Debug)]
pub(super) struct Purse {
    pub(super) policy: Rc<KeyPolicy>,
    leases: Vec<Held>,
    demand: Demand,
    /// What asking ahead asks with: the last call that asked.
    last_ask: Option<Ask>,
    /// The last reservation: a lease with less left is of little use.
    last_draw: Draw,
    used_ms: u64,
    /// Something is asked for ahead.
    asks_ahead: bool,
    holds_off_until_ms: u64,
}

impl Purse {
    pub(super) fn new(policy: Rc<KeyPolicy>) -> Self {
        Self {
            policy,
            leases: Vec::new(),
            demand: Demand::default(),
            last_ask: None,
            last_draw: Draw { amount: NanoUsd::ZERO, takes_permit: false },
            used_ms: 0,
            asks_ahead: false,
            holds_off_until_ms: 0,
        }
    }

    /// Takes a lease in; false for one that is here already.
    pub(super) fn add(&mut self, grant: &Grant, asked: &Ask, is_kept: bool, now_ms: u64) -> bool {
        if self.leases.iter().any(|held| held.id == grant.lease) {
            return false;
        }
        if !is_kept {
            self.hold_off(now_ms);
        }
        self.used_ms = now_ms;
        let price_multiplier = self.policy.price_multiplier;
        self.last_ask = Some(Ask { price_multiplier, ..asked.clone() });
        let lease = HeldLease::granted(grant.amount, grant.permits, is_kept);
        self.leases.push(Held { id: grant.lease.clone(), lease });
        true
    }

    /// Money in its leases that is not spent.
    pub(super) fn money_held(&self) -> NanoUsd {
        let each = self.leases.iter().map(|held| held.lease.free());
        let reserved = self.leases.iter().map(|held| held.lease.reserved());
        each.chain(reserved).fold(NanoUsd::ZERO, NanoUsd::saturating_add)
    }

    /// What each of its leases has set aside.
    #[cfg(feature = "testing")]
    pub(super) fn reserved(&self) -> impl Iterator<Item = (LeaseId, NanoUsd)> {
        self.leases.iter().map(|held| (held.id.clone(), held.lease.reserved()))
    }

    pub(super) fn draw(
        &mut self,
        own: Option<&LeaseId>,
        draw: Draw,
        now_ms: u64,
    ) -> Option<LeaseId> {
        let may = |held: &&mut Held| held.lease.is_kept() || Some(&held.id) == own;
        let held = self.leases.iter_mut().filter(may).find(|held| held.lease.can(draw))?;
        if !held.lease.draw(draw, now_ms) {
            return None;
        }
        let id = held.id.clone();
        let reserved = self.sum(HeldLease::reserved);
        self.demand.admitted(reserved, now_ms);
        self.last_draw = draw;
        self.used_ms = now_ms;
        Some(id)
    }

    pub(super) fn last_of(&self, lease: &LeaseId) -> Option<NanoUsd> {
        let held = self.leases.iter().find(|held| held.id == *lease)?;
        (!held.lease.is_kept()).then(|| held.lease.free())
    }

    pub(super) fn end(
        &mut self,
        id: &LeaseId,
        draw: Draw,
        cost: NanoUsd,
        now_ms: u64,
    ) -> Option<Said> {
        self.demand.ended(cost, now_ms);
        let last_draw = self.last_draw;
        let held = self.leases.iter_mut().find(|held| held.id == *id)?;
        let is_urgent = !held.lease.is_kept();
        held.lease.end(draw, cost);
        if !held.lease.is_running() && !held.lease.can(last_draw) {
            held.lease.hand_back();
        }
        self.say(id, is_urgent, now_ms)
    }

    pub(super) fn cancel(&mut self, id: &LeaseId, draw: Draw) {
        if let Some(held) = self.leases.iter_mut().find(|held| held.id == *id) {
            held.lease.cancel(draw);
        }
    }

    pub(super) fn unused(&mut self, id: &LeaseId, now_ms: u64) -> Option<Said> {
        let held = self.leases.iter_mut().find(|held| held.id == *id)?;
        if held.lease.is_kept() || held.lease.is_running() {
            return None;
        }
        held.lease.hand_back();
        self.say(id, true, now_ms)
    }

    /// Hands back what no running call needs.
    pub(super) fn hand_back(&mut self, which: Which, now_ms: u64, all: &mut Vec<Said>) {
        let goes = |held: &&mut Held| {
            held.lease.is_kept() || (which != Which::Kept && !held.lease.is_running())
        };
        let mut ids = Vec::new();
        for held in self.leases.iter_mut().filter(goes) {
            held.lease.hand_back();
            ids.push(held.id.clone());
        }
        let is_urgent = which != Which::Idle;
        all.extend(ids.iter().filter_map(|id| self.say(id, is_urgent, now_ms)));
    }

    pub(super) fn asked(&self) -> Option<(Rc<KeyPolicy>, Ask)> {
        Some((Rc::clone(&self.policy), self.last_ask.clone()?))
    }

    pub(super) fn hold_off(&mut self, now_ms: u64) {
        self.holds_off_until_ms = now_ms.saturating_add(HOLD_OFF_MS);
    }

    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_ms) >= IDLE_MS
    }

    /// Nothing is left of it that anybody needs.
    pub(super) fn is_forgotten(&self, now_ms: u64) -> bool {
        self.leases.is_empty() && !self.asks_ahead && self.is_idle(now_ms)
    }

    pub(super) fn want(&mut self, need: NanoUsd, now_ms: u64) -> Want {
        if now_ms < self.holds_off_until_ms {
            return Want::default();
        }
        let (money, permits) = self.short(now_ms);
        let permits = if self.last_draw.takes_permit { permits.saturating_sub(1) } else { 0 };
        Want { money: money.saturating_sub(need), permits }
    }

    pub(super) fn running_out(&mut self, now_ms: u64) -> Option<Ahead> {
        let last_draw = self.last_draw;
        let useful = |held: &&Held| held.lease.is_kept() && held.lease.can(last_draw);
        let kept = self.leases.iter().filter(useful).count();
        let is_lively = self.demand.calls(now_ms) >= LIVELY_CALLS;
        if self.asks_ahead || !is_lively || now_ms < self.holds_off_until_ms || kept >= MOST_AHEAD {
            return None;
        }
        let (money, permits) = self.short(now_ms);
        let permits = if self.last_draw.takes_permit { permits } else { 0 };
        // A quarter is gone: what is left lasts until the answer comes, and asking is not too often.
        let is_short = |short: u64, all: u64| all > 0 && short.saturating_mul(4) >= all;
        if !is_short(money.0, self.demand.money(now_ms).0)
            && !is_short(permits, self.demand.permits(now_ms))
        {
            return None;
        }
        let ask = self.last_ask.clone()?;
        let want = self.want(self.last_draw.amount, now_ms);
        self.asks_ahead = true;
        Some(Ahead { key: self.policy.key.clone(), ask, want })
    }

    pub(super) fn ahead_done(&mut self, refused: bool, now_ms: u64) {
        self.asks_ahead = false;
        if refused {
            self.hold_off(now_ms);
        }
    }

    /// What is missing of what should be held.
    fn short(&mut self, now_ms: u64) -> (NanoUsd, u64) {
        let money = self.sum(|lease| lease.free().saturating_add(lease.reserved()));
        let kept = self.leases.iter().filter(|held| held.lease.is_kept());
        let permits = kept.fold(0u64, |sum, held| sum.saturating_add(held.lease.permits_left()));
        let wanted = self.demand.money(now_ms);
        (wanted.saturating_sub(money), self.demand.permits(now_ms).saturating_sub(permits))
    }

    fn sum(&self, of: impl Fn(&HeldLease) -> NanoUsd) -> NanoUsd {
        let all = self.leases.iter().map(|held| of(&held.lease));
        all.fold(NanoUsd::ZERO, NanoUsd::saturating_add)
    }

    /// What is to be said of a lease; one that is over is forgotten.
    fn say(&mut self, id: &LeaseId, is_urgent: bool, now_ms: u64) -> Option<Said> {
        let at = self.leases.iter().position(|held| held.id == *id)?;
        let said = self.leases.get_mut(at)?.lease.statement(now_ms);
        if said.is_final {
            self.leases.remove(at);
        }
        let report = LeaseReport {
            lease: id.clone(),
            spent: said.spent,
            floor: said.floor,
            is_final: said.is_final,
            permits_used: said.permits_used,
            permit_age_ms: said.permit_age_ms,
        };
        Some(Said { report, is_urgent })
    }
}
