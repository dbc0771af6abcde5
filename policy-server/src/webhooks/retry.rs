//! When to try again. Pure: times and randomness are arguments.

/// Whoever could not be reached for a day is not told any more.
pub const GIVE_UP_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// The wait after the first attempt.
const FIRST_WAIT_MS: u64 = 5_000;

/// The longest wait: a receiver that comes back hears of it within a few hours.
const LONGEST_WAIT_MS: u64 = 2 * 60 * 60 * 1_000;

/// When the next attempt is due after `attempts` that began at `begun_unix_ms`, the last one of
/// which ended now; none when it is to be given up. Waits double, and vary by a fifth either way
/// with `random`, so that receivers that failed together are not all asked together again.
#[must_use]
pub fn next_attempt(
    attempts: u32,
    begun_unix_ms: u64,
    now_unix_ms: u64,
    random: u16,
) -> Option<u64> {
    let doublings = attempts.saturating_sub(1).min(32);
    let wait = FIRST_WAIT_MS.saturating_mul(1 << doublings).min(LONGEST_WAIT_MS);
    // 80 to 120 percent, in steps that 16 random bits make.
    let varied =
        wait * 4 / 5 + (wait * 2 / 5).saturating_mul(u64::from(random)) / u64::from(u16::MAX);
    let due = now_unix_ms.saturating_add(varied);
    // A wall clock that was set back must not make it go on for ever: attempts are bounded too.
    let is_late = due > begun_unix_ms.saturating_add(GIVE_UP_AFTER_MS) || attempts >= ATTEMPTS_MOST;
    (!is_late).then_some(due)
}

/// More than fit into a day.
const ATTEMPTS_MOST: u32 = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_two_hours() {
        let wait = |attempts, random| next_attempt(attempts, 0, 0, random).unwrap();
        assert_eq!((wait(1, 0), wait(1, u16::MAX)), (4_000, 6_000));
        assert_eq!((wait(2, 0), wait(2, u16::MAX)), (8_000, 12_000));
        assert_eq!(wait(11, 0), 4 * 60 * 1_000 * 1_024 / 60 / 1_000 * 1_000);
        assert_eq!(wait(12, u16::MAX), LONGEST_WAIT_MS * 6 / 5);
        assert_eq!(wait(39, u16::MAX), LONGEST_WAIT_MS * 6 / 5);
    }

    #[test]
    fn a_day_is_enough() {
        let begun = 1_795_176_000_000;
        assert!(
            next_attempt(20, begun, begun + GIVE_UP_AFTER_MS - LONGEST_WAIT_MS * 2, 0).is_some()
        );
        assert_eq!(next_attempt(20, begun, begun + GIVE_UP_AFTER_MS - 1, 0), None);
        assert_eq!(next_attempt(ATTEMPTS_MOST, begun, 0, 0), None, "the clock was set back");
    }

    proptest! {
        /// However attempts fail, they end within a day, and there are a score of them.
        #[test]
        fn attempts_end(randoms in proptest::collection::vec(any::<u16>(), ATTEMPTS_MOST as usize)) {
            let (mut now, mut attempts) = (0, 0);
            for random in randoms {
                attempts += 1;
                match next_attempt(attempts, 0, now, random) {
                    Some(due) => {
                        prop_assert!(due > now && due <= GIVE_UP_AFTER_MS);
                        now = due;
                    }
                    None => {
                        prop_assert!((18..=30).contains(&attempts), "{attempts}");
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "it never ended");
        }
    }
}
