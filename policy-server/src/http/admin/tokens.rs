//! Personal tokens of users: `/admin/v1/orgs/{org}/users/{user}/tokens`.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use wire::{OrgId, UserId};

use super::{
    Answer, Body, Pairs, Routes, Visitor, bytes, ids, in_force, made, no_fields, only_wait,
    parameters,
};
use crate::app::{IssuedToken, Target};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::people_form::{self, overlap_form, token_form};
use crate::http::shapes_people::{ROTATED_TOKEN, SECRET_TOKEN, TOKEN};
use crate::http::{show, show_people};
use crate::permissions::Action::{TokensRead, TokensWrite};

type Ids = Result<Path<(String, String)>, PathRejection>;
type ThreeIds = Result<Path<(String, String, String)>, PathRejection>;

const LIST: &str = "/admin/v1/orgs/{org}/users/{user}/tokens";
const ONE: &str = "/admin/v1/orgs/{org}/users/{user}/tokens/{token}";
const ROTATE: &str = "/admin/v1/orgs/{org}/users/{user}/tokens/{token}/rotate";
const REVOKE: &str = "/admin/v1/orgs/{org}/users/{user}/tokens/{token}/revoke";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, TokensRead, list)
        .says(lists_tokens("Lists the tokens of a user"))
        .post(LIST, TokensWrite, "token.create", create)
        .says(issues("Makes a token for a user, which is shown once"))
        .get(ONE, TokensRead, one)
        .says(Operation::new("Shows a token of a user").shows(&TOKEN))
        .post(ROTATE, TokensWrite, "token.rotate", rotate)
        .says(rotates_token("Replaces a token by one that is shown once"))
        .post(REVOKE, TokensWrite, "token.revoke", revoke)
        .says(revokes_token("Revokes a token"))
}

/// What lists tokens takes and answers.
pub fn lists_tokens(summary: &'static str) -> Operation {
    Operation::new(summary).asks(|query| (query.position(), query.limit())).lists(&TOKEN)
}

/// What issues a token takes and answers.
pub fn issues(summary: &'static str) -> Operation {
    Operation::new(summary)
        .may_take(people_form::token)
        .makes_and_applies(&SECRET_TOKEN, Duration::ZERO)
        .or_repeats(&TOKEN)
}

/// What rotates a token takes and answers.
pub fn rotates_token(summary: &'static str) -> Operation {
    Operation::new(summary).may_take(people_form::overlap).applies(&ROTATED_TOKEN, Duration::ZERO)
}

/// What revokes a token answers.
pub fn revokes_token(summary: &'static str) -> Operation {
    Operation::new(summary).applies(&TOKEN, Duration::ZERO)
}

async fn list(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, user) = ids(path, ("organisation", OrgId::new), ("user", UserId::new))?;
    list_of(visitor, Target::User(org.clone(), user.clone()), org, user, pairs).await
}

/// Tokens of a user, for whoever may see the target.
pub async fn list_of(
    visitor: Visitor,
    target: Target,
    org: OrgId,
    user: UserId,
    pairs: Pairs,
) -> Answer {
    let mut query = parameters(pairs)?;
    let (before, limit) = (query.position(), query.limit());
    query.finish()?;
    let now = visitor.edge.now().unix_ms;
    let page = visitor.read(target, move |work, _| work.tokens(&org, &user, before, limit));
    Ok(Json(show::page(&page.await?, |token| show_people::token(token, now))))
}

async fn create(
    visitor: Visitor,
    path: Ids,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let (org, user) = ids(path, ("organisation", OrgId::new), ("user", UserId::new))?;
    create_for(visitor, Target::User(org.clone(), user.clone()), org, user, pairs, body).await
}

/// Issues a token for a user, for whoever may do so to the target.
pub async fn create_for(
    visitor: Visitor,
    target: Target,
    org: OrgId,
    user: UserId,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let wait = only_wait(pairs, Duration::ZERO)?;
    let form = token_form(&bytes(body)?);
    let now = visitor.edge.now().unix_ms;
    let issued = visitor.change(target, move |work, deed| {
        let issued = work.issue_token(&deed.by, deed.actor.name(), &org, &user, form?)?;
        deed.target = Target::Token(org, user, issued.row.id.clone());
        Ok(issued)
    });
    let shown = with_secret(&issued.await?, now);
    let shown = in_force(&visitor.edge, shown, wait).await;
    Ok((StatusCode::CREATED, shown).into_response())
}

async fn one(visitor: Visitor, path: ThreeIds) -> Answer {
    let (org, user, token) = token(path)?;
    let target = Target::Token(org.clone(), user.clone(), token.clone());
    let now = visitor.edge.now().unix_ms;
    let row = visitor.one(target, move |work| work.token(&org, &user, &token)).await?;
    Ok(Json(show_people::token(&row, now).into()))
}

async fn rotate(visitor: Visitor, path: ThreeIds, pairs: Pairs, body: Body) -> Answer {
    let (org, user, token) = token(path)?;
    let target = Target::Token(org.clone(), user.clone(), token.clone());
    rotate_of(visitor, target, (org, user, token), pairs, body).await
}

/// Rotates a token of a user, for whoever may do so to the target. The audit shows what became of
/// the old one; the answer is the new one.
pub async fn rotate_of(
    visitor: Visitor,
    target: Target,
    (org, user, token): (OrgId, UserId, String),
    pairs: Pairs,
    body: Body,
) -> Answer {
    let wait = only_wait(pairs, Duration::ZERO)?;
    let overlap_s = overlap_form(&bytes(body)?);
    let now = visitor.edge.now().unix_ms;
    let issued = visitor.change(target, move |work, deed| {
        let old = work.token(&org, &user, &token)?;
        let issued = work.rotate_token(&deed.by, deed.actor.name(), old, overlap_s?)?;
        deed.note("new_token", issued.row.id.clone());
        Ok(issued)
    });
    let shown = with_secret(&issued.await?, now);
    Ok(in_force(&visitor.edge, shown, wait).await)
}

async fn revoke(visitor: Visitor, path: ThreeIds, pairs: Pairs, body: Body) -> Answer {
    let (org, user, token) = token(path)?;
    let target = Target::Token(org.clone(), user.clone(), token.clone());
    revoke_of(visitor, target, (org, user, token), pairs, body).await
}

/// Revokes a token of a user, for whoever may do so to the target.
pub async fn revoke_of(
    visitor: Visitor,
    target: Target,
    (org, user, token): (OrgId, UserId, String),
    pairs: Pairs,
    body: Body,
) -> Answer {
    let wait = only_wait(pairs, Duration::ZERO)?;
    no_fields(body)?;
    let now = visitor.edge.now().unix_ms;
    let row = visitor.change(target, move |work, deed| {
        let token = work.token(&org, &user, &token)?;
        work.revoke_token(&deed.by, token)
    });
    let shown = show_people::token(&row.await?, now);
    Ok(in_force(&visitor.edge, shown, wait).await)
}

/// The only answers that ever hold the text of a token.
fn with_secret(issued: &IssuedToken, now_unix_ms: u64) -> Map<String, Value> {
    let mut shown = show_people::token(&issued.row, now_unix_ms);
    shown.insert("token".to_owned(), json!(issued.secret.expose()));
    shown
}

fn token(path: ThreeIds) -> Result<(OrgId, UserId, String), AdminProblem> {
    let (org, user, token) = path.map(|Path(texts)| texts).unwrap_or_default();
    let org = made("organisation", org, OrgId::new)?;
    Ok((org, made("user", user, UserId::new)?, token))
}
