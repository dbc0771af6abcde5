//! Puts the parts together.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;

use crate::app::{AdminError, Counters, FilterError, SecretText};
use crate::clock::{Clock, Entropy, NoEntropy};
use crate::engine::Engine;
use crate::http::{self, Edge};
use crate::live::Shared;
use crate::settings::Settings;
use crate::store::sqlite::{OpenError, Readers, Sqlite};
use crate::traces::Tracer;
use crate::webhooks::{Courier, ServerSecret};
use crate::writer::Writer;

/// How often to look whether the writer has ended: closing takes milliseconds.
const CLOSE_LOOK_EVERY: Duration = Duration::from_millis(2);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be prepared.
    #[error("the database could not be prepared: {0}")]
    Prepare(#[from] AdminError),
    /// No random bytes could be had.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running server without ports: two routers over one writer.
pub struct App {
    /// The filter API.
    pub filter: Router,
    /// The admin API.
    pub admin: Router,
    /// The admin token, at the first start only.
    pub admin_token: Option<SecretText>,
    edge: Edge,
    writer_thread: JoinHandle<()>,
}

/// Opens the database and starts the writer.
///
/// # Errors
/// When database or journal are in use, cannot be opened or prepared, or do not fit together.
pub fn build(
    settings: Settings,
    clock: Arc<dyn Clock>,
    mut entropy: Box<dyn Entropy>,
) -> Result<App, StartError> {
    let store = match &settings.journal {
        Some(journal) => {
            let mut seed = [0; 32];
            entropy.fill(&mut seed)?;
            Sqlite::open_with_journal(&settings.database, journal, seed)?
        }
        None => Sqlite::open(&settings.database)?,
    };
    let readers = Readers::of(&settings.database);
    let secret_file = settings.webhooks.secret_file.clone().unwrap_or_else(|| {
        let mut beside = settings.database.clone().into_os_string();
        beside.push(".secret");
        beside.into()
    });
    let mut files = vec![("database", settings.database.clone())];
    let mut log = settings.database.clone().into_os_string();
    log.push("-wal");
    files.push(("wal", log.into()));
    files.extend(settings.journal.clone().map(|journal| ("journal", journal)));
    let (engine, admin_token) = Engine::start(store, entropy, settings.session, clock.now())?;
    let shared = Arc::clone(engine.shared());
    let counters = Arc::clone(engine.counters());
    let (writer, writer_thread) = Writer::start(engine, Arc::clone(&clock))?;
    let edge = Edge {
        writer,
        readers: Arc::new(readers),
        turns: Arc::default(),
        shared,
        counters,
        clock,
        filter_token: Arc::new(settings.filter_token),
        keep_requests: settings.keep_requests,
        user_key_lifetime: settings.user_key_lifetime,
        attempts: Arc::default(),
        refusals: Arc::default(),
        secret: Arc::new(ServerSecret::in_file(secret_file)),
        webhooks: Arc::new(settings.webhooks),
        log_reads: http::LogReads::default(),
        files: Arc::new(files),
        tracer: Arc::default(),
    };
    Ok(App {
        filter: http::filter_router(edge.clone()),
        admin: http::admin_router(edge.clone()),
        admin_token,
        edge,
        writer_thread,
    })
}

impl App {
    /// Parks the leases of holders whose sessions have lapsed, and releases parked money whose time
    /// has come. To be called every second or so; answers whether there is more to do.
    ///
    /// # Errors
    /// When the store fails or the ledger does not add up.
    pub async fn sweep(&self) -> Result<bool, FilterError> {
        self.edge.sweep().await
    }

    /// Has spans of requests that belong to a trace sent to this collector from now on. Only the first
    /// call counts.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn trace_to(&self, endpoint: &str) -> std::io::Result<()> {
        let tracer = Tracer::start(endpoint, Arc::clone(&self.edge.counters))?;
        // A second one ends with its thread.
        let _ = self.edge.tracer.set(tracer);
        Ok(())
    }

    /// Counts for Prometheus, for a port of their own.
    pub fn metrics(&self) -> Router {
        http::metrics_router(self.edge.clone())
    }

    /// Who posts what webhooks are to be told. There must be one at most.
    #[must_use]
    pub fn courier(&self) -> Courier {
        Courier::new(self.edge.clone())
    }

    /// Whether the writer has ended, as by a panic: then nothing can be granted or reported any more.
    #[must_use]
    pub fn writer_has_ended(&self) -> bool {
        self.writer_thread.is_finished()
    }

    /// What the routers work with, for whoever serves them.
    #[must_use]
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Memory shared with the polls.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.edge.shared
    }

    /// Counts for operators.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.edge.counters
    }

    /// Ends what waits, drops the routers and gives the writer time to write what is queued and
    /// close the database. Answers whether it did; whoever still holds a router keeps it open.
    #[expect(clippy::disallowed_methods, reason = "bounds a wait, decides nothing")]
    pub fn close(self, within: Duration) -> bool {
        self.edge.shared.stop();
        let Self { filter, admin, edge, writer_thread, .. } = self;
        drop((filter, admin, edge));
        let begun = Instant::now();
        while !writer_thread.is_finished() {
            if begun.elapsed() >= within {
                return false;
            }
            std::thread::sleep(CLOSE_LOOK_EVERY);
        }
        writer_thread.join().is_ok()
    }
}
