//! Spans of time as people write them: dates and instants.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The first millisecond since 1970 UTC of a date, or an instant of RFC 3339. None for anything
/// else and what lies before 1970.
#[must_use]
pub fn beginning(text: &str) -> Option<u64> {
    match day(text) {
        Some(day) => day.checked_mul(DAY_MS),
        None => instant(text),
    }
}

/// The first millisecond behind a date, or an instant: what ends here does not hold it.
#[must_use]
pub fn end(text: &str) -> Option<u64> {
    match day(text) {
        Some(day) => day.checked_add(1)?.checked_mul(DAY_MS),
        None => instant(text),
    }
}

/// Days since 1970 UTC of a date such as `2026-11-20`.
#[must_use]
pub fn day(text: &str) -> Option<u64> {
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    let seconds = u64::try_from(date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp());
    Some(seconds.ok()? / (DAY_MS / 1_000))
}

/// A day since 1970 UTC as a date; none beyond the year 9999.
#[must_use]
pub fn date(day: u64) -> Option<String> {
    let seconds = i64::try_from(day.checked_mul(DAY_MS / 1_000)?).ok()?;
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?.date();
    date.format(format_description!("[year]-[month]-[day]")).ok()
}

/// An instant as RFC 3339 in UTC, in whole seconds where it is one; none beyond the year 9999.
#[must_use]
pub fn instant_text(unix_ms: u64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).ok()?;
    at.format(&Rfc3339).ok()
}

fn instant(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_days_and_instants_are_exact() {
        // from `date -u -d 2026-11-20 +%s`
        let begin = 1_795_132_800_000;
        assert_eq!(beginning("2026-11-20"), Some(begin));
        assert_eq!(end("2026-11-20"), Some(begin + DAY_MS));
        assert_eq!(beginning("2026-11-20T00:00:00.001Z"), Some(begin + 1));
        assert_eq!(end("2026-11-20T01:00:00+01:00"), Some(begin));
        assert_eq!(date(begin / DAY_MS).as_deref(), Some("2026-11-20"));
        assert_eq!(date(u64::MAX), None);
        for text in ["", "2026", "2026-02-30", "2026-11-20T", "yesterday", "1969-12-31", "20261120"]
        {
            assert_eq!((beginning(text), end(text)), (None, None), "{text}");
        }
    }
}
