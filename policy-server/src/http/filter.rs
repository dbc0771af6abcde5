//! The filter API: `/proxy/v1/…`, for holders of the filter token.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;
use wire::v1::{
    AdmitReply, AdmitRequest, Catalogue, ChangesReply, ExchangeReply, ExchangeRequest, LeaseAnswer,
    LeaseReply, LeaseRequest, RegisterReply, RegisterRequest, ReportReply, ReportRequest,
    UsageReply, UsageRequest,
};
use wire::{Epoch, HolderId, PROTOCOL_VERSION, Revision};

use super::answer::FilterProblem;
use super::edge::{Edge, bearer};
use crate::app::FilterError;
use crate::connections::TooSlow;
use crate::settings::Presented;
use crate::traces;

/// A report of a thousand leases and a thousand ended calls, every text as long as it may be, with
/// as much of what callers say of their calls as a filter puts into one report (512 KiB).
const BODY_BYTES: usize = 3 * 1024 * 1024;

/// The longest a poll is held: below the idle timeouts of common proxies (30 s and more).
const WAIT_MOST: Duration = Duration::from_secs(25);

/// How long a call waits for money that is only set aside for others. Short: the client's own
/// request waits with it, and most calls end and report within it or not for long.
const MONEY_WAIT: Duration = Duration::from_millis(250);

type Answer<T> = Result<Json<T>, FilterProblem>;
type Body = Result<Bytes, BytesRejection>;

/// Routes of the filter API; all but the health check need the token.
pub fn router(edge: Edge) -> Router {
    Router::new()
        .route("/proxy/v1/holders", post(register))
        .route("/proxy/v1/admit", post(admit))
        .route("/proxy/v1/leases", post(lease))
        .route("/proxy/v1/reports", post(report))
        .route("/proxy/v1/changes", get(changes))
        .route("/proxy/v1/catalogue", get(catalogue))
        .route("/proxy/v1/usage", post(usage))
        .route("/proxy/v1/exchange", post(exchange))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(edge.clone(), authorised))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .route("/healthz", get(super::admin::health))
        .with_state(edge)
}

async fn authorised(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    match bearer(request.headers()).and_then(|token| edge.filter_token.admits(token)) {
        None => return FilterProblem::bad_token().into_response(),
        Some(Presented::Current) => {}
        Some(Presented::Previous) => {
            edge.counters.previous_token_calls.fetch_add(1, Ordering::Relaxed);
        }
    }
    next.run(request).await
}

/// What a registration of any version says first.
#[derive(Deserialize)]
struct Spoken {
    protocol: u64,
}

async fn register(State(edge): State<Edge>, body: Body) -> Answer<RegisterReply> {
    let bytes = whole(body)?;
    // First of all: a message of another version may have members that this one does not know.
    if let Ok(Spoken { protocol }) = serde_json::from_slice(&bytes)
        && protocol != u64::from(PROTOCOL_VERSION)
    {
        edge.counters.other_protocols.fetch_add(1, Ordering::Relaxed);
        return Err(FilterError::UnsupportedProtocol.into());
    }
    let request: RegisterRequest = parsed(&bytes)?;
    Ok(Json(edge.write(move |work| work.register(&request)).await?))
}

async fn admit(State(edge): State<Edge>, body: Body) -> Answer<AdmitReply> {
    let request: Arc<AdmitRequest> = Arc::new(message(body)?);
    note_holder(&request.holder);
    let attempt = || {
        let request = Arc::clone(&request);
        edge.write(move |work| {
            let reply = work.admit(&request)?;
            let waits = work.may_come_back(&reply.lease)?;
            Ok((reply, waits))
        })
    };
    let reply = until_money_returns(&edge, attempt).await?;
    let asked = request.ask.as_ref().map(|_| request.n);
    edge.shared.answered(&request.holder, asked, &reply.lease);
    note_outcome(&reply.lease);
    Ok(Json(reply))
}

async fn lease(State(edge): State<Edge>, body: Body) -> Answer<LeaseReply> {
    let request: Arc<LeaseRequest> = Arc::new(message(body)?);
    note_holder(&request.holder);
    let attempt = || {
        let request = Arc::clone(&request);
        edge.write(move |work| {
            let reply = work.lease(&request)?;
            let waits = work.may_come_back(&reply.answer)?;
            Ok((reply, waits))
        })
    };
    let reply = until_money_returns(&edge, attempt).await?;
    edge.shared.answered(&request.holder, Some(request.n), &reply.answer);
    note_outcome(&reply.answer);
    Ok(Json(reply))
}

/// Tries again whenever money or permits come back, until it is enough, something else is in the way, or
/// [`MONEY_WAIT`] is over. Then it looks once more: the waiting itself has let changes pass, and a
/// filter does not trust an answer that is older than the changes it has applied.
async fn until_money_returns<T, F>(edge: &Edge, attempt: impl Fn() -> F) -> Result<T, FilterError>
where
    F: Future<Output = Result<(T, bool), FilterError>>,
{
    let deadline = Instant::now() + MONEY_WAIT;
    let mut stopping = edge.shared.stopping();
    // Subscribed before the first look, so that no return falls between look and wait.
    let mut returned = edge.shared.money_returned();
    loop {
        let (reply, waits) = attempt().await?;
        if !waits {
            return Ok(reply);
        }
        let is_over = tokio::select! {
            changed = returned.changed() => changed.is_err(),
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(reply),
            () = tokio::time::sleep_until(deadline) => true,
        };
        if is_over {
            return Ok(attempt().await?.0);
        }
    }
}

async fn report(State(edge): State<Edge>, body: Body) -> Answer<ReportReply> {
    let request: ReportRequest = message(body)?;
    note_holder(&request.holder);
    Ok(Json(edge.write(move |work| work.report(&request)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    holder: HolderId,
    epoch: Epoch,
    revision: Revision,
    #[serde(default)]
    wait_ms: u64,
}

async fn changes(
    State(edge): State<Edge>,
    query: Result<Query<ChangesQuery>, QueryRejection>,
) -> Answer<ChangesReply> {
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    note_holder(&query.holder);
    let wait = Duration::from_millis(query.wait_ms).min(WAIT_MOST);
    let deadline = Instant::now() + wait;
    // Subscribed before the first look, so that no change falls between look and wait.
    let mut published = edge.shared.published();
    let mut stopping = edge.shared.stopping();
    let (epoch, revision) = {
        let live = edge.shared.live();
        (live.epoch(), live.revision())
    };
    if epoch == query.epoch && query.revision > revision {
        // Only a holder that this database knows is believed: a made-up one must not freeze budgets.
        let touched = edge.shared.live().touch(&query.holder, edge.now());
        touched.map_err(|_| FilterError::UnknownHolder)?;
        // Nobody can have applied more than there was.
        let applied = query.revision;
        edge.write(move |work| work.notice_lost_past(epoch, applied)).await?;
    }
    if epoch != query.epoch || query.revision > revision {
        return Err(FilterError::OtherEpoch.into());
    }
    let polled = edge.shared.poll(&query.holder, query.revision, edge.now());
    let mut reply = polled.map_err(|_| FilterError::UnknownHolder)?;
    while reply.changes.is_empty() {
        tokio::select! {
            changed = published.changed() => if changed.is_err() { break },
            _ = stopping.wait_for(|stopping| *stopping) => break,
            () = tokio::time::sleep_until(deadline) => break,
        }
        reply = edge.shared.live().changes_after(query.revision);
    }
    Ok(Json(reply))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueQuery {
    holder: Option<HolderId>,
    epoch: Option<Epoch>,
}

async fn catalogue(
    State(edge): State<Edge>,
    query: Result<Query<CatalogueQuery>, QueryRejection>,
) -> Answer<Catalogue> {
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    if let Some(holder) = &query.holder {
        note_holder(holder);
        let touched = edge.shared.live().touch(holder, edge.now());
        touched.map_err(|_| FilterError::UnknownHolder)?;
    }
    // Through the writer, so that it is no older than any revision already answered.
    let catalogue = edge.write(move |work| work.catalogue(query.epoch)).await?;
    Ok(Json(catalogue))
}

/// Beside the writer: it may take a while to find what is asked for, and nothing must wait for it.
async fn usage(State(edge): State<Edge>, body: Body) -> Answer<UsageReply> {
    let request: UsageRequest = message(body)?;
    note_holder(&request.holder);
    if edge.shared.live().epoch() != request.epoch {
        return Err(FilterError::OtherEpoch.into());
    }
    let touched = edge.shared.live().touch(&request.holder, edge.now());
    touched.map_err(|_| FilterError::UnknownHolder)?;
    let turn = edge.log_reads.for_filter().await.map_err(FilterError::from)?;
    let page = edge.read(move |work| {
        let _turn = turn;
        work.own_usage(&request)
    });
    Ok(Json(page.await?))
}

async fn exchange(State(edge): State<Edge>, body: Body) -> Answer<ExchangeReply> {
    let request: ExchangeRequest = message(body)?;
    note_holder(&request.holder);
    let lifetime = edge.user_key_lifetime;
    Ok(Json(edge.write(move |work| work.exchange(&request, lifetime)).await?))
}

/// For the request's span.
fn note_holder(holder: &HolderId) {
    traces::note("tollgate.holder", || holder.to_string());
}

/// The same of what was asked for.
fn note_outcome(answer: &LeaseAnswer) {
    traces::note("tollgate.outcome", || {
        let word = match answer {
            LeaseAnswer::Granted(_) => "granted",
            LeaseAnswer::Refused(_) => "refused",
            LeaseAnswer::NotNeeded => "not_needed",
        };
        word.to_owned()
    });
}

async fn unknown_route() -> FilterProblem {
    FilterProblem::bad_message(StatusCode::NOT_FOUND, "there is no such route")
}

async fn wrong_method() -> FilterProblem {
    FilterProblem::bad_message(StatusCode::METHOD_NOT_ALLOWED, "the route has no such method")
}

fn message<T: DeserializeOwned>(body: Body) -> Result<T, FilterProblem> {
    parsed(&whole(body)?)
}

fn whole(body: Body) -> Result<Bytes, FilterProblem> {
    body.map_err(|error| {
        let status = match TooSlow::caused(&error) {
            true => StatusCode::REQUEST_TIMEOUT,
            false => error.status(),
        };
        FilterProblem::bad_message(status, error.body_text())
    })
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FilterProblem> {
    serde_json::from_slice(bytes)
        .map_err(|error| FilterProblem::bad_message(StatusCode::BAD_REQUEST, error.to_string()))
}

fn bad_query(error: &QueryRejection) -> FilterProblem {
    FilterProblem::bad_message(StatusCode::BAD_REQUEST, error.body_text())
}

/// The body of a health check that found the store in order.
pub fn healthy() -> Response {
    Json(json!({"status": "ok"})).into_response()
}
