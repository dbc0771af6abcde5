//! At which parts of a cap somebody is told: percentages that what was spent reaches. Pure.

use metering::budget::Account;

/// Percentages of a cap at which to tell somebody, ascending, each once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alerts([u8; Self::MOST]);

impl Alerts {
    /// One budget has at most so many: every settlement compares with each of them.
    pub const MOST: usize = 8;

    /// Thresholds in percent in any order; none where there are too many, or one is not from 1 to
    /// 100.
    #[must_use]
    pub fn new(thresholds: &[u64]) -> Option<Self> {
        let mut sorted = [0; Self::MOST];
        let mut given = Vec::with_capacity(thresholds.len());
        for threshold in thresholds {
            let percent = u8::try_from(*threshold).ok()?;
            given.push(Some(percent).filter(|percent| (1..=100).contains(percent))?);
        }
        given.sort_unstable();
        given.dedup();
        sorted.get_mut(..given.len())?.copy_from_slice(&given);
        Some(Self(sorted))
    }

    /// The thresholds, ascending.
    pub fn thresholds(&self) -> impl Iterator<Item = u8> {
        self.0.into_iter().filter(|threshold| *threshold > 0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Thresholds that an account has reached and that are above `told`, the highest one of which
    /// somebody was told in this period. What is parked counts as spent: it may have been.
    pub fn reached(&self, account: &Account, told: u8) -> impl Iterator<Item = u8> {
        let spent = u128::from(account.settled.0) + u128::from(account.parked.0);
        let cap = account.cap.map(|cap| u128::from(cap.0));
        self.thresholds().filter(move |threshold| {
            let is_reached = cap.is_some_and(|cap| spent * 100 >= cap * u128::from(*threshold));
            *threshold > told && is_reached
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::NanoUsd;

    use super::*;

    fn account(cap: u64, settled: u64, parked: u64) -> Account {
        Account {
            cap: Some(NanoUsd(cap)),
            settled: NanoUsd(settled),
            parked: NanoUsd(parked),
            ..Account::default()
        }
    }

    #[test]
    fn thresholds_are_sorted_bounded_and_within_the_cap() {
        let alerts = Alerts::new(&[100, 50, 80, 50]).unwrap();
        assert_eq!(alerts.thresholds().collect::<Vec<_>>(), [50, 80, 100]);
        assert!(Alerts::new(&[]).unwrap().is_empty());
        assert!(Alerts::new(&[1, 2, 3, 4, 5, 6, 7, 8]).is_some());
        for wrong in [&[0][..], &[101], &[300], &[1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            assert_eq!(Alerts::new(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_reached_is_told_once_and_what_is_parked_counts() {
        let alerts = Alerts::new(&[50, 80, 100]).unwrap();
        let reached = |account: &Account, told| alerts.reached(account, told).collect::<Vec<_>>();
        assert!(reached(&account(1_000, 499, 0), 0).is_empty());
        assert_eq!(reached(&account(1_000, 400, 100), 0), [50]);
        assert_eq!(reached(&account(1_000, 900, 0), 0), [50, 80]);
        assert_eq!(reached(&account(1_000, 900, 0), 50), [80]);
        assert_eq!(reached(&account(1_000, 2_000, 0), 80), [100]);
        assert!(reached(&Account { cap: None, ..account(0, 9, 0) }, 0).is_empty());
    }

    proptest! {
        /// However spending goes up, each threshold is told once, in order, and not too early.
        #[test]
        fn every_threshold_is_told_once(
            cap in 1u64..1_000_000,
            steps in proptest::collection::vec(0u64..200_000, 1..40),
        ) {
            let alerts = Alerts::new(&[1, 25, 50, 75, 90, 99, 100]).unwrap();
            let (mut settled, mut told, mut all) = (0, 0, Vec::new());
            for step in steps {
                settled += step;
                for threshold in alerts.reached(&account(cap, settled, 0), told) {
                    prop_assert!(settled * 100 >= cap * u64::from(threshold));
                    all.push(threshold);
                }
                told = all.last().copied().unwrap_or(told);
            }
            let expected: Vec<u8> = alerts
                .thresholds()
                .filter(|threshold| settled * 100 >= cap * u64::from(*threshold))
                .collect();
            prop_assert_eq!(all, expected);
        }
    }
}
