//! `/admin/v1/plans`, `/admin/v1/groups`, `/admin/v1/aliases`, and what organisations, teams, users
//! and keys have of them.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use wire::{KeyId, ModelName, OrgId};

use super::tenancy::{Ids, team, user};
use super::{Answer, Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{AdminError, FieldProblem, KeyModelListing, Member};
use crate::entitlement::{GroupName, InvalidName, PlanId};
use crate::http::answer::AdminProblem;
use crate::http::edge::Edge;
use crate::http::plan_form::{
    alias_form, assignment_form, group_change, group_form, member_form, plan_form,
};
use crate::http::wait::WAIT_DEFAULT;
use crate::http::{show, show_entitlement};

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/plans", get(plans))
        .route("/admin/v1/plans/{id}", get(plan).put(put_plan).delete(delete_plan))
        .route("/admin/v1/orgs/{org}/plan", put(plan_org))
        .route("/admin/v1/groups", get(groups))
        .route(
            "/admin/v1/groups/{id}",
            get(group).put(put_group).patch(patch_group).delete(delete_group),
        )
        .route("/admin/v1/aliases", get(aliases))
        .route("/admin/v1/aliases/{id}", get(alias).put(point_alias).delete(remove_alias))
        .route("/admin/v1/orgs/{org}/teams/{team}", get(show_team).patch(patch_team))
        .route("/admin/v1/orgs/{org}/users/{user}", get(show_user).patch(patch_user))
        .route("/admin/v1/keys/{id}/models", get(key_models))
}

async fn plans(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let (after, limit) = page(pairs)?;
    let page = edge.read(move |work| work.plans(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show_entitlement::plan)))
}

async fn plan(State(edge): State<Edge>, path: Id) -> Answer {
    let id = id("plan", path, PlanId::new)?;
    let plan = edge.read(move |work| work.plan(&id)).await?;
    Ok(Json(show_entitlement::plan(&plan).into()))
}

async fn put_plan(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = chosen(path, PlanId::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let form = plan_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.put_plan(id, form)).await?;
    Ok(applied(&edge, show_entitlement::plan(&changed.value), changed.revision, wait).await)
}

async fn delete_plan(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let id = id("plan", path, PlanId::new)?;
    parameters(pairs)?.finish()?;
    let plan = edge.write(move |work| work.delete_plan(&id)).await?;
    Ok(Json(show_entitlement::plan(&plan).into()))
}

async fn plan_org(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let plan = assignment_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.plan_org(&id, plan)).await?;
    Ok(applied(&edge, show::org(&changed.value), changed.revision, wait).await)
}

async fn groups(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let (after, limit) = page(pairs)?;
    let page = edge.read(move |work| work.groups(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show_entitlement::group_row)))
}

async fn group(State(edge): State<Edge>, path: Id) -> Answer {
    let name = id("group", path, GroupName::new)?;
    let view = edge.read(move |work| work.group(&name)).await?;
    Ok(Json(show_entitlement::group(&view).into()))
}

async fn put_group(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let name = chosen(path, GroupName::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let (description, models) = group_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.put_group(name, description, models)).await?;
    Ok(applied(&edge, show_entitlement::group(&changed.value), changed.revision, wait).await)
}

async fn patch_group(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let name = id("group", path, GroupName::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let (description, models) = group_change(&bytes(body)?)?;
    let changed = edge.write(move |work| work.patch_group(&name, description, models)).await?;
    Ok(applied(&edge, show_entitlement::group(&changed.value), changed.revision, wait).await)
}

async fn delete_group(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let name = id("group", path, GroupName::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let changed = edge.write(move |work| work.delete_group(&name)).await?;
    Ok(applied(&edge, show_entitlement::group(&changed.value), changed.revision, wait).await)
}

async fn aliases(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let (after, limit) = page(pairs)?;
    let page = edge.read(move |work| work.aliases(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show_entitlement::alias)))
}

async fn alias(State(edge): State<Edge>, path: Id) -> Answer {
    let alias = id("alias", path, ModelName::new)?;
    let view = edge.read(move |work| work.alias(&alias)).await?;
    Ok(Json(show_entitlement::alias(&view).into()))
}

async fn point_alias(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let alias = path.map(|path| path.0).unwrap_or_default();
    let alias = ModelName::new(alias).ok().filter(|alias| alias.as_str() != "*");
    let Some(alias) = alias else {
        let message = "must be 1 to 256 visible ASCII characters, and not '*'";
        return Err(AdminError::Invalid(vec![FieldProblem::invalid("id", message)]).into());
    };
    let wait = wait(pairs, Duration::ZERO)?;
    let model = alias_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.point_alias(alias, &model)).await?;
    Ok(applied(&edge, show_entitlement::alias(&changed.value), changed.revision, wait).await)
}

async fn remove_alias(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let alias = id("alias", path, ModelName::new)?;
    let wait = wait(pairs, Duration::ZERO)?;
    let changed = edge.write(move |work| work.remove_alias(&alias)).await?;
    Ok(applied(&edge, show_entitlement::alias(&changed.value), changed.revision, wait).await)
}

async fn show_team(State(edge): State<Edge>, path: Ids) -> Answer {
    show_member(edge, team(path)?).await
}

async fn show_user(State(edge): State<Edge>, path: Ids) -> Answer {
    show_member(edge, user(path)?).await
}

async fn patch_team(State(edge): State<Edge>, path: Ids, pairs: Pairs, body: Body) -> Answer {
    patch_member(edge, team(path)?, pairs, body).await
}

async fn patch_user(State(edge): State<Edge>, path: Ids, pairs: Pairs, body: Body) -> Answer {
    patch_member(edge, user(path)?, pairs, body).await
}

async fn show_member(edge: Edge, (org, member): (OrgId, Member)) -> Answer {
    let view = edge.read(move |work| work.member_models(&org, member)).await?;
    Ok(Json(show_entitlement::member_models(&view).into()))
}

async fn patch_member(
    edge: Edge,
    (org, member): (OrgId, Member),
    pairs: Pairs,
    body: Body,
) -> Answer {
    let form = member_form(&bytes(body)?)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let changed = edge.write(move |work| work.restrict_member(&org, member, form)).await?;
    let shown = show_entitlement::member_models(&changed.value);
    Ok(applied(&edge, shown, changed.revision, wait).await)
}

async fn key_models(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let mut query = parameters(pairs)?;
    let allowed = query.parsed("allowed", "must be true or false", |text| text.parse().ok());
    let listing = KeyModelListing { allowed, after: query.text("cursor"), limit: query.limit() };
    query.finish()?;
    let view = edge.read(move |work| work.key_models(&id, &listing)).await?;
    Ok(Json(show_entitlement::key_models(&view)))
}

/// Which page of a list that is in the order of its ids.
fn page(pairs: Pairs) -> Result<(Option<String>, u32), AdminProblem> {
    let mut query = parameters(pairs)?;
    let page = (query.text("cursor"), query.limit());
    query.finish()?;
    Ok(page)
}

fn wait(pairs: Pairs, default: Duration) -> Result<Duration, AdminProblem> {
    let mut query = parameters(pairs)?;
    let wait = query.wait(default);
    query.finish()?;
    Ok(wait)
}

/// A name that is being chosen.
fn chosen<T>(
    path: Result<Path<String>, PathRejection>,
    make: impl FnOnce(String) -> Result<T, InvalidName>,
) -> Result<T, AdminProblem> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    make(text).map_err(|error| {
        AdminError::Invalid(vec![FieldProblem::invalid("id", error.to_string())]).into()
    })
}
