//! The time of a callback. The monotonic clock is read each time; the wall clock only once a second,
//! since what depends on it (expiry dates, records) is no finer.

use std::cell::Cell;

use gate::Now;

use crate::host;

const WALL: u32 = 0;
const MONOTONIC: u32 = 1;
/// How old the difference between the two clocks may be, in milliseconds.
const REFRESH_MS: u64 = 1_000;

/// The two clocks of one VM.
#[derive(Debug, Default)]
pub struct Clock {
    /// Wall and monotonic time when both were read last.
    read: Cell<(u64, u64)>,
    /// The last monotonic time.
    last_ms: Cell<u64>,
}

impl Clock {
    /// The time now. Where a clock cannot be read it is the last known time, marked as such.
    pub fn now(&self) -> Now {
        let monotonic = host::clock_ns(MONOTONIC);
        let monotonic_ms = monotonic.map_or(self.last_ms.get(), |nanos| nanos / 1_000_000);
        let micros = monotonic.map_or(0, |nanos| nanos / 1_000 % 1_000);
        self.last_ms.set(monotonic_ms);
        let (mut wall_ms, mut at_ms) = self.read.get();
        let mut is_exact = monotonic.is_ok();
        if monotonic_ms.wrapping_sub(at_ms) >= REFRESH_MS || at_ms == 0 {
            match host::clock_ns(WALL) {
                Ok(nanos) => {
                    (wall_ms, at_ms) = (nanos / 1_000_000, monotonic_ms);
                    self.read.set((wall_ms, at_ms));
                }
                Err(_) => is_exact = false,
            }
        }
        let wall_ms = wall_ms.saturating_add(monotonic_ms.saturating_sub(at_ms));
        // Below a thousand, so it fits.
        let micros = u16::try_from(micros).unwrap_or(0);
        Now { monotonic_ms, micros, wall_ms, is_exact }
    }
}
