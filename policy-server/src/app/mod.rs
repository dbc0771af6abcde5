//! What the server does, as plain synchronous steps over one open transaction: load, decide with
//! `metering`, save. Nothing here knows HTTP, reads a clock or draws randomness by itself, so a
//! simulation drives the very same code.

mod access;
mod admission;
mod aliases;
mod audit;
mod budgets;
mod catalogue;
mod ended_leases;
mod entitled;
mod error;
mod filter_export;
mod groups;
mod holders;
mod key_form;
mod key_secrets;
mod key_sweep;
mod key_test;
mod key_usage;
mod keys;
mod lifetime;
mod listings;
mod member_models;
mod orgs;
mod parked;
mod people;
mod permits;
mod plans;
mod policy;
mod rate_limits;
mod recall;
mod recovery;
mod removal;
mod repeatable;
mod reports;
mod requests;
mod selections;
mod self_service;
mod spend;
mod suspension;
mod teams;
mod thresholds;
mod tokens;
mod usage;
mod user_keys;
mod wallet;
mod wallet_ledger;
mod webhooks;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use wire::v1::{Change, Level};
use wire::{Epoch, HolderId, KeyDigest, NanoUsd, Revision};

pub use access::{Actor, SignedIn, Target};
use admission::FROZEN_RETRY_MS;
pub use aliases::{ALIASES_MOST, AliasView};
pub use audit::{Author, SETTING_AUDIT_DAYS};
pub use budgets::{BudgetForm, Member};
pub use catalogue::{MediaTokens, ModelForm};
pub use entitled::{KeyModel, KeyModelListing, KeyModels};
pub use error::{AdminError, FieldProblem, FilterError};
pub use filter_export::{ExportNote, ExportedKey, FilterExport, Loss};
pub use groups::{GroupModels, GroupView};
pub use key_form::KeyForm;
pub use key_secrets::{ImportedSecret, SecretText};
pub use key_test::{AskedModel, CallRefusal, KeyQuestion, KeyTest, SecretStanding};
pub use keys::CreatedKey;
pub use lifetime::Lifetime;
pub use listings::{KeyListing, Page};
pub use member_models::{MemberForm, MemberModels};
pub use orgs::OrgForm;
pub use parked::Released;
pub use people::{RemovedMember, ServiceAccountForm, UserForm};
pub use plans::PlanForm;
pub use recovery::{NewEpoch, begin_new_epoch};
pub use repeatable::{Idempotency, IfMatch};
pub use selections::SelectionForm;
pub use self_service::own;
pub use spend::{AccountView, KeyView, OrgView};
pub use suspension::Suspendable;
pub use teams::TeamForm;
pub use tokens::{IssuedToken, OVERLAP_MOST_S, TokenForm, TokenStatus, token_prefix};
pub use usage::GroupSums;
pub use user_keys::EXCHANGES_PER_HOUR;
pub use wallet::{AdjustmentForm, TopUpForm, ToppedUp, wallet_budget};
pub use wallet_ledger::{WalletBalances, WalletCheck};
pub use webhooks::{BUDGET_THRESHOLD, EVENTS, WEBHOOK_TEST, WebhookForm};

use crate::clock::{Entropy, NoEntropy, Now};
use crate::live::{Effect, Shared, lock};
use crate::metrics::Metrics;
pub use crate::store::{KeyOrder, KeyStatus};
use crate::store::{ServerRow, StoreError, Transaction};

/// The field is absent, `null`, or has a value: three different wishes in a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// Leave it as it is.
    #[default]
    Absent,
    /// Clear it.
    Null,
    /// Set it.
    Value(T),
}

impl<T> Given<T> {
    /// Whether the field is there at all.
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The value to have afterwards, `current` being the one before.
    pub fn or_current(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// The value, where one is given.
    pub fn value(self) -> Option<T> {
        self.or_current(None)
    }
}

/// What an administrator's change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed<T> {
    /// The object afterwards.
    pub value: T,
    /// The revision that filters must have applied for the change to be in force.
    pub revision: Revision,
}

/// Counts of what an operator should hear of.
#[derive(Debug, Default)]
pub struct Counters {
    /// Transactions committed by the writer.
    pub commits: AtomicU64,
    /// Jobs that the writer ran.
    pub jobs: AtomicU64,
    /// Records whose cost the server computed differently.
    pub differing_records: AtomicU64,
    /// Reports that named a lease which does not exist.
    pub unknown_leases: AtomicU64,
    /// Times that an account's money was asked back from holders because others wait for it.
    pub recalls: AtomicU64,
    /// Leases parked because their holder vanished.
    pub parked_leases: AtomicU64,
    /// Events that a webhook was not told because too much waited already.
    pub dropped_events: AtomicU64,
    /// Calls of filters that showed the token that is being replaced.
    pub previous_token_calls: AtomicU64,
    /// Registrations of filters that speak another version of the protocol.
    pub other_protocols: AtomicU64,
    /// Rows met that contradict themselves, each time; the rest of a request goes on without.
    pub damaged_rows: AtomicU64,
    /// Requests, commits and the writer's queue.
    pub metrics: Metrics,
    /// Positions of damaged records that were logged.
    damaged_records: Mutex<BTreeSet<i64>>,
}

/// Damaged records that are logged, each once: whoever has more of them has read of enough.
const DAMAGED_RECORDS_LOGGED: usize = 1_000;

impl Counters {
    fn is_newly_damaged(&self, position: i64) -> bool {
        let mut logged = lock(&self.damaged_records);
        logged.len() < DAMAGED_RECORDS_LOGGED && logged.insert(position)
    }

    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// Sums over the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTotals {
    /// Leases that are not closed.
    pub open_leases: u64,
    /// Windows over all proxies.
    pub windows: u64,
    /// Budgets that grant nothing until they are released.
    pub frozen_budgets: u64,
    /// Events that wait to be told to a webhook.
    pub pending_deliveries: u64,
    /// By level: outstanding, parked, overdraft, over all periods.
    pub money: Vec<(Level, [NanoUsd; 3])>,
}

/// One job within a transaction.
pub struct Work<'a> {
    pub(crate) rows: &'a mut dyn Transaction,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) counters: &'a Counters,
    /// None where the transaction only reads.
    pub(crate) entropy: Option<&'a mut dyn Entropy>,
    pub(crate) now: Now,
    /// Whose change it is.
    pub(crate) author: Author,
    pub(crate) effects: Vec<Effect>,
}

impl<'a> Work<'a> {
    /// A job that only reads: there is nothing to be random about and nothing to publish.
    pub(crate) fn reading(
        rows: &'a mut dyn Transaction,
        shared: &'a Arc<Shared>,
        counters: &'a Counters,
        now: Now,
    ) -> Self {
        let (author, effects) = (Author::default(), Vec::new());
        Self { rows, shared, counters, entropy: None, now, author, effects }
    }

    /// Carries out a part of a job of which nothing remains where it meets a damaged row. That is
    /// counted and logged as trouble of `what`, and answered with none, so that the rest of the job
    /// goes on.
    ///
    /// # Errors
    /// Every other error of the part: then the job must fail.
    fn part<T>(
        &mut self,
        what: &str,
        part: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<Option<T>, FilterError> {
        let effects = self.effects.len();
        let begun = self.rows.begin_part()?;
        match part(self) {
            Ok(done) => {
                self.rows.keep_part()?;
                Ok(Some(done))
            }
            Err(error) => {
                self.rows.undo_part(begun)?;
                self.effects.truncate(effects);
                if !error.is_damage() {
                    return Err(error);
                }
                self.note_damage(what, &error);
                Ok(None)
            }
        }
    }

    /// Counts and logs a damaged row.
    fn note_damage(&self, what: &str, error: &dyn std::error::Error) {
        Counters::add(&self.counters.damaged_rows, 1);
        tracing::error!(what, %error, "a damaged row was passed over");
    }

    /// As [`Work::note_damage`], of a record of the log, which many pages may reach: logged once.
    fn note_damaged_record(&self, position: i64, error: &dyn std::error::Error) {
        Counters::add(&self.counters.damaged_rows, 1);
        if self.counters.is_newly_damaged(position) {
            tracing::error!(position, %error, "a damaged record is left out");
        }
    }

    /// Random bytes.
    fn random<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], NoEntropy> {
        let mut bytes = [0; SIZE];
        match &mut self.entropy {
            Some(entropy) => entropy.fill(&mut bytes)?,
            None => return Err(NoEntropy::reading()),
        }
        Ok(bytes)
    }

    /// A random id of `length` letters and digits without upper case: five bits each.
    fn random_id(&mut self, prefix: &str, length: usize) -> Result<String, NoEntropy> {
        /// Digits and lower-case letters that are not mistaken for one another.
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut id = String::from(prefix);
        for byte in self.random::<32>()?.into_iter().take(length) {
            let letter = LETTERS.get(usize::from(byte % 32)).copied();
            id.push(letter.map_or('0', char::from));
        }
        Ok(id)
    }

    /// Forty random letters and digits: about 238 bits.
    fn random_secret(&mut self) -> Result<String, NoEntropy> {
        const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let letters = self.random::<40>()?.into_iter().map(|byte| {
            let letter = BASE62.get(usize::from(byte % 62)).copied();
            letter.map_or('0', char::from)
        });
        Ok(letters.collect())
    }

    /// Takes the next revision for a change and tells the holders after the commit.
    fn publish(&mut self, change: Change) -> Result<Revision, StoreError> {
        let mut server = self.rows.server()?;
        server.revision = Revision(server.revision.0.saturating_add(1));
        if let Change::Catalogue { version } = change {
            server.catalogue_version = version;
        }
        self.rows.save_server(&server)?;
        self.effects.push(Effect::Published(server.revision, change));
        Ok(server.revision)
    }

    /// Checks the epoch that a holder named.
    fn check_epoch(&mut self, epoch: Epoch) -> Result<ServerRow, FilterError> {
        let server = self.rows.server()?;
        if server.epoch == epoch { Ok(server) } else { Err(FilterError::OtherEpoch) }
    }

    /// Checks the epoch and renews the session of a holder that must be alive.
    fn check_in(&mut self, holder: &HolderId, epoch: Epoch) -> Result<ServerRow, FilterError> {
        let server = self.check_epoch(epoch)?;
        let touched = self.shared.live().touch(holder, self.now);
        touched.map_err(|_| FilterError::UnknownHolder)?;
        Ok(server)
    }

    /// Begins a life of the server's monotonic clock, and prepares an empty database: its epoch, and
    /// an administrator's token. The token is returned once and stored as a digest only; later
    /// starts return none.
    ///
    /// # Errors
    /// When the store fails or no random bytes can be had.
    pub fn first_start(&mut self) -> Result<Option<SecretText>, AdminError> {
        self.rows.begin_life()?;
        let server = self.rows.server()?;
        if server.epoch == Epoch(0) {
            self.rows.save_server(&ServerRow {
                // Time-ordered, so that a filter can tell an older life from a newer one.
                epoch: Epoch(self.now.unix_ms.max(1)),
                ..server
            })?;
        }
        if self.rows.admin_tokens()?.is_empty() {
            return self.new_admin_token().map(Some);
        }
        Ok(None)
    }

    /// Makes a new admin token, the only valid one from now on.
    ///
    /// # Errors
    /// When the store fails or no random bytes can be had.
    pub fn new_admin_token(&mut self) -> Result<SecretText, AdminError> {
        let token = format!("tga_{}", self.random_secret()?);
        let digest = metering::api_key::digest(token.as_bytes());
        self.rows.replace_admin_tokens(digest, self.now.unix_ms)?;
        Ok(SecretText::new(token))
    }

    /// Replaces the admin token, and says so in the audit.
    ///
    /// # Errors
    /// As [`Work::new_admin_token`].
    pub fn rotate_admin_token(&mut self) -> Result<SecretText, AdminError> {
        let token = self.new_admin_token()?;
        self.note(self.author.line("admin_token.rotate", &Target::Server, None))?;
        Ok(token)
    }

    /// Reads something, to see that the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_store(&mut self) -> Result<(), AdminError> {
        self.rows.server()?;
        Ok(())
    }

    /// Sums over the whole server, for operators.
    ///
    /// # Errors
    /// When the store fails.
    pub fn totals(&mut self) -> Result<ServerTotals, AdminError> {
        Ok(ServerTotals {
            open_leases: self.rows.open_lease_count()?,
            windows: self.rows.window_count()?,
            frozen_budgets: self.rows.frozen_count()?,
            pending_deliveries: self.rows.all_pending_deliveries()?,
            money: self.rows.money_totals()?,
        })
    }

    /// Whether the text is an admin token.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_admin_token(&mut self, text: &[u8]) -> Result<bool, StoreError> {
        let digest = metering::api_key::digest(text);
        let tokens = self.rows.admin_tokens()?;
        Ok(tokens.iter().any(|token| same_digest(token, &digest)))
    }
}

/// Compares two digests in a time that does not depend on where they differ.
#[must_use]
pub fn same_digest(one: &KeyDigest, other: &KeyDigest) -> bool {
    let pairs = one.0.iter().zip(other.0);
    pairs.fold(0u8, |difference, (a, b)| difference | (a ^ b)) == 0
}
