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

#[cfg(test)]
mod tests {
    use super::rfc3339;

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
}
