//! Requests that no well-behaved client would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

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
