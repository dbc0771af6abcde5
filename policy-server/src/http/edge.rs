//! What every handler works with.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use tokio::sync::Semaphore;

use super::log_reads::LogReads;
use crate::app::{AdminError, Counters, FilterError, Work};
use crate::attempts::Attempts;
use crate::clock::{Clock, Now};
use crate::live::{Shared, lock};
use crate::refusals::{LeftOut, Refusals};
use crate::settings::{FilterToken, KeepRequests, UserKeyLifetime};
use crate::store::sqlite::Readers;
use crate::store::{StoreError, Transaction};
use crate::traces::Tracer;
use crate::webhooks::{ServerSecret, WebhookSettings};
use crate::writer::Writer;

/// Lists, sums and pages that are read at once, each by a connection and a thread of its own: enough to
/// keep every core and disk busy, few enough that their memory is bounded.
const LISTS_AT_ONCE: usize = 32;

/// Short reads at once, which never wait for lists: of who signs in, of health, of what the sweeper has
/// to do.
const LOOKS_AT_ONCE: usize = 32;

/// How long a read waits for its turn before its sender is told to come again.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Turns for readers, of two classes.
#[derive(Debug)]
pub struct Turns {
    lists: Arc<Semaphore>,
    looks: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { lists: of(LISTS_AT_ONCE), looks: of(LOOKS_AT_ONCE) }
    }
}

/// Handles to the writer, the readers, the memory and the clock. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    pub(crate) readers: Arc<Readers>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) filter_token: Arc<FilterToken>,
    pub(crate) keep_requests: KeepRequests,
    pub(crate) user_key_lifetime: UserKeyLifetime,
    pub(crate) attempts: Arc<Mutex<Attempts>>,
    pub(crate) refusals: Arc<Mutex<Refusals>>,
    pub(crate) webhooks: Arc<WebhookSettings>,
    pub(crate) secret: Arc<ServerSecret>,
    pub(crate) log_reads: LogReads,
    /// Where spans go, once that is known.
    pub(crate) tracer: Arc<OnceLock<Tracer>>,
    /// Files whose sizes are shown, by what they are.
    pub(crate) files: Arc<Vec<(&'static str, PathBuf)>>,
    /// Last, so that the readers are closed before the writer: whoever closes last tidies the log.
    pub(crate) writer: Writer,
}

impl Edge {
    /// Both clocks, read once per event.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// What is remembered of attempts to sign in to the admin API.
    pub(crate) fn attempts(&self) -> MutexGuard<'_, Attempts> {
        lock(&self.attempts)
    }

    /// How many refusals of each actor were written not long ago.
    pub(crate) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        lock(&self.refusals)
    }

    /// Writes how many refusals had no line of their own.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn write_left_out(&self, left_out: Vec<LeftOut>) -> Result<(), AdminError> {
        if left_out.is_empty() {
            return Ok(());
        }
        self.write(move |work| left_out.iter().try_for_each(|actor| work.note_left_out(actor)))
            .await
    }

    /// Runs a job in the writer's next batch.
    ///
    /// # Errors
    /// The job's own, or that it was not committed.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.run(self.now(), job).await
    }

    /// Runs a short job that only reads, beside the writer and without waiting for it, nor for lists.
    ///
    /// # Errors
    /// The job's own, that too many wait, or that no connection could be opened.
    pub async fn look<T, E>(
        &self,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.read_in_turn(&self.turns.looks, job).await
    }

    /// Runs a job that only reads and may take long.
    ///
    /// # Errors
    /// As [`Edge::look`].
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.read_in_turn(&self.turns.lists, job).await
    }

    async fn read_in_turn<T, E>(
        &self,
        turns: &Arc<Semaphore>,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(turns).acquire_owned()).await;
        let turn = turn.map_err(|_| StoreError::TooManyReads)?.map_err(|_| StoreError::Stopped)?;
        let edge = self.clone();
        let now = self.now();
        let reading = tokio::task::spawn_blocking(move || {
            // Whoever asked may have gone; the turn ends when the reading does.
            let _turn = turn;
            edge.readers.read(|rows: &mut dyn Transaction| job(&mut edge.reading(now, rows)))
        });
        match reading.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Stopped.into()),
        }
    }

    /// Does what time brings about: see [`Work::sweep`]; and forgets old records and ended leases. Answers
    /// whether there is more to do.
    ///
    /// # Errors
    /// When the store fails or the ledger does not add up.
    pub async fn sweep(&self) -> Result<bool, FilterError> {
        let ended = self.refusals().take_ended(self.now());
        if let Err(error) = self.write_left_out(ended).await {
            tracing::error!(%error, "refusals could not be counted in the audit");
        }
        let more = self.sweep_money().await?;
        let more = self.forget_leases().await? || more;
        Ok(self.forget_records().await? || more)
    }

    async fn forget_leases(&self) -> Result<bool, FilterError> {
        let before = self.keep_requests.beginning(self.now().unix_ms);
        if !self.look(move |work| work.has_ended_leases(before)).await? {
            return Ok(false);
        }
        self.write(move |work| work.forget_ended_leases(before)).await
    }

    async fn forget_records(&self) -> Result<bool, FilterError> {
        let before = self.keep_requests.beginning(self.now().unix_ms);
        if !self.look(move |work| work.has_records_before(before)).await? {
            return Ok(false);
        }
        self.write(move |work| work.forget_records_before(before)).await
    }

    async fn sweep_money(&self) -> Result<bool, FilterError> {
        let none_lapsed = self.shared.live().lapsed(self.now()).is_empty();
        if none_lapsed && !self.look(|work| work.has_due_work()).await? {
            return Ok(false);
        }
        self.write(|work| work.sweep()).await
    }

    fn reading<'a>(&'a self, now: Now, rows: &'a mut dyn Transaction) -> Work<'a> {
        Work::reading(rows, &self.shared, &self.counters, now)
    }
}

/// The token of `Authorization: Bearer …`; none when there is none, or more than one.
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}
