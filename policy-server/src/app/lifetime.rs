//! How long a key lives, as people say it: days, months or years from now.

use time::{Date, Month, OffsetDateTime};

/// A number of days, calendar months or years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Days of 24 hours.
    Days(u16),
    /// Calendar months.
    Months(u16),
}

/// The longest lifetime in years; who needs more says no expiry, or a date.
const YEARS_MOST: u16 = 10;

impl Lifetime {
    /// What [`Lifetime::parse`] reads, for people.
    pub const EXPECTED: &'static str =
        "must be days, months or years such as \"90d\", \"6mo\" or \"1y\", at most 10 years";

    /// Reads `30d`, `6mo`, `1y`; `None` where it is something else, nothing, or more than ten years.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
        let (digits, unit) = text.split_at_checked(unit_at)?;
        if digits.starts_with('0') {
            return None;
        }
        let count: u16 = digits.parse().ok()?;
        match unit {
            "d" if count <= YEARS_MOST * 366 => Some(Self::Days(count)),
            "mo" if count <= YEARS_MOST * 12 => Some(Self::Months(count)),
            "y" if count <= YEARS_MOST => Some(Self::Months(count * 12)),
            _ => None,
        }
    }

    /// The instant at which it ends when it begins at `unix_ms`, both in milliseconds since 1970
    /// UTC. A day that a month does not have is its last one: a month after 31 January is 28 or 29
    /// February.
    #[must_use]
    pub fn end_ms(self, unix_ms: u64) -> Option<u64> {
        match self {
            Self::Days(days) => unix_ms.checked_add(u64::from(days).checked_mul(86_400_000)?),
            Self::Months(months) => {
                let nanos = i128::from(unix_ms).checked_mul(1_000_000)?;
                let begin = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
                let date = begin.date();
                let month0 = i32::from(u8::from(date.month())) - 1 + i32::from(months);
                let year = date.year().checked_add(month0 / 12)?;
                let month = Month::try_from(u8::try_from(month0 % 12 + 1).ok()?).ok()?;
                let day = date.day().min(month.length(year));
                let end = begin.replace_date(Date::from_calendar_date(year, month, day).ok()?);
                u64::try_from(end.unix_timestamp_nanos() / 1_000_000).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn ms(text: &str) -> u64 {
        let at = OffsetDateTime::parse(text, &Rfc3339).unwrap();
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap()
    }

    #[test]
    fn days_are_exact_and_months_follow_the_calendar() {
        for (begin, lifetime, end) in [
            ("2026-11-20T12:00:00Z", "30d", "2026-12-20T12:00:00Z"),
            ("2026-11-20T12:00:00.123Z", "90d", "2027-02-18T12:00:00.123Z"),
            ("2026-11-20T12:00:00Z", "6mo", "2027-05-20T12:00:00Z"),
            ("2026-08-31T23:59:59.999Z", "6mo", "2027-02-28T23:59:59.999Z"),
            ("2027-08-31T00:00:00Z", "6mo", "2028-02-29T00:00:00Z"),
            ("2026-12-31T00:00:00Z", "1mo", "2027-01-31T00:00:00Z"),
            ("2028-02-29T00:00:00Z", "1y", "2029-02-28T00:00:00Z"),
            ("2026-11-20T12:00:00Z", "2y", "2028-11-20T12:00:00Z"),
            ("2026-11-20T12:00:00Z", "10y", "2036-11-20T12:00:00Z"),
        ] {
            let lifetime = Lifetime::parse(lifetime).unwrap();
            assert_eq!(lifetime.end_ms(ms(begin)), Some(ms(end)), "{begin} {lifetime:?}");
        }
    }

    #[test]
    fn what_is_no_lifetime_of_ten_years_at_most_is_refused() {
        for text in [
            "",
            "d",
            "0d",
            "030d",
            "30",
            "30 d",
            "-1d",
            "1w",
            "1m",
            "1.5y",
            "11y",
            "121mo",
            "3661d",
            "99999999999d",
            "1y6mo",
            "٣d",
        ] {
            assert_eq!(Lifetime::parse(text), None, "{text}");
        }
        assert!(Lifetime::parse("3660d").is_some() && Lifetime::parse("120mo").is_some());
        assert_eq!(Lifetime::Months(1).end_ms(u64::MAX), None);
        assert_eq!(Lifetime::Days(1).end_ms(u64::MAX), None);
    }
}
