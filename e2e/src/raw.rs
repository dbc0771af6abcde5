//! Requests that no well-behaved client would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

/// Requests of [`RawAnswer::of_all`] at a time: what a proxy takes easily.
const AT_A_TIME: usize = 16;

/// Largest answer that is read.
const LARGEST_ANSWER: u64 = 1 << 20;

/// Sends bytes to a gateway and returns the status and the whole answer. The request must say
/// `connection: close`.
///
/// # Errors
/// When the gateway cannot be reached or answers with nothing.
pub fn raw_request(gateway_url: &str, request: &[u8]) -> anyhow::Result<(u16, String)> {
    let address = gateway_url.strip_prefix("http://").context("no http URL")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    // A gateway that refuses early may close before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut limited = (&mut stream).take(LARGEST_ANSWER);
    let read = limited.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    match status {
        Some(status) => Ok((status, text)),
        None => Err(anyhow::anyhow!("no answer: {read:?} {text:?}")),
    }
}

/// An answer as it came, its HTTP chunks put together.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body, as much of it as came.
    pub body: Vec<u8>,
    /// Whether it ended in order.
    pub complete: bool,
}

impl RawAnswer {
    /// Sends a request that says `connection: close` and reads to the end of the connection.
    ///
    /// # Errors
    /// When nothing that is HTTP comes.
    pub fn of(url: &str, request: &[u8]) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://").context("no http URL")?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        // A gateway that refuses early may close before all is sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        // A connection that breaks has sent what it has sent.
        let _ = (&mut stream).take(LARGEST_ANSWER).read_to_end(&mut answer);
        Self::read(&answer)
            .with_context(|| format!("no answer: {:?}", String::from_utf8_lossy(&answer)))
    }

    /// The answers to these requests, in their order. Several are sent at a time: a connection that
    /// a proxy breaks off may take it half a second.
    ///
    /// # Errors
    /// When nothing that is HTTP comes to one of them.
    pub fn of_all(url: &str, requests: &[Vec<u8>]) -> anyhow::Result<Vec<Self>> {
        let share = requests.len().div_ceil(AT_A_TIME).max(1);
        let shares = std::thread::scope(|scope| {
            let threads: Vec<_> = requests
                .chunks(share)
                .map(|share| {
                    scope.spawn(move || {
                        share
                            .iter()
                            .map(|request| Self::of(url, request))
                            .collect::<anyhow::Result<Vec<_>>>()
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| {
                thread.join().map_err(|_| anyhow::anyhow!("a request panicked")).flatten()
            });
            joined.collect::<anyhow::Result<Vec<_>>>()
        })?;
        Ok(shares.into_iter().flatten().collect())
    }

    fn read(answer: &[u8]) -> Option<Self> {
        let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(answer.get(..at)?).into_owned();
        let rest = answer.get(at + 4..)?;
        let headers: Vec<(String, String)> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut read = Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            headers,
            body: Vec::new(),
            complete: false,
        };
        if read.header("transfer-encoding").is_some() {
            (read.body, read.complete) = unchunked(rest);
        } else {
            let length = read.header("content-length").and_then(|length| length.parse().ok());
            read.complete = length.is_none_or(|length: usize| length == rest.len());
            read.body = rest.to_vec();
        }
        Some(read)
    }

    /// The first header of this (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What chunks hold, and whether the last one came.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = rest.get(..end).map(String::from_utf8_lossy).unwrap_or_default();
        let Ok(size) = usize::from_str_radix(&size, 16) else { break };
        let after = rest.get(end + 2..).unwrap_or_default();
        body.extend_from_slice(after.get(..size.min(after.len())).unwrap_or_default());
        if size == 0 {
            return (body, true);
        }
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
