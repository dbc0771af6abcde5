//! Clients that keep calling while something is made to fail.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xtask::http_client::{Answer, Client};

/// What a client waits after anything but a success: enough to leave the machine to others, too
/// little to miss a moment at which something could slip through.
const PAUSE: Duration = Duration::from_millis(5);

/// How often each outcome was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

/// Clients in the background, each in a thread of its own.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Lets each of these clients call again and again, until [`Load::stop`] or for `limit` at
    /// most. `call` is told which call of its client it is.
    pub fn start(
        clients: Vec<Client>,
        limit: Duration,
        call: impl Fn(&Client, u64) -> anyhow::Result<Answer> + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let call = Arc::new(call);
        let deadline = Instant::now() + limit;
        let run = |client: Client| {
            let (stop, call) = (Arc::clone(&stop), Arc::clone(&call));
            std::thread::spawn(move || {
                let mut tally = Tally::default();
                let mut number = 0;
                while !stop.load(Ordering::Acquire) && Instant::now() < deadline {
                    let succeeded = tally.add(&call(&client, number));
                    number += 1;
                    if !succeeded {
                        std::thread::sleep(PAUSE);
                    }
                }
                tally
            })
        };
        let clients = clients.into_iter().map(run).collect();
        Self { stop, clients }
    }

    /// Ends the load after the calls under way and says what came of all.
    ///
    /// # Panics
    /// When a client has.
    #[must_use]
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Release);
        let mut all = Tally::default();
        for client in self.clients.drain(..) {
            match client.join() {
                Ok(tally) => all.merge(&tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Tally {
    /// Counts one outcome: its status and error code, or `broken` where there was no whole answer.
    /// Answers whether it was a success.
    pub fn add(&mut self, outcome: &anyhow::Result<Answer>) -> bool {
        let name = match outcome {
            Ok(answer) if answer.status < 300 => answer.status.to_string(),
            Ok(answer) => format!("{} {}", answer.status, answer.error_code()).trim().to_owned(),
            Err(_) => "broken".to_owned(),
        };
        *self.0.entry(name).or_default() += 1;
        outcome.as_ref().is_ok_and(|answer| answer.status < 300)
    }

    /// Adds another count to this one.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// How often this outcome was seen.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The outcomes that are not among these.
    #[must_use]
    pub fn others(&self, expected: &[&str]) -> Vec<String> {
        self.0.keys().filter(|name| !expected.contains(&name.as_str())).cloned().collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> =
            self.0.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        f.write_str(&parts.join(", "))
    }
}
