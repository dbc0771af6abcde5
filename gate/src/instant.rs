//! Instants as text.

/// 9999-12-31T23:59:59Z: the last second that RFC 3339 can write.
const LAST_S: u64 = 253_402_300_799;

/// Seconds since 1970 UTC as RFC 3339 writes them; what is too far away reads as the last second
/// that it can write.
pub(crate) fn rfc3339(unix_s: u64) -> String {
    let unix_s = unix_s.min(LAST_S);
    let (year, month, day) = metering::period::civil_date(unix_s * 1_000);
    let (hour, minute, second) = (unix_s / 3_600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Milliseconds since 1970 UTC of an instant in RFC 3339, from 1970 on; fractions of a second beyond
/// milliseconds are dropped.
pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let (year, month, day) = three(date, b'-', [4, 2, 2])?;
    let (hour, minute, second) = three(clock, b':', [2, 2, 2])?;
    // The last second of a minute may be a leap second.
    let is_instant = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let (millis, offset) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, offset) = rest.split_at_checked(digits)?;
            let millis: String = fraction.chars().chain("00".chars()).take(3).collect();
            (millis.parse::<u64>().ok().filter(|_| digits > 0)?, offset)
        }
    };
    let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let shifted = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => seconds,
        (sign @ ("+" | "-"), offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let shift = number(hours, 2).filter(|hours| *hours < 24)? * 3_600
                + number(minutes, 2).filter(|minutes| *minutes < 60)? * 60;
            if sign == "+" { seconds.checked_sub(shift)? } else { seconds + shift }
        }
        _ => return None,
    };
    is_instant.then_some(shifted * 1_000 + millis)
}

/// Three numbers of so many digits.
fn three(text: &str, between: u8, digits: [usize; 3]) -> Option<(u64, u64, u64)> {
    let mut parts = text.split(char::from(between));
    let mut next = |digits| number(parts.next()?, digits);
    let [one, two, three] = digits;
    let found = (next(one)?, next(two)?, next(three)?);
    parts.next().is_none().then_some(found)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let leap_days_until = |year: u64| year / 4 - year / 100 + year / 400;
    let years = year.saturating_sub(1970) * 365 + leap_days_until(year.saturating_sub(1))
        - leap_days_until(1969);
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    years + months + day.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, unix_ms};

    #[test]
    fn known_instants() {
        // Seconds were taken from `date -u -d … +%s`.
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(unix_s), text);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for unix_s in [0, 1, 951_782_400, 1_709_210_096, 4_102_444_799, 4_102_444_800] {
            assert_eq!(unix_ms(&rfc3339(unix_s)), Some(unix_s * 1_000), "{unix_s}");
        }
        // Every day of 450 years, leap years and their exceptions among them.
        for day in 0..164_000 {
            assert_eq!(unix_ms(&rfc3339(day * 86_400)), Some(day * 86_400_000));
        }
        assert_eq!(unix_ms("1970-01-01T01:30:00.0125+01:00"), Some(1_800_012));
        assert_eq!(unix_ms("1970-01-01t00:00:00.5-00:30"), Some(1_800_500));
        for wrong in [
            "",
            "2027",
            "2027-06-01",
            "2027-06-01T00:00:00",
            "2027-06-31T00:00:00Z",
            "2027-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-06-01T24:00:00Z",
            "2027-06-01T00:00:00.Z",
            "2027-06-01T00:00:00+2:00",
            "2027-06-01T00:00:00Zx",
            "1970-01-01T00:00:00+01:00",
            "+027-06-01T00:00:00Z",
            "tomorrow at noon or so",
        ] {
            assert_eq!(unix_ms(wrong), None, "{wrong}");
        }
    }
}
