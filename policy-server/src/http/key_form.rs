//! The JSON by which administrators describe a key, new or changed.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::v1::{CutCalls, Scope, Unit, Window};
use wire::{OrgId, TeamId, UserId};

use super::budget_form::budget;
use super::form::{Form, Read, checked, number, text, texts, word};
use super::plan_form::plan;
use super::selection_form::{MODELS_IN_LIST, models};
use crate::app::{AdminError, Given, KeyForm};
use crate::store::{KeyFormat, StoredLimit};

/// Limits of one key: every unit and window once, with room for more to come. A filter reads each
/// of them on every call.
const LIMITS_MOST: usize = 16;

/// Units per window: larger limits limit nothing.
const UNITS_MOST: u64 = 1_000_000_000_000_000;

const TOKENS_MOST: u64 = 1_000_000_000;

/// Reads a key.
///
/// # Errors
/// When any field cannot be accepted.
pub fn key_form(body: &[u8]) -> Result<KeyForm, AdminError> {
    let mut form = Form::parse(body)?;
    refuse_what_is_not_enforced(&mut form);
    let key = KeyForm {
        org: form.given("org", checked(OrgId::new)).value(),
        format: form.given("format", word(&KeyFormat::ALL, KeyFormat::as_str)).value(),
        team: form.given("team", checked(TeamId::new)),
        user: form.given("user", checked(UserId::new)),
        name: form.given("name", text),
        expires_at_unix_ms: form.given("expires_at", instant),
        limits: limits(&mut form),
        budget: budget(&mut form),
        models: models(&mut form),
        plan: plan(&mut form),
        default_max_output_tokens: form.given("default_max_output_tokens", number(1, TOKENS_MOST)),
        cut_calls: form.given("cut_calls", word(&CUT_CALLS, cut_calls)),
    };
    form.finish()?;
    Ok(key)
}

/// A restriction that nobody enforces must not look as if somebody did.
fn refuse_what_is_not_enforced(form: &mut Form) {
    let allowed_ips = form.given("allowed_ips", texts(MODELS_IN_LIST)).value();
    if allowed_ips.is_some_and(|addresses| !addresses.is_empty()) {
        form.refuse(
            "allowed_ips",
            "unsupported_field",
            "restricting addresses is not available yet; leave the list empty",
        );
    }
}

fn limits(form: &mut Form) -> Given<Vec<StoredLimit>> {
    let limits = form.list("limits", LIMITS_MOST, limit);
    if let Given::Value(limits) = &limits {
        for (index, one) in limits.iter().enumerate() {
            let same = |other: &StoredLimit| other.unit == one.unit && other.window == one.window;
            if limits.iter().take(index).any(same) {
                form.wrong(
                    &format!("limits[{index}]"),
                    "there is another limit of this unit and window",
                );
            }
        }
    }
    limits
}

fn limit(form: &mut Form) -> Option<StoredLimit> {
    let unit = form.required("unit", word(&UNITS, unit));
    let window = form.given("window", word(&WINDOWS, window)).value();
    let max = form.required("max", number(1, UNITS_MOST));
    let scope = form.given("scope", word(&SCOPES, scope)).value();
    match (unit, window) {
        (Some(Unit::Concurrent), Some(_)) => {
            form.wrong("window", "calls in flight are counted now, not over a window");
        }
        (Some(Unit::Requests | Unit::Tokens), None) => form.wrong("window", "is required"),
        _ => {}
    }
    if scope == Some(Scope::Cluster) && matches!(unit, Some(Unit::Tokens | Unit::Concurrent)) {
        let message = "only requests can be limited over all proxies together; use proxy";
        form.refuse("scope", "unsupported_scope", message);
    }
    Some(StoredLimit { unit: unit?, window, max: max?, scope: scope.unwrap_or_default() })
}

const UNITS: [Unit; 3] = [Unit::Requests, Unit::Tokens, Unit::Concurrent];
const WINDOWS: [Window; 3] = [Window::Minute, Window::Hour, Window::Day];
const SCOPES: [Scope; 2] = [Scope::Proxy, Scope::Cluster];
const CUT_CALLS: [CutCalls; 2] = [CutCalls::Estimate, CutCalls::Reservation];

/// The word for a unit.
pub fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Requests => "requests",
        Unit::Tokens => "tokens",
        Unit::Concurrent => "concurrent",
    }
}

/// The word for a window.
pub fn window(window: Window) -> &'static str {
    match window {
        Window::Minute => "1m",
        Window::Hour => "1h",
        Window::Day => "1d",
    }
}

/// The word for a scope.
pub fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Proxy => "proxy",
        Scope::Cluster => "cluster",
    }
}

/// The word for what a call without usage is charged.
pub fn cut_calls(cut_calls: CutCalls) -> &'static str {
    match cut_calls {
        CutCalls::Estimate => "estimate",
        CutCalls::Reservation => "reservation",
    }
}

fn instant(value: Value) -> Read<u64> {
    let wrong = "must be an instant such as \"2027-06-01T00:00:00Z\", not before 1970";
    let at = OffsetDateTime::parse(&text(value)?, &Rfc3339).map_err(|_| wrong.to_owned())?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|_| wrong.to_owned())
}
