//! The JSON by which administrators describe teams, users, tokens and settings.

use wire::TeamId;

use super::budget_form::{period, usd};
use super::form::Form;
use super::key_form::{instant, shared_limits};
use super::reader::{boolean, id, line, number, word};
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
    Form::read(body, team)
}

/// The fields of a team.
pub fn team(form: &mut Form) -> Option<TeamForm> {
    Some(TeamForm {
        name: form.given("name", line()).value(),
        limits: shared_limits(form),
        self_service: form.nested("self_service", self_service),
    })
}

fn self_service(form: &mut Form) -> Option<SelfService> {
    Some(SelfService {
        enabled: form.given("enabled", boolean()).value().unwrap_or(true),
        max_keys_per_user: form.given("max_keys_per_user", number(0, KEYS_OF_USER_MOST)).value(),
        budget_ceiling: form.nested("budget_ceiling", ceiling).value(),
        require_expiry: form.given("require_expiry", boolean()).value().unwrap_or(false),
        max_expiry_days: form.given("max_expiry_days", number(1, DAYS_MOST)).value(),
    })
}

fn ceiling(form: &mut Form) -> Option<Ceiling> {
    let cap = form.required("usd", usd());
    let period = period(form).unwrap_or_default();
    Some(Ceiling { cap: cap?, period })
}

/// Reads a user.
///
/// # Errors
/// When any field cannot be accepted.
pub fn user_form(body: &[u8]) -> Result<UserForm, AdminError> {
    Form::read(body, user)
}

/// The fields of a user.
pub fn user(form: &mut Form) -> Option<UserForm> {
    Some(UserForm {
        name: form.given("name", line()).value(),
        role: form.given("role", word(&Role::OF_USERS, Role::as_str)).value(),
        limits: shared_limits(form),
    })
}

/// Reads the role of a member of a team.
///
/// # Errors
/// When any field cannot be accepted.
pub fn member_form(body: &[u8]) -> Result<Role, AdminError> {
    Form::read(body, member)
}

/// The fields of a membership.
pub fn member(form: &mut Form) -> Option<Role> {
    form.required("role", word(&Role::OF_MEMBERS, Role::as_str))
}

/// Reads a service account.
///
/// # Errors
/// When any field cannot be accepted.
pub fn service_account_form(body: &[u8]) -> Result<ServiceAccountForm, AdminError> {
    Form::read(body, service_account)
}

/// The fields of a service account.
pub fn service_account(form: &mut Form) -> Option<ServiceAccountForm> {
    let a_name = |name: String| match name {
        name if name.trim().is_empty() => Err("must not be empty".to_owned()),
        name => Ok(name),
    };
    let team = form.required("team", id(TeamId::LONGEST, TeamId::new));
    let name = form.required("name", line().then(a_name));
    Some(ServiceAccountForm { team: team?, name: name? })
}

/// Reads a personal token.
///
/// # Errors
/// When any field cannot be accepted.
pub fn token_form(body: &[u8]) -> Result<TokenForm, AdminError> {
    Form::read_or_empty(body, token)
}

/// The fields of a personal token.
pub fn token(form: &mut Form) -> Option<TokenForm> {
    Some(TokenForm {
        name: form.given("name", line()).value().unwrap_or_default(),
        expires_unix_ms: form.given("expires_at", instant()).value(),
    })
}

/// Reads for how many seconds a rotated token goes on.
///
/// # Errors
/// When any field cannot be accepted.
pub fn overlap_form(body: &[u8]) -> Result<u64, AdminError> {
    Form::read_or_empty(body, overlap)
}

/// The fields of a rotation.
pub fn overlap(form: &mut Form) -> Option<u64> {
    Some(form.given("overlap_s", number(0, OVERLAP_MOST_S)).value().unwrap_or(0))
}

/// Reads settings of the server: for how many days the audit is kept.
///
/// # Errors
/// When any field cannot be accepted.
pub fn settings_form(body: &[u8]) -> Result<Option<u64>, AdminError> {
    Form::read(body, settings)
}

/// The fields of the settings.
pub fn settings(form: &mut Form) -> Option<Option<u64>> {
    Some(form.given("audit_retention_days", number(1, DAYS_MOST)).value())
}
