//! The count of what was asked and what was produced, kept apart from what is reported.
//!
//! Tokens are counted when they are handed to the socket: a stream that its client leaves counts
//! only the deltas that were taken. Input counts when the answer begins, because by then a real
//! provider has read the prompt. An error answer produces nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use crate::call_log::{Call, CallLog};

/// Requests kept for inspection; the oldest leave first. Enough for one test's traffic.
pub const KEPT_REQUESTS: usize = 256;

/// Bytes of each body that are kept: the whole of any body a test reads back, while 256 of them
/// stay within 16 MiB.
pub const KEPT_BODY_BYTES: usize = 64 * 1024;

/// Distinct models counted apart; further ones count under `(other)`, so that hostile names cannot
/// grow the table.
pub const COUNTED_MODELS: usize = 256;

/// A request as it arrived.
#[derive(Debug, Clone, Serialize)]
pub struct RecordedRequest {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in the order of arrival; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The first [`KEPT_BODY_BYTES`] of the body; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// Length of the whole body in bytes; `None` while it has not arrived to its end.
    pub body_bytes: Option<usize>,
}

impl RecordedRequest {
    /// A request of which only the head has arrived.
    #[must_use]
    pub fn head(method: &str, path: &str, headers: Vec<(String, String)>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: String::new(),
            body_bytes: None,
        }
    }
}

/// Names a recorded request until the next reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival(u64);

/// What one answer has used before it begins, in tokens but for the searches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Input {
    /// All of it.
    pub tokens: u64,
    /// What of it was read from a cache.
    pub cached: u64,
    /// What of it was written to a cache.
    pub cache_write: u64,
    /// Searches of the provider's own.
    pub searches: u64,
}

/// Counts of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModelCount {
    /// Answers that began.
    pub requests: u64,
    /// Input tokens of those answers.
    pub prompt_tokens: u64,
    /// Output tokens handed to the socket.
    pub completion_tokens: u64,
}

/// Everything the referee has seen since the start or the last reset.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// Requests that arrived, of any kind.
    pub requests: u64,
    /// Those of them on paths that belong to no operation.
    pub elsewhere: u64,
    /// Answers with tokens that began (not the error answers).
    pub answered: u64,
    /// Answers with tokens that were handed to the socket to their end.
    pub completed: u64,
    /// Answers with tokens being written at this moment.
    pub running: u64,
    /// Input tokens over all models.
    pub prompt_tokens: u64,
    /// Output tokens over all models.
    pub completion_tokens: u64,
    /// The same by model.
    pub by_model: BTreeMap<String, ModelCount>,
}

/// Keeps [`Counts`] and the last requests. Shared by all connections.
#[derive(Debug, Default)]
pub struct Referee {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    counts: Counts,
    /// With the number of each arrival, which outlives a reset so that none is taken for another.
    recent: VecDeque<(u64, RecordedRequest)>,
    next_arrival: u64,
    calls: CallLog,
}

impl Referee {
    /// Notes that the head of a request arrived. The head alone counts, so that a request whose
    /// body never came is seen too. `at_us` is the time in microseconds of a monotonic clock.
    pub fn arrived(&self, request: RecordedRequest, at_us: u64) -> Arrival {
        let mut book = self.book();
        book.calls.add(Call::arrived(&request, at_us));
        book.counts.requests += 1;
        if book.recent.len() >= KEPT_REQUESTS {
            book.recent.pop_front();
        }
        let arrival = book.next_arrival;
        book.next_arrival += 1;
        book.recent.push_back((arrival, request));
        Arrival(arrival)
    }

    /// Adds the body to a request that is still kept.
    pub fn body_arrived(&self, arrival: Arrival, body: &[u8]) {
        let mut book = self.book();
        let found = book.recent.iter_mut().rev().find(|(number, _)| *number == arrival.0);
        if let Some((_, request)) = found {
            let kept = body.get(..KEPT_BODY_BYTES).unwrap_or(body);
            request.body = String::from_utf8_lossy(kept).into_owned();
            request.body_bytes = Some(body.len());
        }
    }

    /// Notes that an answer begins: its input has been read.
    pub fn began(&self, arrival: Arrival, model: &str, input: Input) {
        let mut book = self.book();
        if let Some(call) = book.calls.get_mut(arrival.0) {
            call.prompt_tokens = input.tokens;
            call.cached_tokens = input.cached;
            call.cache_write_tokens = input.cache_write;
            call.searches = input.searches;
        }
        book.counts.answered += 1;
        book.counts.running += 1;
        book.counts.prompt_tokens += input.tokens;
        let count = book.model(model);
        count.requests += 1;
        count.prompt_tokens += input.tokens;
    }

    /// Notes that a request came on a path that belongs to no operation.
    pub fn came_elsewhere(&self) {
        self.book().counts.elsewhere += 1;
    }

    /// Notes output tokens handed to the socket.
    pub fn produced(&self, arrival: Arrival, model: &str, completion_tokens: u64) {
        let mut book = self.book();
        if let Some(call) = book.calls.get_mut(arrival.0) {
            call.completion_tokens += completion_tokens;
        }
        book.counts.completion_tokens += completion_tokens;
        book.model(model).completion_tokens += completion_tokens;
    }

    /// Notes the end of an answer, complete or not.
    pub fn ended(&self, arrival: Arrival, complete: bool) {
        let mut book = self.book();
        if let Some(call) = book.calls.get_mut(arrival.0) {
            call.complete = complete;
        }
        // A reset between begin and end leaves nothing to take away from.
        book.counts.running = book.counts.running.saturating_sub(1);
        if complete {
            book.counts.completed += 1;
        }
    }

    /// A copy of the counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.book().counts.clone()
    }

    /// The last `limit` requests, oldest first.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<RecordedRequest> {
        let book = self.book();
        let skip = book.recent.len().saturating_sub(limit);
        book.recent.iter().skip(skip).map(|(_, request)| request.clone()).collect()
    }

    /// Every call since the last reset, and how many the log's bound has left out.
    #[must_use]
    pub fn calls(&self) -> (Vec<Call>, u64) {
        let book = self.book();
        (book.calls.calls().to_vec(), book.calls.missing())
    }

    /// Forgets everything.
    pub fn reset(&self) {
        let mut book = self.book();
        let next_arrival = book.next_arrival;
        *book = Book { next_arrival, calls: CallLog::from(next_arrival), ..Book::default() };
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Counting cannot leave the book half written, so a poisoned lock is still good.
        self.book.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Book {
    fn model(&mut self, model: &str) -> &mut ModelCount {
        let models = &mut self.counts.by_model;
        let name = if models.contains_key(model) || models.len() < COUNTED_MODELS {
            model
        } else {
            "(other)"
        };
        models.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> RecordedRequest {
        RecordedRequest::head("GET", path, Vec::new())
    }

    #[test]
    fn only_the_last_requests_are_kept_and_all_are_counted() {
        let referee = Referee::default();
        for number in 0..KEPT_REQUESTS + 10 {
            referee.arrived(request(&number.to_string()), 0);
        }
        let recent = referee.recent(usize::MAX);
        assert_eq!(recent.len(), KEPT_REQUESTS);
        assert_eq!(recent[0].path, "10");
        assert_eq!(referee.recent(1)[0].path, (KEPT_REQUESTS + 9).to_string());
        assert_eq!(referee.counts().requests, KEPT_REQUESTS as u64 + 10);
    }

    #[test]
    fn a_body_that_arrives_after_a_reset_is_not_given_to_another_request() {
        let referee = Referee::default();
        let before = referee.arrived(request("/before"), 0);
        referee.reset();
        let after = referee.arrived(request("/after"), 0);
        referee.body_arrived(before, b"lost");
        referee.began(before, "m", Input { tokens: 5, ..Input::default() });
        assert_eq!(referee.recent(1)[0].body_bytes, None);
        referee.body_arrived(after, b"kept");
        assert_eq!(referee.recent(1)[0].body, "kept");
        referee.produced(after, "m", 3);
        let (calls, missing) = referee.calls();
        assert_eq!((calls.len(), calls[0].prompt_tokens, missing), (1, 0, 0));
        assert_eq!(calls[0].completion_tokens, 3);
    }

    #[test]
    fn models_beyond_the_bound_share_one_row() {
        let referee = Referee::default();
        for number in 0..COUNTED_MODELS + 5 {
            let arrival = referee.arrived(request("/"), 0);
            let input = Input { tokens: 1, ..Input::default() };
            referee.began(arrival, &number.to_string(), input);
        }
        let counts = referee.counts();
        assert_eq!(counts.by_model.len(), COUNTED_MODELS + 1);
        assert_eq!(counts.by_model["(other)"].prompt_tokens, 5);
        assert_eq!(counts.prompt_tokens, COUNTED_MODELS as u64 + 5);
    }
}
