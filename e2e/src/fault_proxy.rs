//! A TCP proxy that does to a connection what networks do: delay, break, swallow, forget.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;

/// Connections at once: each worker of an Envoy has a poll and some calls open.
const MOST_CONNECTIONS: usize = 512;

/// How often a pump that has nothing to do looks whether it still should.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the proxy does, from now on, to connections that are open and to new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes everything on, each piece of a request this much later.
    Delay(Duration),
    /// Breaks every connection.
    Cut,
    /// Swallows what comes; nobody is told.
    Blackhole,
    /// Swallows what comes over connections that are open by now; new ones pass. What a firewall
    /// does that has forgotten its connections.
    HalfOpen,
    /// Of every so many requests that change something, passes one on, waits for the answer, and
    /// breaks the connection instead of passing it back: it was done, and nobody knows.
    LoseEvery(u64),
}

#[derive(Debug)]
struct Shared {
    mode: Mutex<Mode>,
    /// Grows with every change of the mode.
    generation: AtomicU64,
    target: AtomicU16,
    posts: AtomicU64,
    lost: AtomicU64,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    port: u16,
}

impl FaultProxy {
    /// Listens on a free port of loopback. Connections are refused until
    /// [`FaultProxy::forward_to`].
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Pass),
            generation: AtomicU64::new(0),
            target: AtomicU16::new(0),
            posts: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                // What cannot be connected is dropped, which the client sees as a broken connection.
                let _ = accepting.connect(connection);
            }
        });
        Ok(Self { shared, port })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes connections on to what listens at this URL.
    ///
    /// # Errors
    /// When the URL names no port.
    pub fn forward_to(&self, url: &str) -> anyhow::Result<()> {
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        self.shared.target.store(port.context("a URL without a port")?, Ordering::Release);
        Ok(())
    }

    /// From now on does this.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode() = mode;
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        // What was swallowed cannot be passed on any more: nobody may go on from there.
        if matches!(mode, Mode::Pass | Mode::Cut) {
            self.shared.break_all();
        }
    }

    /// How many answers have been lost by [`Mode::LoseEvery`].
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.break_all();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One connection from client to server, shared by the pumps of its two directions.
struct Line {
    shared: Arc<Shared>,
    /// The mode's generation when the connection was made.
    born: u64,
    /// The answer under way is to be lost.
    loses: AtomicBool,
}

impl Shared {
    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_all(&self) {
        for connection in self.open().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let target = self.target.load(Ordering::Acquire);
        if *self.mode() == Mode::Cut || target == 0 {
            return Ok(());
        }
        let server = TcpStream::connect(("127.0.0.1", target))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK_EVERY))?;
        }
        {
            let mut open = self.open();
            open.retain(|connection| connection.peer_addr().is_ok());
            if open.len() + 2 > 2 * MOST_CONNECTIONS {
                return Ok(());
            }
            open.extend([client.try_clone()?, server.try_clone()?]);
        }
        let line = Arc::new(Line {
            shared: Arc::clone(self),
            born: self.generation.load(Ordering::Acquire),
            loses: AtomicBool::new(false),
        });
        let (up, down) = (Arc::clone(&line), line);
        let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || up.pump(from_client, to_server, true));
        std::thread::spawn(move || down.pump(server, client, false));
        Ok(())
    }
}

impl Line {
    /// Carries one direction until either side ends.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_request: bool) {
        let mut buffer = [0; 16 * 1024];
        while !self.shared.ended.load(Ordering::Acquire) {
            let piece = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) if is_timeout(&error) => continue,
                Err(_) => break,
            };
            if !self.pass(piece, is_request) {
                continue;
            }
            if !is_request && self.loses.swap(false, Ordering::AcqRel) {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                break;
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Whether a piece is to be passed on; waits where it is to be late.
    fn pass(&self, piece: &[u8], is_request: bool) -> bool {
        let mode = *self.shared.mode();
        match mode {
            Mode::Pass | Mode::Cut => true,
            Mode::Delay(delay) => {
                if is_request {
                    std::thread::sleep(delay);
                }
                true
            }
            Mode::Blackhole => false,
            Mode::HalfOpen => self.born >= self.shared.generation.load(Ordering::Acquire),
            Mode::LoseEvery(every) => {
                if is_request && piece.starts_with(b"POST ") {
                    let number = self.shared.posts.fetch_add(1, Ordering::Relaxed);
                    if number.is_multiple_of(every.max(1)) {
                        self.loses.store(true, Ordering::Release);
                    }
                }
                true
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each piece with itself, and a proxy in front of it.
    fn echo() -> (FaultProxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten().take(8) {
                std::thread::spawn(move || {
                    let mut connection = connection;
                    let mut buffer = [0; 64];
                    while let Ok(read @ 1..) = connection.read(&mut buffer) {
                        connection.write_all(&buffer[..read]).unwrap();
                    }
                });
            }
        });
        let proxy = FaultProxy::start().unwrap();
        proxy.forward_to(&url).unwrap();
        let client = connect(&proxy);
        (proxy, client)
    }

    fn connect(proxy: &FaultProxy) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        client
    }

    /// What comes back: bytes, nothing in time, or the end of the connection.
    fn exchange(client: &mut TcpStream, text: &str) -> Result<String, &'static str> {
        client.write_all(text.as_bytes()).map_err(|_| "broken")?;
        let mut buffer = [0; 64];
        match client.read(&mut buffer) {
            Ok(0) => Err("broken"),
            Ok(read) => Ok(String::from_utf8_lossy(&buffer[..read]).into_owned()),
            Err(error) if is_timeout(&error) => Err("silent"),
            Err(_) => Err("broken"),
        }
    }

    #[test]
    fn each_mode_does_what_it_says() {
        let (proxy, mut client) = echo();
        assert_eq!(exchange(&mut client, "a").as_deref(), Ok("a"));
        let begun = std::time::Instant::now();
        proxy.set(Mode::Delay(Duration::from_millis(100)));
        assert_eq!(exchange(&mut client, "b").as_deref(), Ok("b"));
        assert!(begun.elapsed() >= Duration::from_millis(100));
        proxy.set(Mode::HalfOpen);
        assert_eq!(exchange(&mut client, "c"), Err("silent"));
        let mut fresh = connect(&proxy);
        assert_eq!(exchange(&mut fresh, "d").as_deref(), Ok("d"));
        proxy.set(Mode::Blackhole);
        assert_eq!(exchange(&mut fresh, "e"), Err("silent"));
        proxy.set(Mode::Cut);
        assert_eq!(exchange(&mut fresh, "f"), Err("broken"));
        assert_eq!(exchange(&mut connect(&proxy), "g"), Err("broken"));
        proxy.set(Mode::LoseEvery(2));
        let mut client = connect(&proxy);
        assert_eq!(exchange(&mut client, "GET ").as_deref(), Ok("GET "));
        assert_eq!(exchange(&mut client, "POST "), Err("broken"));
        assert_eq!(exchange(&mut connect(&proxy), "POST ").as_deref(), Ok("POST "));
        assert_eq!(proxy.lost(), 1);
    }
}
