//! Quiet: a client was told to wait, so all others fall silent, and it comes back when it was told
//! to. What it waits for must be there then, or come soon.

use std::rc::Rc;

use crate::checker::{Invariant, Violation};
use crate::events::Event;
use crate::traffic::steady_body;
use crate::worker::{Place, Request};
use crate::world::World;

/// When nothing of before runs any more, in milliseconds: an answer takes less.
const SILENT_AFTER_MS: u64 = 800;
/// The client tries again as often, in milliseconds.
const AGAIN_MS: u64 = 250;
/// Within this time of its first try it must be admitted, in milliseconds.
const WITHIN_MS: u64 = 2_000;

/// A client that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hush {
    place: Place,
    credential: usize,
    first_try_ms: u64,
    /// It asks once more when nothing runs, and then waits for as long as it is told: until a
    /// running call has ended, nobody knows whether its permit comes back at once.
    asks_how_long: bool,
}

impl World {
    /// Whether clients other than the one that waits must not send anything.
    pub(crate) fn is_hushed(&self) -> bool {
        self.hush.is_some()
    }

    /// A request was refused for now.
    pub(crate) fn told_to_wait(
        &mut self,
        place: Place,
        credential: usize,
        (code, seconds): (&str, Option<u64>),
    ) -> anyhow::Result<()> {
        if !self.scenario.hushes {
            return Ok(());
        }
        let Some(hush) = self.hush else {
            let first_try_ms = self.now_ms + SILENT_AFTER_MS;
            let asks_how_long = code == "rpm_exceeded";
            self.hush = Some(Hush { place, credential, first_try_ms, asks_how_long });
            self.tally.hushes += 1;
            self.log.note(self.now_ms, || format!("all are silent: {code} at {place:?}"));
            self.after(SILENT_AFTER_MS, Event::TriesAgain);
            return Ok(());
        };
        // Requests that were sent before the silence do not count.
        if self.now_ms < hush.first_try_ms {
            return Ok(());
        }
        if hush.asks_how_long {
            let told_ms = seconds.unwrap_or(0) * 1_000;
            let first_try_ms = self.now_ms + told_ms;
            self.hush = Some(Hush { first_try_ms, asks_how_long: false, ..hush });
            self.after(told_ms, Event::TriesAgain);
            return Ok(());
        }
        if self.now_ms >= hush.first_try_ms + WITHIN_MS {
            let text = format!("{code} although nothing has run for {WITHIN_MS} ms: {hush:?}");
            return Err(Violation { invariant: Invariant::Liveness, text }.into());
        }
        self.after(AGAIN_MS, Event::TriesAgain);
        Ok(())
    }

    pub(crate) fn try_again(&mut self) -> anyhow::Result<()> {
        let Some(Hush { place, credential, .. }) = self.hush else { return Ok(()) };
        let request = Request { credential, body: steady_body() };
        self.after(0, Event::Opens { place, request: Rc::new(request) });
        Ok(())
    }

    /// A request was admitted, or was told that the money is gone for good.
    pub(crate) fn need_not_wait(&mut self) {
        let now_ms = self.now_ms;
        if self.hush.is_some_and(|hush| now_ms >= hush.first_try_ms) {
            self.hush = None;
        }
    }
}
