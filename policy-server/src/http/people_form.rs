//! The JSON by which administrators describe teams, users, tokens and settings.

use wire::TeamId;

use super::budget_form::{period, usd};
use super::form::{Form, checked, flag, number, text, word};
use super::key_form::{instant, shared_limits};
use crate::app::UserForm;
use crate::app::{AdminError, OVERLAP_MOST_S, ServiceAccountForm, TeamForm, TokenForm};
use crate::permissions::Role;
use crate::store::{Ceiling, SelfService};

/// Keys of one user in one team at most.
const KEYS_OF_USER_MOST: u64 = 1_000_000;

/// A hundred years.
const DAYS_MOST: u64 = 36_500;

/// Reads a team.
///
/// # Errors
/// When any field cannot be accepted.
pub fn team_form(body: &[u8]) -> Result<TeamForm, AdminError> {
    let mut form = Form::parse(body)?;
    let limits = shared_limits(&mut form);
    let team = TeamForm {
        name: form.given("name", text).value(),
        limits,
        self_service: form.nested("self_service", self_service),
    };
    form.finish()?;
    Ok(team)
}

fn self_service(form: &mut Form) -> Option<SelfService> {
    Some(SelfService {
        enabled: form.given("enabled", flag).value().unwrap_or(true),
        max_keys_per_user: form.given("max_keys_per_user", number(0, KEYS_OF_USER_MOST)).value(),
        budget_ceiling: form.nested("budget_ceiling", ceiling).value(),
        require_expiry: form.given("require_expiry", flag).value().unwrap_or(false),
        max_expiry_days: form.given("max_expiry_days", number(1, DAYS_MOST)).value(),
    })
}

fn ceiling(form: &mut Form) -> Option<Ceiling> {
    let cap = form.required("usd", usd);
    let period = period(form).unwrap_or_default();
    Some(Ceiling { cap: cap?, period })
}

/// Reads a user.
///
/// # Errors
/// When any field cannot be accepted.
pub fn user_form(body: &[u8]) -> Result<UserForm, AdminError> {
    let mut form = Form::parse(body)?;
    let user = UserForm {
        name: form.given("name", text).value(),
        role: form.given("role", word(&Role::OF_USERS, Role::as_str)).value(),
        limits: shared_limits(&mut form),
    };
    form.finish()?;
    Ok(user)
}

/// Reads the role of a member of a team.
///
/// # Errors
/// When any field cannot be accepted.
pub fn member_form(body: &[u8]) -> Result<Role, AdminError> {
    let mut form = Form::parse(body)?;
    let role = form.required("role", word(&Role::OF_MEMBERS, Role::as_str));
    form.finish()?;
    role.ok_or_else(|| AdminError::Invalid(Vec::new()))
}

/// Reads a service account.
///
/// # Errors
/// When any field cannot be accepted.
pub fn service_account_form(body: &[u8]) -> Result<ServiceAccountForm, AdminError> {
    let mut form = Form::parse(body)?;
    let team = form.required("team", checked(TeamId::new));
    let name = form.required("name", |value| match text(value)? {
        name if name.trim().is_empty() => Err("must not be empty".to_owned()),
        name => Ok(name),
    });
    form.finish()?;
    match (team, name) {
        (Some(team), Some(name)) => Ok(ServiceAccountForm { team, name }),
        _ => Err(AdminError::Invalid(Vec::new())),
    }
}

/// Reads a personal token.
///
/// # Errors
/// When any field cannot be accepted.
pub fn token_form(body: &[u8]) -> Result<TokenForm, AdminError> {
    let mut form = parse_or_empty(body)?;
    let token = TokenForm {
        name: form.given("name", text).value().unwrap_or_default(),
        expires_unix_ms: form.given("expires_at", instant).value(),
    };
    form.finish()?;
    Ok(token)
}

/// Reads for how many seconds a rotated token goes on.
///
/// # Errors
/// When any field cannot be accepted.
pub fn overlap_form(body: &[u8]) -> Result<u64, AdminError> {
    let mut form = parse_or_empty(body)?;
    let overlap_s = form.given("overlap_s", number(0, OVERLAP_MOST_S)).value();
    form.finish()?;
    Ok(overlap_s.unwrap_or(0))
}

/// Reads settings of the server: for how many days the audit is kept.
///
/// # Errors
/// When any field cannot be accepted.
pub fn settings_form(body: &[u8]) -> Result<Option<u64>, AdminError> {
    let mut form = Form::parse(body)?;
    let days = form.given("audit_retention_days", number(1, DAYS_MOST)).value();
    form.finish()?;
    Ok(days)
}

/// Everything may be left out, the body as well.
fn parse_or_empty(body: &[u8]) -> Result<Form, AdminError> {
    Form::parse(if body.is_empty() { b"{}" } else { body })
}
