//! The admin API: `/admin/v1/…`, for holders of the admin token and of personal tokens.

mod audit;
mod catalogue;
mod entitlement;
mod filter_configuration;
mod key_secrets;
mod key_test;
mod keys;
mod me;
mod members;
mod money;
mod orgs;
mod requests;
mod routes;
mod teams;
mod tenancy;
mod terms;
mod tokens;
mod trail;
mod users;
mod visitor;
mod wallets;
mod webhooks;

use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde_json::{Map, Value};
use wire::Revision;

use super::answer::AdminProblem;
use super::edge::{Edge, bearer};
use super::query::Parameters;
use super::{openapi, wait};
use crate::app::{AdminError, FieldProblem, token_prefix};
use crate::connections::TooSlow;
pub(super) use routes::Described;
pub use routes::Need;
use routes::Routes;
use visitor::Caller;
pub(super) use visitor::Visitor;

/// Descriptions that people write; a list of two thousand models fits.
const BODY_BYTES: usize = 1024 * 1024;

type Answer = Result<Json<Value>, AdminProblem>;
type Body = Result<Bytes, BytesRejection>;
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;
type Id = Result<Path<String>, PathRejection>;

fn routes() -> Routes {
    let families = [
        me::routes,
        keys::routes,
        key_secrets::routes,
        key_test::routes,
        orgs::routes,
        teams::routes,
        members::routes,
        users::routes,
        tokens::routes,
        tenancy::routes,
        wallets::routes,
        webhooks::routes,
        catalogue::routes,
        money::routes,
        entitlement::routes,
        requests::routes,
        audit::routes,
        filter_configuration::routes,
    ];
    families.into_iter().fold(Routes::default(), |routes, add| add(routes))
}

/// Every route that needs a permission, and which: all but the health check.
#[must_use]
pub fn needs() -> Vec<Need> {
    routes().into_list().into_iter().map(|(need, _)| need).collect()
}

/// The OpenAPI document of the admin API, as JSON. It is made once: it says of every server of this
/// version the same.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> =
        LazyLock::new(|| openapi::document(routes().into_list()).to_string());
    &DOCUMENT
}

/// Routes of the admin API; all but the health check and the document need a token.
pub fn router(edge: Edge) -> Router {
    routes()
        .into_router()
        // Of routes only: what is not there has no terms.
        .route_layer(from_fn_with_state(edge.clone(), terms::on_terms))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(edge.clone(), signed_in))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .route("/healthz", routing::get(health))
        .route("/openapi.json", routing::get(show_document))
        .with_state(edge)
}

/// Lets those in who present a token that holds. What they may do is decided per route.
async fn signed_in(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()).map(<[u8]>::to_vec) else {
        return AdminProblem::bad_token().into_response();
    };
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = connection.map(|connection| connection.0.ip().to_canonical());
    let digest = metering::api_key::digest(&token);
    let prefix = token_prefix(&token).map(str::to_owned);
    let now_ms = edge.now().monotonic_ms;
    let checked = edge.attempts().check(address, prefix.as_deref(), &digest, now_ms);
    if let Err(too_many) = checked {
        return AdminProblem::too_many_attempts(too_many.retry_after_ms).into_response();
    }
    let signed_in = edge.look(move |work| {
        let signed_in = work.sign_in(&token)?;
        let token = signed_in.token.filter(|token| work.use_is_news(token, address));
        Ok((signed_in.actor, token.map(|token| token.id)))
    });
    let (actor, used) = match signed_in.await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            if let AdminError::SignIn { code, .. } = &error {
                edge.attempts().failed(address, prefix.as_deref(), &digest, now_ms);
                tracing::warn!(code, ?address, ?prefix, "somebody could not sign in");
            }
            return AdminProblem::from(error).into_response();
        }
    };
    edge.attempts().succeeded(&digest, now_ms);
    if let Some(id) = used {
        let noted: Result<(), AdminError> =
            edge.write(move |work| work.note_use(&id, address)).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "the use of a token could not be noted");
        }
    }
    request.extensions_mut().insert(Caller { actor, address });
    next.run(request).await
}

/// Whether the store answers. Needs no token and says nothing else.
pub async fn health(State(edge): State<Edge>) -> Response {
    let answered: Result<(), AdminError> = edge.look(|work| work.check_store()).await;
    match answered {
        Ok(()) => super::filter::healthy(),
        Err(error) => AdminProblem::from(error).into_response(),
    }
}

/// What the API takes and answers. Needs no token: tools ask for it before they have one, and it says
/// nothing of what this server holds.
async fn show_document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
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
        if TooSlow::caused(&error) {
            return AdminProblem::body_timeout();
        }
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

/// Reads the whole query.
fn asked<T>(pairs: Pairs, read: impl FnOnce(&mut Parameters) -> T) -> Result<T, AdminProblem> {
    let mut query = parameters(pairs)?;
    let asked = read(&mut query);
    query.finish()?;
    Ok(asked)
}

/// The id in the path. One that no id can be names nothing, so it is not found.
fn id<T, E>(
    what: &'static str,
    path: Id,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, AdminProblem> {
    made(what, path.map(|Path(text)| text).unwrap_or_default(), make)
}

/// Two ids in the path, the second within the first.
fn ids<A, B, E, F>(
    path: Result<Path<(String, String)>, PathRejection>,
    (outer, make_outer): (&'static str, impl FnOnce(String) -> Result<A, E>),
    (inner, make_inner): (&'static str, impl FnOnce(String) -> Result<B, F>),
) -> Result<(A, B), AdminProblem> {
    let (first, second) = path.map(|Path(texts)| texts).unwrap_or_default();
    Ok((made(outer, first, make_outer)?, made(inner, second, make_inner)?))
}

fn made<T, E>(
    what: &'static str,
    text: String,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, AdminProblem> {
    make(text.clone()).map_err(|_| AdminError::not_found(what, text).into())
}

/// These routes take nothing; a body that says more would be ignored silently.
fn no_fields(body: Body) -> Result<(), AdminProblem> {
    let bytes = bytes(body)?;
    let empty = bytes.is_empty()
        || serde_json::from_slice::<Map<_, Value>>(&bytes).is_ok_and(|fields| fields.is_empty());
    if empty {
        return Ok(());
    }
    let message = "this route takes no body";
    let problem = FieldProblem::with_code("", "unknown_field", message);
    Err(AdminError::Invalid(vec![problem]).into())
}

/// The `wait` of a request that takes nothing else.
fn only_wait(
    pairs: Pairs,
    default: std::time::Duration,
) -> Result<std::time::Duration, AdminProblem> {
    let mut query = parameters(pairs)?;
    let wait = query.wait(default);
    query.finish()?;
    Ok(wait)
}

/// The object after a change of which no filter has to hear, with whether everything before it is in
/// force everywhere.
async fn in_force(
    edge: &Edge,
    object: Map<String, Value>,
    wait: std::time::Duration,
) -> Json<Value> {
    let revision = edge.shared.live().revision();
    applied(edge, object, revision, wait).await
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
