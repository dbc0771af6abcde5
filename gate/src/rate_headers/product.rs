//! The fields of other products: one set for requests (MindProxy), and both units with a warning and
//! the name of the tightest limit (DeltaLLM).

use super::at_s;
use crate::io::Now;
use crate::refusal::scope;
use crate::windows::{Standing, Standings};

/// Requests only. The reset is in seconds from now, like `retry-after`: their documentation does not
/// name its unit.
pub(super) fn mindproxy(standings: &Standings, since_ms: u64) -> Vec<(String, String)> {
    let Some(Standing { max, remaining, reset_ms, .. }) = standings.requests else {
        return Vec::new();
    };
    let reset_s = reset_ms.saturating_sub(since_ms).div_ceil(1000);
    [("limit", max), ("remaining", remaining), ("reset", reset_s)]
        .map(|(what, value)| (format!("x-ratelimit-{what}"), value.to_string()))
        .into()
}

/// Nothing where there is no limit; else both units, with zeros for one that has none.
pub(super) fn deltallm(standings: &Standings, since_ms: u64, now: Now) -> Vec<(String, String)> {
    let both = [("requests", standings.requests), ("tokens", standings.tokens)];
    let limited = both.iter().filter_map(|(_, standing)| *standing);
    let Some(tightest) = limited.max_by_key(Standing::used_ppm) else { return Vec::new() };
    let mut fields = Vec::new();
    for (unit, standing) in both {
        let (max, remaining, reset_s) = standing.map_or((0, 0, 0), |standing| {
            let reset_ms = standing.reset_ms.saturating_sub(since_ms);
            let reset_s = if now.is_exact { at_s(now, reset_ms) } else { 0 };
            (standing.max, standing.remaining, reset_s)
        });
        for (what, value) in [("limit", max), ("remaining", remaining), ("reset", reset_s)] {
            fields.push((format!("x-ratelimit-{what}-{unit}"), value.to_string()));
        }
    }
    if let Some(scope) = scope(tightest.kind) {
        fields.push(("x-deltallm-ratelimit-scope".to_owned(), scope));
    }
    let warning = match tightest.used_ppm() {
        950_000.. => Some("near_limit"),
        800_000..950_000 => Some("approaching_limit"),
        _ => None,
    };
    let warning = warning.map(|text| ("x-ratelimit-warning".to_owned(), text.to_owned()));
    fields.extend(warning);
    fields
}
