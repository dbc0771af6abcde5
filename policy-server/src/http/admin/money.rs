//! `/admin/v1/budgets` and `/admin/v1/status`.

use std::sync::atomic::Ordering;

use axum::Json;
use serde::Deserialize;
use serde_json::json;
use wire::v1::Level;
use wire::{KeyId, OrgId};

use super::{Answer, Body, Pairs, Routes, Visitor, bytes, parameters};
use crate::app::{AdminError, FieldProblem, Target};
use crate::http::show;
use crate::permissions::Action::{BudgetsRead, LedgerRepair, ServerRead};
use crate::store::BudgetId;

/// Frozen budgets in one answer; whoever has released them asks again.
const FROZEN_MOST: u32 = 1_000;

const RELEASE: &str = "/admin/v1/budgets/release";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/admin/v1/budgets", BudgetsRead, budgets)
        .post(RELEASE, LedgerRepair, "budget.release", release)
        .get("/admin/v1/status", ServerRead, status)
}

async fn budgets(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let key = query.parsed("key", "must be an id", |text| KeyId::new(text).ok());
    let org = query.parsed("org", "must be an id", |text| OrgId::new(text).ok());
    let frozen = query.parsed("frozen", "must be true", |text| (text == "true").then_some(()));
    query.finish()?;
    let accounts = match (key, org, frozen) {
        (Some(key), None, None) => {
            let read = visitor.read(Target::Key(key.clone()), move |work, by| {
                // Whoever sees a key need not see what everybody above it spends.
                let mut seen = Vec::new();
                for account in work.budgets_of_key(&key)? {
                    if work.may(by, BudgetsRead, &Target::Budget(account.id.clone()))? {
                        seen.push(account);
                    }
                }
                Ok(seen)
            });
            read.await?
        }
        (None, Some(org), None) => {
            let target = Target::Org(org.clone());
            visitor.read(target, move |work, _| work.budgets_of_org(&org)).await?
        }
        (None, None, Some(())) => {
            visitor.read(Target::Server, |work, _| work.frozen_budgets(FROZEN_MOST)).await?
        }
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

async fn release(visitor: Visitor, pairs: Pairs, body: Body) -> Answer {
    parameters(pairs)?.finish()?;
    let form: ReleaseForm = serde_json::from_slice(&bytes(body)?).map_err(|error| {
        let problem = FieldProblem::invalid("", error.to_string());
        AdminError::Invalid(vec![problem])
    })?;
    let id = BudgetId { level: form.level, owner: form.id };
    let released = visitor.change(Target::Budget(id.clone()), move |work, deed| {
        work.release_budget(&id, &deed.actor.name())
    });
    let view = released.await?;
    Ok(Json(show::account(&view).into()))
}

/// Counts that an operator should watch; those that should be zero are named first.
async fn status(visitor: Visitor, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let (leases, windows) = visitor.read(Target::Server, |work, _| work.counts()).await?;
    let edge = &visitor.edge;
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
        "dropped_events": read(&counters.dropped_events),
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
