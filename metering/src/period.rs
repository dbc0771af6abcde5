//! Budget periods in UTC: which period an instant belongs to, as pure arithmetic on civil dates.
//!
//! Instants are milliseconds since 1970-01-01T00:00:00Z. Leap seconds do not exist in this scale,
//! and there is no local time: a month begins at midnight UTC everywhere.

const MS_PER_DAY: u64 = 86_400_000;

/// 1970-01-01 was a Thursday: three days after the Monday of its ISO week.
const DAYS_FROM_MONDAY_TO_EPOCH: u64 = 3;

/// How often a budget starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Never: one total over the life of the budget.
    #[default]
    None,
    /// At midnight UTC.
    Day,
    /// On Monday at midnight UTC (ISO 8601 weeks).
    Week,
    /// On the first of the month at midnight UTC.
    Month,
}

impl Period {
    /// Every period.
    pub const ALL: [Self; 4] = [Self::None, Self::Day, Self::Week, Self::Month];

    /// The word used in APIs and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period of a word, or `None` when there is no such period.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == word)
    }

    /// First instant of the period that contains `unix_ms`; zero where there is only one period.
    #[must_use]
    pub fn start_ms(self, unix_ms: u64) -> u64 {
        let day = unix_ms / MS_PER_DAY;
        let first_day = match self {
            Self::None => 0,
            Self::Day => day,
            // The week that contains 1970-01-01 began before zero; it is cut off there.
            Self::Week => day.saturating_sub((day + DAYS_FROM_MONDAY_TO_EPOCH) % 7),
            Self::Month => {
                let (year, month) = year_and_month(day);
                days_from_civil(year, month)
            }
        };
        first_day * MS_PER_DAY
    }

    /// First instant of the next period, or `None` where there is only one.
    #[must_use]
    pub fn next_start_ms(self, unix_ms: u64) -> Option<u64> {
        let day = unix_ms / MS_PER_DAY;
        let next_day = match self {
            Self::None => return None,
            Self::Day => day + 1,
            Self::Week => day + 7 - (day + DAYS_FROM_MONDAY_TO_EPOCH) % 7,
            Self::Month => {
                let (year, month) = year_and_month(day);
                if month == 12 {
                    days_from_civil(year + 1, 1)
                } else {
                    days_from_civil(year, month + 1)
                }
            }
        };
        Some(next_day.saturating_mul(MS_PER_DAY))
    }
}

/// Year, month (1 to 12) and day (1 to 31) of an instant in UTC.
#[must_use]
pub fn civil_date(unix_ms: u64) -> (u64, u64, u64) {
    let day = unix_ms / MS_PER_DAY;
    let (year, month) = year_and_month(day);
    (year, month, day - days_from_civil(year, month) + 1)
}

// Both directions count in years that begin on 1 March, so that a leap day is the last of its
// year, and in eras of 400 years, after which the Gregorian calendar repeats exactly.

const DAYS_PER_ERA: u64 = 146_097;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_UNIX_EPOCH: u64 = 719_468;

/// Year and month (1 to 12) of the day with this number, counted from 1970-01-01.
fn year_and_month(day: u64) -> (u64, u64) {
    let shifted = day + DAYS_TO_UNIX_EPOCH;
    let era = shifted / DAYS_PER_ERA;
    let day_of_era = shifted % DAYS_PER_ERA;
    let leap_days = day_of_era / 1_460 + day_of_era / (DAYS_PER_ERA - 1);
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let days_before_year = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let march_month = (5 * (day_of_era - days_before_year) + 2) / 153;
    if march_month < 10 {
        (era * 400 + year_of_era, march_month + 3)
    } else {
        (era * 400 + year_of_era + 1, march_month - 9)
    }
}

/// Number of the first day of a month, counted from 1970-01-01; for years from 1970 on.
fn days_from_civil(year: u64, month: u64) -> u64 {
    let (year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * march_month + 2) / 5;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_UNIX_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Milliseconds below were taken from `date -u -d … +%s`.
    const LEAP_DAY_2024: u64 = 1_709_210_096_789; // 2024-02-29T12:34:56.789Z, a Thursday
    const NEW_YEAR_2025: u64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z, a Wednesday

    #[test]
    fn dates_follow_each_other() {
        assert_eq!(civil_date(LEAP_DAY_2024), (2024, 2, 29));
        assert_eq!(civil_date(NEW_YEAR_2025 - 1), (2024, 12, 31));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..200_000 {
            assert_eq!(civil_date(number * MS_PER_DAY), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > days {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn starts_of_known_instants() {
        for (period, at, start) in [
            (Period::None, LEAP_DAY_2024, 0),
            (Period::Day, LEAP_DAY_2024, 1_709_164_800_000),
            (Period::Week, LEAP_DAY_2024, 1_708_905_600_000), // Monday 2024-02-26
            (Period::Month, LEAP_DAY_2024, 1_706_745_600_000), // 2024-02-01
            (Period::Day, NEW_YEAR_2025, NEW_YEAR_2025),
            (Period::Week, NEW_YEAR_2025, 1_735_516_800_000), // Monday 2024-12-30
            (Period::Month, NEW_YEAR_2025, NEW_YEAR_2025),
            (Period::Month, NEW_YEAR_2025 - 1, 1_733_011_200_000), // 2024-12-01
            (Period::Week, 0, 0),
            (Period::Month, 0, 0),
        ] {
            assert_eq!(period.start_ms(at), start, "{period:?} at {at}");
        }
    }

    #[test]
    fn ends_of_known_instants() {
        for (period, at, next) in [
            (Period::None, LEAP_DAY_2024, None),
            (Period::Day, LEAP_DAY_2024, Some(1_709_251_200_000)),
            (Period::Week, LEAP_DAY_2024, Some(1_709_510_400_000)), // Monday 2024-03-04
            (Period::Month, LEAP_DAY_2024, Some(1_709_251_200_000)), // 2024-03-01
            (Period::Month, NEW_YEAR_2025 - 1, Some(NEW_YEAR_2025)),
            (Period::Week, 0, Some(345_600_000)), // Monday 1970-01-05
        ] {
            assert_eq!(period.next_start_ms(at), next, "{period:?} at {at}");
        }
    }

    #[test]
    fn months_have_their_lengths_in_common_leap_and_century_years() {
        for (year, february) in [(2023, 28), (2024, 29), (2000, 29), (2100, 28)] {
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                let first = days_from_civil(year, month);
                let next = Period::Month.next_start_ms(first * MS_PER_DAY).unwrap() / MS_PER_DAY;
                assert_eq!(next - first, length, "{year}-{month}");
                assert_eq!(year_and_month(next - 1), (year, month));
            }
        }
    }

    #[test]
    fn words_round_trip() {
        for period in Period::ALL {
            assert_eq!(Period::parse(period.as_str()), Some(period));
        }
        assert_eq!(Period::parse("year"), None);
    }

    proptest! {
        #[test]
        fn an_instant_lies_within_its_period(at in 0u64..253_402_300_800_000) {
            for period in Period::ALL {
                let start = period.start_ms(at);
                prop_assert!(start <= at);
                prop_assert_eq!(period.start_ms(start), start);
                if let Some(next) = period.next_start_ms(at) {
                    prop_assert!(at < next);
                    prop_assert_eq!(period.start_ms(next), next);
                    prop_assert_eq!(period.start_ms(next - 1), start);
                }
            }
        }
    }
}
