//! How much of a budget a holder needs in its hands so that its calls need not ask: estimated
//! from what it used in the last two report intervals.

use wire::NanoUsd;

/// How often a holder reports, in milliseconds, unless something is waited for; also the slot in
/// which demand is counted. Long enough that a busy worker makes few call-outs, short enough that
/// what a crash leaves unreported stays small.
pub const REPORT_INTERVAL_MS: u64 = 2_000;

/// What was used in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    /// Charges of calls that ended in it.
    spent: NanoUsd,
    /// The most that was reserved at the same time.
    peak: NanoUsd,
    /// Calls admitted in it.
    calls: u64,
}

/// The demand of one key in one holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    began_ms: u64,
    current: Slot,
    last: Slot,
}

impl Demand {
    /// A call was admitted; `reserved` is now set aside for all running ones.
    pub fn admitted(&mut self, reserved: NanoUsd, now_ms: u64) {
        self.turn(now_ms);
        self.current.peak = self.current.peak.max(reserved);
        self.current.calls = self.current.calls.saturating_add(1);
    }

    /// A call has ended.
    pub fn ended(&mut self, cost: NanoUsd, now_ms: u64) {
        self.turn(now_ms);
        self.current.spent = self.current.spent.saturating_add(cost);
    }

    /// What should be held, free and reserved together: twice the largest reservations of the
    /// last intervals, so that as many calls again find room, and what two intervals spend.
    #[must_use]
    pub fn money(&mut self, now_ms: u64) -> NanoUsd {
        self.turn(now_ms);
        let peak = self.current.peak.max(self.last.peak);
        let spent = self.current.spent.max(self.last.spent);
        let once = peak.saturating_add(spent);
        once.saturating_add(once)
    }

    /// Permits that should be held: the calls of two intervals.
    #[must_use]
    pub fn permits(&mut self, now_ms: u64) -> u64 {
        self.turn(now_ms);
        self.current.calls.max(self.last.calls).saturating_mul(2)
    }

    /// Calls admitted in the last two intervals.
    #[must_use]
    pub fn calls(&mut self, now_ms: u64) -> u64 {
        self.turn(now_ms);
        self.current.calls.saturating_add(self.last.calls)
    }

    /// Begins a new slot where the current one is over.
    fn turn(&mut self, now_ms: u64) {
        let age = now_ms.saturating_sub(self.began_ms);
        if age < REPORT_INTERVAL_MS {
            return;
        }
        self.last = if age < 2 * REPORT_INTERVAL_MS { self.current } else { Slot::default() };
        self.current = Slot::default();
        self.began_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_follows_use_and_is_forgotten() {
        let mut demand = Demand::default();
        assert_eq!(demand.money(10_000), NanoUsd::ZERO);
        demand.admitted(NanoUsd(50), 10_100);
        demand.admitted(NanoUsd(80), 10_200);
        demand.ended(NanoUsd(7), 10_300);
        demand.admitted(NanoUsd(30), 11_000);
        assert_eq!(demand.money(11_000), NanoUsd(2 * 87));
        assert_eq!(demand.permits(11_000), 6);
        assert_eq!(demand.calls(11_000), 3);
        // the interval before counts as well
        assert_eq!(demand.money(12_100), NanoUsd(2 * 87));
        demand.ended(NanoUsd(9), 12_200);
        assert_eq!(demand.money(12_300), NanoUsd(2 * 89));
        // and two of silence end it
        assert_eq!(demand.money(17_000), NanoUsd::ZERO);
        assert_eq!((demand.permits(17_000), demand.calls(17_000)), (0, 0));
    }
}
