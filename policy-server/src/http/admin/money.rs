//! `/admin/v1/budgets` and `/admin/v1/status`.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use wire::v1::Level;
use wire::{KeyId, OrgId};

use super::{Answer, Body, Pairs, bytes, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::edge::Edge;
use crate::http::show;
use crate::store::BudgetId;

/// Frozen budgets in one answer; whoever has released them asks again.
const FROZEN_MOST: u32 = 1_000;

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/budgets", get(budgets))
        .route("/admin/v1/budgets/release", post(release))
        .route("/admin/v1/status", get(status))
}

async fn budgets(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let key = query.parsed("key", "must be an id", |text| KeyId::new(text).ok());
    let org = query.parsed("org", "must be an id", |text| OrgId::new(text).ok());
    let frozen = query.parsed("frozen", "must be true", |text| (text == "true").then_some(()));
    query.finish()?;
    let accounts = match (key, org, frozen) {
        (Some(key), None, None) => edge.read(move |work| work.budgets_of_key(&key)).await?,
        (None, Some(org), None) => edge.read(move |work| work.budgets_of_org(&org)).await?,
        (None, None, Some(())) => edge.read(|work| work.frozen_budgets(FROZEN_MOST)).await?,
        _ => {
            let message = "give one of key, org or frozen=true";
            let problem = FieldProblem::invalid("key", message);
            return Err(AdminError::Invalid(vec![problem]).into());
        }
    };
    let data: Vec<_> = accounts.iter().map(show::account).collect();
    Ok(Json(json!({"data": data, "next_cursor": null})))
}

/// Which frozen budget to release.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseForm {
    level: Level,
    id: String,
}

async fn release(State(edge): State<Edge>, pairs: Pairs, body: Body) -> Answer {
    parameters(pairs)?.finish()?;
    let form: ReleaseForm = serde_json::from_slice(&bytes(body)?).map_err(|error| {
        let problem = FieldProblem::invalid("", error.to_string());
        AdminError::Invalid(vec![problem])
    })?;
    let id = BudgetId { level: form.level, owner: form.id };
    let view = edge.write(move |work| work.release_budget(&id)).await?;
    Ok(Json(show::account(&view).into()))
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
        "damaged_rows": read(&counters.damaged_rows),
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
