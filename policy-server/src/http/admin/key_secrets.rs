//! `/admin/v1/keys`, where secrets are made: the only answers that ever hold one.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use wire::KeyId;

use super::keys::{Tagged, shown, tagged};
use super::{Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{Changed, CreatedKey, KeyView, Once};
use crate::http::conditions::{idempotency, if_match};
use crate::http::edge::Edge;
use crate::http::key_form::{imported_key_form, key_form, rotation_form};
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;

/// Says that the request had been carried out before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/keys", post(create))
        .route("/admin/v1/keys/import", post(import))
        .route("/admin/v1/keys/{id}/rotate", post(rotate))
}

/// 201 with the secret; 200 without it where the same request had made the key before.
async fn create(State(edge): State<Edge>, pairs: Pairs, headers: HeaderMap, body: Body) -> Tagged {
    let body = bytes(body)?;
    let form = key_form(&body)?;
    let once = idempotency(&headers, "keys", &body)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    match edge.write(move |work| work.create_key_once(form, once)).await? {
        Once::Now(changed) => {
            let shown = with_secret(&edge, &changed, wait).await;
            Ok((StatusCode::CREATED, tagged(&changed.value.view, shown)).into_response())
        }
        Once::Before(changed) => again(&edge, &changed, wait).await,
    }
}

/// As [`create`], of a secret that is known by its digest only.
async fn import(State(edge): State<Edge>, pairs: Pairs, headers: HeaderMap, body: Body) -> Tagged {
    let body = bytes(body)?;
    let (form, secret) = imported_key_form(&body)?;
    let once = idempotency(&headers, "keys/import", &body)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    match edge.write(move |work| work.import_key_once(form, secret, once)).await? {
        Once::Now(changed) => {
            Ok((StatusCode::CREATED, shown(&edge, &changed, wait).await?).into_response())
        }
        Once::Before(changed) => again(&edge, &changed, wait).await,
    }
}

async fn rotate(
    State(edge): State<Edge>,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    let id = id("key", path, KeyId::new)?;
    let grace_ms = rotation_form(&bytes(body)?)?;
    let seen = if_match(&headers)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let changed = edge
        .write(move |work| {
            work.expect_key(&id, seen.as_ref())?;
            work.rotate_key(&id, grace_ms)
        })
        .await?;
    let shown = with_secret(&edge, &changed, wait).await;
    Ok(tagged(&changed.value.view, shown))
}

/// The key that the same request made before. Its secret was told then and is not known any more.
async fn again(edge: &Edge, changed: &Changed<KeyView>, wait: Duration) -> Tagged {
    let replayed = [(REPLAYED, HeaderValue::from_static("true"))];
    Ok((replayed, shown(edge, changed, wait).await?).into_response())
}

async fn with_secret(edge: &Edge, changed: &Changed<CreatedKey>, wait: Duration) -> Json<Value> {
    let mut object = show::key(&changed.value.view);
    object.insert("key".to_owned(), json!(changed.value.secret.expose()));
    applied(edge, object, changed.revision, wait).await
}
