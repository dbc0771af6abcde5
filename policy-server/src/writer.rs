//! The one thread that writes. Jobs wait in a bounded queue; whatever waits is run in one
//! transaction and committed, synced, once. So a hundred requests that arrive together cost a few
//! disk syncs instead of a hundred, and no two writers ever race for the same money.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::app::Work;
use crate::clock::Now;
use crate::engine::{Engine, Jobs};
use crate::failpoint;
use crate::store::StoreError;

/// Jobs waiting: at some thousand jobs a second this is about a second of work. Beyond it the
/// server says so at once instead of letting callers time out.
const QUEUE: usize = 1024;

/// Jobs in one transaction: enough to share a sync among, few enough that none waits long.
const BATCH: usize = 256;

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
}

impl Writer {
    /// Starts the thread. It ends when every [`Writer`] is dropped.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(engine: Engine) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write(engine, &jobs))?;
        Ok((Self { queue }, thread))
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
        self.queue.try_send(Box::new(waiting)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::QueueFull,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Stopped.into()),
        }
    }
}

fn write(mut engine: Engine, queue: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let committed = engine.batch(|jobs| batch.iter_mut().for_each(|job| job.run(jobs)));
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = batch.len(), "a batch was not committed");
        }
        failpoint::pass("after_effects");
        for job in batch {
            job.answer(committed.is_ok());
        }
    }
}
