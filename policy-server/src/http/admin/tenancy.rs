//! Budgets of teams and users: `/admin/v1/orgs/{org}/…`.

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use wire::{OrgId, TeamId, UserId};

use super::{Answer, Body, Pairs, Routes, Visitor, applied, bytes, parameters};
use crate::app::{AdminError, BudgetForm, FieldProblem, Member, Target};
use crate::http::answer::AdminProblem;
use crate::http::budget_form::{self, budget_form};
use crate::http::operation::Operation;
use crate::http::shapes::ACCOUNT;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;
use crate::permissions::Action::{BudgetsRead, BudgetsWrite, TeamsWrite, UsersWrite};

pub(super) type Ids = Result<Path<(String, String)>, PathRejection>;

const TEAM: &str = "/admin/v1/orgs/{org}/teams/{team}/budget";
const USER: &str = "/admin/v1/orgs/{org}/users/{user}/budget";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(TEAM, BudgetsRead, show_team)
        .says(Operation::new("Shows the budget of a team").shows(&ACCOUNT))
        .put(TEAM, BudgetsWrite, "budget.put", cap_team)
        .says(
            Operation::new("Caps what a team spends")
                .takes(budget_form::cap)
                .applies(&ACCOUNT, WAIT_DEFAULT),
        )
        .delete(TEAM, BudgetsWrite, "budget.remove", free_team)
        .says(Operation::new("Removes the cap of a team").applies(&ACCOUNT, WAIT_DEFAULT))
        .get(USER, BudgetsRead, show_user)
        .says(Operation::new("Shows the budget of a user").shows(&ACCOUNT))
        .put(USER, BudgetsWrite, "budget.put", cap_user)
        .says(
            Operation::new("Caps what a user spends")
                .takes(budget_form::cap)
                .applies(&ACCOUNT, WAIT_DEFAULT),
        )
        .delete(USER, BudgetsWrite, "budget.remove", free_user)
        .says(Operation::new("Removes the cap of a user").applies(&ACCOUNT, WAIT_DEFAULT))
}

async fn show_team(visitor: Visitor, path: Ids) -> Answer {
    show_budget(visitor, team(path)?).await
}

async fn show_user(visitor: Visitor, path: Ids) -> Answer {
    show_budget(visitor, user(path)?).await
}

async fn cap_team(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let form = budget_form(&bytes(body)?);
    cap(visitor, team(path)?, pairs, form.map(Some)).await
}

async fn cap_user(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let form = budget_form(&bytes(body)?);
    cap(visitor, user(path)?, pairs, form.map(Some)).await
}

async fn free_team(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    cap(visitor, team(path)?, pairs, Ok(None)).await
}

async fn free_user(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    cap(visitor, user(path)?, pairs, Ok(None)).await
}

async fn show_budget(visitor: Visitor, (org, member): (OrgId, Member)) -> Answer {
    let target = Target::Budget(member.budget(&org));
    let view = visitor.one(target, move |work| work.member_budget(&org, &member)).await?;
    Ok(Json(show::account(&view).into()))
}

async fn cap(
    visitor: Visitor,
    (org, member): (OrgId, Member),
    pairs: Pairs,
    form: Result<Option<BudgetForm>, AdminError>,
) -> Answer {
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let changed = visitor.change(Target::Budget(member.budget(&org)), move |work, deed| {
        let form = form?;
        // Whoever may not add teams and users does not add them by naming them.
        match &member {
            Member::Team(team) => {
                let target = Target::Team(org.clone(), team.clone());
                if !work.may(&deed.by, TeamsWrite, &target)? {
                    work.team(&org, team)?;
                }
            }
            Member::User(user) => {
                let target = Target::User(org.clone(), user.clone());
                if !work.may(&deed.by, UsersWrite, &target)? {
                    work.user(&org, user)?;
                }
            }
        }
        work.cap_member(&org, &member, form)
    });
    let changed = changed.await?;
    Ok(applied(&visitor.edge, show::account(&changed.value), changed.revision, wait).await)
}

pub(super) fn team(path: Ids) -> Result<(OrgId, Member), AdminProblem> {
    member(path, "team", |text| TeamId::new(text).map(Member::Team))
}

pub(super) fn user(path: Ids) -> Result<(OrgId, Member), AdminProblem> {
    member(path, "user", |text| UserId::new(text).map(Member::User))
}

/// Teams and users exist by being named, so one that no id can be is a mistake of the caller.
fn member<E: std::fmt::Display>(
    path: Ids,
    what: &'static str,
    make: impl FnOnce(String) -> Result<Member, E>,
) -> Result<(OrgId, Member), AdminProblem> {
    let (org, name) = path.map(|Path(ids)| ids).unwrap_or_default();
    let Ok(org) = OrgId::new(org.clone()) else {
        return Err(AdminError::not_found("organisation", org).into());
    };
    let invalid =
        |error: E| AdminError::Invalid(vec![FieldProblem::invalid(what, error.to_string())]);
    Ok((org, make(name).map_err(invalid)?))
}
