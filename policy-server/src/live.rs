//! What the server knows in memory: which holders are alive, what each has acknowledged, and the
//! latest changes for their polls. After a restart all of it starts over on the safe side: every
//! holder counts as just seen and no poll can be answered from history.

mod shared;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use shared::Shared;
use wire::v1::{Change, ChangesReply};
use wire::{CatalogueVersion, Epoch, HolderId, Revision};

use crate::clock::Now;
use crate::recalls::Recalls;
use crate::store::{BudgetId, HolderRow};

/// Changes kept for polls. A holder further behind is told to forget everything, which costs one
/// look-up per key; 4096 changes are more than a minute of the busiest administration.
pub const CHANGES_KEPT: usize = 4096;

/// Changes in one answer: keeps it well within a proxy's buffer. The next poll fetches the rest.
pub const CHANGES_PER_REPLY: usize = 256;

/// Holders at once whose leases are not parked yet: some hundred proxies of 32 workers. Beyond it
/// registration is refused, since each one is visited when a change waits for acknowledgements. The
/// database is asked, so that it holds over restarts and for all registrations of one batch.
pub const LIVE_HOLDERS_MOST: u64 = 4096;

/// Locks, also after a panic elsewhere: every section below leaves the data consistent.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a holder may act on what it knows, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// From the sent time of its last answered exchange, by the holder's clock.
    pub ttl_ms: u64,
    /// The same for a holder to which nothing can be told before it asks.
    pub pull_ttl_ms: u64,
    /// What the server adds before it counts the holder as gone.
    pub grace_ms: u64,
}

impl Default for SessionTimes {
    fn default() -> Self {
        Self { ttl_ms: 60_000, pull_ttl_ms: 10_000, grace_ms: 5_000 }
    }
}

impl SessionTimes {
    /// What a holder is told: never more than what is told to others.
    #[must_use]
    pub fn told(&self, without_push: bool) -> u64 {
        if without_push { self.pull_ttl_ms.min(self.ttl_ms) } else { self.ttl_ms }
    }

    fn deadline_ms(&self, session: &Session) -> u64 {
        session.last_exchange_ms.saturating_add(session.ttl_ms).saturating_add(self.grace_ms)
    }
}

/// The holder is not registered, or its session has lapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAlive;

/// Holders that may still act on something older than a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// How many.
    pub holders: usize,
    /// Monotonic time at which the last of them has stopped if none is heard of again.
    pub until_monotonic_ms: u64,
}

/// What a transaction does to memory, applied once it is committed and never otherwise.
#[derive(Debug)]
pub enum Effect {
    /// A change that holders must hear of.
    Published(Revision, Change),
    /// A holder registered.
    Registered {
        /// Which one.
        holder: HolderId,
        /// A new holder knows nothing older than this revision. None for one that registers again:
        /// the request may be a late duplicate of its first, so it says nothing about what has
        /// been applied since; its next poll does.
        starts_at: Option<Revision>,
        /// The longest time that it was told it may act on what it knows, in milliseconds.
        ttl_ms: u64,
        /// Windows of scope `proxy` that allow fewer are counted here for it.
        count_windows_below: u64,
        /// When.
        now: Now,
    },
    /// The database lives in another epoch from now on.
    EpochBegan(Epoch),
    /// Every lease of a lapsed holder is parked.
    Ended(HolderId),
    /// Money that was set aside came back: calls that wait for some may look again.
    MoneyReturned,
    /// Money of a recalled account was granted that its holder may keep.
    RecallEnded(BudgetId),
}

/// Refused asks that are remembered for each holder: more than a VM makes in the time that a repeated
/// message can be under way.
pub const REFUSALS_KEPT: usize = 1024;

#[derive(Debug, Clone)]
struct Session {
    last_exchange_ms: u64,
    ttl_ms: u64,
    count_windows_below: u64,
    acknowledged: Revision,
    refused: VecDeque<u64>,
    /// Seen as lapsed: its leases are being parked, so nothing may renew it any more.
    over: bool,
}

/// Sessions and changes.
#[derive(Debug)]
pub struct Live {
    times: SessionTimes,
    epoch: Epoch,
    revision: Revision,
    catalogue_version: CatalogueVersion,
    /// Polls from this revision on can be answered from `changes`.
    complete_from: Revision,
    changes: VecDeque<(Revision, Change)>,
    sessions: HashMap<HolderId, Session>,
    recalls: Recalls,
    /// Calls wait until every holder has applied this.
    awaited: Option<Revision>,
    started_ms: u64,
    /// How long earlier lives of the server ran, as far as that was noted.
    ran_before_ms: u64,
}

impl Live {
    /// Memory after a start: every holder counts as just seen and as having acknowledged nothing.
    #[must_use]
    pub fn after_start(
        times: SessionTimes,
        server: &crate::store::ServerRow,
        holders: impl IntoIterator<Item = HolderRow>,
        ran_before_ms: u64,
        now: Now,
    ) -> Self {
        let session = |holder: &HolderRow| Session {
            last_exchange_ms: now.monotonic_ms,
            // One from before it was noted was told the longest there is.
            ttl_ms: if holder.ttl_ms == 0 { times.ttl_ms } else { holder.ttl_ms },
            count_windows_below: holder.count_windows_below,
            acknowledged: Revision(0),
            refused: VecDeque::new(),
            over: false,
        };
        Self {
            times,
            epoch: server.epoch,
            revision: server.revision,
            catalogue_version: server.catalogue_version,
            complete_from: server.revision,
            changes: VecDeque::new(),
            sessions: holders.into_iter().map(|row| (row.id.clone(), session(&row))).collect(),
            recalls: Recalls::default(),
            awaited: None,
            started_ms: now.monotonic_ms,
            ran_before_ms,
        }
    }

    /// The epoch of the database.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest revision that is committed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The session times.
    #[must_use]
    pub fn times(&self) -> SessionTimes {
        self.times
    }

    /// When this memory began, on the monotonic clock.
    #[must_use]
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// How long the server has run, in this life and, as far as that was noted, in those before it:
    /// never more than has really passed, whatever happens to wall clocks.
    #[must_use]
    pub fn ran_ms(&self, now: Now) -> u64 {
        let in_this = now.monotonic_ms.saturating_sub(self.started_ms);
        self.ran_before_ms.saturating_add(in_this)
    }

    /// Accounts that were recalled.
    pub fn recalls(&mut self) -> &mut Recalls {
        &mut self.recalls
    }

    /// Renews a session.
    ///
    /// # Errors
    /// When there is none, or it has lapsed: then the holder must register anew, for it has been
    /// counted as stopped.
    pub fn touch(&mut self, holder: &HolderId, now: Now) -> Result<(), NotAlive> {
        let times = self.times;
        let session = self.sessions.get_mut(holder).ok_or(NotAlive)?;
        if session.over || times.deadline_ms(session) < now.monotonic_ms {
            return Err(NotAlive);
        }
        session.last_exchange_ms = session.last_exchange_ms.max(now.monotonic_ms);
        Ok(())
    }

    /// Notes that an ask was answered without a grant. Its holder has gone on without, so a repeated
    /// message of the same number must not be granted: nobody would hold the money.
    pub fn note_refused(&mut self, holder: &HolderId, n: u64) {
        if let Some(session) = self.sessions.get_mut(holder) {
            if session.refused.len() >= REFUSALS_KEPT {
                session.refused.pop_front();
            }
            session.refused.push_back(n);
        }
    }

    /// Whether an ask of this number has been answered without a grant.
    #[must_use]
    pub fn was_refused(&self, holder: &HolderId, n: u64) -> bool {
        self.sessions.get(holder).is_some_and(|session| session.refused.contains(&n))
    }

    /// Notes that a holder has applied everything up to a revision.
    pub fn acknowledge(&mut self, holder: &HolderId, revision: Revision) {
        if let Some(session) = self.sessions.get_mut(holder) {
            session.acknowledged = session.acknowledged.max(revision);
        }
    }

    /// Holders whose time has passed and whose leases are not parked yet. Their sessions are over
    /// from now on: an exchange whose clock was read before the deadline and which runs after this
    /// must not be granted anything that nobody would park.
    #[must_use]
    pub fn lapsed(&mut self, now: Now) -> Vec<HolderId> {
        let times = self.times;
        let mut lapsed = Vec::new();
        for (id, session) in &mut self.sessions {
            session.over |= times.deadline_ms(session) < now.monotonic_ms;
            if session.over {
                lapsed.push(id.clone());
            }
        }
        lapsed.sort();
        lapsed
    }

    /// Windows of scope `proxy` that allow fewer are counted here for this holder.
    #[must_use]
    pub fn counts_windows_below(&self, holder: &HolderId) -> u64 {
        self.sessions.get(holder).map_or(0, |session| session.count_windows_below)
    }

    /// How many holders are alive.
    #[must_use]
    pub fn alive(&self, now: Now) -> usize {
        let sessions = self.sessions.values();
        sessions.filter(|session| self.is_alive(session, now)).count()
    }

    /// Living holders that have not acknowledged a revision; none when it is applied everywhere.
    #[must_use]
    pub fn pending(&self, revision: Revision, now: Now) -> Option<Pending> {
        self.sessions
            .values()
            .filter(|session| session.acknowledged < revision && self.is_alive(session, now))
            .map(|session| self.times.deadline_ms(session))
            .fold(None, |pending: Option<Pending>, deadline_ms| {
                Some(Pending {
                    holders: pending.map_or(0, |pending| pending.holders) + 1,
                    until_monotonic_ms: pending
                        .map_or(0, |pending| pending.until_monotonic_ms)
                        .max(deadline_ms),
                })
            })
    }

    /// Those of [`Live::pending`] with the monotonic time by which each has stopped, the last one
    /// first, at most `most`.
    #[must_use]
    pub fn pending_holders(
        &self,
        revision: Revision,
        now: Now,
        most: usize,
    ) -> Vec<(HolderId, u64)> {
        let mut pending: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.acknowledged < revision && self.is_alive(session, now))
            .map(|(id, session)| (id.clone(), self.times.deadline_ms(session)))
            .collect();
        pending.sort_by(|(one, first), (other, second)| (second, one).cmp(&(first, other)));
        pending.truncate(most);
        pending
    }

    /// Whether some holder still has to apply a revision. If so, whoever waits for money is woken
    /// once the last one has.
    pub fn await_everywhere(&mut self, revision: Revision, now: Now) -> bool {
        if revision == Revision::default() {
            return false;
        }
        let pending = self.pending(revision, now).is_some();
        if pending {
            self.awaited = self.awaited.max(Some(revision));
        }
        pending
    }

    /// Whether what calls wait for has just come to be applied everywhere.
    fn wait_is_over(&mut self, now: Now) -> bool {
        let over = self.awaited.is_some_and(|awaited| self.pending(awaited, now).is_none());
        if over {
            self.awaited = None;
        }
        over
    }

    /// What changed after a revision, at most [`CHANGES_PER_REPLY`]. One that history does not
    /// reach back to is answered with "forget everything".
    #[must_use]
    pub fn changes_after(&self, revision: Revision) -> ChangesReply {
        if revision < self.complete_from {
            return ChangesReply {
                epoch: self.epoch,
                revision: self.revision,
                changes: vec![
                    Change::AllKeys,
                    Change::Catalogue { version: self.catalogue_version },
                ],
            };
        }
        let newer = self.changes.iter().filter(|(at, _)| *at > revision);
        let page: Vec<_> = newer.take(CHANGES_PER_REPLY).cloned().collect();
        ChangesReply {
            epoch: self.epoch,
            revision: page.last().map_or(revision, |(at, _)| *at),
            changes: page.into_iter().map(|(_, change)| change).collect(),
        }
    }

    fn is_alive(&self, session: &Session, now: Now) -> bool {
        !session.over && self.times.deadline_ms(session) >= now.monotonic_ms
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Published(revision, change) => {
                self.revision = revision;
                if let Change::Catalogue { version } = change {
                    self.catalogue_version = version;
                }
                if let Change::Recall { level, owner } = &change {
                    let account = BudgetId { level: *level, owner: owner.clone() };
                    self.recalls.published(account);
                }
                self.changes.push_back((revision, change));
                while self.changes.len() > CHANGES_KEPT {
                    if let Some((gone, _)) = self.changes.pop_front() {
                        self.complete_from = gone;
                    }
                }
            }
            Effect::Registered { holder, starts_at, ttl_ms, count_windows_below, now } => {
                // A late duplicate of the registration must not make a late duplicate of an ask
                // grantable: what was refused stays refused.
                let known = self.sessions.remove(&holder);
                let session = Session {
                    last_exchange_ms: now.monotonic_ms,
                    ttl_ms,
                    count_windows_below,
                    acknowledged: starts_at.unwrap_or_default(),
                    refused: known.map(|known| known.refused).unwrap_or_default(),
                    over: false,
                };
                self.sessions.insert(holder, session);
            }
            Effect::EpochBegan(epoch) => {
                self.epoch = epoch;
                // What was acknowledged belongs to a history that is lost.
                self.changes.clear();
                self.complete_from = self.revision;
                for session in self.sessions.values_mut() {
                    session.acknowledged = Revision(0);
                }
            }
            Effect::Ended(holder) => {
                self.sessions.remove(&holder);
            }
            Effect::RecallEnded(account) => self.recalls.ended(&account),
            // Only a bell: see `Shared::apply`.
            Effect::MoneyReturned => {}
        }
    }
}
