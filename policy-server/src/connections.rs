//! Connections of clients: how many there are at once, and how long each may take to say what it wants.
//! Whoever opens many and says nothing, or a byte a minute, gets no more than the places that nobody
//! else needs: where all are taken, the connection that has asked for nothing for longest makes room.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;
use tower::ServiceExt as _;

use crate::live::{LIVE_HOLDERS_MOST, lock};

/// Bytes of a request's head: a token, a trace and what proxies add are a few hundred. It is read before
/// anybody has signed in.
const HEAD_BYTES: usize = 64 * 1024;

/// How long a new connection waits where every other asks for something, before it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the connections of one port may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many are open at once.
    pub connections: u32,
    /// How long one may be open without a whole head of a request, also between two requests.
    pub head: Duration,
    /// How long the body of a request may take after its head.
    pub body: Duration,
}

impl Bounds {
    /// Of the filter API: a poll of every worker of every proxy, and as many for all other messages.
    /// Proxies keep idle connections for at most 60 s in our configurations; where the server closed
    /// them first, a request could meet the closing.
    pub const FILTER: Self = Self {
        connections: 2 * LIVE_HOLDERS_MOST as u32,
        head: Duration::from_secs(75),
        body: Duration::from_secs(30),
    };

    /// Of the admin API: people, scripts and consoles. It reads for 64 of them at once.
    pub const ADMIN: Self = Self { connections: 512, ..Self::FILTER };

    /// Of the metrics: a few collectors.
    pub const METRICS: Self = Self { connections: 32, ..Self::FILTER };
}

/// The body of a request did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body did not come in time")
    }
}

impl Error for TooSlow {}

impl TooSlow {
    /// Whether this is why something failed.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Serves the router until `stop`, then lets the requests that run end.
///
/// # Errors
/// None: a connection that fails ends by itself, and one that cannot be accepted is tried again.
pub async fn serve(
    mut listener: TcpListener,
    app: Router,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(bounds.connections as usize));
    let waiting = Arc::new(Mutex::new(Waiting::default()));
    let stopping = watch::Sender::new(false);
    let mut stop = pin!(stop);
    loop {
        let (stream, from) = tokio::select! {
            // Failures that pass are waited for within.
            accepted = <TcpListener as axum::serve::Listener>::accept(&mut listener) => accepted,
            () = &mut stop => break,
        };
        let place = tokio::select! {
            place = place(&places, &waiting) => place,
            () = &mut stop => break,
        };
        let seat = Arc::new(Seat::of(&waiting));
        let connection = serve_one(stream, from, app.clone(), bounds, seat, stopping.subscribe());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    stopping.send_replace(true);
    // All places are free when every connection has ended.
    let _ = places.acquire_many(bounds.connections).await;
    Ok(())
}

/// A place for a connection, once there is one.
async fn place(places: &Arc<Semaphore>, waiting: &Mutex<Waiting>) -> Option<OwnedSemaphorePermit> {
    loop {
        if places.available_permits() == 0 {
            lock(waiting).end_longest();
        }
        let free = Arc::clone(places).acquire_owned();
        // Where all were busy, one of them may have nothing to do soon.
        if let Ok(place) = tokio::time::timeout(LOOK_AGAIN, free).await {
            return place.ok();
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    from: SocketAddr,
    app: Router,
    bounds: Bounds,
    seat: Arc<Seat>,
    mut stopping: watch::Receiver<bool>,
) {
    let ended = Arc::clone(&seat.end);
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, busy) = (app.clone(), Busy::on(&seat));
        async move {
            let mut request = request.map(|body| within(bounds.body, body));
            request.extensions_mut().insert(ConnectInfo(from));
            let Ok(response) = app.oneshot(request).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| Answer { body, _busy: busy }))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // Whatever went wrong is the client's: it has gone, or spoke no HTTP.
        _ = connection.as_mut() => return,
        () = ended.notified() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

fn within(most: Duration, body: Incoming) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(Timed { body, end: Box::pin(tokio::time::sleep(most)) })
}

/// A body that must have come when the time is over.
struct Timed {
    body: Incoming,
    end: Pin<Box<Sleep>>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.end.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: its connection is busy until it has been sent.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Connections that ask for nothing, the one first that has for longest.
#[derive(Default)]
struct Waiting {
    next: u64,
    by_age: BTreeMap<u64, Arc<Notify>>,
}

impl Waiting {
    fn add(&mut self, end: &Arc<Notify>) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.by_age.insert(number, Arc::clone(end));
        number
    }

    /// Ends the connection that has asked for nothing for longest.
    fn end_longest(&mut self) {
        if let Some((_, end)) = self.by_age.pop_first() {
            end.notify_one();
        }
    }
}

/// A connection: whether it asks for something, and how it is ended.
struct Seat {
    all: Arc<Mutex<Waiting>>,
    end: Arc<Notify>,
    /// Its number among those that wait.
    number: Mutex<Option<u64>>,
}

impl Seat {
    fn of(all: &Arc<Mutex<Waiting>>) -> Self {
        let end = Arc::new(Notify::new());
        let number = Mutex::new(Some(lock(all).add(&end)));
        Self { all: Arc::clone(all), end, number }
    }

    fn leave(&self) {
        if let Some(number) = lock(&self.number).take() {
            lock(&self.all).by_age.remove(&number);
        }
    }

    fn wait(&self) {
        *lock(&self.number) = Some(lock(&self.all).add(&self.end));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request runs. One connection has one at a time.
struct Busy(Arc<Seat>);

impl Busy {
    fn on(seat: &Arc<Seat>) -> Self {
        seat.leave();
        Self(Arc::clone(seat))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}
