//! Prepaid money: `/admin/v1/orgs/{org}/wallet`.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use wire::OrgId;

use super::{Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, parameters};
use crate::app::{Changed, Target, ToppedUp, wallet_budget};
use crate::http::answer::AdminProblem;
use crate::http::budget_form::{self, adjustment_form, top_up_form, wallet_form};
use crate::http::operation::Operation;
use crate::http::shapes::{ACCOUNT, TOP_UP, TOPPED_UP, WALLET_CHECK};
use crate::http::show;
use crate::permissions::Action::{BudgetsWrite, WalletsRead, WalletsWrite};

const WALLET: &str = "/admin/v1/orgs/{org}/wallet";
const TOP_UPS: &str = "/admin/v1/orgs/{org}/wallet/top-ups";
const ADJUSTMENTS: &str = "/admin/v1/orgs/{org}/wallet/adjustments";
const LEDGER: &str = "/admin/v1/orgs/{org}/wallet/ledger";
const CHECK: &str = "/admin/v1/orgs/{org}/wallet/check";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(WALLET, WalletsRead, wallet)
        .says(Operation::new("Shows the wallet of an organisation").shows(&ACCOUNT))
        .patch(WALLET, BudgetsWrite, "wallet.change", change)
        .says(
            Operation::new("Sets at which parts of all that was put in somebody is told")
                .takes(budget_form::wallet)
                .shows(&ACCOUNT),
        )
        .get(TOP_UPS, WalletsRead, top_ups)
        .says(
            Operation::new("Lists what was put into a wallet")
                .asks(|query| (query.position(), query.limit()))
                .lists(&TOP_UP),
        )
        .post(TOP_UPS, WalletsWrite, "wallet.top_up", top_up)
        .says(
            Operation::new("Puts money into a wallet, once for each id")
                .takes(budget_form::top_up)
                .makes_and_applies(&TOPPED_UP, Duration::ZERO)
                .or_repeats(&TOPPED_UP),
        )
        .post(ADJUSTMENTS, WalletsWrite, "wallet.adjust", adjust)
        .says(
            Operation::new("Corrects what a wallet holds, once for each id")
                .takes(budget_form::adjustment)
                .makes_and_applies(&TOPPED_UP, Duration::ZERO)
                .or_repeats(&TOPPED_UP),
        )
        .get(LEDGER, WalletsRead, ledger)
        .says(
            Operation::new("Lists every entry of a wallet")
                .asks(|query| (query.position(), query.limit()))
                .lists(&TOP_UP),
        )
        .get(CHECK, WalletsRead, check)
        .says(
            Operation::new("Adds up the entries of a wallet and compares them with its budget")
                .shows(&WALLET_CHECK),
        )
}

async fn wallet(visitor: Visitor, path: Id) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let target = Target::Budget(wallet_budget(&org));
    let view = visitor.one(target, move |work| work.wallet(&org)).await?;
    Ok(Json(show::account(&view).into()))
}

/// Sets at which parts of all that was put in somebody is told.
async fn change(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    parameters(pairs)?.finish()?;
    let alerts = wallet_form(&bytes(body)?);
    let target = Target::Budget(wallet_budget(&org));
    let changed = visitor.change(target, move |work, _| work.alert_wallet(&org, alerts?)).await?;
    Ok(Json(show::account(&changed).into()))
}

async fn top_ups(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let (before, limit) = (query.position(), query.limit());
    query.finish()?;
    let target = Target::Budget(wallet_budget(&org));
    let page = visitor.read(target, move |work, _| work.top_ups(&org, before, limit)).await?;
    Ok(Json(show::page(&page, show::wallet_entry)))
}

/// 201 with the entry and the wallet; 200 where this id had been added before.
async fn top_up(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let org = id("organisation", path, OrgId::new)?;
    let form = top_up_form(&bytes(body)?);
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let target = Target::Budget(wallet_budget(&org));
    let changed = visitor.change(target, move |work, _| work.top_up(&org, form?)).await?;
    moved(&visitor, &changed, wait).await
}

/// As [`top_up`], but the amount may be negative.
async fn adjust(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let org = id("organisation", path, OrgId::new)?;
    let form = adjustment_form(&bytes(body)?);
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let target = Target::Budget(wallet_budget(&org));
    let changed = visitor.change(target, move |work, _| work.adjust_wallet(&org, form?)).await?;
    moved(&visitor, &changed, wait).await
}

async fn moved(
    visitor: &Visitor,
    changed: &Changed<ToppedUp>,
    wait: Duration,
) -> Result<Response, AdminProblem> {
    let mut object = show::wallet_entry(&changed.value.entry);
    object.insert("wallet".to_owned(), json!(show::account(&changed.value.wallet)));
    let shown = applied(&visitor.edge, object, changed.revision, wait).await;
    let status = if changed.value.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, shown).into_response())
}

async fn ledger(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let (before, limit) = (query.position(), query.limit());
    query.finish()?;
    let target = Target::Budget(wallet_budget(&org));
    let page = visitor.read(target, move |work, _| work.wallet_ledger(&org, before, limit)).await?;
    Ok(Json(show::page(&page, show::wallet_entry)))
}

async fn check(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    parameters(pairs)?.finish()?;
    let target = Target::Budget(wallet_budget(&org));
    let checked = visitor.read(target, move |work, _| work.check_wallet(&org)).await?;
    Ok(Json(show::wallet_check(&checked)))
}
