//! What the audit says of a change: the fields that differ before and after.

use serde_json::{Map, Value, json};

use crate::app::{AdminError, Member, Target, Work};
use crate::http::{show, show_entitlement, show_people, webhook_form};

/// A field of the audit at most, in bytes of JSON: a list of two thousand models is not kept twice
/// with every change of it.
const FIELD_BYTES: usize = 4_096;

/// Fields that change with every change, or by use.
const VOLATILE: [&str; 6] =
    ["updated_at", "version", "spend", "usage", "last_used_at", "last_address"];

/// What a target looks like now; none where there is no such thing.
///
/// # Errors
/// When the store fails.
pub fn snapshot(
    work: &mut Work<'_>,
    target: &Target,
) -> Result<Option<Map<String, Value>>, AdminError> {
    let shown = match target {
        Target::Me | Target::Place { .. } => return Ok(None),
        Target::Server => work.audit_days().map(show_people::settings),
        Target::Model(name) => work.model(name).map(|model| show::model(&model)),
        Target::Alias(name) => work.alias(name).map(|alias| show_entitlement::alias(&alias)),
        Target::Group(name) => work.group(name).map(|group| show_entitlement::group(&group)),
        Target::Plan(id) => work.plan(id).map(|plan| show_entitlement::plan(&plan)),
        Target::Models(org, member) => work
            .member_models(org, member.clone())
            .map(|models| show_entitlement::member_models(&models)),
        Target::Org(id) => work.org(id).map(|org| show::org(&org)),
        Target::Team(org, id) => work.team(org, id).map(|team| show_people::team(&team)),
        Target::User(org, id) | Target::ServiceAccount(org, id) => {
            work.user(org, id).map(|user| show_people::user(&user))
        }
        Target::Member(org, team, user) => {
            work.membership(org, team, user).map(|member| show_people::member(&member))
        }
        Target::Token(org, user, id) => {
            let now = work.now.unix_ms;
            work.token(org, user, id).map(|token| show_people::token(&token, now))
        }
        Target::Key(id) => work.key(id).map(|key| show::key(&key)),
        Target::Webhook(org, id) => {
            work.webhook(org, id).map(|found| webhook_form::webhook(&found))
        }
        Target::Budget(id) => work.account_view(id.clone()).map(|view| show::cap(&view)),
    };
    match shown {
        Ok(mut shown) => {
            shown.retain(|name, _| !VOLATILE.contains(&name.as_str()));
            Ok(Some(shown))
        }
        Err(AdminError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The version of a target, by what it looks like now; none where there is no such thing, and for keys,
/// which count theirs. What a team or user is restricted to is a part of it.
///
/// # Errors
/// When the store fails.
pub fn tag(work: &mut Work<'_>, target: &Target) -> Result<Option<String>, AdminError> {
    let shown = match target {
        Target::Key(_) => None,
        _ => snapshot(work, target)?,
    };
    tag_of(work, target, shown.as_ref())
}

/// As [`tag`], of a target whose snapshot was taken.
///
/// # Errors
/// When the store fails.
pub fn tag_of(
    work: &mut Work<'_>,
    target: &Target,
    shown: Option<&Map<String, Value>>,
) -> Result<Option<String>, AdminError> {
    let Some(shown) = shown else { return Ok(None) };
    let models = match target {
        Target::Key(_) => return Ok(None),
        // The version is that of the team or user.
        Target::Models(org, Member::Team(team)) => {
            return tag(work, &Target::Team(org.clone(), team.clone()));
        }
        Target::Models(org, Member::User(user)) => {
            return tag(work, &Target::User(org.clone(), user.clone()));
        }
        Target::Team(org, team) => Some((org, Member::Team(team.clone()))),
        Target::User(org, user) => Some((org, Member::User(user.clone()))),
        _ => None,
    };
    let models = models.map(|(org, member)| snapshot(work, &Target::Models(org.clone(), member)));
    let text = json!([shown, models.transpose()?.flatten()]).to_string();
    Ok(Some(metering::api_key::digest(text.as_bytes()).to_string()))
}

/// The fields that differ, as JSON objects; none where none does. `notes` are added to those after.
pub fn difference(
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
    notes: Map<String, Value>,
) -> (Option<String>, Option<String>) {
    let side = |one: &Option<Map<String, Value>>, other: &Option<Map<String, Value>>, notes| {
        let differs = |name: &str, value: &Value| {
            other.as_ref().is_none_or(|other| other.get(name) != Some(value))
        };
        let fields = one.iter().flatten().filter(|(name, value)| differs(name, value));
        let fields = fields.map(|(name, value)| (name.clone(), brief(value)));
        let fields: Map<_, _> = fields.chain(notes).collect();
        (!fields.is_empty()).then(|| Value::Object(fields).to_string())
    };
    (side(&before, &after, Map::new()), side(&after, &before, notes))
}

fn brief(value: &Value) -> Value {
    match value.to_string().len() {
        0..=FIELD_BYTES => value.clone(),
        bytes => json!(format!("{bytes} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }

    #[test]
    fn only_what_differs_is_kept_and_long_fields_are_named_by_their_size() {
        let before = json!({"name": "a", "cap": 1, "gone": true});
        let after = json!({"name": "a", "cap": 2, "models": "x".repeat(5_000)});
        let (before, after) = difference(object(before), object(after), Map::new());
        assert_eq!(before.unwrap(), r#"{"cap":1,"gone":true}"#);
        assert_eq!(after.unwrap(), r#"{"cap":2,"models":"5002 bytes"}"#);
    }

    #[test]
    fn what_is_made_or_ended_is_kept_whole_and_nothing_of_what_stays() {
        let shown = object(json!({"name": "a"}));
        let kept = Some(r#"{"name":"a"}"#.to_owned());
        assert_eq!(difference(None, shown.clone(), Map::new()), (None, kept.clone()));
        assert_eq!(difference(shown.clone(), None, Map::new()), (kept.clone(), None));
        assert_eq!(difference(shown.clone(), shown.clone(), Map::new()), (None, None));
        let notes = json!({"ended": 2}).as_object().cloned().unwrap();
        let noted = Some(r#"{"ended":2}"#.to_owned());
        assert_eq!(difference(shown, None, notes), (kept, noted));
    }
}
