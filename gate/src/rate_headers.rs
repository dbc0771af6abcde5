//! What an answer says of the rate limits: one family of header fields, that of the API that was
//! asked. Gemini has none.

mod product;

use wire::v1::{Limit, Unit};

use crate::dialect::Dialect;
use crate::instant::rfc3339;
use crate::io::Now;
use crate::profile::{Profile, Voice};
use crate::windows::{Standing, Standings};

/// The fields for a call that was admitted `since_ms` ago with these standings, in units of the
/// tightest limit. Where the wall clock cannot be read, no time of day is told.
pub(crate) fn fields(
    voice: Voice,
    standings: &Standings,
    since_ms: u64,
    now: Now,
) -> Vec<(String, String)> {
    match voice.profile {
        Profile::MindProxy => return product::mindproxy(standings, since_ms),
        Profile::DeltaLlm => return product::deltallm(standings, since_ms, now),
        Profile::Native | Profile::PrivateMind => {}
    }
    let mut fields = Vec::new();
    for (unit, standing) in [("requests", standings.requests), ("tokens", standings.tokens)] {
        let Some(Standing { max, remaining, reset_ms, .. }) = standing else { continue };
        let reset_ms = reset_ms.saturating_sub(since_ms);
        match voice.dialect {
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
                    field("reset", rfc3339(at_s(now, reset_ms)));
                }
            }
            Dialect::Gemini => {}
        }
    }
    fields
}

/// The fields of a refusal because this limit is reached: only other products have some.
pub(crate) fn of_full(
    limit: &Limit,
    retry_after_s: Option<u64>,
    voice: Voice,
) -> Vec<(&'static str, String)> {
    let reset_s = retry_after_s.unwrap_or_default();
    match (voice.profile, limit.unit) {
        (Profile::MindProxy, Unit::Requests) => vec![
            ("x-ratelimit-limit", limit.max.to_string()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", reset_s.to_string()),
        ],
        (Profile::DeltaLlm, _) => vec![("x-ratelimit-remaining-requests", "0".to_owned())],
        _ => Vec::new(),
    }
}

/// The time of day, in Unix seconds, at which a window has room again. Rounded up: a client that
/// comes back then finds it empty.
fn at_s(now: Now, reset_ms: u64) -> u64 {
    now.wall_ms.saturating_add(reset_ms).div_ceil(1000)
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
    use wire::v1::{Level, Window};

    use super::*;
    use crate::windows::LimitKind;

    const NOW: Now =
        Now { monotonic_ms: 77, micros: 0, wall_ms: 1_755_780_058_500, is_exact: true };

    fn kind(unit: Unit) -> LimitKind {
        let window = Some(Window::Minute);
        LimitKind { unit, window, level: Level::Key, is_of_model: false }
    }

    fn standings() -> Standings {
        Standings {
            requests: Some(Standing {
                kind: kind(Unit::Requests),
                max: 60,
                remaining: 59,
                reset_ms: 61_200,
            }),
            tokens: Some(Standing {
                kind: kind(Unit::Tokens),
                max: 1_000,
                remaining: 0,
                reset_ms: 0,
            }),
        }
    }

    fn lines(dialect: Dialect, since_ms: u64, now: Now) -> Vec<String> {
        let fields = fields(dialect.into(), &standings(), since_ms, now);
        fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    fn of(profile: Profile, standings: &Standings) -> Vec<String> {
        let fields = fields(Voice { dialect: Dialect::OpenAi, profile }, standings, 200, NOW);
        fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn other_products_have_fields_of_their_own() {
        assert_eq!(
            of(Profile::MindProxy, &standings()),
            ["x-ratelimit-limit: 60", "x-ratelimit-remaining: 59", "x-ratelimit-reset: 61"]
        );
        // 1,755,780,058.5 s and 61 s; tokens are used up, so they are the tightest.
        assert_eq!(
            of(Profile::DeltaLlm, &standings()),
            [
                "x-ratelimit-limit-requests: 60",
                "x-ratelimit-remaining-requests: 59",
                "x-ratelimit-reset-requests: 1755780120",
                "x-ratelimit-limit-tokens: 1000",
                "x-ratelimit-remaining-tokens: 0",
                "x-ratelimit-reset-tokens: 1755780059",
                "x-deltallm-ratelimit-scope: key_tpm",
                "x-ratelimit-warning: near_limit",
            ]
        );
        for profile in [Profile::MindProxy, Profile::DeltaLlm] {
            assert!(of(profile, &Standings::default()).is_empty());
        }
        let tenths = |remaining| {
            let requests = Standing { max: 10, remaining, ..standings().requests.unwrap() };
            of(Profile::DeltaLlm, &Standings { requests: Some(requests), tokens: None })
        };
        assert!(tenths(2).contains(&"x-ratelimit-warning: approaching_limit".to_owned()));
        assert!(tenths(2).contains(&"x-ratelimit-limit-tokens: 0".to_owned()));
        assert!(!tenths(3).iter().any(|line| line.contains("warning")));
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
        assert!(fields(Dialect::OpenAi.into(), &Standings::default(), 0, NOW).is_empty());
        let shown = lines(Dialect::Anthropic, 0, Now { is_exact: false, ..NOW });
        assert_eq!(shown.len(), 4);
        assert!(shown.iter().all(|line| !line.contains("reset")));
    }
}
