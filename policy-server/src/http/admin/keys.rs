//! `/admin/v1/keys`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use wire::{KeyId, OrgId};

use super::{Answer, Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{
    AdminError, Changed, CreatedKey, FieldProblem, KeyListing, KeyStatus, KeyView, Work,
};
use crate::http::answer::AdminProblem;
use crate::http::edge::Edge;
use crate::http::key_form::key_form;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/keys", get(list).post(create))
        .route("/admin/v1/keys/{id}", get(one).patch(patch).delete(delete))
        .route("/admin/v1/keys/{id}/rotate", post(rotate))
        .route("/admin/v1/keys/{id}/disable", post(disable))
        .route("/admin/v1/keys/{id}/enable", post(enable))
        .route("/admin/v1/keys/{id}/revoke", post(revoke))
        .route("/admin/v1/keys/{id}/release-parked", post(release_parked))
}

async fn list(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let words = KeyStatus::ALL.map(KeyStatus::as_str).join(", ");
    let listing = KeyListing {
        search: query.text("search"),
        status: query.parsed("status", &format!("must be one of {words}"), |text| {
            let mut all = KeyStatus::ALL.into_iter();
            all.find(|status| status.as_str() == text)
        }),
        org: query.parsed("org", "must be an id", |text| OrgId::new(text).ok()),
        before: query.position(),
        limit: query.limit(),
    };
    query.finish()?;
    let page = edge.read(move |work| work.keys(listing)).await?;
    Ok(Json(show::page(&page, show::key)))
}

async fn create(
    State(edge): State<Edge>,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let form = key_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.create_key(form)).await?;
    let shown = with_secret(&edge, changed, wait).await;
    Ok((StatusCode::CREATED, shown).into_response())
}

async fn one(State(edge): State<Edge>, path: Id) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let view = edge.read(move |work| work.key(&id)).await?;
    Ok(Json(show::key(&view).into()))
}

async fn patch(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let form = key_form(&bytes(body)?)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(if form.changes_permissions() { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    let changed = edge.write(move |work| work.patch_key(&id, form)).await?;
    Ok(applied(&edge, show::key(&changed.value), changed.revision, wait).await)
}

async fn rotate(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    no_fields(body)?;
    let changed = edge.write(move |work| work.rotate_key(&id)).await?;
    Ok(with_secret(&edge, changed, wait).await)
}

async fn disable(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    no_fields(body)?;
    end(edge, path, pairs, WAIT_DEFAULT, |work, id| work.disable_key(id)).await
}

async fn enable(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    no_fields(body)?;
    end(edge, path, pairs, Duration::ZERO, |work, id| work.enable_key(id)).await
}

async fn revoke(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    no_fields(body)?;
    end(edge, path, pairs, WAIT_DEFAULT, |work, id| work.revoke_key(id)).await
}

async fn delete(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    end(edge, path, pairs, WAIT_DEFAULT, |work, id| work.delete_key(id)).await
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

async fn end<F>(edge: Edge, path: Id, pairs: Pairs, default_wait: Duration, change: F) -> Answer
where
    F: FnOnce(&mut Work<'_>, &KeyId) -> Result<Changed<KeyView>, AdminError> + Send + 'static,
{
    let id = id("key", path, KeyId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(default_wait);
    query.finish()?;
    let changed = edge.write(move |work| change(work, &id)).await?;
    Ok(applied(&edge, show::key(&changed.value), changed.revision, wait).await)
}

/// The object with its secret: the only answers that ever hold one.
async fn with_secret(
    edge: &Edge,
    changed: Changed<CreatedKey>,
    wait: Duration,
) -> Json<serde_json::Value> {
    let mut object = show::key(&changed.value.view);
    object.insert("key".to_owned(), json!(changed.value.secret.expose()));
    applied(edge, object, changed.revision, wait).await
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
