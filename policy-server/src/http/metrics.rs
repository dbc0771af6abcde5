//! `/metrics` for Prometheus, on a port of its own: it needs no token, and so is not there unless it
//! was asked for. It shows totals of this server only, never a name, an id or a secret.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use wire::NanoUsd;

use super::edge::Edge;
use crate::app::{AdminError, ServerTotals};
use crate::metrics::{Kind, Page};
use crate::traces::{self, Parent, Span, Tracer};

/// The format's own name and version.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page, and nothing else.
pub fn router(edge: Edge) -> Router {
    Router::new().route("/metrics", get(show)).with_state(edge)
}

/// Has every answer of an API counted with the time that it took.
pub(super) fn counted(router: Router, api: &'static str, edge: Edge) -> Router {
    router.layer(from_fn_with_state((api, edge), count))
}

#[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
async fn count(
    State((api, edge)): State<(&'static str, Edge)>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let traced = edge.tracer.get().zip(parent(&request));
    let name = traced.as_ref().map(|_| format!("{} {}", request.method(), route.unwrap_or("none")));
    let (begun, began_unix_ms) = (Instant::now(), edge.now().unix_ms);
    let (answer, notes) = match traced {
        Some(_) => traces::noting(next.run(request)).await,
        None => (next.run(request).await, Vec::new()),
    };
    let (status, took) = (answer.status().as_u16(), begun.elapsed());
    edge.counters.metrics.answered(api, route, status, took);
    if let (Some((tracer, parent)), Some(name), Some(id)) = (traced, name, Tracer::id()) {
        let began_unix_ns = began_unix_ms.saturating_mul(1_000_000);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let ended_unix_ns = began_unix_ns.saturating_add(took_ns);
        tracer.took(Span { parent, id, name, api, status, began_unix_ns, ended_unix_ns, notes });
    }
    answer
}

/// The trace that a request belongs to, if that is kept.
fn parent(request: &Request) -> Option<Parent> {
    let mut values = request.headers().get_all("traceparent").into_iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { Parent::read(value.as_bytes()) }
}

async fn show(State(edge): State<Edge>) -> Response {
    let totals: Result<ServerTotals, AdminError> = edge.read(|work| work.totals()).await;
    let mut page = Page::default();
    show_server(&edge, &mut page);
    page.gauge(
        "tollgate_server_store_up",
        "Whether the database could be read for this page.",
        u8::from(totals.is_ok()),
    );
    match totals {
        Ok(totals) => show_totals(&totals, &mut page),
        Err(error) => tracing::warn!(%error, "totals could not be read for /metrics"),
    }
    edge.counters.metrics.show(&mut page);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.finish()).into_response()
}

fn show_server(edge: &Edge, page: &mut Page) {
    let now = edge.now();
    let (epoch, revision, holders, pending, started_ms) = {
        let live = edge.shared.live();
        let pending = live.pending(live.revision(), now).map_or(0, |pending| pending.holders);
        (live.epoch().0, live.revision().0, live.alive(now), pending, live.started_ms())
    };
    page.family("tollgate_server_build_info", Kind::Gauge, "Always 1; the label is the version.");
    page.value("tollgate_server_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let uptime = now.monotonic_ms.saturating_sub(started_ms) / 1_000;
    page.gauge("tollgate_server_uptime_seconds", "Since the start of this process.", uptime);
    page.gauge("tollgate_server_epoch", "Grows when a restored past was left behind.", epoch);
    page.gauge(
        "tollgate_server_revision",
        "Grows with every change that filters hear of.",
        revision,
    );
    page.gauge("tollgate_server_holders_live", "Workers of proxies with a session.", holders);
    page.gauge(
        "tollgate_server_holders_pending",
        "Of these, those that have not applied the newest change yet.",
        pending,
    );
    let counters = &edge.counters;
    for (name, help, counter) in [
        ("tollgate_server_jobs_total", "Jobs that the writer ran.", &counters.jobs),
        (
            "tollgate_server_recalls_total",
            "Times that money was asked back because others wait for it.",
            &counters.recalls,
        ),
        (
            "tollgate_server_leases_parked_total",
            "Leases parked because their holder vanished.",
            &counters.parked_leases,
        ),
        (
            "tollgate_server_differing_records_total",
            "Records that the server prices differently; should stay 0.",
            &counters.differing_records,
        ),
        (
            "tollgate_server_unknown_leases_total",
            "Reports on leases that do not exist; should stay 0 but after a restore.",
            &counters.unknown_leases,
        ),
        (
            "tollgate_server_damaged_rows_total",
            "Rows that contradict themselves, each time that one is met; should stay 0.",
            &counters.damaged_rows,
        ),
        (
            "tollgate_server_other_protocols_total",
            "Registrations of filters that speak another version of the protocol.",
            &counters.other_protocols,
        ),
        (
            "tollgate_server_events_dropped_total",
            "Events that a webhook was not told because too much waited.",
            &counters.dropped_events,
        ),
    ] {
        page.counter(name, help, AtomicU64::load(counter, Ordering::Relaxed));
    }
    let name = "tollgate_server_file_bytes";
    page.family(name, Kind::Gauge, "Sizes of the server's files.");
    for (file, path) in edge.files.iter() {
        if let Ok(found) = std::fs::metadata(path) {
            page.value(name, &[("file", file)], found.len());
        }
    }
}

fn show_totals(totals: &ServerTotals, page: &mut Page) {
    page.gauge("tollgate_server_leases_open", "Leases that are not closed.", totals.open_leases);
    page.gauge(
        "tollgate_server_cluster_windows",
        "Windows over all proxies that are kept.",
        totals.windows,
    );
    page.gauge(
        "tollgate_server_budgets_frozen",
        "Budgets that grant nothing until an operator releases them.",
        totals.frozen_budgets,
    );
    page.gauge(
        "tollgate_server_webhook_deliveries_pending",
        "Events that wait to be told to a webhook.",
        totals.pending_deliveries,
    );
    for (name, help, of) in [
        (
            "tollgate_server_outstanding_usd",
            "Money in leases, by level; each lease counts on every level above it.",
            0,
        ),
        ("tollgate_server_parked_usd", "Money of vanished holders, by level.", 1),
        (
            "tollgate_server_overdraft_usd",
            "Money that was spent beyond caps, by level, of all periods.",
            2,
        ),
    ] {
        page.family(name, Kind::Gauge, help);
        for (level, money) in &totals.money {
            let amount = money.get(of).copied().unwrap_or(NanoUsd::ZERO);
            page.value(name, &[("level", level.as_str())], amount.to_usd());
        }
    }
}
