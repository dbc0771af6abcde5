//! Time and randomness enter here and nowhere else: decisions take both as arguments, so a test or
//! a simulation can repeat any run exactly.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::TryRngCore as _;

/// One reading of both clocks, taken once per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time in milliseconds since 1970 UTC: expiry dates and budget periods.
    pub unix_ms: u64,
    /// Milliseconds of a clock that never goes back: sessions.
    pub monotonic_ms: u64,
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic count at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clocks")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clocks")]
    fn now(&self) -> Now {
        // A wall clock before 1970 reads as 1970; 64 bits of milliseconds last for ever.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            unix_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            monotonic_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Now>,
}

impl ManualClock {
    /// A clock at this wall time; its monotonic count starts at zero.
    #[must_use]
    pub fn at_unix_ms(unix_ms: u64) -> Self {
        Self { now: Mutex::new(Now { unix_ms, monotonic_ms: 0 }) }
    }

    /// Lets time pass on both clocks.
    pub fn advance_ms(&self, ms: u64) {
        let mut now = crate::live::lock(&self.now);
        now.unix_ms = now.unix_ms.saturating_add(ms);
        now.monotonic_ms = now.monotonic_ms.saturating_add(ms);
    }

    /// Sets the wall clock, forward or back, as an operator might; the monotonic one stays.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        crate::live::lock(&self.now).unix_ms = unix_ms;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *crate::live::lock(&self.now)
    }
}

/// The system could give no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("there are no random bytes: {0}")]
pub struct NoEntropy(String);

impl NoEntropy {
    /// Asked for within a transaction that only reads.
    pub(crate) fn reading() -> Self {
        Self("the transaction only reads".to_owned())
    }
}

/// Where random bytes come from.
pub trait Entropy: Send {
    /// Fills the buffer with random bytes.
    ///
    /// # Errors
    /// When none can be had; then nothing secret may be made.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The operating system's random bytes.
#[derive(Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        rand::rngs::OsRng.try_fill_bytes(bytes).map_err(|error| NoEntropy(error.to_string()))
    }
}

/// Repeatable bytes from a seed, for simulations and tests: the same seed, the same ids and keys.
#[derive(Debug)]
pub struct SeededEntropy {
    state: u64,
}

impl SeededEntropy {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in bytes {
            // SplitMix64: every seed gives a full-period, well mixed sequence.
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (mixed ^ (mixed >> 31)).to_le_bytes()[0];
        }
        Ok(())
    }
}
