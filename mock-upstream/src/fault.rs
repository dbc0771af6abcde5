//! Which way a request is to go wrong, and the small grammar that says so.
//!
//! A list separated by commas, for example `delay=200,cut=3`:
//!
//! | word | effect |
//! |---|---|
//! | `delay=MS` | wait before the response head |
//! | `chunk_delay=MS` | wait before every content delta |
//! | `cut=N` | close the connection after N content deltas (plain answers: after N bytes) |
//! | `error_after=N` | end a stream after N content deltas with the error event of its API |
//! | `status=CODE` | answer with this status (400–599) and an error body of the API that is asked |
//! | `retry_after=S` | an error answer says `retry-after: S` |
//! | `no_retry` | an error answer says `x-should-retry: false` |
//! | `no_usage` | never report usage |
//! | `usage=reservation` | report the body length and the request's output limit as usage |
//! | `tokens=N` | produce N completion tokens whatever the limit says |
//! | `unseen=N` | bill N completion tokens beyond those that are shown |
//! | `cached=N` | say that N of the prompt tokens came from a cache |
//! | `cache_write=N` | say that N of the prompt tokens were written to a cache |
//! | `searches=N` | say (Anthropic messages) that the provider searched N times before it answered |
//! | `gzip` | compress the answer whatever the request accepts |
//! | `connect_reset` | close the connection before any byte of a response |

use std::time::Duration;

/// Longest wait that one word may ask for: longer than any timeout under test, short enough that a
/// forgotten fault does not hold a test run for ever.
pub const MAX_DELAY: Duration = Duration::from_secs(600);

/// Most completion tokens that `tokens=N` and `unseen=N` may ask for, so that one request cannot flood a disk.
pub const MAX_TOKENS: u64 = 1_000_000;

/// Everything that can be made to go wrong in one request. The default is a healthy upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// Wait before the response head.
    pub delay: Option<Duration>,
    /// Wait before each content delta.
    pub chunk_delay: Option<Duration>,
    /// Content deltas (streamed) or bytes (plain) after which the connection is closed.
    pub cut: Option<u64>,
    /// Content deltas after which a stream ends with an error event.
    pub error_after: Option<u64>,
    /// HTTP status of an error answer.
    pub status: Option<u16>,
    /// Seconds that an error answer asks to wait.
    pub retry_after: Option<u64>,
    /// An error answer asks not to be tried again.
    pub no_retry: bool,
    /// Report no usage at all.
    pub no_usage: bool,
    /// Report the largest usage that the request allows instead of the true one.
    pub usage_is_reservation: bool,
    /// Completion tokens of one choice, whatever the request's limit.
    pub tokens: Option<u64>,
    /// Completion tokens billed beyond those that are shown, whatever the limit says.
    pub unseen: u64,
    /// Prompt tokens reported as read from a cache.
    pub cached: Option<u64>,
    /// Prompt tokens reported as written to a cache.
    pub cache_write: Option<u64>,
    /// Searches of the provider's own, each of which it bills.
    pub searches: u64,
    /// Compress the answer.
    pub gzip: bool,
    /// Close before any byte of a response.
    pub connect_reset: bool,
}

impl Fault {
    /// Reads the grammar of this module.
    ///
    /// # Errors
    /// Names the first word that is unknown or has a value out of range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fault = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "delay" => fault.delay = Some(wait(word, value)?),
                "chunk_delay" => fault.chunk_delay = Some(wait(word, value)?),
                "cut" => fault.cut = Some(count(word, value)?),
                "error_after" => fault.error_after = Some(count(word, value)?),
                "retry_after" => fault.retry_after = Some(count(word, value)?),
                "cached" => fault.cached = Some(count(word, value)?),
                "searches" => fault.searches = count(word, value)?,
                "cache_write" => fault.cache_write = Some(count(word, value)?),
                "tokens" => fault.tokens = Some(tokens(word, value)?),
                "unseen" => fault.unseen = tokens(word, value)?,
                "status" => fault.status = Some(status(word, value)?),
                "usage" if value == "reservation" => fault.usage_is_reservation = true,
                "no_usage" if value.is_empty() => fault.no_usage = true,
                "no_retry" if value.is_empty() => fault.no_retry = true,
                "gzip" if value.is_empty() => fault.gzip = true,
                "connect_reset" if value.is_empty() => fault.connect_reset = true,
                _ => return Err(format!("unknown fault `{word}`")),
            }
        }
        Ok(fault)
    }
}

fn count(word: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("`{word}`: expected a whole number after `=`"))
}

fn tokens(word: &str, value: &str) -> Result<u64, String> {
    let tokens = count(word, value)?;
    if tokens > MAX_TOKENS {
        return Err(format!("`{word}`: at most {MAX_TOKENS} tokens"));
    }
    Ok(tokens)
}

fn wait(word: &str, value: &str) -> Result<Duration, String> {
    let wait = Duration::from_millis(count(word, value)?);
    if wait > MAX_DELAY {
        return Err(format!("`{word}`: at most {} ms", MAX_DELAY.as_millis()));
    }
    Ok(wait)
}

fn status(word: &str, value: &str) -> Result<u16, String> {
    value
        .parse()
        .ok()
        .filter(|code| (400..=599).contains(code))
        .ok_or_else(|| format!("`{word}`: expected a status from 400 to 599"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_combine() {
        let fault = Fault::parse(" delay=5, cut=3 ,no_usage,usage=reservation,tokens=7").unwrap();
        assert_eq!(
            fault,
            Fault {
                delay: Some(Duration::from_millis(5)),
                cut: Some(3),
                no_usage: true,
                usage_is_reservation: true,
                tokens: Some(7),
                ..Fault::default()
            }
        );
        assert_eq!(Fault::parse("").unwrap(), Fault::default());
    }

    #[test]
    fn unknown_words_and_values_are_named() {
        for bad in [
            "nonsense",
            "cut",
            "cut=-1",
            "status=200",
            "status=600",
            "delay=600001",
            "usage=other",
            "tokens=1000001",
            "unseen=1000001",
            "no_usage=1",
        ] {
            let problem = Fault::parse(bad).unwrap_err();
            assert!(problem.contains(bad), "{problem}");
        }
    }
}
