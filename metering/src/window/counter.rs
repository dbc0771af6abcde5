//! Everything counted for one subject.

use wire::v1::{Unit, Window};

use super::series::{Series, quantum};

/// A running call is forgotten when its VM has not said for this long that it still runs: the VM
/// died. VMs repeat themselves every third of it.
pub const CLAIM_TTL_MS: u64 = 180_000;
/// Most VMs that can have running calls of one subject: more workers than one proxy runs.
pub const MOST_CLAIMS: usize = 256;

/// What one call takes from the windows of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Which VM runs it.
    pub vm: u64,
    /// Tokens that it could use at most.
    pub tokens: u64,
}

/// A limit of one subject as the counter needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    unit: Unit,
    window: Option<Window>,
    max: u64,
}

/// A limit has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// What is full.
    pub unit: Unit,
    /// Which window; `None` for calls in flight.
    pub window: Option<Window>,
    /// What the call needs, in its unit.
    pub needs: u64,
    /// Room left in it, in its unit.
    pub room: u64,
    /// When there will be room if nothing more is counted, in milliseconds; `None` when that
    /// depends on running calls or the call is larger than the limit.
    pub wait_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) unit: Unit,
    pub(super) window: Window,
    pub(super) series: Series,
}

/// Calls that one VM runs for the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) vm: u64,
    pub(super) calls: u64,
    pub(super) tokens: u64,
    pub(super) seen_ms: u64,
}

/// The windows and running calls of one subject.
///
/// Law: at admission, for every limit, what ended or was admitted inside the window plus what
/// running calls could still use plus this call is at most the limit's maximum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counter {
    pub(super) tracks: Vec<Track>,
    pub(super) claims: Vec<Claim>,
}

impl Counter {
    /// Whether every limit has room for the call; the first that has none is named.
    ///
    /// # Errors
    /// The first limit without room.
    pub fn check(
        &mut self,
        limits: &[wire::v1::Limit],
        call: Call,
        now_ms: u64,
    ) -> Result<(), Full> {
        self.expire(now_ms);
        limits.iter().try_for_each(|limit| {
            let rule = Rule { unit: limit.unit, window: limit.window, max: limit.max };
            self.check_one(rule, call, now_ms)
        })
    }

    /// Counts a call that has passed [`Counter::check`].
    ///
    /// # Errors
    /// When [`MOST_CLAIMS`] VMs have running calls already.
    pub fn admit(
        &mut self,
        limits: &[wire::v1::Limit],
        call: Call,
        now_ms: u64,
    ) -> Result<(), super::BucketFull> {
        let claim = self.claim(call.vm, now_ms).ok_or(super::BucketFull)?;
        claim.calls = claim.calls.saturating_add(1);
        claim.tokens = claim.tokens.saturating_add(call.tokens);
        for limit in limits.iter().filter(|limit| limit.unit == Unit::Requests) {
            if let Some(window) = limit.window {
                let step = quantum(limit.max, window.millis());
                self.edit_series(Unit::Requests, window, |series| series.record(now_ms, 1, step));
            }
        }
        Ok(())
    }

    /// Takes back an admission at `admitted_ms` that led to nothing.
    pub fn take_back(&mut self, limits: &[wire::v1::Limit], call: Call, admitted_ms: u64) {
        self.release(call);
        for limit in limits.iter().filter(|limit| limit.unit == Unit::Requests) {
            if let Some(window) = limit.window {
                let step = quantum(limit.max, window.millis());
                self.edit_series(Unit::Requests, window, |series| {
                    series.take_back(admitted_ms, 1, step)
                });
            }
        }
    }

    /// Ends a call: what it could have used becomes what it did use.
    pub fn finish(
        &mut self,
        limits: &[wire::v1::Limit],
        call: Call,
        used_tokens: u64,
        now_ms: u64,
    ) {
        self.expire(now_ms);
        self.release(call);
        for limit in limits.iter().filter(|limit| limit.unit == Unit::Tokens) {
            if let Some(window) = limit.window {
                let step = quantum(limit.max, window.millis());
                self.edit_series(Unit::Tokens, window, |series| {
                    series.record(now_ms, used_tokens, step)
                });
            }
        }
    }

    /// The VM says that its calls still run.
    pub fn touch(&mut self, vm: u64, now_ms: u64) {
        if let Some(claim) = self.claims.iter_mut().find(|claim| claim.vm == vm) {
            claim.seen_ms = claim.seen_ms.max(now_ms);
        }
    }

    /// Room left under one limit, in its unit.
    #[must_use]
    pub fn room(&self, limit: &wire::v1::Limit) -> u64 {
        limit.max.saturating_sub(self.taken(limit.unit, limit.window))
    }

    /// Milliseconds until the window of a limit is empty if nothing more is counted.
    #[must_use]
    pub fn reset_ms(&self, limit: &wire::v1::Limit, now_ms: u64) -> u64 {
        let Some(window) = limit.window else { return 0 };
        self.tracks
            .iter()
            .find(|track| (track.unit, track.window) == (limit.unit, window))
            .and_then(|track| track.series.entries().last())
            .map_or(0, |(time, _)| time.saturating_add(window.millis()).saturating_sub(now_ms))
    }

    /// Nothing is counted and nothing runs: the place may be given to another subject.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.tracks.is_empty() && self.claims.is_empty()
    }

    pub(super) fn expire(&mut self, now_ms: u64) {
        for track in &mut self.tracks {
            track.series.expire(now_ms, track.window.millis());
        }
        self.tracks.retain(|track| !track.series.is_empty());
        self.claims
            .retain(|claim| claim.calls > 0 && claim.seen_ms.saturating_add(CLAIM_TTL_MS) > now_ms);
    }

    fn check_one(&self, rule: Rule, call: Call, now_ms: u64) -> Result<(), Full> {
        let units = match rule.unit {
            Unit::Requests | Unit::Concurrent => 1,
            Unit::Tokens => call.tokens,
        };
        let taken = self.taken(rule.unit, rule.window);
        let room = rule.max.saturating_sub(taken);
        let excess = taken.saturating_add(units).saturating_sub(rule.max);
        if excess == 0 {
            return Ok(());
        }
        let wait_ms = rule.window.filter(|_| units <= rule.max).and_then(|window| {
            let track = self
                .tracks
                .iter()
                .find(|track| (track.unit, track.window) == (rule.unit, window))?;
            track.series.wait_for(excess, now_ms, window.millis())
        });
        Err(Full { unit: rule.unit, window: rule.window, needs: units, room, wait_ms })
    }

    fn taken(&self, unit: Unit, window: Option<Window>) -> u64 {
        let counted = window.map_or(0, |window| {
            self.tracks
                .iter()
                .find(|track| (track.unit, track.window) == (unit, window))
                .map_or(0, |track| track.series.sum())
        });
        let running = match unit {
            Unit::Requests => 0,
            Unit::Tokens => self.claims.iter().fold(0u64, |sum, c| sum.saturating_add(c.tokens)),
            Unit::Concurrent => self.claims.iter().fold(0u64, |sum, c| sum.saturating_add(c.calls)),
        };
        counted.saturating_add(running)
    }

    fn edit_series(&mut self, unit: Unit, window: Window, edit: impl FnOnce(&mut Series)) {
        let is_it = |track: &&mut Track| (track.unit, track.window) == (unit, window);
        if let Some(track) = self.tracks.iter_mut().find(is_it) {
            edit(&mut track.series);
        } else {
            let mut series = Series::default();
            edit(&mut series);
            self.tracks.push(Track { unit, window, series });
        }
    }

    fn claim(&mut self, vm: u64, now_ms: u64) -> Option<&mut Claim> {
        let at = match self.claims.iter().position(|claim| claim.vm == vm) {
            Some(at) => at,
            None if self.claims.len() >= MOST_CLAIMS => return None,
            None => {
                self.claims.push(Claim { vm, calls: 0, tokens: 0, seen_ms: now_ms });
                self.claims.len() - 1
            }
        };
        let claim = self.claims.get_mut(at)?;
        claim.seen_ms = claim.seen_ms.max(now_ms);
        Some(claim)
    }

    fn release(&mut self, call: Call) {
        if let Some(claim) = self.claims.iter_mut().find(|claim| claim.vm == call.vm) {
            claim.calls = claim.calls.saturating_sub(1);
            claim.tokens = claim.tokens.saturating_sub(call.tokens);
        }
        self.claims.retain(|claim| claim.calls > 0);
    }
}
