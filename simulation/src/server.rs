//! The policy server in the world: the real engine on a real database file, and around it what
//! HTTP would do. It can stop at any moment and start again on the same file.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, bail};
use policy_server::app::FilterError;
use policy_server::clock::{Now, SeededEntropy};
use policy_server::engine::Engine;
use policy_server::live::SessionTimes;
use policy_server::restore::{Restored, restore};
use policy_server::store::sqlite::Sqlite;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::v1::{AdmitRequest, ChangesReply, LeaseRequest, Problem, ProblemBody};
use wire::{Epoch, HolderId, Revision};

use crate::worker::Ticket;

/// The server holds a poll no longer than this, whatever the holder asks for.
const WAIT_MOST_MS: u64 = 25_000;

/// How long it keeps an ask for money that is only set aside for others.
const MONEY_WAIT_MS: u64 = 250;

/// By which a journal is told from others; each world has one.
const JOURNAL_SEED: [u8; 32] = [7; 32];

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// A poll that waits for a change.
#[derive(Debug)]
struct Poll {
    from: Ticket,
    revision: Revision,
    until_ms: u64,
}

/// An ask that waits for money to come back.
#[derive(Debug)]
struct WaitingAsk {
    from: Ticket,
    path: String,
    body: Vec<u8>,
    until_ms: u64,
}

/// One server and its file.
pub struct Server {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// Every commit is written here first, where one is kept.
    journal: Option<PathBuf>,
    backup: Option<PathBuf>,
    seed: u64,
    times: SessionTimes,
    /// Wall time at virtual time zero; an operator's step of the clock moves it.
    unix_ms_at_zero: u64,
    engine: Option<Engine>,
    starts: u64,
    started_ms: u64,
    /// It is stopped by the operating system and answers nobody until then.
    pub(crate) asleep_until_ms: u64,
    polls: Vec<Poll>,
    asks: Vec<WaitingAsk>,
    /// How often money had come back when asks were tried last.
    returns_seen: u64,
}

impl Server {
    /// A server on a fresh database.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub fn start(
        seed: u64,
        times: SessionTimes,
        start_unix_ms: u64,
        has_journal: bool,
    ) -> anyhow::Result<Self> {
        // A disk that survives only this process is enough: what crashes here is the engine.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())
        } else {
            tempfile::tempdir()
        };
        let folder = folder.context("no temporary folder")?;
        std::fs::write(folder.path().join("simulation.sqlite"), empty_database(folder.path())?)?;
        let mut server = Self {
            path: folder.path().join("simulation.sqlite"),
            journal: has_journal.then(|| folder.path().join("simulation.journal")),
            backup: None,
            _folder: folder,
            seed,
            times,
            unix_ms_at_zero: start_unix_ms,
            engine: None,
            starts: 0,
            started_ms: 0,
            asleep_until_ms: 0,
            polls: Vec::new(),
            asks: Vec::new(),
            returns_seen: 0,
        };
        server.start_again(0)?;
        Ok(server)
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts on the same file, with a monotonic clock that begins anew.
    ///
    /// # Errors
    /// When the engine refuses the file.
    pub fn start_again(&mut self, now_ms: u64) -> anyhow::Result<()> {
        self.starts += 1;
        self.started_ms = now_ms;
        let store = match &self.journal {
            Some(journal) => Sqlite::open_with_journal(&self.path, journal, JOURNAL_SEED)?,
            None => Sqlite::open(&self.path)?,
        };
        let entropy = Box::new(SeededEntropy::new(self.seed ^ (self.starts << 32)));
        let (engine, _) = Engine::start(store, entropy, self.times, self.now(now_ms))?;
        self.engine = Some(engine);
        Ok(())
    }

    /// Copies the database, also while it is written.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn back_up(&mut self) -> anyhow::Result<()> {
        let copy = self.path.with_extension("backup");
        Sqlite::copy(&self.path, &copy)?;
        self.backup = Some(copy);
        Ok(())
    }

    /// Whether there is a copy.
    #[must_use]
    pub fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// Puts the copy in the place of the database of a server that does not run, as an operator
    /// would.
    ///
    /// # Errors
    /// When there is no copy, or it cannot be restored.
    pub fn restore(&mut self, now_ms: u64) -> anyhow::Result<Restored> {
        let backup = self.backup.as_ref().context("there is no backup")?;
        for log in ["sqlite-wal", "sqlite-shm"] {
            let log = self.path.with_extension(log);
            if log.exists() {
                std::fs::remove_file(log)?;
            }
        }
        std::fs::copy(backup, &self.path)?;
        let unix_ms = self.now(now_ms).unix_ms;
        Ok(restore(&self.path, self.journal.as_deref(), unix_ms)?)
    }

    /// Stops at once. What was committed stays; polls get no answer.
    pub fn stop(&mut self) {
        self.engine = None;
        self.polls.clear();
        self.asks.clear();
        self.returns_seen = 0;
        self.asleep_until_ms = 0;
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// How often it has been started.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Whether it runs and is not kept from running by the operating system.
    #[must_use]
    pub fn is_awake(&self, now_ms: u64) -> bool {
        self.is_up() && now_ms >= self.asleep_until_ms
    }

    /// Somebody sets the wall clock, so that it showed this time at virtual time zero.
    pub fn set_wall_clock(&mut self, unix_ms_at_zero: u64) {
        self.unix_ms_at_zero = unix_ms_at_zero;
    }

    /// The server's clocks.
    #[must_use]
    pub fn now(&self, now_ms: u64) -> Now {
        Now {
            unix_ms: self.unix_ms_at_zero + now_ms,
            monotonic_ms: now_ms.saturating_sub(self.started_ms),
        }
    }

    /// The engine, while it runs, and the time to give it.
    pub fn engine(&mut self, now_ms: u64) -> Option<(&mut Engine, Now)> {
        let now = self.now(now_ms);
        self.engine.as_mut().map(|engine| (engine, now))
    }

    /// Whether every living holder has applied a revision, or has stopped by itself. False while
    /// the server is down or asleep: nobody could say so.
    #[must_use]
    pub fn is_applied(&self, revision: Revision, now_ms: u64) -> bool {
        let now = self.now(now_ms);
        self.engine
            .as_ref()
            .filter(|_| self.is_awake(now_ms))
            .is_some_and(|engine| engine.shared().live().pending(revision, now).is_none())
    }

    /// Carries out a call of the filter API. `None`: it is a poll or an ask that waits, or nobody
    /// is there.
    ///
    /// # Errors
    /// When the call is none that a gate makes.
    pub fn call(
        &mut self,
        now_ms: u64,
        from: Ticket,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<Option<Answer>> {
        let until_ms = now_ms + MONEY_WAIT_MS;
        let ask = WaitingAsk { from, path: path.to_owned(), body: body.to_vec(), until_ms };
        self.attempt(now_ms, ask)
    }

    /// Carries out a call, or keeps it.
    fn attempt(&mut self, now_ms: u64, call: WaitingAsk) -> anyhow::Result<Option<Answer>> {
        let now = self.now(now_ms);
        let (from, path, body) = (call.from, call.path.as_str(), call.body.as_slice());
        let may_wait = now_ms < call.until_ms;
        let Some(engine) = &mut self.engine else { return Ok(None) };
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let answer = match route {
            "/proxy/v1/holders" => {
                let request = read(body)?;
                answer(engine.run(now, |work| work.register(&request)))
            }
            "/proxy/v1/admit" => {
                let request: AdmitRequest = read(body)?;
                let reply = engine.run(now, |work| {
                    let reply = work.admit(&request)?;
                    let waits = work.may_come_back(&reply.lease)?;
                    Ok((reply, waits))
                });
                if let Ok((reply, waits)) = &reply {
                    if may_wait && *waits {
                        self.asks.push(call);
                        return Ok(None);
                    }
                    let asked = request.ask.as_ref().map(|_| request.n);
                    engine.shared().answered(&request.holder, asked, &reply.lease);
                }
                answer(reply.map(|(reply, _)| reply))
            }
            "/proxy/v1/leases" => {
                let request: LeaseRequest = read(body)?;
                let reply = engine.run(now, |work| {
                    let reply = work.lease(&request)?;
                    let waits = work.may_come_back(&reply.answer)?;
                    Ok((reply, waits))
                });
                if let Ok((reply, waits)) = &reply {
                    if may_wait && *waits {
                        self.asks.push(call);
                        return Ok(None);
                    }
                    engine.shared().answered(&request.holder, Some(request.n), &reply.answer);
                }
                answer(reply.map(|(reply, _)| reply))
            }
            "/proxy/v1/reports" => {
                let request = read(body)?;
                answer(engine.run(now, |work| work.report(&request)))
            }
            "/proxy/v1/catalogue" => {
                let holder = HolderId::new(parameter(query, "holder")?)?;
                let epoch = Epoch(parameter(query, "epoch")?.parse()?);
                if engine.shared().live().touch(&holder, now).is_err() {
                    problem(&FilterError::UnknownHolder)
                } else {
                    answer(engine.run(now, |work| work.catalogue(Some(epoch))))
                }
            }
            "/proxy/v1/changes" => return self.poll(now_ms, from, query),
            other => bail!("a gate called {other}"),
        };
        Ok(Some(answer))
    }

    fn poll(&mut self, now_ms: u64, from: Ticket, query: &str) -> anyhow::Result<Option<Answer>> {
        let now = self.now(now_ms);
        let Some(engine) = &self.engine else { return Ok(None) };
        let holder = HolderId::new(parameter(query, "holder")?)?;
        let epoch = Epoch(parameter(query, "epoch")?.parse()?);
        let revision = Revision(parameter(query, "revision")?.parse()?);
        let wait_ms: u64 = parameter(query, "wait_ms")?.parse()?;
        let shared = engine.shared();
        let is_other = {
            let live = shared.live();
            live.epoch() != epoch || revision > live.revision()
        };
        if is_other {
            return Ok(Some(problem(&FilterError::OtherEpoch)));
        }
        match shared.poll(&holder, revision, now) {
            Err(_) => Ok(Some(problem(&FilterError::UnknownHolder))),
            Ok(reply) if reply.changes.is_empty() && wait_ms > 0 => {
                let until_ms = now_ms + wait_ms.min(WAIT_MOST_MS);
                self.polls.push(Poll { from, revision, until_ms });
                Ok(None)
            }
            Ok(reply) => Ok(Some(ok(&reply))),
        }
    }

    /// Polls that are to be answered now: something has changed, or their time is over.
    pub fn ripe_polls(&mut self, now_ms: u64) -> Vec<(Ticket, ChangesReply)> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let live = engine.shared().live();
        let mut ripe = Vec::new();
        self.polls.retain(|poll| {
            if live.revision() <= poll.revision && now_ms < poll.until_ms {
                return true;
            }
            ripe.push((poll.from, live.changes_after(poll.revision)));
            false
        });
        ripe
    }

    /// Tries the asks again that wait for money: all of them where some has come back, else those
    /// whose time is over. Answers those that need not wait any longer.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn ripe_asks(&mut self, now_ms: u64) -> anyhow::Result<Vec<(Ticket, Answer)>> {
        let Some(engine) = &self.engine else { return Ok(Vec::new()) };
        let returns = *engine.shared().money_returned().borrow();
        let money_returned = std::mem::replace(&mut self.returns_seen, returns) != returns;
        let is_ripe = |ask: &WaitingAsk| money_returned || now_ms >= ask.until_ms;
        let waiting = std::mem::take(&mut self.asks);
        let (ripe, still): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ripe);
        self.asks = still;
        let mut answers = Vec::new();
        for ask in ripe {
            let from = ask.from;
            answers.extend(self.attempt(now_ms, ask)?.map(|answer| (from, answer)));
        }
        Ok(answers)
    }

    /// When the next waiting poll or ask is over.
    #[must_use]
    pub fn next_wait_ends_ms(&self) -> Option<u64> {
        let polls = self.polls.iter().map(|poll| poll.until_ms);
        polls.chain(self.asks.iter().map(|ask| ask.until_ms)).min()
    }
}

/// A database file with every table and no row, the same for every world: making it would be
/// a tenth of the work for each.
fn empty_database(folder: &Path) -> anyhow::Result<&'static [u8]> {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let path = folder.join("empty.sqlite");
    drop(Sqlite::open(&path)?);
    let made = std::fs::read(&path)?;
    Ok(MADE.get_or_init(|| made))
}

/// A successful answer.
pub fn ok(message: &impl Serialize) -> Answer {
    Answer { status: 200, body: serde_json::to_vec(message).unwrap_or_default() }
}

fn answer<T: Serialize>(outcome: Result<T, FilterError>) -> Answer {
    match outcome {
        Ok(message) => ok(&message),
        Err(error) => problem(&error),
    }
}

/// Status and code as the server's HTTP layer gives them.
fn problem(error: &FilterError) -> Answer {
    let (status, code) = match error {
        FilterError::UnknownHolder => (409, Problem::UNKNOWN_HOLDER),
        FilterError::OtherEpoch => (409, Problem::OTHER_EPOCH),
        FilterError::UnsupportedProtocol => (426, Problem::UNSUPPORTED_PROTOCOL),
        FilterError::BadMessage(_) => (400, Problem::BAD_MESSAGE),
        FilterError::TooManyHolders
        | FilterError::Ledger(_)
        | FilterError::Store(_)
        | FilterError::Entropy(_) => (503, Problem::STORE_UNAVAILABLE),
    };
    let error = ProblemBody { code: code.to_owned(), message: error.to_string() };
    Answer { status, ..ok(&Problem { error }) }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).context("a gate sent a message that cannot be read")
}

fn parameter<'a>(query: &'a str, name: &str) -> anyhow::Result<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
        .with_context(|| format!("a gate's query has no {name}"))
}
