//! `/admin/v1/records`, `/admin/v1/budgets` and `/admin/v1/status`.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use wire::{KeyId, ModelName, OrgId};

use super::{Answer, Pairs, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::edge::Edge;
use crate::http::show;
use crate::store::RecordSearch;

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/records", get(records))
        .route("/admin/v1/budgets", get(budgets))
        .route("/admin/v1/status", get(status))
}

async fn records(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let search = RecordSearch {
        key: query.text("key"),
        org: query.text("org"),
        request: query.text("request"),
        model: query.parsed("model", "must be a model's name", |text| ModelName::new(text).ok()),
        before: query.position(),
        limit: query.limit(),
    };
    query.finish()?;
    let page = edge.read(move |work| work.records(search)).await?;
    Ok(Json(show::page(&page, show::record)))
}

async fn budgets(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let key = query.parsed("key", "must be an id", |text| KeyId::new(text).ok());
    let org = query.parsed("org", "must be an id", |text| OrgId::new(text).ok());
    query.finish()?;
    let accounts = match (key, org) {
        (Some(key), None) => edge.read(move |work| work.budgets_of_key(&key)).await?,
        (None, Some(org)) => edge.read(move |work| work.budgets_of_org(&org)).await?,
        _ => {
            let message = "give either key or org";
            let problem = FieldProblem::invalid("key", message);
            return Err(AdminError::Invalid(vec![problem]).into());
        }
    };
    let data: Vec<_> = accounts.iter().map(show::account).collect();
    Ok(Json(json!({"data": data, "next_cursor": null})))
}

/// Counts that an operator should watch; those that should be zero are named first.
async fn status(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let (leases, windows) = edge.read(|work| work.counts()).await?;
    let now = edge.now();
    let (epoch, revision, holders) = {
        let live = edge.shared.live();
        (live.epoch(), live.revision(), live.alive(now))
    };
    let counters = &edge.counters;
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Json(json!({
        "differing_records": read(&counters.differing_records),
        "unknown_leases": read(&counters.unknown_leases),
        "recalls": read(&counters.recalls),
        "parked_leases": read(&counters.parked_leases),
        "epoch": epoch,
        "revision": revision,
        "live_holders": holders,
        "outstanding_leases": leases,
        "cluster_windows": windows,
        "commits": read(&counters.commits),
        "jobs": read(&counters.jobs),
    })))
}
