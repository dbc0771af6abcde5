//! A lease as its holder keeps it: what is spent, what running calls may still spend, what is
//! free. Times are milliseconds of the holder's monotonic clock.
//!
//! The law, after every operation:
//!
//! ```text
//! spent + reserved <= amount + Σ (cost − reservation) over calls that cost more than reserved
//! ```
//!
//! so as long as calls keep to their reservations, a holder never spends more than it was granted.
//! `spent` and `permits_used` only grow and `amount` only shrinks, which is why statements about a
//! lease may be lost, repeated and reordered.

use wire::NanoUsd;

/// One lease in its holder's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    amount: NanoUsd,
    spent: NanoUsd,
    reserved: NanoUsd,
    running: u64,
    permits: u64,
    permits_used: u64,
    last_permit_ms: u64,
    /// Some of it was handed back, so statements name what is left.
    is_cut: bool,
    is_kept: bool,
}

/// What is set aside of a lease for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The call's reservation.
    pub amount: NanoUsd,
    /// It takes a permit of windows of scope `cluster`.
    pub takes_permit: bool,
}

/// What the holder says about the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldStatement {
    /// Charges of ended calls.
    pub spent: NanoUsd,
    /// What is left of the amount after money was handed back.
    pub floor: Option<NanoUsd>,
    /// Nothing will draw on it any more.
    pub is_final: bool,
    /// Permits used so far.
    pub permits_used: u64,
    /// Milliseconds since the last of them was used.
    pub permit_age_ms: u64,
}

impl HeldLease {
    /// A lease of `amount` with `permits`, as it was granted. One that is not kept pays for the
    /// call that asked for it and no other.
    #[must_use]
    pub fn granted(amount: NanoUsd, permits: u64, is_kept: bool) -> Self {
        Self {
            amount,
            spent: NanoUsd::ZERO,
            reserved: NanoUsd::ZERO,
            running: 0,
            permits,
            permits_used: 0,
            last_permit_ms: 0,
            is_cut: false,
            is_kept,
        }
    }

    /// Money that a new call may reserve: `amount − spent − reserved`, never below zero.
    #[must_use]
    pub fn free(&self) -> NanoUsd {
        self.amount.saturating_sub(self.spent).saturating_sub(self.reserved)
    }

    /// What running calls may still spend.
    #[must_use]
    pub fn reserved(&self) -> NanoUsd {
        self.reserved
    }

    /// Permits that are left.
    #[must_use]
    pub fn permits_left(&self) -> u64 {
        self.permits.saturating_sub(self.permits_used)
    }

    /// Whether a call could draw this much.
    #[must_use]
    pub fn can(&self, draw: Draw) -> bool {
        self.free() >= draw.amount && (!draw.takes_permit || self.permits_left() > 0)
    }

    /// Whether calls run on it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running > 0
    }

    /// Whether calls other than the one that asked for it may draw on it.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Sets money and a permit aside for a call: `free` shrinks by the reservation, `reserved`
    /// grows by it. False, and nothing has changed, where there is too little.
    pub fn draw(&mut self, draw: Draw, now_ms: u64) -> bool {
        if !self.can(draw) {
            return false;
        }
        self.reserved = self.reserved.saturating_add(draw.amount);
        self.running = self.running.saturating_add(1);
        if draw.takes_permit {
            self.permits_used = self.permits_used.saturating_add(1);
            self.last_permit_ms = self.last_permit_ms.max(now_ms);
        }
        true
    }

    /// A call ends: its reservation is free again and `spent` grows by its cost, so `free` grows
    /// by `reservation − cost`. A permit stays used.
    pub fn end(&mut self, draw: Draw, cost: NanoUsd) {
        self.reserved = self.reserved.saturating_sub(draw.amount);
        self.running = self.running.saturating_sub(1);
        self.spent = self.spent.saturating_add(cost);
    }

    /// A call that was drawn in this same instant is not made after all: everything is as before.
    pub fn cancel(&mut self, draw: Draw) {
        self.end(draw, NanoUsd::ZERO);
        if draw.takes_permit {
            self.permits_used = self.permits_used.saturating_sub(1);
        }
    }

    /// Hands back what no running call needs, and what they leave over as they end: `amount`
    /// becomes `spent + reserved`, and nobody draws on it any more.
    pub fn hand_back(&mut self) {
        self.amount = self.amount.min(self.spent.saturating_add(self.reserved));
        self.permits = self.permits.min(self.permits_used);
        self.is_cut = true;
        self.is_kept = false;
    }

    /// What is to be said about it now. It is final when nothing runs and nobody may draw on it.
    /// What ended calls have left over of a lease that was handed back goes back, too.
    pub fn statement(&mut self, now_ms: u64) -> HeldStatement {
        let is_final = !self.is_running() && !self.is_kept;
        if self.is_cut {
            self.hand_back();
        }
        HeldStatement {
            spent: self.spent,
            floor: (self.is_cut && !is_final).then_some(self.amount),
            is_final,
            permits_used: self.permits_used,
            permit_age_ms: match self.permits_used {
                0 => 0,
                _ => now_ms.saturating_sub(self.last_permit_ms),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{LeaseMoney, Standing, Statement};
    use proptest::prelude::*;

    const PERMIT: bool = true;

    fn nano(amount: u64, takes_permit: bool) -> Draw {
        Draw { amount: NanoUsd(amount), takes_permit }
    }

    #[test]
    fn calls_share_a_lease() {
        let mut lease = HeldLease::granted(NanoUsd(100), 2, true);
        assert!(lease.draw(nano(60, PERMIT), 5));
        assert!(!lease.draw(nano(41, PERMIT), 6), "too little money");
        assert!(lease.draw(nano(40, PERMIT), 7));
        lease.end(nano(60, PERMIT), NanoUsd(10));
        assert_eq!(lease.free(), NanoUsd(50));
        assert!(!lease.draw(nano(1, PERMIT), 8), "no permit left");
        assert!(lease.draw(nano(1, false), 8));
        let statement = lease.statement(12);
        let expected = HeldStatement {
            spent: NanoUsd(10),
            floor: None,
            is_final: false,
            permits_used: 2,
            permit_age_ms: 5,
        };
        assert_eq!(statement, expected);
    }

    #[test]
    fn what_is_recalled_goes_back_at_once_and_as_calls_end() {
        let mut lease = HeldLease::granted(NanoUsd(100), 3, true);
        assert!(lease.draw(nano(60, PERMIT), 0));
        lease.hand_back();
        assert!(!lease.can(nano(0, PERMIT)));
        let statement = lease.statement(0);
        assert_eq!((statement.floor, statement.is_final), (Some(NanoUsd(60)), false));
        lease.end(nano(60, PERMIT), NanoUsd(15));
        let statement = lease.statement(0);
        assert_eq!((statement.spent, statement.is_final), (NanoUsd(15), true));
    }

    #[test]
    fn a_lease_for_one_call_ends_with_it() {
        let mut lease = HeldLease::granted(NanoUsd(100), 0, false);
        assert!(lease.draw(nano(100, false), 0));
        assert!(!lease.statement(0).is_final);
        lease.end(nano(100, false), NanoUsd(120));
        assert_eq!(lease.free(), NanoUsd::ZERO);
        let statement = lease.statement(0);
        assert_eq!((statement.spent, statement.is_final), (NanoUsd(120), true));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Draw(u64),
        End(usize, u64),
        Cancel,
        HandBack,
        State,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1u64..60).prop_map(Step::Draw),
            4 => (any::<usize>(), 0u64..=100).prop_map(|(which, share)| Step::End(which, share)),
            1 => Just(Step::Cancel),
            1 => Just(Step::HandBack),
            3 => Just(Step::State),
        ]
    }

    proptest! {
        /// Holder and server together: whatever statements are lost or repeated, the server never
        /// counts less than the holder may still spend, and at the end both agree.
        #[test]
        fn holder_and_server_agree(
            steps in proptest::collection::vec((step(), 0u8..3), 1..60),
        ) {
            let mut lease = HeldLease::granted(NanoUsd(200), 0, true);
            let mut server = LeaseMoney::granted(NanoUsd(200));
            let mut running: Vec<Draw> = Vec::new();
            let mut late: Vec<HeldStatement> = Vec::new();
            let mut spent = 0;
            let tell = |server: &mut LeaseMoney, said: HeldStatement| {
                let HeldStatement { spent, floor, is_final, .. } = said;
                server.state(&Statement { spent, floor, is_final });
            };
            for (step, fate) in steps {
                match step {
                    Step::Draw(amount) => {
                        let draw = nano(amount, false);
                        let before = lease.clone();
                        if lease.is_kept() && lease.draw(draw, 0) {
                            running.push(draw);
                        } else {
                            prop_assert_eq!(&before, &lease);
                        }
                    }
                    Step::End(which, share) if !running.is_empty() => {
                        let draw = running.swap_remove(which % running.len());
                        let cost = draw.amount.0 * share / 100;
                        lease.end(draw, NanoUsd(cost));
                        spent += cost;
                    }
                    Step::Cancel => {
                        let before = lease.clone();
                        if lease.draw(nano(7, true), 0) {
                            lease.cancel(nano(7, true));
                        }
                        prop_assert_eq!(&before, &lease);
                    }
                    Step::HandBack => lease.hand_back(),
                    Step::End(..) | Step::State => {}
                }
                let said = lease.statement(0);
                match fate {
                    0 => tell(&mut server, said),
                    1 => late.push(said),
                    _ => {}
                }
                let reserved: u64 = running.iter().map(|draw| draw.amount.0).sum();
                prop_assert_eq!(lease.reserved().0, reserved);
                prop_assert!(spent + reserved <= 200);
                // what the server counts covers all that may still come of the lease
                prop_assert!(server.spent.0.max(server.held.0) >= spent + reserved);
            }
            running.drain(..).for_each(|draw| {
                lease.end(draw, draw.amount);
                spent += draw.amount.0;
            });
            lease.hand_back();
            late.reverse();
            late.into_iter().for_each(|said| tell(&mut server, said));
            let last = lease.statement(0);
            prop_assert!(last.is_final);
            tell(&mut server, last);
            tell(&mut server, last);
            prop_assert_eq!(server.spent, NanoUsd(spent));
            prop_assert_eq!(server.remaining(), NanoUsd::ZERO);
            prop_assert_eq!(server.standing, Standing::Closed);
        }
    }
}
