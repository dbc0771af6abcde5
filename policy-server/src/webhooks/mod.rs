//! Telling organisations of events by HTTP: signed, repeated until somebody has taken it, and never
//! in the way of what caused them.
//!
//! An event is written into an outbox in the transaction that brings it about. The courier posts what
//! is due and notes what came of it.

mod courier;
mod retry;
mod secret;
mod send;
mod target;

pub use courier::Courier;
pub use retry::{GIVE_UP_AFTER_MS, next_attempt};
pub use secret::{ServerSecret, Signature, SigningKey};
pub use send::{Attempt, Post, Sender};
pub use target::{BadUrl, is_public, parse_url};

use std::net::SocketAddr;
use std::path::PathBuf;

/// How webhooks are reached.
#[derive(Debug, Clone, Default)]
pub struct WebhookSettings {
    /// The file with the secret that theirs are derived from; none: beside the database.
    pub secret_file: Option<PathBuf>,
    /// Plain HTTP and addresses that are not public are allowed, for tests and closed networks.
    pub allow_private: bool,
    /// The proxy that speaks TLS for the server; without it no `https` can be reached.
    pub egress: Option<SocketAddr>,
}
