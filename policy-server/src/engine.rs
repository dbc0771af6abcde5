//! The application over its store, without threads or sockets: what the writer runs, and what a
//! simulation drives directly.

use std::sync::Arc;

use crate::app::{AdminError, Author, Counters, SecretText, Work};
use crate::clock::{Entropy, Now};
use crate::live::{Effect, Live, SessionTimes, Shared};
use crate::store::sqlite::{Batch, Sqlite};
use crate::store::{ServerRow, StoreError, StoreResult};

/// The store, the memory beside it, and where randomness comes from.
pub struct Engine {
    store: Sqlite,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    entropy: Box<dyn Entropy>,
}

/// One transaction that several jobs share; each sees what those before it wrote.
pub struct Jobs<'e, 'c> {
    batch: &'e mut Batch<'c>,
    shared: &'e Arc<Shared>,
    counters: &'e Counters,
    entropy: &'e mut dyn Entropy,
    effects: Vec<Effect>,
}

impl Jobs<'_, '_> {
    /// Runs one job at its own time. Where it fails, nothing of it remains.
    ///
    /// # Errors
    /// The job's own.
    pub fn run<T, E: From<StoreError>>(
        &mut self,
        now: Now,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        Counters::add(&self.counters.jobs, 1);
        let mut new_effects = Vec::new();
        let outcome = self.batch.step(|rows| {
            let mut work = Work {
                rows,
                shared: self.shared,
                counters: self.counters,
                entropy: Some(&mut *self.entropy),
                now,
                author: Author::default(),
                effects: Vec::new(),
            };
            let outcome = job(&mut work);
            new_effects = work.effects;
            outcome
        });
        if outcome.is_ok() {
            self.effects.append(&mut new_effects);
        }
        outcome
    }
}

impl Engine {
    /// Takes up a store: prepares it at its first start, and counts every known holder as just
    /// seen. Answers the admin token where one was made.
    ///
    /// # Errors
    /// When the store fails or no random bytes can be had.
    pub fn start(
        mut store: Sqlite,
        mut entropy: Box<dyn Entropy>,
        times: SessionTimes,
        now: Now,
    ) -> Result<(Self, Option<SecretText>), AdminError> {
        let nothing = ServerRow {
            epoch: wire::Epoch(0),
            revision: wire::Revision(0),
            catalogue_version: wire::CatalogueVersion(0),
        };
        let counters = Arc::new(Counters::default());
        let empty = Arc::new(Shared::new(Live::after_start(times, &nothing, [], 0, now)));
        let mut prepared = Err(AdminError::Store(StoreError::NotCommitted));
        store.batch(|batch| {
            let mut jobs = Jobs {
                batch,
                shared: &empty,
                counters: &counters,
                entropy: &mut *entropy,
                effects: Vec::new(),
            };
            prepared = jobs.run(now, |work| {
                let token = work.first_start()?;
                // All of them, however many: one that were forgotten could act on what nobody waits
                // for it to forget, and its money would never be parked.
                let holders = work.rows.live_holders()?;
                Ok((token, work.rows.server()?, holders, work.rows.ran_ms()?))
            });
        })?;
        let (token, server, holders, ran_ms) = prepared?;
        let live = Live::after_start(times, &server, holders, ran_ms, now);
        let engine = Self { store, shared: Arc::new(Shared::new(live)), counters, entropy };
        Ok((engine, token))
    }

    /// The memory that polls read.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Counts for operators.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Runs jobs in one transaction, commits it, and only then lets their effects be seen.
    ///
    /// # Errors
    /// When the transaction could not begin or be committed; nothing of any job remains then, so
    /// none may be answered as done.
    pub fn batch(&mut self, run: impl FnOnce(&mut Jobs<'_, '_>)) -> StoreResult<()> {
        let mut effects = Vec::new();
        self.store.batch(|batch| {
            let mut jobs = Jobs {
                batch,
                shared: &self.shared,
                counters: &self.counters,
                entropy: &mut *self.entropy,
                effects: Vec::new(),
            };
            run(&mut jobs);
            effects = jobs.effects;
        })?;
        Counters::add(&self.counters.commits, 1);
        self.shared.apply(effects);
        Ok(())
    }

    /// Runs one job in a transaction of its own.
    ///
    /// # Errors
    /// The job's own, or that it could not be committed.
    pub fn run<T, E: From<StoreError>>(
        &mut self,
        now: Now,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut outcome = Err(E::from(StoreError::NotCommitted));
        self.batch(|jobs| outcome = jobs.run(now, job))?;
        outcome
    }
}
