//! What [`super::show`] writes, as the API's document has it. Every answer of every test is held
//! against it.

use metering::period::Period;
use wire::v1::{Basis, Ending, Level};
use wire::{HolderId, KeyId, LeaseId, ModelName, OrgId, RefusalCode, RequestId, TeamId, UserId};

use super::key_form;
use super::operation::Shape;
use super::price_form::price_members;
use super::schema::{Members, Schema};
use super::shapes_entitlement::{plan_id, selection};
use crate::alerts::Alerts;
use crate::schedule::{Anchor, Zone};
use crate::store::{KeyFormat, KeyStatus, UsageGroup, WalletAccount};

/// A key; never its secret.
pub const KEY: Shape = Shape { name: "Key", members: key };

/// A key with its secret.
pub const SECRET_KEY: Shape = Shape { name: "SecretKey", members: secret_key };

/// A key after its rotation.
pub const ROTATED_KEY: Shape = Shape { name: "RotatedKey", members: rotated_key };

/// How many keys there are in each state.
pub const KEY_COUNTS: Shape = Shape { name: "KeyCounts", members: key_counts };

/// Parked money that was released.
pub const RELEASED: Shape = Shape { name: "Released", members: released };

/// An organisation.
pub const ORG: Shape = Shape { name: "Organisation", members: org };

/// A model.
pub const MODEL: Shape = Shape { name: "Model", members: model };

/// A line of the request log.
pub const RECORD: Shape = Shape { name: "Request", members: record };

/// The sums of a group.
pub const SUMS: Shape = Shape { name: "Sums", members: sums };

/// A budget with its sums.
pub const ACCOUNT: Shape = Shape { name: "Budget", members: account };

/// An entry of a wallet.
pub const TOP_UP: Shape = Shape { name: "WalletEntry", members: top_up };

/// What came of adding up a wallet's ledger.
pub const WALLET_CHECK: Shape = Shape { name: "WalletCheck", members: wallet_check };

/// The same with the wallet.
pub const TOPPED_UP: Shape = Shape { name: "ToppedUpWallet", members: topped_up };

/// Counts of the server.
pub const STATUS: Shape = Shape { name: "Status", members: status };

/// Whether the server is there.
pub const HEALTH: Shape = Shape { name: "Health", members: health };

fn key() -> Members {
    Members::default()
        .with("id", Schema::id(KeyId::LONGEST))
        .with("prefix", Schema::text())
        .with("format", Schema::words(KeyFormat::ALL.map(KeyFormat::as_str)))
        .and(owner())
        .with("name", Schema::text())
        .with("description", Schema::text())
        .with("notes", Schema::text())
        .with("tags", Schema::some(Schema::text()))
        .with("kind", Schema::words(key_form::KINDS.map(key_form::kind)))
        .with("status", Schema::words(KeyStatus::ALL.map(KeyStatus::as_str)))
        .with("suspended", Schema::words(Level::ALL.map(Level::as_str)).or_null())
        .with("version", Schema::count())
        .and(made_and_changed())
        .with("expires_at", Schema::instant().or_null())
        .with("limits", Schema::some(limit()))
        .with("budget", budget().or_null())
        .with("models", selection().or_null())
        .with("plan", plan_id().or_null())
        .with("allowed_ips", Schema::some(Schema::text()))
        .with("max_call_usd", Schema::decimal().or_null())
        .with("default_max_output_tokens", Schema::count().or_null())
        .with("cut_calls", Schema::words(key_form::CUT_CALLS.map(key_form::cut_calls)))
        .with("shadow", Schema::boolean())
        .with("previous_secret_until", Schema::instant().or_null())
        .with("usage", Schema::from(key_usage()).named("KeyUsage"))
        .with("spend", Schema::from(spend()).named("Spend"))
}

fn owner() -> Members {
    Members::default()
        .with("org", Schema::id(OrgId::LONGEST))
        .with("team", Schema::id(TeamId::LONGEST).or_null())
        .with("user", Schema::id(UserId::LONGEST).or_null())
}

/// When something was made and last changed.
pub fn made_and_changed() -> Members {
    Members::default().with("created_at", Schema::instant()).with("updated_at", Schema::instant())
}

fn key_usage() -> Members {
    Members::default()
        .with("requests", Schema::count())
        .with("input_tokens", Schema::count())
        .with("output_tokens", Schema::count())
        .with("spent_usd", Schema::decimal())
        .with("last_used_at", Schema::instant().or_null())
        .with("last_address", Schema::text().or_null())
}

fn secret_key() -> Members {
    key().with("key", Schema::text())
}

/// The secret is not told again where the request is repeated.
fn rotated_key() -> Members {
    key().maybe("key", Schema::text())
}

fn key_counts() -> Members {
    let each = KeyStatus::ALL.into_iter();
    each.fold(Members::default(), |all, status| all.with(status.as_str(), Schema::count()))
}

fn released() -> Members {
    Members::default()
        .with("released_shares", Schema::count())
        .with("released_usd", Schema::decimal())
        .with("more", Schema::boolean())
}

fn org() -> Members {
    Members::default()
        .with("id", Schema::id(OrgId::LONGEST))
        .with("name", Schema::text())
        .with("models", selection())
        .with("limits", Schema::some(limit()))
        .with("plan", plan_id().or_null())
        .with("price_multiplier", Schema::decimal())
        .with("budget", budget().or_null())
        .with("suspended_at", Schema::instant().or_null())
        .and(made_and_changed())
        .with("spend", Schema::from(spend()).named("Spend"))
}

fn model() -> Members {
    Members::default()
        .with("id", Schema::id(ModelName::LONGEST))
        .with("aliases", Schema::some(Schema::id(ModelName::LONGEST)))
        .with("context_length", Schema::count())
        .with("max_output_tokens", Schema::count())
        .with("input_overhead_tokens", Schema::count())
        .with("image_tokens", Schema::count().or_null())
        .with("audio_tokens", Schema::count().or_null())
        .with("document_tokens", Schema::count().or_null())
        .with("max_server_tool_calls", Schema::count().or_null())
        .with("supported_parameters", Schema::some(Schema::text()).or_null())
        .with("reasoning", Schema::boolean())
        .with("retired", Schema::boolean())
        .and(made_and_changed())
        .and(price_members())
}

fn record() -> Members {
    Members::default()
        .with("holder", Schema::id(HolderId::LONGEST))
        .with("sequence", Schema::count())
        .with("request", Schema::id(RequestId::LONGEST))
        .with("key", Schema::id(KeyId::LONGEST))
        .with("user_key", Schema::text().or_null())
        .with("org", Schema::id(OrgId::LONGEST).or_null())
        .with("team", Schema::id(TeamId::LONGEST).or_null())
        .with("user", Schema::id(UserId::LONGEST).or_null())
        .with("lease", Schema::id(LeaseId::LONGEST).or_null())
        .with("model", Schema::id(ModelName::LONGEST))
        .with("catalogue_version", Schema::count())
        .with("price_multiplier", Schema::decimal())
        .with("usage", Schema::from(tokens()).named("Tokens"))
        .with("cost_usd", Schema::decimal())
        .with("computed_cost_usd", Schema::decimal())
        .with("differs", Schema::boolean())
        .with("reserved_usd", Schema::decimal())
        .with("basis", Schema::words(BASES.map(basis)))
        .with("status", Schema::whole(0, 999))
        .with("streamed", Schema::boolean())
        .with("ending", Schema::words(ENDINGS.map(ending)))
        .with("would_refuse", Schema::id(RefusalCode::LONGEST).or_null())
        .with("started_at", Schema::instant())
        .with("duration_ms", Schema::count())
        .with("address", Schema::text().or_null())
        .with("metadata", Schema::map(Schema::text()))
        .with("recorded_at", Schema::instant())
}

/// What a call used, in the protocol's own words; kinds that are zero may be left out.
fn tokens() -> Members {
    let always = ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"];
    let seldom = [
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "audio_input_tokens",
        "image_input_tokens",
        "audio_output_tokens",
        "image_output_tokens",
        "server_tool_calls",
    ];
    let tokens = Members::default();
    let tokens = always.into_iter().fold(tokens, |all, kind| all.with(kind, Schema::count()));
    seldom.into_iter().fold(tokens, |all, kind| all.maybe(kind, Schema::count()))
}

const BASES: [Basis; 3] = [Basis::Measured, Basis::Estimated, Basis::Refunded];

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Measured => "measured",
        Basis::Estimated => "estimated",
        Basis::Refunded => "refunded",
    }
}

const ENDINGS: [Ending; 4] =
    [Ending::Complete, Ending::UpstreamError, Ending::Cut, Ending::NoAnswer];

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::UpstreamError => "upstream_error",
        Ending::Cut => "cut",
        Ending::NoAnswer => "no_answer",
    }
}

fn sums() -> Members {
    let groups = UsageGroup::ALL.into_iter();
    groups
        .fold(Members::default(), |all, group| all.maybe(group.as_str(), Schema::text().or_null()))
        .with("requests", Schema::count())
        .with("input_tokens", Schema::count())
        .with("cached_input_tokens", Schema::count())
        .with("output_tokens", Schema::count())
        .with("cost_usd", Schema::decimal())
        .with("would_refuse", Schema::count())
}

fn account() -> Members {
    Members::default()
        .with("level", Schema::words(Level::ALL.map(Level::as_str)))
        .with("id", Schema::text())
        .and(spend())
}

fn spend() -> Members {
    Members::default()
        .with("period", period())
        .with("period_start", Schema::instant().or_null())
        .with("period_end", Schema::instant().or_null())
        .with("cap_usd", Schema::decimal().or_null())
        .with("settled_usd", Schema::decimal())
        .with("parked_usd", Schema::decimal())
        .with("outstanding_usd", Schema::decimal())
        .with("overdraft_usd", Schema::decimal())
        .with("over_cap_usd", Schema::decimal())
        .with("left_usd", Schema::decimal().or_null())
        .with("frozen", Schema::boolean())
        .with("resets_at", Schema::instant().or_null())
        .and(particulars())
}

/// What few budgets have.
fn particulars() -> Members {
    Members::default()
        .maybe("anchor", Schema::pattern(Anchor::PATTERN))
        .maybe("time_zone", Schema::pattern(Zone::PATTERN))
        .maybe("alerts", Schema::list(Schema::whole(1, 100), Alerts::MOST))
}

/// A cap and its period.
pub fn budget() -> Schema {
    let budget = Members::default().with("usd", Schema::decimal()).with("period", period());
    Schema::from(budget.and(particulars())).named("Cap")
}

/// The largest budget that members of a team give themselves.
pub fn ceiling() -> Schema {
    let ceiling = Members::default().with("usd", Schema::decimal()).with("period", period());
    Schema::from(ceiling).named("Ceiling")
}

fn period() -> Schema {
    Schema::words(Period::ALL.map(Period::as_str))
}

/// A rate limit.
pub fn limit() -> Schema {
    let limit = Members::default()
        .with("unit", Schema::words(key_form::UNITS.map(key_form::unit)))
        .with("window", Schema::words(key_form::WINDOWS.map(key_form::window)).or_null())
        .with("max", Schema::count())
        .with("scope", Schema::words(key_form::SCOPES.map(key_form::scope)))
        .maybe("model", Schema::id(ModelName::LONGEST));
    Schema::from(limit).named("Limit")
}

fn top_up() -> Members {
    let accounts = WalletAccount::ALL.map(WalletAccount::as_str);
    Members::default()
        .with("id", Schema::text())
        .with("org", Schema::id(OrgId::LONGEST))
        .with("debit", Schema::words(accounts))
        .with("credit", Schema::words(accounts))
        .with("usd", Schema::decimal())
        .with("note", Schema::text())
        .with("at", Schema::instant())
}

fn topped_up() -> Members {
    top_up().with("wallet", ACCOUNT.schema())
}

fn wallet_check() -> Members {
    let accounts = WalletAccount::ALL.map(WalletAccount::as_str).into_iter();
    let balances =
        accounts.fold(Members::default(), |all, name| all.with(name, Schema::signed_decimal()));
    Members::default()
        .with("agrees", Schema::boolean())
        .with("problems", Schema::some(Schema::text()))
        .with("entries", Schema::count())
        .with("balances_usd", Schema::from(balances).named("WalletBalances"))
        .with("usage_without_entry_usd", Schema::decimal())
        .with("cap_usd", Schema::decimal())
        .with("settled_usd", Schema::decimal())
}

fn status() -> Members {
    let counts = [
        "differing_records",
        "damaged_rows",
        "unknown_leases",
        "other_protocols",
        "dropped_events",
        "recalls",
        "parked_leases",
        "epoch",
        "revision",
        "live_holders",
        "pending_holders",
        "outstanding_leases",
        "frozen_budgets",
        "pending_deliveries",
        "cluster_windows",
        "previous_token_calls",
        "commits",
        "jobs",
    ];
    let money = ["outstanding_usd", "parked_usd", "overdraft_usd"];
    let all =
        counts.into_iter().fold(Members::default(), |all, name| all.with(name, Schema::count()));
    money.into_iter().fold(all, |all, name| all.with(name, Schema::decimal()))
}

fn health() -> Members {
    Members::default().with("status", Schema::words(["ok"]))
}
