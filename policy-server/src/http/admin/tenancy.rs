//! Budgets of teams and users, and wallets: `/admin/v1/orgs/{org}/…`.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use wire::{OrgId, TeamId, UserId};

use super::{Answer, Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{AdminError, BudgetForm, FieldProblem, Member};
use crate::http::answer::AdminProblem;
use crate::http::budget_form::{budget_form, top_up_form};
use crate::http::edge::Edge;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;

pub(super) type Ids = Result<Path<(String, String)>, PathRejection>;

pub fn routes() -> Router<Edge> {
    let team = get(show_team).put(cap_team).delete(free_team);
    let user = get(show_user).put(cap_user).delete(free_user);
    Router::new()
        .route("/admin/v1/orgs/{org}/teams/{team}/budget", team)
        .route("/admin/v1/orgs/{org}/users/{user}/budget", user)
        .route("/admin/v1/orgs/{org}/wallet", get(wallet))
        .route("/admin/v1/orgs/{org}/wallet/top-ups", post(top_up).get(top_ups))
}

async fn show_team(State(edge): State<Edge>, path: Ids) -> Answer {
    show_budget(edge, team(path)?).await
}

async fn show_user(State(edge): State<Edge>, path: Ids) -> Answer {
    show_budget(edge, user(path)?).await
}

async fn cap_team(State(edge): State<Edge>, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let form = budget_form(&bytes(body)?)?;
    cap(edge, team(path)?, pairs, Some(form)).await
}

async fn cap_user(State(edge): State<Edge>, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let form = budget_form(&bytes(body)?)?;
    cap(edge, user(path)?, pairs, Some(form)).await
}

async fn free_team(State(edge): State<Edge>, path: Ids, pairs: Pairs) -> Answer {
    cap(edge, team(path)?, pairs, None).await
}

async fn free_user(State(edge): State<Edge>, path: Ids, pairs: Pairs) -> Answer {
    cap(edge, user(path)?, pairs, None).await
}

async fn show_budget(edge: Edge, (org, member): (OrgId, Member)) -> Answer {
    let view = edge.read(move |work| work.member_budget(&org, &member)).await?;
    Ok(Json(show::account(&view).into()))
}

async fn cap(
    edge: Edge,
    (org, member): (OrgId, Member),
    pairs: Pairs,
    form: Option<BudgetForm>,
) -> Answer {
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let changed = edge.write(move |work| work.cap_member(&org, &member, form)).await?;
    Ok(applied(&edge, show::account(&changed.value), changed.revision, wait).await)
}

async fn wallet(State(edge): State<Edge>, path: Id) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let view = edge.read(move |work| work.wallet(&org)).await?;
    Ok(Json(show::account(&view).into()))
}

async fn top_ups(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let (before, limit) = (query.position(), query.limit());
    query.finish()?;
    let page = edge.read(move |work| work.top_ups(&org, before, limit)).await?;
    Ok(Json(show::page(&page, show::wallet_entry)))
}

/// 201 with the entry and the wallet; 200 where this id had been added before.
async fn top_up(
    State(edge): State<Edge>,
    path: Id,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let org = id("organisation", path, OrgId::new)?;
    let form = top_up_form(&bytes(body)?)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let changed = edge.write(move |work| work.top_up(&org, form)).await?;
    let mut object = show::wallet_entry(&changed.value.entry);
    object.insert("wallet".to_owned(), json!(show::account(&changed.value.wallet)));
    let shown = applied(&edge, object, changed.revision, wait).await;
    let status = if changed.value.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, shown).into_response())
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
