//! Rows as the application sees them, the same for every store.

use metering::budget::LeaseMoney;
use metering::permits::LeasePermits;
use serde::{Deserialize, Serialize};
use wire::v1::{Level, Model, Window};
use wire::{
    CatalogueVersion, Epoch, HolderId, KeyId, LeaseId, NanoUsd, Nonce, OrgId, PriceMultiplier,
    Revision,
};

use crate::alerts::Alerts;
use crate::entitlement::Selection;
use crate::schedule::Schedule;
use crate::store::StoredLimit;

/// The server's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerRow {
    /// This life of the database.
    pub epoch: Epoch,
    /// Grows with every change that filters must hear of.
    pub revision: Revision,
    /// Grows with every change to a model.
    pub catalogue_version: CatalogueVersion,
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgRow {
    /// Its id.
    pub id: OrgId,
    /// Its name for people.
    pub name: String,
    /// Its catalogue: models that its keys may call.
    pub models: Selection,
    /// Rate limits that all its keys share.
    pub limits: Vec<StoredLimit>,
    /// What its plan multiplies every price by.
    pub price_multiplier: PriceMultiplier,
    /// Since when its keys are stopped, in milliseconds since 1970 UTC.
    pub suspended_unix_ms: Option<u64>,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// A model as it stands in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueModel {
    /// What filters are told.
    pub model: Model,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// Whose budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetId {
    /// The level.
    pub level: Level,
    /// Its owner, as [`wire::v1::KeyPolicy::owner`] names it.
    pub owner: String,
}

/// How much may be spent, and how often it starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// The most per period; none counts without limiting.
    pub cap: Option<NanoUsd>,
    /// When it starts afresh.
    pub schedule: Schedule,
    /// At which parts of the cap somebody is told.
    pub alerts: Alerts,
    /// Set by a restore without journal: what was spent since the backup is not known, so under a
    /// cap nothing is granted until an operator releases it.
    pub frozen: bool,
    /// It began another account, and what was out of the one before was recalled, by this
    /// revision; zero: never.
    pub began_revision: Revision,
}

impl Budget {
    /// Whether its being frozen keeps grants back. A budget without a cap limits nothing.
    #[must_use]
    pub fn refuses_grants(&self) -> bool {
        self.frozen && self.cap.is_some()
    }
}

/// One budget in one period. Changing when a budget starts afresh begins another account; what was granted
/// from the old one is settled there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// Whose budget.
    pub budget: BudgetId,
    /// When it started afresh at the time that the account was opened.
    pub schedule: Schedule,
    /// First instant of the period in milliseconds since 1970 UTC.
    pub start_unix_ms: u64,
}

/// An account that a lease was granted from: its share has the whole amount of the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The lease.
    pub lease: LeaseId,
    /// The account.
    pub account: AccountId,
    /// The account has stopped counting what is parked; see [`metering::budget::Account::release`].
    pub released: bool,
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// Its id.
    pub id: LeaseId,
    /// Who holds it.
    pub holder: HolderId,
    /// The holder's number for it.
    pub n: u64,
    /// The key that spends; none for a number that was disclaimed before it was ever asked for.
    pub key: Option<KeyId>,
    /// What was granted.
    pub granted: NanoUsd,
    /// Where its money is.
    pub money: LeaseMoney,
    /// The bound on output tokens of the call that it pays for.
    pub output_tokens: u64,
    /// Its holder was told that little is left.
    pub scarce: bool,
    /// Its permits, the same number of every one of `windows`.
    pub permits: LeasePermits,
    /// The windows that it took permits of.
    pub windows: Vec<WindowId>,
    /// The life of the server in which it was granted.
    pub granted_life: u64,
    /// Time of the grant on the server's monotonic clock of that life, in milliseconds.
    pub granted_monotonic_ms: u64,
    /// The holder disclaimed it.
    pub voided: bool,
    /// Time of the grant in milliseconds since 1970 UTC.
    pub granted_unix_ms: u64,
}

/// A window over all proxies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowId {
    /// The level at which it stands.
    pub level: Level,
    /// Its owner, as [`wire::v1::KeyPolicy::owner`] names it.
    pub owner: String,
    /// Its length.
    pub window: Window,
}

/// Where a holder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderState {
    /// Counts as alive after a restart.
    Live,
    /// Its session lapsed and its leases are parked.
    Lapsed,
}

/// A registered VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderRow {
    /// Its id.
    pub id: HolderId,
    /// The random number by which it registered.
    pub nonce: Nonce,
    /// Name of the plugin instance, for people.
    pub plugin: String,
    /// Where it stands.
    pub state: HolderState,
    /// The epoch in which it registered first.
    pub epoch: Epoch,
    /// First registration in milliseconds since 1970 UTC, for people.
    pub registered_unix_ms: u64,
    /// How long it may act on what it knows, in milliseconds, the longest that it was told; 0 where
    /// that was not noted yet.
    pub ttl_ms: u64,
    /// Nothing can be told to it before it asks.
    pub without_push: bool,
    /// Windows of scope `proxy` that are counted here for it: those that allow fewer.
    pub count_windows_below: u64,
}
