//! A closed loop of keep-alive HTTP/1.1 connections: each sends its next request when the answer to
//! the one before is complete. Counts and time are bounded.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;

/// A request that is sent again and again to a port on loopback.
#[derive(Debug, Clone)]
pub struct Shot {
    /// Port.
    pub port: u16,
    /// The whole request, head and body.
    pub request: Vec<u8>,
}

impl Shot {
    /// A `POST` of JSON with a bearer token.
    #[must_use]
    pub fn post(port: u16, path: &str, token: &str, body: &str) -> Self {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\naccept: application/json\r\n\
             user-agent: tollgate-bench\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { port, request: request.into_bytes() }
    }

    /// Sends it over an open connection; the answer must have status 200.
    ///
    /// # Errors
    /// When the connection breaks or the answer has another status.
    pub fn over(&self, line: &mut Line) -> anyhow::Result<()> {
        line.exchange(&self.request)
    }
}

/// What one run of the loop took.
#[derive(Debug, Clone)]
pub struct Measured {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Time of each exchange, ascending.
    pub latencies: Vec<Duration>,
}

impl Measured {
    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        // A run has far fewer exchanges than a float holds exactly.
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// The latency below which this share (0 to 1) of the exchanges stayed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let rank = (share * last as f64).round() as usize;
        self.latencies.get(rank.min(last)).copied().unwrap_or_default()
    }
}

/// Longest silence of an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Largest answer, in bytes; every answer of a benchmark is below a kilobyte.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Sends `each` requests on each of `connections` connections. Every answer must have status 200.
///
/// # Errors
/// When a connection breaks or an answer has another status.
pub fn run(shot: &Shot, connections: usize, each: usize) -> anyhow::Result<Measured> {
    // Connected before the clock starts.
    let mut lines: Vec<Line> =
        (0..connections).map(|_| Line::open(shot.port)).collect::<anyhow::Result<_>>()?;
    let started = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let workers: Vec<_> = lines
            .iter_mut()
            .map(|line| {
                scope.spawn(move || {
                    let mut latencies = Vec::with_capacity(each);
                    for _ in 0..each {
                        let sent = Instant::now();
                        line.exchange(&shot.request)?;
                        latencies.push(sent.elapsed());
                    }
                    anyhow::Ok(latencies)
                })
            })
            .collect();
        let mut all = Vec::with_capacity(connections * each);
        for worker in workers {
            let part = worker.join().map_err(|_| anyhow::anyhow!("a load thread ended"))?;
            all.extend(part?);
        }
        anyhow::Ok(all)
    });
    let took = started.elapsed();
    let mut latencies = latencies?;
    latencies.sort_unstable();
    Ok(Measured { took, latencies })
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    /// Connects to a port on loopback.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(port: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        match self.exchange_any(request)? {
            (200, _) => Ok(()),
            (status, answer) => {
                anyhow::bail!("status {status}: {}", String::from_utf8_lossy(answer))
            }
        }
    }

    /// Sends a request and reads the whole answer: its status, and head and body as they came.
    ///
    /// # Errors
    /// When the connection breaks or the answer is longer than a megabyte.
    pub fn exchange_any(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        loop {
            if let Some(status) = answer_status(&self.buffer)? {
                return Ok((status, &self.buffer));
            }
            anyhow::ensure!(self.buffer.len() < MAX_ANSWER_BYTES, "an endless answer");
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk).context("reading an answer")?;
            anyhow::ensure!(read > 0, "the connection was closed within an answer");
            self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

/// The status of the answer in `bytes` once it is complete.
fn answer_status(bytes: &[u8]) -> anyhow::Result<Option<u16>> {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = bytes.split_at(head_end + 4);
    let head = std::str::from_utf8(head).context("an answer head that is not text")?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
    let mut length = None;
    let mut chunked = false;
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().context("content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    let complete = if chunked {
        chunks_are_complete(body)?
    } else {
        body.len() >= length.context("an answer without length")?
    };
    Ok(complete.then_some(status))
}

fn chunks_are_complete(mut body: &[u8]) -> anyhow::Result<bool> {
    loop {
        let Some(line_end) = find(body, b"\r\n") else { return Ok(false) };
        let (line, rest) = body.split_at(line_end);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .context("a chunk without size")?;
        // Behind the size line, and behind the data, stands a line break.
        let Some(next) = rest.get(size + 4..) else { return Ok(false) };
        if size == 0 {
            return Ok(true);
        }
        body = next;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_at_its_last_byte_and_not_before() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            for cut in 0..text.len() {
                assert_eq!(
                    answer_status(&text.as_bytes()[..cut]).unwrap(),
                    None,
                    "{cut} of {text}"
                );
            }
            assert_eq!(answer_status(text.as_bytes()).unwrap(), Some(200));
        }
    }

    #[test]
    fn quantiles_are_of_the_sorted_latencies() {
        let latencies = (1..=101).map(Duration::from_millis).collect();
        let measured = Measured { took: Duration::from_secs(1), latencies };
        assert_eq!(measured.quantile(0.5), Duration::from_millis(51));
        assert_eq!(measured.quantile(0.99), Duration::from_millis(100));
        assert_eq!(measured.quantile(1.0), Duration::from_millis(101));
    }
}
