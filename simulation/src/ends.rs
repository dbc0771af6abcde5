//! Running streams of keys that were taken out of use: once the server says that this is in force
//! everywhere, they must be over soon.

use gate::HostKind;

use crate::checker::{Invariant, Violation};
use crate::events::Event;
use crate::keys::Life;
use crate::worker::StreamAt;
use crate::world::World;

/// A stream is over within this time by its proxy's clock, in milliseconds, and the time until the
/// VM's timer fires next.
const OVER_WITHIN_MS: u64 = 1_000;

impl World {
    /// This credential, or with it its key, may not be used any more anywhere.
    pub(crate) fn expect_ends(&mut self, (credential, is_of_key): (usize, bool)) {
        let Some(key) = self.credentials.get(credential).map(|it| it.key) else { return };
        if !is_of_key {
            return;
        }
        let within_ms = OVER_WITHIN_MS + self.scenario.tick_ms;
        for at in self.running_streams(key) {
            self.after(within_ms, Event::MustBeOver { at, key });
        }
    }

    /// Streams that work on calls of a key in VMs that have heard what became of it. One whose
    /// session is over has not: it admits nothing any more, and what runs there runs to its end.
    fn running_streams(&self, key: usize) -> Vec<StreamAt> {
        let Some(id) = self.keys.get(key).map(|key| key.id.as_str()) else { return Vec::new() };
        let mut running = Vec::new();
        for place in self.places() {
            if self.kind_of(place.proxy) == HostKind::Apisix {
                // Such a host cannot end streams.
                continue;
            }
            let proxy = self.proxies.get(place.proxy);
            let Some(worker) = proxy.and_then(|proxy| proxy.workers.get(place.worker)) else {
                continue;
            };
            if !self.checker.is_in_session(worker.life, self.now_ms) {
                continue;
            }
            for (stream, open) in &worker.streams {
                let call = open.upstream.and_then(|index| self.calls.get(index));
                if call.is_some_and(|call| call.key == id) {
                    running.push(StreamAt { place, life: worker.life, stream: *stream });
                }
            }
        }
        running
    }

    pub(crate) fn must_be_over(&mut self, at: StreamAt, key: usize) -> anyhow::Result<()> {
        let within_ms = OVER_WITHIN_MS + self.scenario.tick_ms;
        let now_ms = self.now_ms;
        let woke_ms = self.worker(at.place).map_or(0, |worker| worker.woke_ms);
        if now_ms < woke_ms + within_ms {
            let left_ms = woke_ms + within_ms - now_ms;
            self.after(left_ms, Event::MustBeOver { at, key });
            return Ok(());
        }
        self.tally.expected_ends += 1;
        if self.stream(at).is_none() {
            return Ok(());
        }
        let life = self.keys.get(key).map_or(Life::Revoked, |key| key.life);
        let text =
            format!("{at:?} still runs; its key {key} was withdrawn everywhere, is {life:?}");
        Err(Violation { invariant: Invariant::Revocation, text }.into())
    }
}
