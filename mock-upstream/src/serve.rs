//! The connection loop: HTTP/1.1 with keep-alive, able to close a connection without an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::control::{self, Mock};
use crate::delivery::Hangup;

/// Connections served at once; further ones wait in the listener's backlog. More than any bounded
/// load loop of the tests opens, fewer than the usual limit of 1,024 open files.
pub const MAX_CONNECTIONS: usize = 900;

/// A mock upstream that is bound but does not accept yet.
#[derive(Debug)]
pub struct MockServer {
    listener: TcpListener,
    mock: Arc<Mock>,
}

impl MockServer {
    /// Binds `address`, which must be on loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not on loopback or cannot be bound.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        anyhow::ensure!(
            address.ip().is_loopback(),
            "{address} is not a loopback address; a mock upstream that anyone can reach would \
             answer for a real one"
        );
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self { listener, mock: Arc::new(Mock::default()) })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the future is dropped.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            // A failed accept (no file descriptor left, client gone) passes; the pause keeps it
            // from becoming a busy loop.
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            let router = control::router(Arc::clone(&self.mock));
            tokio::spawn(async move {
                serve_connection(stream, router).await;
                drop(place);
            });
        }
    }
}

async fn serve_connection(stream: TcpStream, router: axum::Router) {
    // Deltas are small; without this they would wait for each other.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move { answer(router, request).await }
    });
    // An error here is a client that left or a fault that was asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    router: axum::Router,
    request: Request<Incoming>,
) -> Result<Response, &'static str> {
    let response =
        router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {});
    if response.extensions().get::<Hangup>().is_some() {
        return Err("closed by a fault");
    }
    Ok(response)
}
