//! Spans of requests that belong to a trace, sent to a collector as OTLP over HTTP in JSON. Whoever
//! asks decides whether its trace is kept (the sampled flag of its `traceparent`); nothing is
//! traced otherwise. A span holds no secret: which route, which holder, how it was answered.

mod otlp;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::app::Counters;
use crate::clock::{Entropy, OsEntropy};

/// Spans that wait for the collector: some seconds of a busy server. Beyond it they are dropped and
/// counted.
const QUEUE: usize = 1_024;
/// Spans in one message.
const BATCH: usize = 256;
/// How long a span waits for others to be sent with.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The trace that a request belongs to (W3C Trace Context, version 00).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// 32 hexadecimal digits.
    pub trace: String,
    /// 16 hexadecimal digits.
    pub span: String,
}

impl Parent {
    /// Reads a `traceparent`. None where it is none, or where its trace is not kept.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() == 55)?;
        let mut parts = text.split('-');
        let mut next = |length: usize| {
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex))
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        let good = version == "00" && !is_zero(trace) && !is_zero(span) && sampled;
        good.then(|| Self { trace: trace.to_owned(), span: span.to_owned() })
    }
}

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The span that it is a child of.
    pub parent: Parent,
    /// Its own id, 16 hexadecimal digits.
    pub id: String,
    /// Method and pattern of the route.
    pub name: String,
    /// `filter` or `admin`.
    pub api: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// Nanoseconds since 1970 UTC.
    pub began_unix_ns: u64,
    /// The same.
    pub ended_unix_ns: u64,
    /// Further attributes.
    pub notes: Vec<(&'static str, String)>,
}

tokio::task_local! {
    /// What is said of the request that is being answered, if its span is kept.
    static NOTES: RefCell<Vec<(&'static str, String)>>;
}

/// Says something of the request that is being answered; nothing where its span is not kept.
pub fn note(name: &'static str, value: impl FnOnce() -> String) {
    // Outside of a traced request there is no place for it.
    let _ = NOTES.try_with(|notes| notes.borrow_mut().push((name, value())));
}

/// Answers a request and collects what is said of it meanwhile.
pub async fn noting<T>(answer: impl Future<Output = T>) -> (T, Vec<(&'static str, String)>) {
    NOTES
        .scope(RefCell::default(), async {
            let answer = answer.await;
            (answer, NOTES.with(RefCell::take))
        })
        .await
}

/// Takes spans on their way to a collector.
#[derive(Debug, Clone)]
pub struct Tracer {
    queue: SyncSender<Span>,
    counters: Arc<Counters>,
}

impl Tracer {
    /// Starts the thread that sends spans to `{endpoint}/v1/traces`. It ends with the last tracer.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(endpoint: &str, counters: Arc<Counters>) -> std::io::Result<Self> {
        let (queue, spans) = sync_channel(QUEUE);
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let counted = Arc::clone(&counters);
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || send(&url, &spans, &counted))?;
        Ok(Self { queue, counters })
    }

    /// Hands a span over; drops it where too many wait.
    pub fn took(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counters.metrics.spans(false, 1);
        }
    }

    /// An id for a span; none where there is no randomness.
    #[must_use]
    pub fn id() -> Option<String> {
        let mut bytes = [0; 8];
        OsEntropy.fill(&mut bytes).ok()?;
        Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn send(url: &str, spans: &Receiver<Span>, counters: &Counters) {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .proxy(None)
        .build()
        .new_agent();
    while let Ok(first) = spans.recv() {
        std::thread::sleep(GATHER);
        let mut batch = vec![first];
        batch.extend(spans.try_iter().take(BATCH - 1));
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = agent
            .post(url)
            .header("content-type", "application/json")
            .send(otlp::message(&batch).to_string());
        let done = sent.is_ok_and(|answer| answer.status().is_success());
        counters.metrics.spans(done, count);
        if !done {
            tracing::debug!(count, "the collector has not taken spans");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_sampled_context_is_a_parent() {
        let parent = Parent::read(SAMPLED.as_bytes()).unwrap();
        assert_eq!(parent.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span, "00f067aa0ba902b7");
        for bad in [
            SAMPLED.replace("-01", "-00"),
            SAMPLED.replacen("00", "01", 1),
            SAMPLED.to_uppercase(),
            SAMPLED.replace("00f067aa0ba902b7", "0000000000000000"),
            String::new(),
            "é".repeat(27) + "x",
        ] {
            assert_eq!(Parent::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn ids_are_hexadecimal_and_differ() {
        let (one, other) = (Tracer::id().unwrap(), Tracer::id().unwrap());
        assert!(one.len() == 16 && one != other, "{one} {other}");
    }

    #[tokio::test]
    async fn notes_belong_to_the_request_that_is_being_answered() {
        note("outside", || unreachable!("nobody asks for it"));
        let ((), notes) = noting(async { note("holder", || "h1".to_owned()) }).await;
        assert_eq!(notes, [("holder", "h1".to_owned())]);
    }
}
