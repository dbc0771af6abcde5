//! Members of teams, and service accounts.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use wire::{OrgId, TeamId, UserId};

use super::users::{delete_owner, stop_owner};
use super::{
    Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, ids, in_force, made, no_fields,
    only_wait, parameters,
};
use crate::app::{AdminError, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::people_form::{self, member_form, service_account_form};
use crate::http::shapes_people::{self, DELETED_ACCOUNT, FORMER_MEMBER};
use crate::http::wait::WAIT_DEFAULT;
use crate::http::{show, show_people};
use crate::permissions::Action::{MembersRead, MembersWrite};
use crate::permissions::Standing;

type Ids = Result<Path<(String, String)>, PathRejection>;
type ThreeIds = Result<Path<(String, String, String)>, PathRejection>;

const MEMBERS: &str = "/admin/v1/orgs/{org}/teams/{team}/members";
const MEMBER: &str = "/admin/v1/orgs/{org}/teams/{team}/members/{user}";
const ACCOUNTS: &str = "/admin/v1/orgs/{org}/service-accounts";
const ACCOUNT: &str = "/admin/v1/orgs/{org}/service-accounts/{account}";
const SUSPEND: &str = "/admin/v1/orgs/{org}/service-accounts/{account}/suspend";
const RESUME: &str = "/admin/v1/orgs/{org}/service-accounts/{account}/resume";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(MEMBERS, MembersRead, list)
        .says(Operation::new("Lists the members of a team").pages(&shapes_people::MEMBER))
        .get(MEMBER, MembersRead, one)
        .says(Operation::new("Shows a member of a team").shows(&shapes_people::MEMBER))
        .put(MEMBER, MembersWrite, "member.put", put)
        .says(
            Operation::new("Adds a user to a team, or changes the role there")
                .takes(people_form::member)
                .applies(&shapes_people::MEMBER, Duration::ZERO),
        )
        .delete(MEMBER, MembersWrite, "member.remove", remove)
        .says(
            Operation::new("Removes a user from a team; his keys in it end")
                .applies(&FORMER_MEMBER, WAIT_DEFAULT),
        )
        .get(ACCOUNTS, MembersRead, list_accounts)
        .says(
            Operation::new("Lists the service accounts of an organisation")
                .pages(&shapes_people::ACCOUNT),
        )
        .post(ACCOUNTS, MembersWrite, "service_account.create", create_account)
        .says(
            Operation::new("Makes a service account")
                .takes(people_form::service_account)
                .makes_and_applies(&shapes_people::ACCOUNT, Duration::ZERO)
                .or_repeats(&shapes_people::ACCOUNT),
        )
        .get(ACCOUNT, MembersRead, one_account)
        .says(Operation::new("Shows a service account").shows(&shapes_people::ACCOUNT))
        .delete(ACCOUNT, MembersWrite, "service_account.delete", delete_account)
        .says(
            Operation::new("Deletes a service account; its keys end")
                .applies(&DELETED_ACCOUNT, WAIT_DEFAULT),
        )
        .post(SUSPEND, MembersWrite, "service_account.suspend", suspend_account)
        .says(
            Operation::new("Stops every key of a service account")
                .applies(&shapes_people::ACCOUNT, WAIT_DEFAULT),
        )
        .post(RESUME, MembersWrite, "service_account.resume", resume_account)
        .says(
            Operation::new("Lets the keys of a service account go on")
                .applies(&shapes_people::ACCOUNT, Duration::ZERO),
        )
}

async fn list(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, team) = ids(path, ("organisation", OrgId::new), ("team", TeamId::new))?;
    let mut query = parameters(pairs)?;
    let (after, limit) = (query.text("cursor"), query.limit());
    query.finish()?;
    let target = Target::Team(org.clone(), team.clone());
    let page =
        visitor.read(target, move |work, _| work.members(&org, &team, after.as_deref(), limit));
    Ok(Json(show::page(&page.await?, show_people::member)))
}

async fn one(visitor: Visitor, path: ThreeIds) -> Answer {
    let (org, team, user) = member(path)?;
    let target = Target::Member(org.clone(), team.clone(), user.clone());
    let row = visitor.one(target, move |work| work.membership(&org, &team, &user)).await?;
    Ok(Json(show_people::member(&row).into()))
}

async fn put(visitor: Visitor, path: ThreeIds, pairs: Pairs, body: Body) -> Answer {
    let (org, team, user) = member(path)?;
    let wait = only_wait(pairs, Duration::ZERO)?;
    let role = member_form(&bytes(body)?);
    let target = Target::Member(org.clone(), team.clone(), user.clone());
    let row = visitor
        .change(target, move |work, deed| work.put_member(&deed.by, &org, &team, &user, role?));
    let row = row.await?;
    Ok(in_force(&visitor.edge, show_people::member(&row), wait).await)
}

/// The member's keys in the team end as well; the answer says how many.
async fn remove(visitor: Visitor, path: ThreeIds, pairs: Pairs) -> Answer {
    let (org, team, user) = member(path)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let target = Target::Member(org.clone(), team.clone(), user.clone());
    let changed = visitor.change(target, move |work, deed| {
        let changed = work.remove_member(&deed.by, &org, &team, &user)?;
        deed.note("revoked_keys", changed.value.revoked_keys);
        Ok(changed)
    });
    let changed = changed.await?;
    let mut shown = show_people::member(&changed.value.membership);
    shown.insert("revoked_keys".to_owned(), json!(changed.value.revoked_keys));
    Ok(applied(&visitor.edge, shown, changed.revision, wait).await)
}

async fn list_accounts(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let (after, limit) = (query.text("cursor"), query.limit());
    query.finish()?;
    let page = visitor
        .list(Some(org.clone()), move |work, sight| work.users(&sight, &org, true, after, limit));
    Ok(Json(show::page(&page.await?, show_people::user)))
}

async fn create_account(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let org = id("organisation", path, OrgId::new)?;
    let wait = only_wait(pairs, Duration::ZERO)?;
    let form = match service_account_form(&bytes(body)?) {
        Ok(form) => form,
        Err(error) => return visitor.unreadable(error).await,
    };
    let target = Target::Team(org.clone(), form.team.clone());
    let row = visitor.change(target, move |work, deed| {
        let row = work.create_service_account(&org, form)?;
        deed.target = Target::ServiceAccount(org, row.id.clone());
        Ok(row)
    });
    let row = row.await?;
    let shown = in_force(&visitor.edge, show_people::user(&row), wait).await;
    Ok((StatusCode::CREATED, shown).into_response())
}

async fn one_account(visitor: Visitor, path: Ids) -> Answer {
    let (org, user) = account(path)?;
    let target = Target::ServiceAccount(org.clone(), user.clone());
    let row = visitor.one(target, move |work| work.service_account(&org, &user)).await?;
    Ok(Json(show_people::user(&row).into()))
}

/// Its keys end as well; the answer says how many.
async fn delete_account(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, user) = account(path)?;
    let target = Target::ServiceAccount(org.clone(), user.clone());
    delete_owner(visitor, target, (org, user), pairs, is_account).await
}

async fn suspend_account(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    stop_account(visitor, path, pairs, body, true).await
}

async fn resume_account(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    stop_account(visitor, path, pairs, body, false).await
}

async fn stop_account(visitor: Visitor, path: Ids, pairs: Pairs, body: Body, stop: bool) -> Answer {
    let (org, user) = account(path)?;
    no_fields(body)?;
    let target = Target::ServiceAccount(org.clone(), user.clone());
    stop_owner(visitor, target, (org, user), pairs, stop, is_account).await
}

fn is_account(
    work: &mut Work<'_>,
    _: &Standing,
    org: &OrgId,
    user: &UserId,
) -> Result<(), AdminError> {
    work.service_account(org, user).map(drop)
}

fn account(path: Ids) -> Result<(OrgId, UserId), AdminProblem> {
    ids(path, ("organisation", OrgId::new), ("service account", UserId::new))
}

fn member(path: ThreeIds) -> Result<(OrgId, TeamId, UserId), AdminProblem> {
    let (org, team, user) = path.map(|Path(texts)| texts).unwrap_or_default();
    Ok((
        made("organisation", org, OrgId::new)?,
        made("team", team, TeamId::new)?,
        made("user", user, UserId::new)?,
    ))
}
