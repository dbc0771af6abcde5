//! The one thread that writes. Jobs wait in a bounded queue; whatever waits is run in one
//! transaction and committed, synced, once. So a hundred requests that arrive together cost a few
//! disk syncs instead of a hundred, and no two writers ever race for the same money.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::app::{Counters, Work};
use crate::clock::{Clock, Now};
use crate::engine::{Engine, Jobs};
use crate::failpoint;
use crate::store::StoreError;

/// Jobs waiting: at some thousand jobs a second this is about a second of work. Beyond it the
/// server says so at once instead of letting callers time out.
const QUEUE: usize = 1024;

/// Jobs in one transaction: enough to share a sync among, few enough that none waits long.
const BATCH: usize = 256;

/// Work in one transaction, in milliseconds: a job is answered after its whole batch, and some
/// jobs take long.
const BATCH_MS: u64 = 50;

/// A job whose type of answer is hidden, so that jobs of all types share one queue.
trait Job: Send {
    /// Runs within the batch; the outcome is kept until the batch is committed.
    fn run(&mut self, jobs: &mut Jobs<'_, '_>);
    /// Answers the caller: with the outcome, or that nothing was committed.
    fn answer(self: Box<Self>, committed: bool);
}

struct Waiting<F, T, E> {
    now: Now,
    job: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Waiting<F, T, E>
where
    F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, jobs: &mut Jobs<'_, '_>) {
        if let Some(job) = self.job.take() {
            self.outcome = Some(jobs.run(self.now, job));
        }
    }

    fn answer(self: Box<Self>, committed: bool) {
        let outcome = match self.outcome {
            // What failed changed nothing, so it stays true whether the rest was committed.
            Some(Err(error)) => Err(error),
            Some(Ok(value)) if committed => Ok(value),
            _ => Err(StoreError::NotCommitted.into()),
        };
        // The caller may have gone; the work stands, and repeating it is harmless by design.
        let _ = self.reply.send(outcome);
    }
}

/// Hands jobs to the writing thread.
#[derive(Clone)]
pub struct Writer {
    queue: SyncSender<Box<dyn Job>>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread. It ends when every [`Writer`] is dropped.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(engine: Engine, clock: Arc<dyn Clock>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = sync_channel(QUEUE);
        let counters = Arc::clone(engine.counters());
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write(engine, &*clock, &jobs))?;
        Ok((Self { queue, counters }, thread))
    }

    /// Runs a job in the next batch and answers once that batch is on disk.
    ///
    /// # Errors
    /// The job's own; or that the queue is full, the writer has ended, or the batch was not
    /// committed.
    pub async fn run<T, E>(
        &self,
        now: Now,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { now, job: Some(job), outcome: None, reply };
        // Counted first: the writer may take it before this goes on.
        self.counters.metrics.job_waits();
        self.queue.try_send(Box::new(waiting)).map_err(|error| {
            self.counters.metrics.job_taken();
            match error {
                TrySendError::Full(_) => StoreError::QueueFull,
                TrySendError::Disconnected(_) => StoreError::Stopped,
            }
        })?;
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Stopped.into()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
fn write(mut engine: Engine, clock: &dyn Clock, queue: &Receiver<Box<dyn Job>>) {
    let counters = Arc::clone(engine.counters());
    // Taken from the queue and not run yet: at most a batch.
    let mut waiting: VecDeque<Box<dyn Job>> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv() {
                Ok(first) => waiting.push_back(first),
                Err(_) => return,
            }
        }
        while waiting.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            waiting.push_back(next);
        }
        let mut batch = Vec::new();
        let begun = Instant::now();
        let committed = engine.batch(|jobs| {
            let began_ms = clock.now().monotonic_ms;
            while let Some(mut job) = waiting.pop_front() {
                counters.metrics.job_taken();
                job.run(jobs);
                batch.push(job);
                if clock.now().monotonic_ms >= began_ms.saturating_add(BATCH_MS) {
                    break;
                }
            }
        });
        if batch.is_empty() {
            // The transaction could not begin; nobody is kept waiting for a store that fails.
            waiting.iter().for_each(|_| counters.metrics.job_taken());
            batch.extend(waiting.drain(..));
        }
        counters.metrics.committed(committed.is_ok(), begun.elapsed());
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = batch.len(), "a batch was not committed");
        }
        failpoint::pass("after_effects");
        for job in batch {
            job.answer(committed.is_ok());
        }
    }
}
