//! The JSON by which administrators describe a key, new or changed.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::v1::{CutCalls, KeyKind, Scope, Unit, Window};
use wire::{AllowedNetworks, KeyDigest, ModelName, Network, OrgId, TeamId, UserId};

use super::budget_form::{budget, usd};
use super::form::{Form, Read, Reader};
use super::plan_form::plan;
use super::reader::{boolean, id, is_unseen, line, number, texts, word};
use super::schema::Schema;
use super::selection_form::models;
use crate::app::{AdminError, Given, ImportedSecret, KeyForm, Lifetime};
use crate::store::{KeyFormat, StoredLimit};

/// Limits of one key, user, team or organisation, of single models as well: every unit and window
/// once, and of some models. A filter looks at each of them on every call, so at most four times as
/// many, and counts a call at up to twice as many places as there are levels.
pub const LIMITS_MOST: usize = 16;

/// Units per window: larger limits limit nothing.
const UNITS_MOST: u64 = 1_000_000_000_000_000;

const TOKENS_MOST: u64 = 1_000_000_000;

/// Tags of one key.
const TAGS_MOST: usize = 32;

/// Bytes of one tag: a word or two.
const LONGEST_TAG: usize = 64;

/// Bytes of the notes on a key: a page.
const LONGEST_NOTES: usize = 4_096;

/// Characters of an imported key's prefix, which is shown to whoever sees the key: enough to tell keys
/// apart, and few, since nobody can check here how much of the secret they are.
const LONGEST_PREFIX: usize = 12;

/// The longest time in which a replaced secret stays good, in seconds: 30 days.
const GRACE_MOST_S: u64 = 30 * 24 * 60 * 60;

/// Reads a key.
///
/// # Errors
/// When any field cannot be accepted.
pub fn key_form(body: &[u8]) -> Result<KeyForm, AdminError> {
    Form::read(body, key)
}

/// Reads a key whose secret was made elsewhere: its fields, `sha256` and `prefix`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn imported_key_form(body: &[u8]) -> Result<(KeyForm, ImportedSecret), AdminError> {
    Form::read(body, imported_key)
}

/// The fields of an imported key.
pub fn imported_key(form: &mut Form) -> Option<(KeyForm, ImportedSecret)> {
    let key = key(form);
    let sha256 = line().of(Schema::pattern("^[0-9a-fA-F]{64}$")).then(|hex| {
        let wrong = |_| "must be a SHA-256 as 64 hexadecimal digits".to_owned();
        KeyDigest::from_hex(&hex.to_ascii_lowercase()).map_err(wrong)
    });
    let beginning = line().of(Schema::line(LONGEST_PREFIX)).then(|prefix| match prefix {
        prefix if prefix.len() > LONGEST_PREFIX => {
            Err(format!("must be a text of at most {LONGEST_PREFIX} bytes"))
        }
        prefix => Ok(prefix),
    });
    let digest = form.required("sha256", sha256);
    let prefix = form.given("prefix", beginning).value().unwrap_or_default();
    Some((key?, ImportedSecret { digest: digest?, prefix }))
}

/// Reads how long the old secret of a rotated key stays good, in milliseconds; an empty body says: not
/// at all.
///
/// # Errors
/// When any field cannot be accepted.
pub fn rotation_form(body: &[u8]) -> Result<u64, AdminError> {
    Form::read_or_empty(body, rotation)
}

/// The fields of a rotation.
pub fn rotation(form: &mut Form) -> Option<u64> {
    let grace_s = form.given("grace_s", number(0, GRACE_MOST_S)).value().unwrap_or_default();
    Some(grace_s.saturating_mul(1_000))
}

/// The fields of a key.
pub fn key(form: &mut Form) -> Option<KeyForm> {
    Some(KeyForm {
        org: form.given("org", id(OrgId::LONGEST, OrgId::new)).value(),
        format: form.given("format", word(&KeyFormat::ALL, KeyFormat::as_str)).value(),
        team: form.given("team", id(TeamId::LONGEST, TeamId::new)),
        user: form.given("user", id(UserId::LONGEST, UserId::new)),
        name: form.given("name", line()),
        description: form.given("description", line()),
        notes: form.given("notes", notes()),
        tags: form.given("tags", tags()),
        kind: form.given("kind", word(&KINDS, kind)).value(),
        expires_in: form.given("expires_in", lifetime()).value(),
        expires_at_unix_ms: form.given("expires_at", instant()),
        limits: limits(form),
        budget: budget(form),
        max_call: form.given("max_call_usd", usd()),
        allowed_ips: match form.given("allowed_ips", networks()) {
            Given::Value(Some(networks)) => Given::Value(networks),
            Given::Value(None) | Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        },
        models: models(form),
        plan: plan(form),
        default_max_output_tokens: form.given("default_max_output_tokens", number(1, TOKENS_MOST)),
        cut_calls: form.given("cut_calls", word(&CUT_CALLS, cut_calls)),
        shadow: form.given("shadow", boolean()),
    })
}

/// A text of several lines.
fn notes() -> Reader<impl FnOnce(Value) -> Read<String>> {
    let schema = Schema::of(json!({
        "type": "string", "maxLength": LONGEST_NOTES,
        "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$",
    }));
    let is_text = |c: char| !is_unseen(c) || matches!(c, '\n' | '\r' | '\t');
    Reader::new(schema, move |value| match value {
        Value::String(text) if text.len() <= LONGEST_NOTES && text.chars().all(is_text) => Ok(text),
        _ => Err(format!("must be a text of at most {LONGEST_NOTES} bytes")),
    })
}

/// Tags in the order given, each once.
fn tags() -> Reader<impl FnOnce(Value) -> Read<Vec<String>>> {
    let schema = Schema::list(Schema::line(LONGEST_TAG), TAGS_MOST);
    texts(TAGS_MOST).of(schema).then(|texts| {
        let mut tags: Vec<String> = Vec::new();
        for tag in texts {
            if tag.trim() != tag || !(1..=LONGEST_TAG).contains(&tag.len()) {
                return Err(format!(
                    "must be a list of texts of 1 to {LONGEST_TAG} bytes that do not begin or \
                     end with a space"
                ));
            }
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    })
}

/// Networks, none of them for an empty list: nobody is kept out then.
fn networks() -> Reader<impl FnOnce(Value) -> Read<Option<AllowedNetworks>>> {
    let network = Schema::pattern(r"^[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?$");
    let schema = Schema::list(network, AllowedNetworks::MOST);
    texts(AllowedNetworks::MOST).of(schema).then(|texts| {
        let mut networks: Vec<Network> = Vec::new();
        for text in texts {
            let network = text.parse().map_err(|error| format!("\"{text}\": {error}"))?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(AllowedNetworks::new(networks))
    })
}

fn lifetime() -> Reader<impl FnOnce(Value) -> Read<Lifetime>> {
    let schema = Schema::pattern("^[1-9][0-9]{0,3}(d|mo|y)$");
    line()
        .of(schema)
        .then(|text| Lifetime::parse(&text).ok_or_else(|| Lifetime::EXPECTED.to_owned()))
}

/// What is said of a limit that counts what another one counts.
pub const SAME_LIMIT: &str = "there is another limit of this unit, window and model";

/// Reads limits that are shared by several keys, which are counted by each proxy.
pub fn shared_limits(form: &mut Form) -> Given<Vec<StoredLimit>> {
    let limits = limits(form);
    if let Given::Value(limits) = &limits {
        for (index, limit) in limits.iter().enumerate() {
            if limit.scope == Scope::Cluster {
                let message = "only keys have limits over all proxies together; use proxy";
                form.refuse(&format!("limits[{index}].scope"), "unsupported_scope", message);
            }
        }
    }
    limits
}

/// Reads the field `limits`.
pub fn limits(form: &mut Form) -> Given<Vec<StoredLimit>> {
    let limits = form.list("limits", LIMITS_MOST, limit);
    if let Given::Value(limits) = &limits {
        for (index, one) in limits.iter().enumerate() {
            if limits.iter().take(index).any(|other| other.counts_the_same(one)) {
                form.wrong(&format!("limits[{index}]"), SAME_LIMIT);
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
    let model = form.given("model", id(ModelName::LONGEST, ModelName::new)).value();
    if scope == Some(Scope::Cluster) && model.is_some() {
        let message = "calls of one model cannot be limited over all proxies together; use proxy";
        form.refuse("scope", "unsupported_scope", message);
    }
    Some(StoredLimit { unit: unit?, window, max: max?, scope: scope.unwrap_or_default(), model })
}

/// What is counted.
pub const UNITS: [Unit; 3] = [Unit::Requests, Unit::Tokens, Unit::Concurrent];
/// Over which time.
pub const WINDOWS: [Window; 3] = [Window::Minute, Window::Hour, Window::Day];
/// Over which processes.
pub const SCOPES: [Scope; 2] = [Scope::Proxy, Scope::Cluster];
/// Who uses a key.
pub const KINDS: [KeyKind; 2] = [KeyKind::Application, KeyKind::User];
/// What a call without usage is charged.
pub const CUT_CALLS: [CutCalls; 2] = [CutCalls::Estimate, CutCalls::Reservation];

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

/// The word for who uses a key.
pub fn kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Application => "application",
        KeyKind::User => "user",
    }
}

/// The word for what a call without usage is charged.
pub fn cut_calls(cut_calls: CutCalls) -> &'static str {
    match cut_calls {
        CutCalls::Estimate => "estimate",
        CutCalls::Reservation => "reservation",
    }
}

/// Reads an instant, in milliseconds since 1970 UTC.
pub fn instant() -> Reader<impl FnOnce(Value) -> Read<u64>> {
    let wrong = "must be an instant such as \"2027-06-01T00:00:00Z\", not before 1970";
    line().of(Schema::instant()).then(|text| instant_text(&text).ok_or_else(|| wrong.to_owned()))
}

/// An instant as RFC 3339, in milliseconds since 1970 UTC.
pub fn instant_text(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}
