//! The call-outs to the policy server: how each looks and what its answer means.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::v1::Problem;
use wire::{KeyDigest, Revision};

use crate::config::{Config, Server};
use crate::io::{Call, CallId, StreamId};
use crate::link::{POLL_MARGIN_MS, Session};
use crate::machine::Token;
use crate::message;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `POST /proxy/v1/holders`.
    Register,
    /// `GET /proxy/v1/catalogue`.
    Catalogue,
    /// `GET /proxy/v1/changes`.
    Changes,
    /// `POST /proxy/v1/admit`.
    Admit {
        /// A lease was asked for, too.
        asks: bool,
    },
    /// `POST /proxy/v1/admit` without a call: whether a key whose calls run is still good.
    Recheck(KeyDigest),
    /// `POST /proxy/v1/leases`.
    Lease,
    /// `POST /proxy/v1/leases`, ahead of any call that needs it.
    Ahead,
    /// `POST /proxy/v1/reports`.
    Report,
    /// `POST /proxy/v1/usage`.
    Usage,
    /// `POST /proxy/v1/exchange`.
    UserKey,
}

impl Purpose {
    /// Its place among the purposes that are counted.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Register => 0,
            Self::Catalogue => 1,
            Self::Changes => 2,
            Self::Admit { .. } => 3,
            Self::Recheck(_) => 4,
            Self::Lease => 5,
            Self::Ahead => 6,
            Self::Report => 7,
            Self::Usage => 8,
            Self::UserKey => 9,
        }
    }

    /// Whether the call asks for money.
    pub(crate) fn asks(self) -> bool {
        matches!(self, Self::Admit { asks: true } | Self::Lease)
    }
}

/// What came of a call.
pub(crate) enum Answered<T> {
    /// An answer of the expected kind.
    Ok(T),
    /// The server does not know this holder or lives in another epoch.
    HolderLost,
    /// Anything else: no answer, an error, or bytes that say nothing.
    Failed,
}

/// Where and as whom to call.
pub(crate) struct Caller<'a> {
    pub(crate) server: &'a Server,
    pub(crate) token: &'a Token,
}

impl<'a> Caller<'a> {
    /// None where nobody is to be asked, or where nobody would answer for want of a token.
    pub(crate) fn of(config: &'a Config, token: Option<&'a Token>) -> Option<Self> {
        Some(Self { server: config.server()?, token: token? })
    }

    pub(crate) fn post(
        &self,
        id: CallId,
        stream: Option<StreamId>,
        path: &'static str,
        message: &impl Serialize,
    ) -> Call {
        // These messages have only string keys, so writing them cannot fail.
        let body = serde_json::to_vec(message).unwrap_or_default();
        let mut call = self.call(id, stream, "POST", path.to_owned(), self.server.timeout_ms);
        call.headers.push(("content-type", "application/json".to_owned()));
        call.body = body;
        call
    }

    pub(crate) fn catalogue(
        &self,
        id: CallId,
        stream: Option<StreamId>,
        session: &Session,
    ) -> Call {
        let path =
            format!("/proxy/v1/catalogue?holder={}&epoch={}", session.holder, session.epoch.0);
        self.call(id, stream, "GET", path, self.server.timeout_ms)
    }

    /// Asks for changes, and tells the server that everything up to `applied` is in force here.
    pub(crate) fn changes(
        &self,
        id: CallId,
        stream: Option<StreamId>,
        session: &Session,
        (applied, wait_ms): (Revision, u64),
    ) -> Call {
        let path = format!(
            "/proxy/v1/changes?holder={}&epoch={}&revision={}&wait_ms={wait_ms}",
            session.holder, session.epoch.0, applied.0
        );
        let timeout_ms =
            if wait_ms == 0 { self.server.timeout_ms } else { wait_ms + POLL_MARGIN_MS };
        self.call(id, stream, "GET", path, timeout_ms)
    }

    fn call(
        &self,
        id: CallId,
        stream: Option<StreamId>,
        method: &str,
        path: String,
        timeout_ms: u64,
    ) -> Call {
        Call {
            id,
            stream,
            cluster: self.server.cluster.clone(),
            headers: vec![
                (":method", method.to_owned()),
                (":path", path),
                (":authority", self.server.authority.clone()),
                ("authorization", format!("Bearer {}", self.token.reveal())),
            ],
            body: Vec::new(),
            timeout_ms,
        }
    }
}

/// Reads an answer. Failures look different on every host (an invented 503 or 504, no status at
/// all), so everything that is not the expected message counts as one.
pub(crate) fn read<T: DeserializeOwned>(status: Option<u16>, body: &[u8]) -> Answered<T> {
    match status {
        Some(200..=299) => message::read(body).map_or(Answered::Failed, Answered::Ok),
        Some(409) if says_holder_is_lost(body) => Answered::HolderLost,
        _ => Answered::Failed,
    }
}

/// Apart from what is read, so that it is compiled once.
#[inline(never)]
fn says_holder_is_lost(body: &[u8]) -> bool {
    message::read::<Problem>(body).is_ok_and(|problem| {
        [Problem::UNKNOWN_HOLDER, Problem::OTHER_EPOCH].contains(&problem.error.code.as_str())
    })
}
