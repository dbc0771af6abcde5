//! One line for every request, so that a ledger can be compared call by call and a rate window by
//! the times of what it let through.

use serde::Serialize;

use crate::referee::RecordedRequest;

/// Calls that are kept, of some 300 bytes each: more than any test makes. What comes after them is
/// counted as missing, so that no comparison can pass on half a log.
pub const KEPT_CALLS: usize = 100_000;

/// Longest header value that is kept of a call, in bytes; the names that a gateway gives to calls
/// and keys are far shorter.
const LONGEST_NAME: usize = 128;

/// Longest path that is kept of a call, in characters: above those of all operations.
pub const LONGEST_PATH: usize = 128;

/// Headers in which a client of some API sends its credential. None of them may come through a
/// gateway.
const CREDENTIAL_HEADERS: [&str; 6] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"];

/// Members of a query that carry a credential.
const CREDENTIAL_QUERIES: [&str; 2] = ["key", "access_token"];

/// The gateway's name for the call.
const REQUEST_HEADER: &str = "x-tollgate-request-id";

/// The gateway's name for who makes the call.
/// The gateway's name for who makes the call.
const KEY_HEADER: &str = "x-tollgate-key-id";

/// What is known of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The gateway's name for it, if it gave one.
    pub request: Option<String>,
    /// The gateway's name for the key that it came with, if it gave one.
    pub key: Option<String>,
    /// HTTP method.
    pub method: String,
    /// The first [`LONGEST_PATH`] characters of its path, without the query.
    pub path: String,
    /// Where it carried credentials: names of headers, and `?name` for members of the query.
    pub credentials: Vec<String>,
    /// When its head arrived: microseconds of this process's monotonic clock.
    pub arrived_us: u64,
    /// Input tokens; 0 while (or if never) it is answered, and of calls that are free.
    pub prompt_tokens: u64,
    /// Those of them that were read from a cache.
    pub cached_tokens: u64,
    /// Those of them that were written to a cache.
    pub cache_write_tokens: u64,
    /// Searches of the provider's own, made before the answer began.
    pub searches: u64,
    /// Output tokens handed to the socket so far.
    pub completion_tokens: u64,
    /// Whether its answer was handed to the socket to its end.
    pub complete: bool,
}

impl Call {
    /// A call whose head has just arrived.
    #[must_use]
    pub fn arrived(request: &RecordedRequest, arrived_us: u64) -> Self {
        let headers = &request.headers;
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let in_headers = CREDENTIAL_HEADERS
            .iter()
            .filter(|name| headers.iter().any(|(present, _)| present == *name))
            .map(|name| (*name).to_owned());
        let in_query = query
            .split('&')
            .map(|pair| pair.split('=').next().unwrap_or(pair))
            .filter(|name| CREDENTIAL_QUERIES.contains(name))
            .map(|name| format!("?{name}"));
        let value = |name: &str| {
            let found = headers.iter().find(|(present, _)| present == name);
            found.map(|(_, value)| value.chars().take(LONGEST_NAME).collect())
        };
        Self {
            request: value(REQUEST_HEADER),
            key: value(KEY_HEADER),
            method: request.method.clone(),
            path: path.chars().take(LONGEST_PATH).collect(),
            credentials: in_headers.chain(in_query).collect(),
            arrived_us,
            ..Self::default()
        }
    }
}

/// The calls since the last reset, by the number of their arrival.
#[derive(Debug, Default)]
pub struct CallLog {
    /// Arrival number of the first call in the list.
    first: u64,
    calls: Vec<Call>,
    missing: u64,
}

impl CallLog {
    /// An empty log that begins with this arrival number.
    #[must_use]
    pub fn from(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// Adds the next call, in the order of the arrival numbers.
    pub fn add(&mut self, call: Call) {
        if self.calls.len() < KEPT_CALLS {
            self.calls.push(call);
        } else {
            self.missing += 1;
        }
    }

    /// The call of an arrival number, unless it is from before the reset or beyond the bound.
    pub fn get_mut(&mut self, arrival: u64) -> Option<&mut Call> {
        let index = arrival.checked_sub(self.first)?;
        self.calls.get_mut(usize::try_from(index).ok()?)
    }

    /// Every call that is kept, in the order of arrival.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// How many calls the bound has left out.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_named_and_not_kept() {
        let headers = [("x-goog-api-key", "s3cret"), ("host", "h"), ("authorization", "s3cret")];
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let path = "/v1/models/m:generateContent?alt=sse&key=s3cret&monkey=1";
        let call = Call::arrived(&RecordedRequest::head("POST", path, headers), 1);
        assert_eq!(call.credentials, ["authorization", "x-goog-api-key", "?key"]);
        assert_eq!(
            (call.method.as_str(), call.path.as_str()),
            ("POST", "/v1/models/m:generateContent")
        );
        assert!(!format!("{call:?}").contains("s3cret"));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut log = CallLog::from(7);
        for number in 0..KEPT_CALLS as u64 + 3 {
            log.add(Call { arrived_us: number, ..Call::default() });
        }
        assert_eq!((log.calls().len(), log.missing()), (KEPT_CALLS, 3));
        assert_eq!(log.get_mut(9).unwrap().arrived_us, 2);
        assert!(log.get_mut(6).is_none() && log.get_mut(7 + KEPT_CALLS as u64).is_none());
    }
}
