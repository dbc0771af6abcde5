//! Clients that read a stream as far as they like and leave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::MODEL;

/// Longest wait for the next bytes.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// What one delta of a chat of the mock upstream holds, as it stands in an event.
const CHAT_DELTA: &str = "\"content\":\"tok";

/// A streamed call of which some has been read. Dropping it closes the connection.
#[derive(Debug)]
pub struct OpenStream {
    connection: TcpStream,
    seen: String,
    /// What one delta holds.
    delta: &'static str,
}

impl OpenStream {
    /// Sends a streamed chat call with these further headers.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub fn start(
        gateway_url: &str,
        key: &str,
        headers: &[(&str, &str)],
        max_tokens: u64,
    ) -> anyhow::Result<Self> {
        let body = serde_json::json!({
            "model": MODEL, "stream": true, "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "hello"}],
        })
        .to_string();
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
             {headers}authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self::send(gateway_url, request.as_bytes(), CHAT_DELTA)
    }

    /// Sends a request of any kind, in the answer to which each delta holds this.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub fn send(gateway_url: &str, request: &[u8], delta: &'static str) -> anyhow::Result<Self> {
        let address = gateway_url.strip_prefix("http://").context("no http URL")?;
        let mut connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(READ_LIMIT))?;
        connection.set_write_timeout(Some(READ_LIMIT))?;
        connection.write_all(request)?;
        Ok(Self { connection, seen: String::new(), delta })
    }

    /// Reads on. Answers false at the end of the connection.
    ///
    /// # Errors
    /// When nothing comes in time, or the connection breaks.
    pub fn read_more(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 2048];
        let read = self.connection.read(&mut buffer)?;
        self.seen.push_str(&String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()));
        Ok(read > 0)
    }

    /// Reads until so many content deltas have come.
    ///
    /// # Errors
    /// When the stream ends before that.
    pub fn read_deltas(&mut self, deltas: usize) -> anyhow::Result<()> {
        while self.deltas() < deltas {
            anyhow::ensure!(self.read_more()?, "the stream has ended: {}", self.seen);
        }
        Ok(())
    }

    /// How many content deltas have come.
    #[must_use]
    pub fn deltas(&self) -> usize {
        self.seen.matches(self.delta).count()
    }

    /// Everything that has come, head included.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// The gateway's name for the call, once the head has come.
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        let head = self.seen.split("\r\n\r\n").next()?;
        head.lines()
            .find_map(|line| line.strip_prefix("x-tollgate-request-id: "))
            .map(str::to_owned)
    }

    /// The status, once the head has come.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.seen.split(' ').nth(1)?.parse().ok()
    }

    /// The data of every complete event so far that is JSON.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let data = self.seen.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }
}
