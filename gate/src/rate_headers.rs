//! What an answer says of the rate limits: one family of header fields, that of the API that was
//! asked. Gemini has none.

use crate::dialect::Dialect;
use crate::instant::rfc3339;
use crate::io::Now;
use crate::windows::{Standing, Standings};

/// The fields for a call that was admitted `since_ms` ago with these standings, in units of the
/// tightest limit. Where the wall clock cannot be read, no time of day is told.
pub(crate) fn fields(
    dialect: Dialect,
    standings: &Standings,
    since_ms: u64,
    now: Now,
) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (unit, standing) in [("requests", standings.requests), ("tokens", standings.tokens)] {
        let Some(Standing { max, remaining, reset_ms }) = standing else { continue };
        let reset_ms = reset_ms.saturating_sub(since_ms);
        match dialect {
            Dialect::OpenAi => {
                let mut field = |what, value| {
                    fields.push((format!("x-ratelimit-{what}-{unit}"), value));
                };
                field("limit", max.to_string());
                field("remaining", remaining.to_string());
                field("reset", go_duration(reset_ms));
            }
            Dialect::Anthropic => {
                let mut field = |what, value| {
                    fields.push((format!("anthropic-ratelimit-{unit}-{what}"), value));
                };
                field("limit", max.to_string());
                field("remaining", remaining.to_string());
                if now.is_exact {
                    // Rounded up: a client that comes back then finds the window empty.
                    let reset_s = now.wall_ms.saturating_add(reset_ms).div_ceil(1000);
                    field("reset", rfc3339(reset_s));
                }
            }
            Dialect::Gemini => {}
        }
    }
    fields
}

/// A duration as Go writes it (`time.Duration.String`), which OpenAI's reset headers use: `850ms`,
/// `7s`, `1m0s`, `1h2m3s`. From a second up it is rounded up to whole seconds.
fn go_duration(millis: u64) -> String {
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { monotonic_ms: 77, wall_ms: 1_755_780_058_500, is_exact: true };

    fn standings() -> Standings {
        Standings {
            requests: Some(Standing { max: 60, remaining: 59, reset_ms: 61_200 }),
            tokens: Some(Standing { max: 1_000, remaining: 0, reset_ms: 0 }),
        }
    }

    fn lines(dialect: Dialect, since_ms: u64, now: Now) -> Vec<String> {
        let fields = fields(dialect, &standings(), since_ms, now);
        fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn durations_read_like_go() {
        for (millis, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1001, "2s"),
            (60_000, "1m0s"),
            (3_723_000, "1h2m3s"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(go_duration(millis), text);
        }
    }

    #[test]
    fn each_api_has_its_family() {
        assert_eq!(
            lines(Dialect::OpenAi, 0, NOW),
            [
                "x-ratelimit-limit-requests: 60",
                "x-ratelimit-remaining-requests: 59",
                "x-ratelimit-reset-requests: 1m2s",
                "x-ratelimit-limit-tokens: 1000",
                "x-ratelimit-remaining-tokens: 0",
                "x-ratelimit-reset-tokens: 0ms",
            ]
        );
        assert_eq!(
            lines(Dialect::Anthropic, 0, NOW),
            [
                "anthropic-ratelimit-requests-limit: 60",
                "anthropic-ratelimit-requests-remaining: 59",
                "anthropic-ratelimit-requests-reset: 2025-08-21T12:42:00Z",
                "anthropic-ratelimit-tokens-limit: 1000",
                "anthropic-ratelimit-tokens-remaining: 0",
                "anthropic-ratelimit-tokens-reset: 2025-08-21T12:40:59Z",
            ]
        );
        assert!(lines(Dialect::Gemini, 0, NOW).is_empty());
    }

    #[test]
    fn the_time_since_admission_has_passed() {
        assert!(
            lines(Dialect::OpenAi, 60_201, NOW)
                .contains(&"x-ratelimit-reset-requests: 999ms".to_owned())
        );
        assert!(
            lines(Dialect::OpenAi, u64::MAX, NOW)
                .contains(&"x-ratelimit-reset-requests: 0ms".to_owned())
        );
        let reset = "anthropic-ratelimit-requests-reset: 2025-08-21T12:41:59Z".to_owned();
        assert!(lines(Dialect::Anthropic, 1_000, NOW).contains(&reset));
    }

    #[test]
    fn nothing_is_said_for_want_of_a_limit_or_a_clock() {
        assert!(fields(Dialect::OpenAi, &Standings::default(), 0, NOW).is_empty());
        let shown = lines(Dialect::Anthropic, 0, Now { is_exact: false, ..NOW });
        assert_eq!(shown.len(), 4);
        assert!(shown.iter().all(|line| !line.contains("reset")));
    }
}
