//! Clocks: monotonic ones that only go on, wall clocks that somebody may set.

use gate::Now;

use crate::mutation::Mutation;
use crate::worker::Place;
use crate::world::World;

/// How far a wall clock is off once somebody has set it wrong.
const STEP_MS: u64 = 3_600_000;

impl World {
    /// The clocks as a worker's gate reads them.
    pub(crate) fn gate_now(&self, place: Place) -> Now {
        let (monotonic_ms, wall_ms) = self.proxies.get(place.proxy).map_or((0, 0), |proxy| {
            (proxy.clock_ms + self.now_ms, proxy.unix_ms_at_zero + self.now_ms)
        });
        let now = Now { monotonic_ms, micros: 0, wall_ms, is_exact: true };
        let since_ms = self.proxies.get(place.proxy).and_then(|proxy| {
            let worker = proxy.workers.get(place.worker)?;
            Some(self.now_ms - worker.first_fed_ms?)
        });
        match self.mutation {
            Some(mutation) => mutation.clocks(place, now, since_ms.unwrap_or(0)),
            None => now,
        }
    }

    /// The wall clock of a proxy, as it really shows.
    pub(crate) fn wall_ms(&self, proxy: usize) -> u64 {
        let zero = self.proxies.get(proxy).map_or(0, |proxy| proxy.unix_ms_at_zero);
        zero + self.now_ms
    }

    /// The wall clock of a proxy or of the server is set an hour forth or back, or right again.
    pub(crate) fn step_a_wall_clock(&mut self, proxy: usize) {
        let right = self.scenario.start_unix_ms;
        let zero = match self.dice.below(3) {
            0 => right - STEP_MS,
            1 => right + STEP_MS,
            _ => right,
        };
        let of_server = self.dice.per_mille(500);
        self.tally.clock_steps += 1;
        self.log.note(self.now_ms, || {
            let who = if of_server { "the server".to_owned() } else { format!("proxy {proxy}") };
            format!("fault: the wall clock of {who} shows {} now", zero + self.now_ms)
        });
        if of_server {
            self.server.set_wall_clock(zero);
        } else if let Some(proxy) = self.proxies.get_mut(proxy) {
            proxy.unix_ms_at_zero = zero;
        }
    }
}

impl Mutation {
    /// The clocks as a worker is made to see them, `since_ms` after its VM's first event.
    fn clocks(self, place: Place, now: Now, since_ms: u64) -> Now {
        let behind = if place == crate::mutation::VICTIM { since_ms } else { 0 };
        match self {
            Self::StoppedClock => Now { monotonic_ms: now.monotonic_ms - behind, ..now },
            Self::StoppedWallClock => Now { wall_ms: now.wall_ms.saturating_sub(behind), ..now },
            _ => now,
        }
    }
}
