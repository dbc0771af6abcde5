//! Keys that people make for themselves, within the policy of their team.

use metering::period::Period;
use wire::{OrgId, UserId};

use super::{AdminError, Changed, CreatedKey, FieldProblem, Given, KeyForm, Work};
use crate::permissions::Standing;
use crate::store::{Ceiling, SelfService, TeamRow};

/// Keys of one member in a team where the team does not say how many: more than anybody keeps track of,
/// and so few that nobody fills the server.
pub const OWN_KEYS_MOST: u64 = 100;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Work<'_> {
    /// Makes a key of whoever asks, who may make some in the team that the form names.
    ///
    /// Everything that the team's policy does not allow is named at once; what the whole team may
    /// not, or the user not any more, comes first and alone.
    ///
    /// # Errors
    /// When the policy does not allow it, or as [`Work::create_key`].
    pub fn create_own_key(
        &mut self,
        by: &Standing,
        mut form: KeyForm,
    ) -> Result<Changed<CreatedKey>, AdminError> {
        let (org, user) = own(by)?;
        self.permit_terms(by, &org, &form)?;
        let Some(team) = form.team.clone().value() else {
            return Err(AdminError::field("team", "team_required", "is required"));
        };
        let team = self.team(&org, &team)?;
        if team.suspended_unix_ms.is_some() {
            let message = format!("the team '{}' is suspended", team.id);
            return Err(AdminError::forbidden("team_suspended", message));
        }
        let policy = &team.self_service;
        if !policy.enabled {
            let message = format!("members of the team '{}' make no keys by themselves", team.id);
            return Err(AdminError::forbidden("self_service_disabled", message));
        }
        let most = policy.max_keys_per_user.unwrap_or(OWN_KEYS_MOST);
        if self.rows.count_of_user(&org, &user, Some(&team.id))? >= most {
            let message =
                format!("a member of the team '{}' has at most {most} keys there", team.id);
            return Err(AdminError::forbidden("self_service_key_limit", message));
        }
        let mut problems = Vec::new();
        if form.name.clone().value().is_none_or(|name| name.is_empty()) {
            problems.push(FieldProblem::with_code("name", "name_required", "is required"));
        }
        if form.org.as_ref().is_some_and(|given| *given != org) {
            let message = "must be your own organisation";
            problems.push(FieldProblem::with_code("org", "owner_not_caller", message));
        }
        if form.user.clone().value().is_some_and(|given| given != user) {
            let message = "must be yourself: a key for somebody else is made by an administrator";
            problems.push(FieldProblem::with_code("user", "owner_not_caller", message));
        }
        check_budget(policy, &form, &mut problems);
        check_expiry(policy, &form, self.now.unix_ms, &mut problems);
        check_limits(&team, &form, &mut problems);
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        form.org = Some(org);
        form.user = Given::Value(user);
        self.create_key(form)
    }
}

/// The user who asks.
///
/// # Errors
/// When the admin token asks, which belongs to nobody.
pub fn own(by: &Standing) -> Result<(OrgId, UserId), AdminError> {
    by.user.clone().ok_or_else(|| {
        let message = "the admin token belongs to no user: sign in with a personal token";
        AdminError::forbidden("no_user", message)
    })
}

fn check_budget(policy: &SelfService, form: &KeyForm, problems: &mut Vec<FieldProblem>) {
    let Some(ceiling) = policy.budget_ceiling else { return };
    let Some(budget) = form.budget.value() else {
        let message = format!("is required in this team: {}", say(&ceiling));
        return problems.push(FieldProblem::with_code("budget", "budget_required", message));
    };
    let period = budget.period.unwrap_or_default();
    if budget.cap > ceiling.cap || shortness(period) > shortness(ceiling.period) {
        let message = format!("must be {}", say(&ceiling));
        problems.push(FieldProblem::with_code("budget", "budget_above_ceiling", message));
    }
}

fn say(ceiling: &Ceiling) -> String {
    let usd = ceiling.cap.to_usd();
    match ceiling.period {
        Period::None => format!("at most {usd} USD in all"),
        period => format!("at most {usd} USD in a {}, or in a longer period", period.as_str()),
    }
}

/// Orders periods: the same amount in a shorter one allows more.
fn shortness(period: Period) -> u8 {
    match period {
        Period::None => 0,
        Period::Month => 1,
        Period::Week => 2,
        Period::Day => 3,
    }
}

fn check_expiry(
    policy: &SelfService,
    form: &KeyForm,
    now_unix_ms: u64,
    problems: &mut Vec<FieldProblem>,
) {
    let Some(expires) = form.expiry(now_unix_ms, &mut Vec::new()).value() else {
        if policy.require_expiry {
            let message = "is required in this team";
            problems.push(FieldProblem::with_code("expires_at", "expiry_required", message));
        }
        return;
    };
    if let Some(days) = policy.max_expiry_days
        && expires > now_unix_ms.saturating_add(days.saturating_mul(DAY_MS))
    {
        let message = format!("must be at most {days} days from now in this team");
        problems.push(FieldProblem::with_code("expires_at", "expiry_too_far", message));
    }
}

fn check_limits(team: &TeamRow, form: &KeyForm, problems: &mut Vec<FieldProblem>) {
    let Given::Value(limits) = &form.limits else { return };
    for (index, limit) in limits.iter().enumerate() {
        // What counts all models counts this one too.
        let above = team.limits.iter().filter(|other| {
            let same = other.unit == limit.unit && other.window == limit.window;
            let counts_it = other.model.is_none() || other.model == limit.model;
            same && counts_it && limit.max > other.max
        });
        if let Some(of_team) = above.min_by_key(|other| other.max) {
            let message = format!("{} is above the team's limit of {}", limit.max, of_team.max);
            let param = format!("limits[{index}].max");
            problems.push(FieldProblem::with_code(param, "limit_above_team", message));
        }
    }
}
