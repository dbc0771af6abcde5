//! `/admin/v1/keys`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use wire::{KeyId, OrgId, TeamId, UserId};

use super::{Answer, Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{
    AdminError, Changed, FieldProblem, KeyListing, KeyOrder, KeyStatus, KeyView, Work,
};
use crate::http::answer::AdminProblem;
use crate::http::conditions::{etag, if_match};
use crate::http::edge::Edge;
use crate::http::key_form::key_form;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;

/// An answer with a tag.
pub type Tagged = Result<Response, AdminProblem>;

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/keys", get(list))
        .route("/admin/v1/keys/counts", get(counts))
        .route("/admin/v1/keys/{id}", get(one).patch(patch).delete(delete))
        .route("/admin/v1/keys/{id}/disable", post(disable))
        .route("/admin/v1/keys/{id}/enable", post(enable))
        .route("/admin/v1/keys/{id}/revoke", post(revoke))
        .route("/admin/v1/keys/{id}/release-parked", post(release_parked))
}

async fn list(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    const AN_ID: &str = "must be an id";
    let mut query = parameters(pairs)?;
    let words = KeyStatus::ALL.map(KeyStatus::as_str).join(", ");
    let orders = KeyOrder::ALL.map(KeyOrder::as_str).join(", ");
    let listing = KeyListing {
        search: query.text("search"),
        status: query.parsed("status", &format!("must be one of {words}"), KeyStatus::parse),
        org: query.parsed("org", AN_ID, |text| OrgId::new(text).ok()),
        team: query.parsed("team", AN_ID, |text| TeamId::new(text).ok()),
        user: query.parsed("user", AN_ID, |text| UserId::new(text).ok()),
        tag: query.text("tag"),
        order: query
            .parsed("order", &format!("must be one of {orders}"), KeyOrder::parse)
            .unwrap_or_default(),
        cursor: query.text("cursor"),
        limit: query.limit(),
    };
    query.finish()?;
    let page = edge.read(move |work| work.keys(listing)).await?;
    Ok(Json(show::page(&page, show::key)))
}

async fn counts(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let org = query.parsed("org", "must be an id", |text| OrgId::new(text).ok());
    query.finish()?;
    let counts = edge.read(move |work| work.key_counts(org.as_ref())).await?;
    Ok(Json(show::key_counts(&counts)))
}

async fn one(State(edge): State<Edge>, path: Id) -> Tagged {
    let id = id("key", path, KeyId::new)?;
    let view = edge.read(move |work| work.key(&id)).await?;
    Ok(tagged(&view, Json(show::key(&view).into())))
}

async fn patch(
    State(edge): State<Edge>,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    let id = id("key", path, KeyId::new)?;
    let form = key_form(&bytes(body)?)?;
    let seen = if_match(&headers)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(if form.changes_permissions() { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    let changed = edge
        .write(move |work| {
            work.expect_key(&id, seen.as_ref())?;
            work.patch_key(&id, form)
        })
        .await?;
    shown(&edge, &changed, wait).await
}

async fn disable(
    State(edge): State<Edge>,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    no_fields(body)?;
    end(edge, path, pairs, &headers, WAIT_DEFAULT, |work, id| work.disable_key(id)).await
}

async fn enable(
    State(edge): State<Edge>,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    no_fields(body)?;
    end(edge, path, pairs, &headers, Duration::ZERO, |work, id| work.enable_key(id)).await
}

async fn revoke(
    State(edge): State<Edge>,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    no_fields(body)?;
    end(edge, path, pairs, &headers, WAIT_DEFAULT, |work, id| work.revoke_key(id)).await
}

async fn delete(State(edge): State<Edge>, path: Id, pairs: Pairs, headers: HeaderMap) -> Tagged {
    end(edge, path, pairs, &headers, WAIT_DEFAULT, |work, id| work.delete_key(id)).await
}

/// Released money is room at once; no filter holds anything that it would have to forget.
async fn release_parked(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("key", path, KeyId::new)?;
    parameters(pairs)?.finish()?;
    no_fields(body)?;
    let released = edge.write(move |work| work.release_parked(&id)).await?;
    Ok(Json(json!({
        "released_shares": released.shares,
        "released_usd": released.amount.to_usd(),
        "more": released.more,
    })))
}

async fn end<F>(
    edge: Edge,
    path: Id,
    pairs: Pairs,
    headers: &HeaderMap,
    default_wait: Duration,
    change: F,
) -> Tagged
where
    F: FnOnce(&mut Work<'_>, &KeyId) -> Result<Changed<KeyView>, AdminError> + Send + 'static,
{
    let id = id("key", path, KeyId::new)?;
    let seen = if_match(headers)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(default_wait);
    query.finish()?;
    let changed = edge
        .write(move |work| {
            work.expect_key(&id, seen.as_ref())?;
            change(work, &id)
        })
        .await?;
    shown(&edge, &changed, wait).await
}

/// A changed key, with whether the change is in force everywhere.
pub async fn shown(edge: &Edge, changed: &Changed<KeyView>, wait: Duration) -> Tagged {
    let view = &changed.value;
    Ok(tagged(view, applied(edge, show::key(view), changed.revision, wait).await))
}

/// The answer with the tag of the key's version.
pub fn tagged(view: &KeyView, shown: Json<Value>) -> Response {
    ([(header::ETAG, etag(view.key.version))], shown).into_response()
}

/// These routes take nothing; a body that says more would be ignored silently.
fn no_fields(body: Body) -> Result<(), AdminProblem> {
    let bytes = bytes(body)?;
    let empty = bytes.is_empty()
        || serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&bytes)
            .is_ok_and(|fields| fields.is_empty());
    if empty {
        return Ok(());
    }
    let message = "this route takes no body";
    let problem = FieldProblem::with_code("", "unknown_field", message);
    Err(AdminError::Invalid(vec![problem]).into())
}
