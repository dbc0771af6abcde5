//! A real server behind the call-outs: its router, mounted in this process, without sockets.
//!
//! The router runs on a tokio runtime that only moves while somebody waits on it here. Short
//! calls are waited for; long polls stay pending and are looked at again whenever the host asks.
//! Virtual time is the host's: a poll whose waiting time has passed is answered by asking the
//! router once more without waiting.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::callout::{Answer, CallId, CallOut, CallReply, Server};
use crate::headers::HeaderMap;

/// Real time that a short call may take: far beyond any test machine's slowness.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of one response. The filter's own messages are far smaller.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

/// Turns that pending tasks get each time they are looked at. A woken poll needs a handful.
const TURNS: usize = 64;

const NS_PER_MS: u64 = 1_000_000;

/// The runtime on which mounted routers work.
pub struct Mount {
    runtime: Runtime,
}

/// A request to a mounted router that is under way.
pub struct Begun {
    task: JoinHandle<CallReply>,
}

impl Mount {
    /// A runtime of its own, moved only by this thread.
    pub fn new() -> Result<Rc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .context("building a runtime")?;
        Ok(Rc::new(Self { runtime }))
    }

    /// Begins a request. It moves on only in [`finish`](Self::finish) and
    /// [`take_if_done`](Self::take_if_done).
    pub fn begin(&self, router: &Router, headers: &HeaderMap, body: &[u8]) -> Begun {
        let router = router.clone();
        let request = http_request(headers, body);
        let task = self.runtime.spawn(async move {
            match request {
                Ok(request) => answer_of(router, request).await,
                Err(problem) => CallReply::new(400, problem),
            }
        });
        Begun { task }
    }

    /// Waits for a request to end. A server that does not answer at all counts as a broken
    /// connection.
    pub fn finish(&self, begun: Begun) -> CallReply {
        let waited = async { tokio::time::timeout(CALL_DEADLINE, begun.task).await };
        match self.runtime.block_on(waited) {
            Ok(Ok(reply)) => reply,
            _ => CallReply::reset(),
        }
    }

    /// Lets pending requests move on, and takes the answer if it is there.
    pub fn take_if_done(&self, begun: Begun) -> Result<CallReply, Begun> {
        self.give_turns();
        if begun.task.is_finished() { Ok(self.finish(begun)) } else { Err(begun) }
    }

    /// Lets pending requests move on as far as they can without waiting.
    fn give_turns(&self) {
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Runs a future to its end on this runtime.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// One whole request, for a test's own use of an admin API.
    pub fn request(
        &self,
        router: &Router,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> CallReply {
        let mut all = HeaderMap::from_pairs([(":method", method), (":path", path)]);
        for (name, value) in headers {
            all.add(*name, value);
        }
        self.finish(self.begin(router, &all, body))
    }
}

async fn answer_of(router: Router, request: Request<Body>) -> CallReply {
    // A router's error type is infallible.
    let Ok(response) = router.oneshot(request).await;
    reply_of(response).await
}

async fn reply_of(response: Response<Body>) -> CallReply {
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MAX_RESPONSE_BYTES).await else { return CallReply::reset() };
    let mut reply = CallReply::new(parts.status.as_u16(), &body);
    for (name, value) in &parts.headers {
        if name.as_str() != "content-length" {
            reply.headers.add(name.as_str(), value.as_bytes());
        }
    }
    reply
}

fn http_request(headers: &HeaderMap, body: &[u8]) -> Result<Request<Body>, String> {
    let text = |name: &str, otherwise: &str| headers.text(name).unwrap_or(otherwise).to_owned();
    let mut request =
        Request::builder().method(text(":method", "GET").as_str()).uri(text(":path", "/"));
    for (name, value) in headers.pairs() {
        match name {
            b":authority" => request = request.header("host", value),
            _ if name.starts_with(b":") => {}
            _ => request = request.header(name, value),
        }
    }
    request.body(Body::from(body.to_vec())).map_err(|error| error.to_string())
}

/// What a server says of a call that waits for news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongPoll {
    /// Milliseconds that the server may keep the call waiting.
    pub wait_ms: u64,
    /// The path that asks the same without waiting.
    pub path_without_wait: String,
}

/// Tells whether a call is a long poll.
pub type LongPollRule = Box<dyn Fn(&CallOut) -> Option<LongPoll>>;

/// Told of the host's monotonic time, in milliseconds, before each look at the server: where a
/// server's own manual clock is moved along.
pub type TimeHook = Box<dyn FnMut(u64)>;

/// A mounted router as the server of a host.
pub struct MountedRouter {
    mount: Rc<Mount>,
    router: Router,
    long_poll: LongPollRule,
    on_time: TimeHook,
    waiting: HashMap<CallId, Begun>,
}

impl MountedRouter {
    /// A router whose calls all answer soon.
    pub fn new(mount: &Rc<Mount>, router: Router) -> Self {
        Self {
            mount: Rc::clone(mount),
            router,
            long_poll: Box::new(|_| None),
            on_time: Box::new(|_| {}),
            waiting: HashMap::new(),
        }
    }

    /// The same with a rule for long polls.
    pub fn with_long_polls(mut self, rule: LongPollRule) -> Self {
        self.long_poll = rule;
        self
    }

    /// The same with a hook for time.
    pub fn with_time(mut self, hook: TimeHook) -> Self {
        self.on_time = hook;
        self
    }
}

impl Drop for MountedRouter {
    /// Polls that still wait hold the router, and with it the server behind it.
    fn drop(&mut self) {
        for (_, begun) in self.waiting.drain() {
            begun.task.abort();
        }
        self.mount.give_turns();
    }
}

impl Server for MountedRouter {
    fn answer(&mut self, call: &CallOut, now_ns: u64) -> Answer {
        (self.on_time)(now_ns / NS_PER_MS);
        let begun = self
            .waiting
            .remove(&call.id)
            .unwrap_or_else(|| self.mount.begin(&self.router, &call.headers, &call.body));
        let Some(poll) = (self.long_poll)(call) else {
            return Answer::Now(self.mount.finish(begun));
        };
        match self.mount.take_if_done(begun) {
            Ok(reply) => Answer::Now(reply),
            Err(begun) if now_ns >= call.sent_ns.saturating_add(poll.wait_ms * NS_PER_MS) => {
                begun.task.abort();
                let mut headers = call.headers.clone();
                headers.set(":path", &poll.path_without_wait);
                let again = self.mount.begin(&self.router, &headers, &call.body);
                Answer::Now(self.mount.finish(again))
            }
            Err(begun) => {
                self.waiting.insert(call.id, begun);
                Answer::Later
            }
        }
    }

    fn abandoned(&mut self, call: CallId) {
        if let Some(begun) = self.waiting.remove(&call) {
            begun.task.abort();
        }
    }

    /// The moment at which a waiting poll ends by itself.
    fn next_event_ns(&self, call: &CallOut) -> Option<u64> {
        let poll = (self.long_poll)(call)?;
        Some(call.sent_ns.saturating_add(poll.wait_ms * NS_PER_MS))
    }
}
