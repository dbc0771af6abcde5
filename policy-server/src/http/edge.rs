//! What every handler works with.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::{HeaderMap, header};

use super::log_reads::LogReads;
use crate::app::{Counters, FilterError, Work};
use crate::attempts::Attempts;
use crate::clock::{Clock, Now};
use crate::live::{Shared, lock};
use crate::settings::{FilterToken, KeepRequests, UserKeyLifetime};
use crate::store::sqlite::Readers;
use crate::store::{StoreError, Transaction};
use crate::webhooks::{ServerSecret, WebhookSettings};
use crate::writer::Writer;

/// Handles to the writer, the readers, the memory and the clock. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    pub(crate) readers: Arc<Readers>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) filter_token: Arc<FilterToken>,
    pub(crate) keep_requests: KeepRequests,
    pub(crate) user_key_lifetime: UserKeyLifetime,
    pub(crate) attempts: Arc<Mutex<Attempts>>,
    pub(crate) webhooks: Arc<WebhookSettings>,
    pub(crate) secret: Arc<ServerSecret>,
    pub(crate) log_reads: LogReads,
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

    /// Runs a job that only reads, beside the writer and without waiting for it.
    ///
    /// # Errors
    /// The job's own, or that no connection could be opened.
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let edge = self.clone();
        let now = self.now();
        let reading = tokio::task::spawn_blocking(move || {
            edge.readers.read(|rows: &mut dyn Transaction| job(&mut edge.reading(now, rows)))
        });
        match reading.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Stopped.into()),
        }
    }

    /// Does what time brings about: see [`Work::sweep`]; and forgets old records. Answers whether there
    /// is more to do.
    ///
    /// # Errors
    /// When the store fails or the ledger does not add up.
    pub async fn sweep(&self) -> Result<bool, FilterError> {
        let more = self.sweep_money().await?;
        Ok(self.forget_records().await? || more)
    }

    async fn forget_records(&self) -> Result<bool, FilterError> {
        let before = self.keep_requests.beginning(self.now().unix_ms);
        if !self.read(move |work| work.has_records_before(before)).await? {
            return Ok(false);
        }
        self.write(move |work| work.forget_records_before(before)).await
    }

    async fn sweep_money(&self) -> Result<bool, FilterError> {
        let none_lapsed = self.shared.live().lapsed(self.now()).is_empty();
        if none_lapsed && !self.read(|work| work.has_due_work()).await? {
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
