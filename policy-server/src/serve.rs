//! Running the server: ports, signals, the sweeper.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::FilterError;
use crate::build::{StartError, build};
use crate::clock::{OsEntropy, SystemClock};
use crate::connections::{self, Bounds};
use crate::settings::{Listen, NotLoopback, Settings};
use crate::store::StoreError;

/// How often lapsed sessions are looked for: small against the grace of five seconds.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long running requests may take to end after a signal; polls end at once.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How long the writer may take to close the database.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why the server stopped, or never began.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It would be reachable by accident.
    #[error(transparent)]
    Exposed(#[from] NotLoopback),
    /// A port is taken or may not be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The database could not be taken up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The operating system failed.
    #[error("the server failed: {0}")]
    System(#[from] io::Error),
    /// Writes are no longer possible.
    #[error("the writer has ended; see the log")]
    WriterEnded,
}

/// Serves until SIGTERM or SIGINT. Says on standard output where it listens and, at the first
/// start only, what the admin token is. Spans go to the collector, if there is one.
///
/// # Errors
/// When it cannot start, or cannot go on.
pub async fn serve(
    settings: Settings,
    listen: Listen,
    collector: Option<&str>,
) -> Result<(), ServeError> {
    listen.check()?;
    // Ports first: a start that fails for want of one must not use up the first start, whose
    // token is shown only once.
    let filter_port = bind(listen.filter).await?;
    let admin_port = bind(listen.admin).await?;
    let metrics_port = match listen.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let database = settings.database.clone();
    let app = build(settings, Arc::new(SystemClock::start()), Box::new(OsEntropy))?;
    announce(&app, &filter_port, &admin_port, metrics_port.as_ref())?;
    if let Some(collector) = collector {
        app.trace_to(collector)?;
    }
    tracing::info!(database = %database.display(), "started");
    let stop = watch::Sender::new(false);
    let metrics = serve_metrics(metrics_port, app.metrics(), told(stop.subscribe()));
    let (filter, admin) = (app.filter.clone(), app.admin.clone());
    let serving = async {
        tokio::try_join!(
            metrics,
            connections::serve(filter_port, filter, Bounds::FILTER, told(stop.subscribe())),
            connections::serve(admin_port, admin, Bounds::ADMIN, told(stop.subscribe())),
        )
    };
    let mut serving = Box::pin(serving);
    let ended = tokio::select! {
        ended = &mut serving => return Ok(ended.map(drop)?),
        ended = sweep(&app) => Err(ended),
        () = app.courier().run() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    stop.send_replace(true);
    app.shared().stop();
    if tokio::time::timeout(STOP_WITHIN, &mut serving).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    drop(serving);
    if !app.close(CLOSE_WITHIN) {
        tracing::warn!("the database was not closed in time; nothing answered is lost");
    }
    ended
}

/// Serves the metrics, where they were asked for.
async fn serve_metrics(
    port: Option<TcpListener>,
    metrics: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Some(port) = port else { return Ok(()) };
    connections::serve(port, metrics, Bounds::METRICS, stop).await
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Listen { address, source })
}

fn announce(
    app: &crate::App,
    filter_port: &TcpListener,
    admin_port: &TcpListener,
    metrics_port: Option<&TcpListener>,
) -> Result<(), ServeError> {
    let mut out = io::stdout().lock();
    if let Some(token) = &app.admin_token {
        writeln!(out, "admin token: {}", token.expose())?;
    }
    writeln!(out, "filter API on {}", filter_port.local_addr()?)?;
    writeln!(out, "admin API on {}", admin_port.local_addr()?)?;
    if let Some(port) = metrics_port {
        writeln!(out, "metrics on {}", port.local_addr()?)?;
    }
    Ok(out.flush()?)
}

/// Sweeps for ever; ends only when the writer has.
async fn sweep(app: &crate::App) -> ServeError {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        // A sweep that finds nothing to do does not ask the writer.
        if app.writer_has_ended() {
            return ServeError::WriterEnded;
        }
        loop {
            match app.sweep().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(FilterError::Store(StoreError::Stopped)) => return ServeError::WriterEnded,
                Err(error) => {
                    tracing::error!(%error, "lapsed sessions could not be parked");
                    break;
                }
            }
        }
    }
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that nobody can tell any more: stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
