//! The filter's configuration: what an operator may write, checked completely before it is used.

mod check;
mod host;
mod keys;
mod local;
#[cfg(test)]
mod local_tests;
mod models;
mod openings;
mod reference;

pub use check::{Problem, parse};
pub use host::{HostSettings, MOST_WORKERS, Windows};
pub use local::{Local, MOST_DIGESTS, MOST_KEYS, MOST_MODELS};
pub use reference::{MEMBERS, Member};

use std::rc::Rc;

use metering::request::FeatureKind;

pub use crate::profile::Profile;
pub use crate::route::{ListedPath, OpenTo, PathPattern};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Who says what keys and models there are.
    pub authority: Authority,
    /// Largest request body in bytes.
    pub body_bytes: usize,
    /// Most running calls of a key that has no limit of its own on them; none: any number.
    pub concurrent_calls_per_key: Option<u64>,
    /// Name of this plugin instance, for the server's list of holders.
    pub name: String,
    /// Paths that are served beside those of the known operations, at a price per call.
    pub paths: Vec<ListedPath>,
    /// Whose manners towards clients it has.
    pub profile: Profile,
    /// Calls are made once under the same `Idempotency-Key`.
    pub idempotency: bool,
    /// What requests may ask for although no reservation covers it.
    pub allow: Vec<FeatureKind>,
    /// Where nothing is refused.
    pub shadow: Shadow,
    /// In what kind of proxy it runs.
    pub host: HostSettings,
}

/// Who says what keys and models there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// A policy server.
    Server(Server),
    /// The configuration itself: nobody is ever asked, and no money is counted.
    Local(Rc<Local>),
}

/// Where requests are checked and nothing is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shadow {
    /// Nowhere.
    #[default]
    Nowhere,
    /// On every path.
    Everywhere,
    /// On these.
    Paths(Vec<PathPattern>),
}

impl Shadow {
    /// Whether nothing is refused on this path, whose query does not count.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::Paths(patterns) => patterns.iter().any(|pattern| pattern.takes(path)),
        }
    }
}

impl Config {
    /// The policy server, if there is one.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        match &self.authority {
            Authority::Server(server) => Some(server),
            Authority::Local(_) => None,
        }
    }

    /// Keys and models, where they stand here.
    #[must_use]
    pub fn local(&self) -> Option<&Local> {
        match &self.authority {
            Authority::Server(_) => None,
            Authority::Local(local) => Some(local),
        }
    }
}

/// How to reach the policy server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Cluster (Envoy) or `host:port` (nginx hosts).
    pub cluster: String,
    /// Value of `:authority`.
    pub authority: String,
    /// How long a request waits for one answer of the server, in milliseconds.
    pub timeout_ms: u64,
}

/// Most `paths`: each is compared with every request that has no other route.
pub const MOST_PATHS: usize = 64;
/// Default of `limits.body_bytes`: 10 MiB, room for a long context with inline images.
pub const DEFAULT_BODY_BYTES: u64 = 10 << 20;
/// Most that `limits.body_bytes` may be: a VM has 1 GiB of memory for all its streams.
pub const MOST_BODY_BYTES: u64 = 64 << 20;
/// Default of `limits.concurrent_calls_per_key`. A proxy holds 10,000 connections of clients, each with a
/// place towards the providers, so that one key takes a tenth of them; and a thousand calls of 10 s each are a
/// hundred a second, more than most applications make.
pub const DEFAULT_CONCURRENT_CALLS: u64 = 1_000;
/// Most that it may be: calls cost some 60 KiB of the proxy each, so that more could not run anyway.
pub const MOST_CONCURRENT_CALLS: u64 = 1_000_000;
/// Default of `server.timeout_ms`: the server answers in milliseconds but may wait 250 ms for
/// money to come back.
pub const DEFAULT_TIMEOUT_MS: u64 = 2_000;
