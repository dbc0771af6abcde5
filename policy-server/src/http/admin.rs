//! The admin API: `/admin/v1/…`, for holders of the admin token.

mod catalogue;
mod key_secrets;
mod keys;
mod money;
mod orgs;
mod requests;
mod tenancy;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde_json::{Map, Value};
use wire::Revision;

use super::answer::AdminProblem;
use super::edge::{Edge, bearer};
use super::query::Parameters;
use super::wait;
use crate::app::AdminError;
use crate::store::StoreError;

/// Descriptions that people write; a list of two thousand models fits.
const BODY_BYTES: usize = 1024 * 1024;

type Answer = Result<Json<Value>, AdminProblem>;
type Body = Result<Bytes, BytesRejection>;
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;
type Id = Result<Path<String>, PathRejection>;

/// Routes of the admin API; all but the health check need the token.
pub fn router(edge: Edge) -> Router {
    Router::new()
        .merge(keys::routes())
        .merge(key_secrets::routes())
        .merge(orgs::routes())
        .merge(tenancy::routes())
        .merge(catalogue::routes())
        .merge(money::routes())
        .merge(requests::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(edge.clone(), authorised))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .route("/healthz", routing::get(health))
        .with_state(edge)
}

async fn authorised(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()).map(<[u8]>::to_vec) else {
        return AdminProblem::bad_token().into_response();
    };
    let known: Result<bool, StoreError> = edge.read(move |work| work.is_admin_token(&token)).await;
    match known {
        Ok(true) => next.run(request).await,
        Ok(false) => AdminProblem::bad_token().into_response(),
        Err(error) => AdminProblem::from(AdminError::Store(error)).into_response(),
    }
}

/// Whether the store answers. Needs no token and says nothing else.
pub async fn health(State(edge): State<Edge>) -> Response {
    let answered: Result<(), AdminError> = edge.read(|work| work.check_store()).await;
    match answered {
        Ok(()) => super::filter::healthy(),
        Err(error) => AdminProblem::from(error).into_response(),
    }
}

async fn unknown_route() -> AdminProblem {
    let message = "there is no such route";
    AdminProblem::new(StatusCode::NOT_FOUND, "unknown_endpoint", message, None)
}

async fn wrong_method() -> AdminProblem {
    let message = "the route has no such method";
    AdminProblem::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_endpoint", message, None)
}

fn bytes(body: Body) -> Result<Bytes, AdminProblem> {
    body.map_err(|error| {
        let code = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            _ => "invalid_json",
        };
        AdminProblem::new(error.status(), code, error.body_text(), None)
    })
}

fn parameters(pairs: Pairs) -> Result<Parameters, AdminProblem> {
    match pairs {
        Ok(Query(pairs)) => Ok(Parameters::of(pairs)),
        Err(error) => Err(AdminProblem::new(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            error.body_text(),
            None,
        )),
    }
}

/// The id in the path. One that no id can be names nothing, so it is not found.
fn id<T, E>(
    what: &'static str,
    path: Id,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, AdminProblem> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    make(text.clone()).map_err(|_| AdminError::not_found(what, text).into())
}

/// The object after a change, with whether it is in force everywhere.
async fn applied(
    edge: &Edge,
    mut object: Map<String, Value>,
    revision: Revision,
    wait: std::time::Duration,
) -> Json<Value> {
    object.extend(wait::applied(edge, revision, wait).await);
    Json(Value::Object(object))
}
