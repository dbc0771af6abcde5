//! How much money a lease gets beyond the call that asked for it, so that the calls that follow
//! need not ask. Generous while there is plenty, nothing at the end: there every call asks, so no
//! remainder is stuck with a holder that does not need it.

use wire::NanoUsd;

use crate::budget::LevelAccount;

/// Of every cap, so large a part may be with holders for later calls, or be stranded since they
/// vanished: a 24th. The simulation chose it: with a crash in every 100 calls a cap of 1,000 calls
/// stays 93 % usable at the worst of 20 seeds; with a sixteenth it was 89 %.
pub const CAP_PER_STRANDABLE: u64 = 24;

/// One slice takes at most a sixteenth of what is left of that part, a 384th of the cap at first
/// (of 1,000 calls two). So slices shrink as holders take them and as holders vanish, and however
/// many do, no more than that part is lost to calls by it; each that vanishes strands besides what
/// its running calls had reserved.
pub const STRANDABLE_PER_SLICE: u64 = 16;

/// Of the room that a grant leaves, all living holders together may take half at once. The other
/// half is there for whoever asks next, so shares shrink smoothly instead of running into the cap.
const HALVES: u64 = 2;

/// What is granted beyond a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Money beyond the call's reservation, whole reservations of its size.
    pub extra: NanoUsd,
    /// Little is left: what calls leave over is to be handed back at once.
    pub scarce: bool,
}

/// What a call granted a reservation may take beyond it. `accounts` are those above the key, before
/// the grant; `lowered` says that the reservation was lowered to what they can pay. For every account
/// with a cap:
///
/// ```text
/// extra <= want
/// extra <= (room − reservation) / (2 × live holders)
/// extra <= (cap / 24 − parked − outstanding) / 16
/// extra is a multiple of the reservation: a remainder that pays for no call would only be stuck
/// extra  = 0 where the reservation was lowered, or is zero
/// scarce where room − reservation − extra < 2 × live holders × reservation
/// ```
///
/// Accounts without a cap limit nothing and are never scarce. So where the reservation fits the
/// room of every account, reservation and extra together do.
#[must_use]
pub fn slice(
    accounts: &[LevelAccount],
    reservation: NanoUsd,
    lowered: bool,
    want: NanoUsd,
    live_holders: usize,
) -> Slice {
    let takers = u64::try_from(live_holders).unwrap_or(u64::MAX).max(1).saturating_mul(HALVES);
    let capped = || {
        let accounts = accounts.iter().map(|level| level.account);
        accounts.filter_map(|account| {
            let away = account.parked.saturating_add(account.outstanding);
            let strandable = NanoUsd(account.cap?.0 / CAP_PER_STRANDABLE).saturating_sub(away);
            Some((strandable, account.room().unwrap_or_default()))
        })
    };
    let most = capped().fold(want, |most, (strandable, room)| {
        let share = NanoUsd(room.saturating_sub(reservation).0 / takers);
        most.min(share).min(NanoUsd(strandable.0 / STRANDABLE_PER_SLICE))
    });
    let extra = match most.0.checked_rem(reservation.0) {
        Some(remainder) if !lowered => most.saturating_sub(NanoUsd(remainder)),
        _ => NanoUsd::ZERO,
    };
    let plenty = u128::from(takers) * u128::from(reservation.0);
    let taken = reservation.saturating_add(extra);
    let scarce = capped().any(|(_, room)| u128::from(room.saturating_sub(taken).0) < plenty);
    Slice { extra, scarce }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Account;
    use proptest::prelude::*;
    use wire::v1::Level;

    fn capped(cap: u64, settled: u64) -> LevelAccount {
        let (cap, settled) = (Some(NanoUsd(cap)), NanoUsd(settled));
        LevelAccount { level: Level::Org, account: Account { cap, settled, ..Account::default() } }
    }

    fn uncapped() -> LevelAccount {
        LevelAccount { level: Level::Key, account: Account::default() }
    }

    fn extra(accounts: &[LevelAccount], want: u64, holders: usize) -> (u64, bool) {
        let slice = slice(accounts, NanoUsd(10), false, NanoUsd(want), holders);
        (slice.extra.0, slice.scarce)
    }

    #[test]
    fn a_cap_of_a_thousand_calls_gives_two_calls_at_once() {
        assert_eq!(extra(&[capped(10_000, 0)], 1_000_000, 4), (20, false));
        assert_eq!(extra(&[capped(11_520, 0)], 1_000_000, 4), (30, false));
    }

    #[test]
    fn the_tightest_account_decides_and_those_without_a_cap_limit_nothing() {
        let accounts = [uncapped(), capped(1_000_000, 0), capped(100_000, 0)];
        assert_eq!(extra(&accounts, 10_000, 4), (260, false));
        assert_eq!(extra(&accounts, 100, 4), (100, false));
        assert_eq!(extra(&[uncapped()], 10_007, 4), (10_000, false));
    }

    #[test]
    fn near_the_end_nothing_is_granted_ahead_and_the_holder_is_told() {
        let left = |left: u64| capped(100_000, 100_000 - left);
        // four holders: half of what the call leaves, in four parts
        assert_eq!(extra(&[left(810)], 10_000, 4), (100, false));
        assert_eq!(extra(&[left(170)], 10_000, 4), (20, false));
        assert_eq!(extra(&[left(90)], 10_000, 4), (10, true));
        assert_eq!(extra(&[left(89)], 10_000, 4), (0, true));
        assert_eq!(extra(&[left(10)], 10_000, 4), (0, true));
    }

    #[test]
    fn what_is_stranded_or_with_others_makes_later_slices_smaller() {
        let away = |away: u64| {
            let (mut parked, mut out) = (capped(1_600_000, 0), capped(1_600_000, 0));
            parked.account.parked = NanoUsd(away);
            out.account.outstanding = NanoUsd(away);
            let parked = extra(&[parked], 1_000_000, 4).0;
            assert_eq!(parked, extra(&[out], 1_000_000, 4).0);
            parked
        };
        assert_eq!([0, 50_000, 66_000, 67_000, 500_000].map(away), [4_160, 1_040, 40, 0, 0]);
    }

    #[test]
    fn a_lowered_call_and_a_free_one_take_nothing_beyond_themselves() {
        let accounts = [capped(1_000_000, 0)];
        let lowered = slice(&accounts, NanoUsd(10), true, NanoUsd(1_000), 1);
        assert_eq!(lowered, Slice { extra: NanoUsd(0), scarce: false });
        let free = slice(&accounts, NanoUsd(0), false, NanoUsd(1_000), 1);
        assert_eq!(free, Slice { extra: NanoUsd(0), scarce: false });
    }

    proptest! {
        #[test]
        fn the_law_holds_and_nothing_more_could_be_granted(
            caps in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 36), 0..5),
            reservation in 1u64..1 << 32, want in 0u64..1 << 40, holders in 0usize..100,
        ) {
            let accounts: Vec<_> = caps
                .iter()
                .map(|(room, settled, parked)| {
                    let mut level = capped(room + settled + parked, *settled);
                    level.account.parked = NanoUsd(*parked);
                    level
                })
                .collect();
            let fits = caps.iter().all(|(room, ..)| *room >= reservation);
            let slice = slice(&accounts, NanoUsd(reservation), false, NanoUsd(want), holders);
            let takers = 2 * (holders.max(1) as u64);
            let allowed = |extra: u64| {
                extra <= want && accounts.iter().zip(&caps).all(|(account, (room, _, parked))| {
                    extra * takers <= room.saturating_sub(reservation)
                        && extra * 16 <= (account.account.cap.unwrap().0 / 24).saturating_sub(*parked)
                })
            };
            let extra = slice.extra.0;
            prop_assert_eq!(extra % reservation, 0);
            prop_assert!(allowed(extra));
            prop_assert!(!allowed(extra + reservation));
            if fits {
                for account in &accounts {
                    let mut account = account.account;
                    prop_assert!(account.grant(NanoUsd(reservation + extra)).is_ok());
                    let calls_left = account.room().unwrap().0 / reservation;
                    prop_assert!(slice.scarce || calls_left >= takers);
                }
            }
        }

        /// Holders that take slices in turn, of which at one in a hundred calls one vanishes with
        /// all it holds, still use nine tenths of the budget, however large it is.
        #[test]
        fn a_crash_in_a_hundred_calls_leaves_nine_tenths_usable(
            calls in 1_000u64..20_000, holders in 1usize..64, seed: u64,
        ) {
            let mut level = capped(calls * 10, 0);
            let mut held = vec![0u64; holders];
            let (mut dice, mut used) = (seed, 0u64);
            loop {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let holder = (dice >> 33) as usize % holders;
                if held[holder] < 10 {
                    if level.account.room().unwrap() < NanoUsd(10) {
                        break;
                    }
                    let slice = slice(&[level], NanoUsd(10), false, NanoUsd(1 << 30), holders);
                    let amount = NanoUsd(10 + slice.extra.0);
                    level.account.grant(amount).unwrap();
                    held[holder] = amount.0;
                }
                held[holder] -= 10;
                used += 1;
                if used % 100 == 0 {
                    let lost = NanoUsd(std::mem::take(&mut held[holder]));
                    level.account.outstanding = level.account.outstanding.saturating_sub(lost);
                    level.account.parked = level.account.parked.saturating_add(lost);
                }
            }
            // what living holders keep at the end is recalled, not lost
            let usable = used + held.iter().sum::<u64>() / 10;
            prop_assert!(usable * 10 >= calls * 9, "{usable} of {calls}");
        }
    }
}
