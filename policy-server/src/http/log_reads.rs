//! Reads of what is long, the request log and the audit: a few at once, so that however many are asked
//! for, others find a processor, a thread and a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::StoreError;

/// Reads at once for each kind of asker. More are not faster: they share the processors and the disk.
const AT_ONCE: usize = 4;

/// How long a read waits for its turn; a page takes a small part of that.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Turns to read.
#[derive(Debug, Clone)]
pub struct LogReads {
    filters: Arc<Semaphore>,
    admins: Arc<Semaphore>,
}

/// A turn; over when it is dropped.
pub type Turn = OwnedSemaphorePermit;

impl Default for LogReads {
    fn default() -> Self {
        let turns = || Arc::new(Semaphore::new(AT_ONCE));
        Self { filters: turns(), admins: turns() }
    }
}

impl LogReads {
    /// A turn to read for a key, which asks through a filter.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn for_filter(&self) -> Result<Turn, StoreError> {
        turn(&self.filters).await
    }

    /// A turn to read for whoever uses the admin API.
    ///
    /// # Errors
    /// As [`LogReads::for_filter`].
    pub async fn for_admin(&self) -> Result<Turn, StoreError> {
        turn(&self.admins).await
    }
}

async fn turn(turns: &Arc<Semaphore>) -> Result<Turn, StoreError> {
    let turn = tokio::time::timeout(LONGEST_WAIT, Arc::clone(turns).acquire_owned()).await;
    turn.ok().and_then(Result::ok).ok_or(StoreError::TooManyReads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_few_read_at_once_and_one_more_waits_and_is_told() {
        let reads = LogReads::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(reads.for_filter().await.unwrap());
        }
        assert!(matches!(reads.for_filter().await, Err(StoreError::TooManyReads)));
        // Those of others have their own.
        drop(reads.for_admin().await.unwrap());
        turns.pop();
        assert!(reads.for_filter().await.is_ok());
        // Who waits gets the next turn that comes.
        let _last = reads.for_filter().await.unwrap();
        let waits = tokio::spawn({
            let reads = reads.clone();
            async move { reads.for_filter().await.is_ok() }
        });
        tokio::task::yield_now().await;
        turns.pop();
        assert!(waits.await.unwrap());
    }
}
