//! Places at which a test kills the server, to see that nothing answered is lost and nothing
//! unanswered counts twice. Compiled in only with the feature `failpoints`; the shipped server has
//! none.
//!
//! `TOLLGATE_FAILPOINT=name:count` ends the process with SIGKILL when it passes the place for the
//! count-th time. The places of one batch, in order: `before_batch`, `after_journal` (only where a
//! journal is kept), `before_commit`, `after_commit`, `after_effects`. With `name:count:work`, only
//! batches count that do such work: `grant` or `report`. What a batch will do is not known at
//! `before_batch`, so that place takes no work.

/// Passes a place.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn pass(_place: &'static str) {}

/// Says what the batch under way does.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn note(_work: &'static str) {}

#[cfg(feature = "failpoints")]
thread_local! {
    /// What the batch of this thread does; each sort of work once.
    static NOTED: std::cell::RefCell<Vec<&'static str>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Says what the batch under way does.
#[cfg(feature = "failpoints")]
pub fn note(work: &'static str) {
    NOTED.with_borrow_mut(|noted| {
        if !noted.contains(&work) {
            noted.push(work);
        }
    });
}

/// The place at which the process is to die.
#[cfg(feature = "failpoints")]
struct Chosen {
    place: String,
    /// Which batches count; none: all.
    work: Option<String>,
    /// Passes until then.
    left: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "failpoints")]
impl Chosen {
    fn read() -> Option<Self> {
        let text = std::env::var("TOLLGATE_FAILPOINT").ok()?;
        let mut parts = text.split(':');
        let (place, count) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let work = parts.next().map(str::to_owned);
        Some(Self { place, work, left: std::sync::atomic::AtomicU64::new(count) })
    }

    fn counts(&self, place: &str) -> bool {
        let does = |work: &String| NOTED.with_borrow(|noted| noted.contains(&work.as_str()));
        self.place == place && self.work.as_ref().is_none_or(does)
    }
}

/// Passes a place, and dies there if it is the chosen one and its turn has come.
#[cfg(feature = "failpoints")]
pub fn pass(place: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();
    if place == "before_batch" {
        NOTED.with_borrow_mut(Vec::clear);
    }
    if let Some(chosen) = CHOSEN.get_or_init(Chosen::read)
        && chosen.counts(place)
        && chosen.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
        // Nothing may go on behind a place at which the process was to end.
        loop {
            std::thread::park();
        }
    }
}
