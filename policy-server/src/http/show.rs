//! Rows as the JSON of the admin API.

use serde_json::{Map, Value, json};
use wire::{AllowedNetworks, NanoUsd};

use super::key_form::{cut_calls, kind, scope, unit, window};
use super::price_form::show_price;
use super::show_entitlement::selection;
use crate::app::{AccountView, GroupSums, KeyStatus, KeyView, OrgView, Page, WalletCheck};
use crate::schedule::{Anchor, Zone};
use crate::store::{
    Budget, CatalogueModel, KeyUsage, RecordRow, StoredLimit, UsageGroup, UsageOwner,
    WalletAccount, WalletEntry,
};
use crate::time_range;

/// An instant as RFC 3339 in UTC, in whole seconds where it is one.
pub fn instant(unix_ms: u64) -> Value {
    time_range::instant_text(unix_ms).map_or(Value::Null, Value::String)
}

/// A key; never its secret.
pub fn key(view: &KeyView) -> Map<String, Value> {
    let key = &view.key;
    object(json!({
        "id": key.id,
        "prefix": key.prefix,
        "format": key.format.as_str(),
        "org": key.org,
        "team": key.team,
        "user": key.user,
        "name": key.name,
        "description": key.description,
        "notes": key.notes,
        "tags": key.tags,
        "kind": kind(key.kind),
        "status": view.status.as_str(),
        "suspended": view.suspended.map(|level| level.as_str()),
        "version": key.version,
        "created_at": instant(key.created_unix_ms),
        "updated_at": instant(key.updated_unix_ms),
        "expires_at": key.expires_at_unix_ms.map(instant),
        "limits": key.limits.iter().map(limit).collect::<Vec<_>>(),
        "budget": budget(&view.spend.budget),
        "models": key.models.as_ref().map(selection),
        "plan": view.plan,
        "allowed_ips": key.allowed_ips.as_ref().map_or(&[][..], AllowedNetworks::networks),
        "max_call_usd": key.max_call.map(NanoUsd::to_usd),
        "default_max_output_tokens": key.default_max_output_tokens,
        "cut_calls": cut_calls(key.cut_calls),
        "shadow": key.shadow,
        "previous_secret_until": view.previous_valid_until_unix_ms.map(instant),
        "usage": usage(&key.usage),
        "spend": spend(&view.spend),
    }))
}

/// What a key was used for in all its time.
fn usage(usage: &KeyUsage) -> Value {
    json!({
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "spent_usd": usage.spent.to_usd(),
        "last_used_at": (usage.last_used_unix_ms > 0).then(|| instant(usage.last_used_unix_ms)),
        "last_address": usage.last_address,
    })
}

/// How many keys there are in each state.
pub fn key_counts(counts: &[(KeyStatus, u64)]) -> Value {
    let shown = counts.iter().map(|(status, count)| (status.as_str().to_owned(), json!(count)));
    Value::Object(shown.collect())
}

/// An organisation.
pub fn org(view: &OrgView) -> Map<String, Value> {
    let org = &view.org;
    object(json!({
        "id": org.id,
        "name": org.name,
        "models": selection(&org.models),
        "limits": org.limits.iter().map(limit).collect::<Vec<_>>(),
        "plan": view.plan,
        "price_multiplier": org.price_multiplier.to_decimal(),
        "budget": budget(&view.spend.budget),
        "suspended_at": org.suspended_unix_ms.map(instant),
        "created_at": instant(org.created_unix_ms),
        "updated_at": instant(org.updated_unix_ms),
        "spend": spend(&view.spend),
    }))
}

/// A model.
pub fn model(stored: &CatalogueModel) -> Map<String, Value> {
    let model = &stored.model;
    let mut shown = object(json!({
        "id": model.name,
        "aliases": model.aliases,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "input_overhead_tokens": model.input_overhead_tokens,
        "image_tokens": model.image_tokens,
        "audio_tokens": model.audio_tokens,
        "document_tokens": model.document_tokens,
        "max_server_tool_calls": model.max_server_tool_calls,
        "supported_parameters": model.supported_parameters,
        "reasoning": model.reasoning,
        "retired": model.retired,
        "created_at": instant(model.created_unix_s.saturating_mul(1_000)),
        "updated_at": instant(stored.updated_unix_ms),
    }));
    shown.extend(show_price(model.price.as_ref()));
    shown
}

/// A line of the request log.
pub fn record(record: &RecordRow) -> Map<String, Value> {
    let call = &record.call;
    object(json!({
        "holder": record.holder,
        "sequence": call.sequence,
        "request": call.request,
        "key": call.key,
        "user_key": call.user_key,
        "org": record.org,
        "team": record.team,
        "user": record.user,
        "lease": call.lease,
        "model": call.model,
        "catalogue_version": call.catalogue_version,
        "price_multiplier": call.price_multiplier.to_decimal(),
        "usage": call.usage,
        "cost_usd": call.cost.to_usd(),
        "computed_cost_usd": record.recomputed.unwrap_or(call.cost).to_usd(),
        "differs": record.recomputed.is_some(),
        "reserved_usd": call.reserved.to_usd(),
        "basis": call.basis,
        "status": call.status,
        "streamed": call.streamed,
        "ending": call.ending,
        "would_refuse": call.would_refuse,
        "started_at": instant(call.started_unix_ms),
        "duration_ms": call.duration_ms,
        "address": call.address,
        "metadata": call.metadata,
        "recorded_at": instant(record.recorded_unix_ms),
    }))
}

/// The sums of one group: of which, and what was used. What is not known, or none, is null.
pub fn group_sums((owner, sums): &GroupSums, group: UsageGroup) -> Map<String, Value> {
    let id = |id: &str| if id.is_empty() { Value::Null } else { json!(id) };
    let mut shown = Map::new();
    match owner {
        UsageOwner::Day(day) => shown.insert("day".to_owned(), json!(time_range::date(*day))),
        UsageOwner::Id(text) => shown.insert(group.as_str().to_owned(), id(text)),
        UsageOwner::Member(org, member) => {
            shown.insert("org".to_owned(), id(org));
            shown.insert(group.as_str().to_owned(), id(member))
        }
    };
    shown.extend(object(json!({
        "requests": sums.requests,
        "input_tokens": sums.input_tokens,
        "cached_input_tokens": sums.cached_input_tokens,
        "output_tokens": sums.output_tokens,
        "cost_usd": sums.cost.to_usd(),
        "would_refuse": sums.would_refuse,
    })));
    shown
}

/// A budget with its sums and whose it is.
pub fn account(view: &AccountView) -> Map<String, Value> {
    let mut shown = object(json!({"level": view.level().as_str(), "id": view.id.owner}));
    shown.extend(object(spend(view)));
    shown
}

/// What administrators set of a budget, without what was spent.
pub fn cap(view: &AccountView) -> Map<String, Value> {
    let mut shown = object(json!({
        "cap_usd": view.budget.cap.map(NanoUsd::to_usd),
        "period": view.budget.schedule.period().as_str(),
        "frozen": view.budget.frozen,
    }));
    add_particulars(&mut shown, &view.budget);
    shown
}

/// Money that was put into a wallet.
pub fn wallet_entry(entry: &WalletEntry) -> Map<String, Value> {
    object(json!({
        "id": entry.id,
        "org": entry.org,
        "debit": entry.debit.as_str(),
        "credit": entry.credit.as_str(),
        "usd": entry.amount.to_usd(),
        "note": entry.note,
        "at": instant(entry.at_unix_ms),
    }))
}

/// What came of adding up a wallet's ledger.
pub fn wallet_check(check: &WalletCheck) -> Value {
    let problems = check.problems();
    let balance = |account| signed_usd(check.balances.of(account));
    let balances: Map<_, _> = WalletAccount::ALL
        .into_iter()
        .map(|account| (account.as_str().to_owned(), json!(balance(account))))
        .collect();
    json!({
        "agrees": problems.is_empty(),
        "problems": problems,
        "entries": check.entries,
        "balances_usd": balances,
        "usage_without_entry_usd": check.open_usage.to_usd(),
        "cap_usd": check.cap.to_usd(),
        "settled_usd": check.settled.to_usd(),
    })
}

fn signed_usd(nano_usd: i128) -> String {
    let size = NanoUsd(u64::try_from(nano_usd.unsigned_abs()).unwrap_or(u64::MAX)).to_usd();
    if nano_usd < 0 { format!("-{size}") } else { size }
}

/// A page of a list.
pub fn page<T>(page: &Page<T>, show: impl Fn(&T) -> Map<String, Value>) -> Value {
    let data: Vec<_> = page.items.iter().map(show).collect();
    json!({"data": data, "next_cursor": page.next})
}

fn spend(view: &AccountView) -> Value {
    let account = &view.account;
    let left = account.cap.map(|_| account.left().unwrap_or_default());
    let mut shown = object(json!({
        "period": view.budget.schedule.period().as_str(),
        "period_start": (view.start_unix_ms > 0).then(|| instant(view.start_unix_ms)),
        "period_end": view.next_start_unix_ms.map(instant),
        "cap_usd": account.cap.map(NanoUsd::to_usd),
        "settled_usd": account.settled.to_usd(),
        "parked_usd": account.parked.to_usd(),
        "outstanding_usd": account.outstanding.to_usd(),
        "overdraft_usd": account.overdraft.to_usd(),
        "over_cap_usd": account.over_cap().to_usd(),
        "left_usd": left.map(NanoUsd::to_usd),
        "frozen": view.budget.frozen,
        "resets_at": view.next_start_unix_ms.map(instant),
    }));
    add_particulars(&mut shown, &view.budget);
    Value::Object(shown)
}

fn budget(budget: &Budget) -> Value {
    let Some(cap) = budget.cap else { return Value::Null };
    let period = budget.schedule.period().as_str();
    let mut shown = object(json!({"usd": cap.to_usd(), "period": period}));
    add_particulars(&mut shown, budget);
    Value::Object(shown)
}

/// What few budgets have: another beginning than the natural one, other clocks than UTC, somebody to
/// be told.
fn add_particulars(shown: &mut Map<String, Value>, budget: &Budget) {
    let schedule = budget.schedule;
    if schedule.anchor() != Anchor::Natural {
        shown.insert("anchor".to_owned(), json!(schedule.anchor().to_string()));
    }
    if schedule.zone() != Zone::default() {
        shown.insert("time_zone".to_owned(), json!(schedule.zone().name()));
    }
    if !budget.alerts.is_empty() {
        let thresholds: Vec<_> = budget.alerts.thresholds().collect();
        shown.insert("alerts".to_owned(), json!(thresholds));
    }
}

/// A rate limit.
pub fn limit(limit: &StoredLimit) -> Value {
    let mut shown = object(json!({
        "unit": unit(limit.unit),
        "window": limit.window.map(window),
        "max": limit.max,
        "scope": scope(limit.scope),
    }));
    if let Some(model) = &limit.model {
        shown.insert("model".to_owned(), json!(model));
    }
    Value::Object(shown)
}

/// The fields of an object.
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
