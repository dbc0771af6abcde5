//! The attacks. Each runs until a moment that it is given, with a bounded number of connections, and
//! counts what it was answered.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::upstream;
use crate::bench::load::Line;

/// What is attacked, and with which key.
#[derive(Debug, Clone)]
pub struct Target {
    /// The gateway's port on loopback.
    pub port: u16,
    /// A good key.
    pub key: String,
    /// Connections of the attacks that hold many.
    pub held: usize,
}

/// Answers by what they were: a status with the error's code, or how the connection ended.
pub type Tally = BTreeMap<String, u64>;

/// One way of using up memory or time.
pub struct Attack {
    /// Its name in the table.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&Target, Instant) -> Tally,
    /// What Envoy may need more during it than before, in MiB, and why is said at each.
    pub most_mib: u64,
    /// The same for each connection that it holds, in KiB.
    pub held_kib: u64,
}

impl Attack {
    /// What Envoy may need more with so many connections held, in MiB.
    pub fn most_mib_with(&self, held: usize) -> u64 {
        let held = u64::try_from(held).unwrap_or(u64::MAX);
        self.most_mib.saturating_add(self.held_kib.saturating_mul(held) / 1024)
    }
}

/// All of them.
pub const ALL: [Attack; 9] = [
    // What is remembered of unknown keys is bounded (4,096 of them).
    Attack { name: "unknown keys", run: unknown_keys, most_mib: 24, held_kib: 0 },
    // Connections and their buffers are Envoy's: some 30 KiB for each, and what its allocator keeps.
    Attack { name: "slow bodies", run: slow_bodies, most_mib: 0, held_kib: 54 },
    // A connection on either side and the state of an answer: some 60 KiB for each.
    Attack { name: "open streams", run: open_streams, most_mib: 0, held_kib: 80 },
    // Of one event 1 MiB at most is held.
    Attack { name: "giant SSE event", run: giant_events, most_mib: 96, held_kib: 0 },
    Attack { name: "answer of many members", run: member_answers, most_mib: 96, held_kib: 0 },
    // Four bodies of 10 MiB, each held by Envoy and read in the VM, which never gives memory back.
    Attack { name: "body of many members", run: member_bodies, most_mib: 160, held_kib: 0 },
    Attack { name: "body too large", run: large_bodies, most_mib: 160, held_kib: 0 },
    // Nothing is unpacked.
    Attack { name: "compressed body", run: compressed_bodies, most_mib: 24, held_kib: 0 },
    Attack { name: "compressed answer", run: compressed_answers, most_mib: 24, held_kib: 0 },
];

/// Connections of the attacks that send all the time.
const SENDERS: usize = 4;

/// The filter's limit of a body, as in the reference configuration.
const BODY_LIMIT: usize = 10 << 20;

fn unknown_keys(target: &Target, until: Instant) -> Tally {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    again_and_again(target, until, &|_| {
        let key = format!("sk-{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        request(&key, "", plain_body().as_bytes())
    })
}

fn member_bodies(target: &Target, until: Instant) -> Tally {
    let head = r#"{"model":"plain","messages":[{"role":"user","content":"x"}],"metadata":{"a":1"#;
    let members = ",\"a\":1".repeat((BODY_LIMIT - head.len() - 16) / 6);
    let body = format!("{head}{members}}}}}");
    let sent = request(&target.key, "", body.as_bytes());
    again_and_again(target, until, &|_| sent.clone())
}

fn large_bodies(target: &Target, until: Instant) -> Tally {
    let text = "x".repeat(BODY_LIMIT + 1);
    let body = format!(r#"{{"model":"plain","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let sent = request(&target.key, "", body.as_bytes());
    again_and_again(target, until, &|_| sent.clone())
}

fn compressed_bodies(target: &Target, until: Instant) -> Tally {
    let sent = request(&target.key, "content-encoding: gzip\r\n", &[0x1f; 1024]);
    again_and_again(target, until, &|_| sent.clone())
}

fn giant_events(target: &Target, until: Instant) -> Tally {
    whole_answers(target, until, upstream::EVENT, true)
}

fn member_answers(target: &Target, until: Instant) -> Tally {
    whole_answers(target, until, upstream::MEMBERS, false)
}

fn compressed_answers(target: &Target, until: Instant) -> Tally {
    whole_answers(target, until, upstream::BOMB, false)
}

/// Each connection says that it will send a megabyte and then sends a byte a second.
fn slow_bodies(target: &Target, until: Instant) -> Tally {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000000\r\n\r\n{{",
        target.key
    );
    hold(target, until, head.as_bytes(), b" ")
}

/// Each connection asks for a stream that begins and never ends.
fn open_streams(target: &Target, until: Instant) -> Tally {
    let sent = request(&target.key, "", body_of(upstream::SILENT, true).as_bytes());
    hold(target, until, &sent, b"")
}

fn hold(target: &Target, until: Instant, begin: &[u8], drip: &[u8]) -> Tally {
    let mut tally = Tally::new();
    let mut open = Vec::new();
    for _ in 0..target.held {
        if Instant::now() >= until {
            break;
        }
        match connected(target.port).and_then(|mut stream| {
            stream.write_all(begin)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        }) {
            Ok(stream) => open.push(stream),
            Err(_) => *tally.entry("not connected".to_owned()).or_default() += 1,
        }
    }
    while Instant::now() < until {
        if !drip.is_empty() {
            for stream in &mut open {
                // One that was closed meanwhile is counted below.
                let _ = stream.write(drip);
            }
        }
        std::thread::sleep(Duration::from_secs(1).min(until - Instant::now().min(until)));
    }
    let mut buffer = vec![0; 4096];
    for stream in &mut open {
        let outcome = match stream.read(&mut buffer) {
            Ok(0) => "closed".to_owned(),
            Ok(read) => outcome_of(buffer.get(..read).unwrap_or_default()),
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => "held".to_owned(),
            Err(_) => "reset".to_owned(),
        };
        *tally.entry(outcome).or_default() += 1;
    }
    tally
}

fn again_and_again(
    target: &Target,
    until: Instant,
    make: &(dyn Fn(usize) -> Vec<u8> + Sync),
) -> Tally {
    together(|sender| {
        let mut tally = Tally::new();
        let mut line = None;
        while Instant::now() < until {
            let open = match line.take() {
                Some(open) => Ok(open),
                None => Line::open(target.port),
            };
            let outcome = open.and_then(|mut open: Line| {
                let (status, answer) = open.exchange_any(&make(sender))?;
                let outcome = outcome_of(answer);
                // After a refusal in the middle of a body the connection is over.
                if status != 413 {
                    line = Some(open);
                }
                Ok(outcome)
            });
            let outcome = outcome.unwrap_or_else(|_| "broken off".to_owned());
            *tally.entry(outcome).or_default() += 1;
        }
        tally
    })
}

fn whole_answers(target: &Target, until: Instant, model: &str, stream: bool) -> Tally {
    let sent = request(&target.key, "connection: close\r\n", body_of(model, stream).as_bytes());
    together(|_| {
        let mut tally = Tally::new();
        while Instant::now() < until {
            let outcome =
                answer_until(target.port, &sent, until).unwrap_or_else(|_| "broken off".to_owned());
            *tally.entry(outcome).or_default() += 1;
        }
        tally
    })
}

/// Reads an answer to its end, or gives up at the end of the attack.
fn answer_until(port: u16, sent: &[u8], until: Instant) -> std::io::Result<String> {
    let mut stream = connected(port)?;
    stream.write_all(sent)?;
    let mut buffer = vec![0; 64 << 10];
    let mut outcome = None;
    loop {
        let read = stream.read(&mut buffer)?;
        outcome.get_or_insert_with(|| outcome_of(buffer.get(..read).unwrap_or_default()));
        if read == 0 {
            return Ok(outcome.unwrap_or_default());
        }
        if Instant::now() >= until {
            return Ok("left unread".to_owned());
        }
    }
}

fn connected(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn together(send: impl Fn(usize) -> Tally + Sync) -> Tally {
    let send = &send;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).fold(
            Tally::new(),
            |mut all, part| {
                for (outcome, count) in part {
                    *all.entry(outcome).or_default() += count;
                }
                all
            },
        )
    })
}

fn plain_body() -> String {
    body_of(upstream::PLAIN, false)
}

/// The body of a small request for a model.
pub fn body_of(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","stream":{stream},"max_tokens":16,"messages":[{{"role":"user","content":"hello"}}]}}"#
    )
}

fn request(key: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Status and, where the answer is an error, its code.
fn outcome_of(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer.get(..4096.min(answer.len())).unwrap_or_default());
    let status = text.get(9..12).unwrap_or("no status");
    match text.split_once("\"code\":\"").and_then(|(_, rest)| rest.split_once('"')) {
        Some((code, _)) if status != "200" => format!("{status} {code}"),
        _ => status.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_by_its_status_and_its_code() {
        let refused =
            b"HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":{\"code\":\"invalid_api_key\"}}";
        assert_eq!(outcome_of(refused), "401 invalid_api_key");
        assert_eq!(outcome_of(b"HTTP/1.1 200 OK\r\n\r\n{\"code\":\"x\"}"), "200");
        assert_eq!(outcome_of(b""), "no status");
    }
}
