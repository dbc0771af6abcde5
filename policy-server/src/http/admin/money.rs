//! `/admin/v1/budgets` and `/admin/v1/status`.

use std::sync::atomic::Ordering;

use axum::Json;
use serde_json::json;
use wire::v1::Level;
use wire::{KeyId, NanoUsd, OrgId};

use super::{Answer, Body, Pairs, Parameters, Routes, Visitor, asked, bytes, parameters};
use crate::app::{AdminError, FieldProblem, Page, Target};
use crate::http::form::Form;
use crate::http::operation::Operation;
use crate::http::reader::{line, word};
use crate::http::shapes::{ACCOUNT, STATUS};
use crate::http::show;
use crate::permissions::Action::{BudgetsRead, LedgerRepair, ServerRead};
use crate::store::BudgetId;

const RELEASE: &str = "/admin/v1/budgets/release";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/admin/v1/budgets", BudgetsRead, budgets)
        .says(
            Operation::new("Lists the budgets of a key or organisation, or all that are frozen")
                .asks(wanted)
                .lists(&ACCOUNT),
        )
        .post(RELEASE, LedgerRepair, "budget.release", release)
        .says(
            Operation::new("Lets a frozen budget grant again")
                .takes(release_fields)
                .shows(&ACCOUNT),
        )
        .get("/admin/v1/status", ServerRead, status)
        .says(Operation::new("Shows what an operator should watch").shows(&STATUS))
}

async fn budgets(visitor: Visitor, pairs: Pairs) -> Answer {
    let Wanted { key, org, frozen, after, limit } = asked(pairs, wanted)?;
    let page = match (key, org, frozen) {
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
            Page { items: read.await?, next: None }
        }
        (None, Some(org), None) => {
            let target = Target::Org(org.clone());
            let read = visitor.read(target, move |work, _| work.budgets_of_org(&org));
            Page { items: read.await?, next: None }
        }
        (None, None, Some(())) => {
            let read = visitor
                .read(Target::Server, move |work, _| work.frozen_budgets(after.as_ref(), limit));
            read.await?
        }
        _ => {
            let message = "give one of key, org or frozen=true";
            let problem = FieldProblem::invalid("key", message);
            return Err(AdminError::Invalid(vec![problem]).into());
        }
    };
    Ok(Json(show::page(&page, show::account)))
}

/// Whose budgets are asked for. A key and an organisation have a handful of them, which are one
/// page.
struct Wanted {
    key: Option<KeyId>,
    org: Option<OrgId>,
    frozen: Option<()>,
    after: Option<BudgetId>,
    limit: u32,
}

fn wanted(query: &mut Parameters) -> Wanted {
    let cursor = |text: &str| {
        let (level, owner) = text.split_once('.')?;
        let level = Level::ALL.into_iter().find(|known| known.as_str() == level)?;
        Some(BudgetId { level, owner: owner.to_owned() })
    };
    Wanted {
        key: query.id("key", KeyId::LONGEST, KeyId::new),
        org: query.id("org", OrgId::LONGEST, OrgId::new),
        frozen: query.word("frozen", &[()], |()| "true"),
        after: query.parsed("cursor", "must be the next_cursor of an earlier page", cursor),
        limit: query.limit(),
    }
}

/// Which frozen budget to release.
fn release_fields(form: &mut Form) -> Option<BudgetId> {
    let level = form.required("level", word(&Level::ALL, Level::as_str));
    let owner = form.required("id", line());
    Some(BudgetId { level: level?, owner: owner? })
}

async fn release(visitor: Visitor, pairs: Pairs, body: Body) -> Answer {
    parameters(pairs)?.finish()?;
    let id = Form::read(&bytes(body)?, release_fields)?;
    let released = visitor.change(Target::Budget(id.clone()), move |work, deed| {
        work.release_budget(&id, &deed.actor.name())
    });
    let view = released.await?;
    Ok(Json(show::account(&view).into()))
}

/// Counts that an operator should watch; those that should be zero are named first.
async fn status(visitor: Visitor, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let totals = visitor.read(Target::Server, |work, _| work.totals()).await?;
    // A lease, and what became of it, counts on every level above it: the largest is the whole.
    let most = |of: usize| {
        let each = totals.money.iter().filter_map(|(_, sums)| sums.get(of)).copied();
        each.max().unwrap_or(NanoUsd::ZERO).to_usd()
    };
    let edge = &visitor.edge;
    let now = edge.now();
    let (epoch, revision, holders, pending) = {
        let live = edge.shared.live();
        let pending = live.pending(live.revision(), now).map_or(0, |pending| pending.holders);
        (live.epoch(), live.revision(), live.alive(now), pending)
    };
    let counters = &edge.counters;
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Json(json!({
        "differing_records": read(&counters.differing_records),
        "damaged_rows": read(&counters.damaged_rows),
        "unknown_leases": read(&counters.unknown_leases),
        "other_protocols": read(&counters.other_protocols),
        "dropped_events": read(&counters.dropped_events),
        "recalls": read(&counters.recalls),
        "parked_leases": read(&counters.parked_leases),
        "epoch": epoch,
        "revision": revision,
        "live_holders": holders,
        "pending_holders": pending,
        "outstanding_leases": totals.open_leases,
        "outstanding_usd": most(0),
        "parked_usd": most(1),
        "overdraft_usd": most(2),
        "frozen_budgets": totals.frozen_budgets,
        "pending_deliveries": totals.pending_deliveries,
        "cluster_windows": totals.windows,
        "previous_token_calls": read(&counters.previous_token_calls),
        "commits": read(&counters.commits),
        "jobs": read(&counters.jobs),
    })))
}
