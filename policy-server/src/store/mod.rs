//! What must be remembered, as plain rows, and the narrow traits by which the application loads
//! and saves them. Nothing here adds or compares money: every number is decided in `metering`.

mod budget_rows;
mod entitlement_rows;
mod error;
mod key_rows;
mod record_rows;
mod removal_rows;
mod repeatable_rows;
mod rows;
pub mod sqlite;
mod tenancy_rows;
mod user_key_rows;
mod wallet_rows;
mod webhook_rows;

use std::ops::ControlFlow;

use wire::{
    CatalogueVersion, HolderId, KeyDigest, KeyId, LeaseId, ModelName, Nonce, OrgId,
    PriceMultiplier, TeamId, UserId,
};

pub use budget_rows::BudgetRows;
pub use entitlement_rows::{GroupRow, GroupRows, MemberModelRows, PlanRow, PlanRows};
pub use error::{StoreError, StoreResult};
pub use key_rows::{
    KeyCursor, KeyFormat, KeyLife, KeyOrder, KeyRow, KeySearch, KeyStatus, KeyUsage, SecretRow,
    SortValue, StoredLimit,
};
use metering::permits::Permits;
pub use record_rows::{
    FoundRecord, RecordPlace, RecordRow, RecordRows, RecordSearch, UsageDay, UsageGroup,
    UsageOwner, UsageSearch, UsageSums, Whose, WouldRefuse,
};
pub use removal_rows::{RemovalRow, RemovalRows};
pub use repeatable_rows::RepeatableRow;
pub use rows::{
    AccountId, Budget, BudgetId, CatalogueModel, HolderRow, HolderState, LeaseRow, OrgRow,
    ServerRow, Share, WindowId,
};
pub use tenancy_rows::{
    AuditRow, AuditSearch, Ceiling, MembershipRow, Outcome, PersonalTokenRow, SelfService, TeamRow,
    UserRow,
};
pub use user_key_rows::{UserKeyRow, UserKeyRows};
pub use wallet_rows::{WalletAccount, WalletEntry, WalletRows, WalletUsage};
pub use webhook_rows::{DeliveryRow, DeliverySearch, DeliveryStatus, WebhookRow, WebhookRows};
use wire::v1::Price;

use crate::schedule::Schedule;

/// Everything within one transaction.
pub trait Transaction:
    Parts
    + ServerRows
    + OrgRows
    + KeyRows
    + RepeatableRows
    + DigestRows
    + UserKeyRows
    + ModelRows
    + BudgetRows
    + WalletRows
    + WebhookRows
    + WindowRows
    + LeaseRows
    + HolderRows
    + RecordRows
    + UsageRows
    + TokenRows
    + TeamRows
    + UserRows
    + RemovalRows
    + PersonalTokenRows
    + SettingRows
    + AuditRows
    + PlanRows
    + GroupRows
    + MemberModelRows
{
}

/// A part of a job that may fail without the rest of it. Parts are not nested.
pub trait Parts {
    /// Begins a part. Answers what [`Parts::undo_part`] needs.
    fn begin_part(&mut self) -> StoreResult<PartBegun>;
    /// What was written since stays, as far as the job's does.
    fn keep_part(&mut self) -> StoreResult<()>;
    /// What was written since is undone. Where that fails, the job must fail.
    fn undo_part(&mut self, begun: PartBegun) -> StoreResult<()>;
}

/// Where a part began: how many statements had been written for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartBegun(pub(crate) usize);

/// The server's own counters.
pub trait ServerRows {
    /// Epoch, revision and catalogue version.
    fn server(&mut self) -> StoreResult<ServerRow>;
    /// Saves them.
    fn save_server(&mut self, server: &ServerRow) -> StoreResult<()>;
}

/// Digests of admin tokens.
pub trait TokenRows {
    /// Every digest that admits an administrator.
    fn admin_tokens(&mut self) -> StoreResult<Vec<KeyDigest>>;
    /// Makes this the only one.
    fn replace_admin_tokens(&mut self, digest: KeyDigest, made_unix_ms: u64) -> StoreResult<()>;
}

/// Organisations.
pub trait OrgRows {
    /// One organisation.
    fn org(&mut self, id: &OrgId) -> StoreResult<Option<OrgRow>>;
    /// Organisations in the order of their ids, after `after`, at most `limit`.
    fn orgs(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<OrgRow>>;
    /// Inserts or replaces, and remembers its multiplier for ever.
    fn save_org(&mut self, org: &OrgRow) -> StoreResult<()>;
    /// Whether calls of the organisation were ever to be priced by this multiplier.
    fn had_multiplier(&mut self, id: &OrgId, multiplier: PriceMultiplier) -> StoreResult<bool>;
    /// Removes the organisation with its teams, users, their tokens and its webhooks; ledger, records and
    /// multipliers stay.
    fn remove_org(&mut self, id: &OrgId) -> StoreResult<()>;
}

/// Keys.
pub trait KeyRows {
    /// One key, deleted ones included.
    fn key(&mut self, id: &KeyId) -> StoreResult<Option<KeyRow>>;
    /// Inserts or replaces all but the usage, and everything by which the key is found and counted.
    /// `status` is the one that it has now.
    fn save_key(&mut self, key: &KeyRow, status: KeyStatus) -> StoreResult<()>;
    /// Saves what a key was used for. A key that does not exist has none.
    fn save_usage(&mut self, id: &KeyId, usage: &KeyUsage) -> StoreResult<()>;
    /// Keys that match, in order, with where each of them stands in it.
    fn keys(&mut self, search: &KeySearch) -> StoreResult<Vec<(KeyCursor, KeyRow)>>;
    /// How many keys there are in each state, in an organisation or in all of them. Those that
    /// expired by now count as expired.
    fn key_counts(
        &mut self,
        org: Option<&OrgId>,
        now_unix_ms: u64,
    ) -> StoreResult<Vec<(KeyStatus, u64)>>;
    /// How many keys of these teams and this user of an organisation there are in each state.
    fn key_counts_of(
        &mut self,
        org: &OrgId,
        teams: &[TeamId],
        user: Option<&UserId>,
        now_unix_ms: u64,
    ) -> StoreResult<Vec<(KeyStatus, u64)>>;
    /// Keys that expired by now and are not found as such yet, at most `limit`.
    fn newly_expired(&mut self, now_unix_ms: u64, limit: u32) -> StoreResult<Vec<KeyRow>>;
}

/// Requests that are known again when they are repeated.
pub trait RepeatableRows {
    /// The request that was carried out under a word.
    fn repeatable(&mut self, idempotency: &KeyDigest) -> StoreResult<Option<RepeatableRow>>;
    /// Remembers one, in place of an older one.
    fn save_repeatable(&mut self, row: &RepeatableRow) -> StoreResult<()>;
    /// Puts another answer in the place of the one that is kept, if the request is remembered.
    fn save_answer(&mut self, idempotency: &KeyDigest, answer: &str) -> StoreResult<()>;
    /// Whether there is one from before a wall time.
    fn has_repeatables_before(&mut self, unix_ms: u64) -> StoreResult<bool>;
    /// Forgets those before a wall time, at most `limit`. Answers how many there were.
    fn forget_repeatables(&mut self, before_unix_ms: u64, limit: u32) -> StoreResult<u64>;
}

/// Digests of keys.
pub trait DigestRows {
    /// The key whose secret has this digest now.
    fn key_by_digest(
        &mut self,
        digest: &KeyDigest,
        now_unix_ms: u64,
    ) -> StoreResult<Option<KeyRow>>;
    /// What is known of a digest that a key has or had.
    fn secret(&mut self, digest: &KeyDigest) -> StoreResult<Option<SecretRow>>;
    /// The end of its own that a digest has, in wall time, if it has one.
    fn digest_valid_until(&mut self, digest: &KeyDigest) -> StoreResult<Option<u64>>;
    /// Whether a key has or had this digest.
    fn is_digest_taken(&mut self, digest: &KeyDigest) -> StoreResult<bool>;
    /// Every digest that the key has or had, newest first, at most `limit`.
    fn digests(&mut self, id: &KeyId, limit: u32) -> StoreResult<Vec<KeyDigest>>;
    /// Makes the digest the key's own. The one before it stays valid until a wall time, or ends at
    /// once; any older one ends.
    fn replace_digest(
        &mut self,
        id: &KeyId,
        digest: &KeyDigest,
        before_valid_until_unix_ms: Option<u64>,
    ) -> StoreResult<()>;
    /// Until when the digest before the key's own is valid, if it is.
    fn previous_valid_until(&mut self, id: &KeyId) -> StoreResult<Option<u64>>;
    /// Digests whose own end has come, and their keys, at most `limit`.
    fn ended_digests(
        &mut self,
        now_unix_ms: u64,
        limit: u32,
    ) -> StoreResult<Vec<(KeyDigest, KeyId)>>;
    /// Ends a digest.
    fn end_digest(&mut self, digest: &KeyDigest) -> StoreResult<()>;
}

/// Models and the history of their prices.
pub trait ModelRows {
    /// Every model, retired ones included, in the order of their names.
    fn models(&mut self) -> StoreResult<Vec<CatalogueModel>>;
    /// A page of them, in the order of their names.
    fn models_after(&mut self, after: Option<&str>, limit: u32)
    -> StoreResult<Vec<CatalogueModel>>;
    /// One model by its concrete name.
    fn model(&mut self, name: &ModelName) -> StoreResult<Option<CatalogueModel>>;
    /// Inserts or replaces the model as of this version and appends to the history.
    fn save_model(&mut self, model: &CatalogueModel, version: CatalogueVersion) -> StoreResult<()>;
    /// The price of a model as of a version: outer `None` when it did not exist then.
    fn price_at(
        &mut self,
        model: &ModelName,
        version: CatalogueVersion,
    ) -> StoreResult<Option<Option<Price>>>;
}

/// Windows over all proxies, and the server's monotonic clock.
pub trait WindowRows {
    /// The life that the server's monotonic clock is in.
    fn life(&mut self) -> StoreResult<u64>;
    /// The server starts: a new life begins.
    fn begin_life(&mut self) -> StoreResult<u64>;
    /// How long the server had run in all its lives when that was noted last, in milliseconds.
    fn ran_ms(&mut self) -> StoreResult<u64>;
    /// Notes it.
    fn save_ran_ms(&mut self, ran_ms: u64) -> StoreResult<()>;
    /// The permits of a window, in times of the life that is named with them.
    fn permits(&mut self, id: &WindowId) -> StoreResult<Option<(u64, Permits)>>;
    /// Inserts or replaces.
    fn save_permits(&mut self, id: &WindowId, life: u64, permits: &Permits) -> StoreResult<()>;
    /// How many windows there are.
    fn window_count(&mut self) -> StoreResult<u64>;
}

/// Leases and the accounts that they were granted from.
pub trait LeaseRows {
    /// One lease.
    fn lease(&mut self, id: &LeaseId) -> StoreResult<Option<LeaseRow>>;
    /// Inserts a new lease with the accounts that it was granted from.
    fn add_lease(&mut self, lease: &LeaseRow, charged: &[AccountId]) -> StoreResult<()>;
    /// Saves the money and the permits of a lease.
    fn save_lease(&mut self, lease: &LeaseRow) -> StoreResult<()>;
    /// The accounts that a lease was granted from.
    fn shares(&mut self, id: &LeaseId) -> StoreResult<Vec<Share>>;
    /// Notes when the shares of a lease in accounts of this schedule are to be released, in time that
    /// the server has run.
    fn schedule_release(
        &mut self,
        id: &LeaseId,
        schedule: Schedule,
        at_ran_ms: u64,
    ) -> StoreResult<()>;
    /// Shares whose time of release has come, the oldest first, at most `limit`.
    fn due_releases(&mut self, ran_ms: u64, limit: u32) -> StoreResult<Vec<Share>>;
    /// Whether any share has a time of release.
    fn has_scheduled_releases(&mut self) -> StoreResult<bool>;
    /// Shares of a key's parked leases that are not released, at most `limit`.
    fn parked_shares(&mut self, key: &KeyId, limit: u32) -> StoreResult<Vec<Share>>;
    /// Marks a share as released.
    fn save_released(&mut self, share: &Share) -> StoreResult<()>;
    /// How many leases are open.
    fn open_lease_count(&mut self) -> StoreResult<u64>;
    /// Open leases of a holder, at most `limit`.
    fn open_leases(&mut self, holder: &HolderId, limit: u32) -> StoreResult<Vec<LeaseRow>>;
    /// Ended leases that were granted before a wall time, the oldest first, at most `limit`.
    fn ended_leases(&mut self, before_unix_ms: u64, limit: u32) -> StoreResult<Vec<LeaseId>>;
    /// Removes an ended lease.
    fn forget_lease(&mut self, id: &LeaseId) -> StoreResult<()>;
    /// Whether a lease that is not there ended and was removed.
    fn is_forgotten(&mut self, id: &LeaseId) -> StoreResult<bool>;
}

/// The audit.
pub trait AuditRows {
    /// Appends a line.
    fn add_audit(&mut self, line: &AuditRow) -> StoreResult<()>;
    /// Lines that match, newest first, with the position of each for the next page.
    fn audit(&mut self, search: &AuditSearch) -> StoreResult<Vec<(i64, AuditRow)>>;
    /// Whether there is a line from before a wall time.
    fn has_audit_before(&mut self, unix_ms: u64) -> StoreResult<bool>;
    /// Removes the oldest lines from before a wall time, at most `limit`. Answers how many.
    fn forget_audit(&mut self, unix_ms: u64, limit: u32) -> StoreResult<usize>;
}

/// Teams.
pub trait TeamRows {
    /// One team.
    fn team(&mut self, org: &OrgId, id: &TeamId) -> StoreResult<Option<TeamRow>>;
    /// Teams of an organisation in the order of their ids, after `after`, at most `limit`; where
    /// `only` is given, none but those.
    fn teams(
        &mut self,
        org: &OrgId,
        only: Option<&[TeamId]>,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<TeamRow>>;
    /// Inserts or replaces.
    fn save_team(&mut self, team: &TeamRow) -> StoreResult<()>;
    /// How many teams an organisation has.
    fn team_count(&mut self, org: &OrgId) -> StoreResult<u64>;
    /// Removes a team and its memberships.
    fn remove_team(&mut self, org: &OrgId, id: &TeamId) -> StoreResult<()>;
}

/// Users and their places in teams.
pub trait UserRows {
    /// One user.
    fn user(&mut self, org: &OrgId, id: &UserId) -> StoreResult<Option<UserRow>>;
    /// Users of an organisation in the order of their ids, at most `limit`.
    fn users(&mut self, search: &UserSearch) -> StoreResult<Vec<UserRow>>;
    /// Inserts or replaces.
    fn save_user(&mut self, user: &UserRow) -> StoreResult<()>;
    /// Removes a user and his memberships.
    fn remove_user(&mut self, org: &OrgId, id: &UserId) -> StoreResult<()>;
    /// A user's place in a team.
    fn membership(
        &mut self,
        org: &OrgId,
        team: &TeamId,
        user: &UserId,
    ) -> StoreResult<Option<MembershipRow>>;
    /// The teams of a user, at most `limit`.
    fn memberships_of(
        &mut self,
        org: &OrgId,
        user: &UserId,
        limit: u32,
    ) -> StoreResult<Vec<MembershipRow>>;
    /// Members of a team in the order of their ids, after `after`, at most `limit`.
    fn members(
        &mut self,
        org: &OrgId,
        team: &TeamId,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<MembershipRow>>;
    /// Inserts or replaces.
    fn save_membership(&mut self, membership: &MembershipRow) -> StoreResult<()>;
    /// Removes a user from a team.
    fn remove_membership(&mut self, org: &OrgId, team: &TeamId, user: &UserId) -> StoreResult<()>;
    /// Keys of a user that have not ended, of one team where one is given, at most `limit`.
    fn keys_of_user(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
        limit: u32,
    ) -> StoreResult<Vec<KeyRow>>;
    /// How many these are.
    fn count_of_user(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
    ) -> StoreResult<u64>;
    /// Whether a team has keys that have not ended, or service accounts.
    fn team_is_used(&mut self, org: &OrgId, team: &TeamId) -> StoreResult<bool>;
}

/// Which users to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSearch {
    /// The organisation.
    pub org: OrgId,
    /// Only this one.
    pub only: Option<UserId>,
    /// Only service accounts (of these teams, where some are given), or only people.
    pub service: Option<Service>,
    /// Only ids after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Which kind of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// People.
    No,
    /// Service accounts.
    Yes,
    /// Service accounts of these teams.
    Of(Vec<TeamId>),
}

/// Personal tokens.
pub trait PersonalTokenRows {
    /// One token.
    fn personal_token(&mut self, id: &str) -> StoreResult<Option<PersonalTokenRow>>;
    /// The token with this digest.
    fn personal_token_by_digest(
        &mut self,
        digest: &KeyDigest,
    ) -> StoreResult<Option<PersonalTokenRow>>;
    /// Tokens of a user, newest first, with the position of each for the next page.
    fn personal_tokens(
        &mut self,
        org: &OrgId,
        user: &UserId,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, PersonalTokenRow)>>;
    /// How many tokens of a user can sign in at a wall time.
    fn usable_token_count(&mut self, org: &OrgId, user: &UserId, unix_ms: u64) -> StoreResult<u64>;
    /// Inserts or replaces; digest and owner stay.
    fn save_personal_token(&mut self, token: &PersonalTokenRow) -> StoreResult<()>;
    /// Ends every token that a user, or anybody of an organisation, issued for others, and that was issued
    /// by one of these in turn, and that would sign in at a wall time. Answers how many there were.
    fn revoke_tokens_issued(
        &mut self,
        org: &OrgId,
        issuer: Option<&UserId>,
        unix_ms: u64,
    ) -> StoreResult<usize>;
    /// Ends every token of a user for good.
    fn revoke_personal_tokens(
        &mut self,
        org: &OrgId,
        user: &UserId,
        unix_ms: u64,
    ) -> StoreResult<()>;
}

/// What administrators set of the server itself.
pub trait SettingRows {
    /// A setting; none: its default.
    fn setting(&mut self, name: &str) -> StoreResult<Option<u64>>;
    /// Sets it, or goes back to its default.
    fn save_setting(&mut self, name: &str, value: Option<u64>) -> StoreResult<()>;
}

/// Registered VMs.
pub trait HolderRows {
    /// One holder.
    fn holder(&mut self, id: &HolderId) -> StoreResult<Option<HolderRow>>;
    /// The holder that registered with this nonce.
    fn holder_by_nonce(&mut self, nonce: &Nonce) -> StoreResult<Option<HolderRow>>;
    /// Inserts or replaces.
    fn save_holder(&mut self, holder: &HolderRow) -> StoreResult<()>;
    /// Holders whose sessions had not lapsed.
    fn live_holders(&mut self) -> StoreResult<Vec<HolderRow>>;
    /// How many these are.
    fn live_holder_count(&mut self) -> StoreResult<u64>;
}

/// Sums over the request log.
pub trait UsageRows {
    /// The sums of a day.
    fn usage(&mut self, day: &UsageDay) -> StoreResult<Option<UsageSums>>;
    /// Inserts or replaces.
    fn save_usage_day(&mut self, day: &UsageDay, sums: &UsageSums) -> StoreResult<()>;
    /// Shows the rows that match to `each` until it has seen enough. Answers without a filter come
    /// in the order of their groups.
    fn scan_usage(
        &mut self,
        search: &UsageSearch,
        each: &mut dyn FnMut(UsageDay, UsageSums) -> ControlFlow<()>,
    ) -> StoreResult<()>;
}
