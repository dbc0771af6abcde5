//! Places at which a test kills the server, to see that nothing answered is lost and nothing
//! unanswered counts twice. Compiled in only with the feature `failpoints`; the shipped server has
//! none.
//!
//! `TOLLGATE_FAILPOINT=name:count` ends the process with SIGKILL when it passes the place for the
//! count-th time. The places of one batch, in order: `before_batch`, `after_journal` (only where a
//! journal is kept), `before_commit`, `after_commit`, `after_effects`.

/// Passes a place.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn pass(_place: &'static str) {}

/// Passes a place, and dies there if it is the chosen one and its turn has come.
#[cfg(feature = "failpoints")]
pub fn pass(place: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("TOLLGATE_FAILPOINT").ok()?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((name, left)) = chosen
        && name == place
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
        // Nothing may go on behind a place at which the process was to end.
        loop {
            std::thread::park();
        }
    }
}
