//! Requests that try to get past the filter, through a real Envoy with the configuration that ships:
//! for each it is stated whether it is refused and how, or what exactly the upstream gets.
//!
//! Whatever a row says, nothing gets to the upstream that has no key, no record, another path or
//! another model than what was charged, or a header of the client that speaks for the gateway.

mod framing;
mod headers;
mod http2;
mod paths;
mod raw_http2;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use e2e::{Fixture, MODEL};
use serde_json::{Value, json};

/// A body that may pass.
const BODY: &str = r#"{"model":"gpt-4o-mini","max_tokens":16,"messages":[]}"#;

/// How long an answer may take. What is refused is refused at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Requests that are sent at a time: an answer that closes its connection takes Envoy half a second.
const AT_A_TIME: usize = 16;

/// What the client says its name and rights are, and what must not arrive.
const SPOOFED: &str = "spoofed-by-the-client";

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// It gets to the upstream, at this path.
    Passes(&'static str),
    /// Tollgate answers with this status and code.
    Refused(u16, &'static str),
    /// The proxy itself refuses it with this status, or by closing the connection (0).
    Proxy(u16),
}

/// Sends a request to the gateway at this address, with a header that names the row: the status (0 where
/// the connection was closed without one) and the whole answer.
type Send = Box<dyn Fn(&str, &str) -> (u16, String) + std::marker::Send + Sync>;

/// A line of a table.
struct Row {
    name: String,
    outcome: Outcome,
    send: Send,
}

/// A stack and what is sent through it.
struct Corpus {
    fixture: Fixture,
    key_id: String,
    secret: String,
    rows: Vec<Row>,
}

impl Corpus {
    fn start() -> Self {
        let fixture = Fixture::start(1).unwrap();
        let free = json!({"budget": {"usd": "5", "period": "day"}, "models": ["*"]});
        let (key_id, secret) = fixture.key(free).unwrap();
        Self { fixture, key_id, secret, rows: Vec::new() }
    }

    /// `authorization: …` of the good key, with its line end.
    fn credential(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.secret)
    }

    fn row(
        &mut self,
        name: &str,
        outcome: Outcome,
        send: impl Fn(&str, &str) -> (u16, String) + std::marker::Send + Sync + 'static,
    ) {
        self.rows.push(Row { name: name.to_owned(), outcome, send: Box::new(send) });
    }

    fn judge(
        &self,
        outcome: Outcome,
        status: u16,
        answer: &str,
        arrived: &[Value],
    ) -> Result<(), String> {
        if answer.contains(&self.secret) {
            return Err("the answer repeats the key".to_owned());
        }
        for request in arrived {
            self.judge_arrival(request)?;
        }
        match outcome {
            Outcome::Passes(path) => {
                let [request] = arrived else {
                    return Err(format!("{} requests arrived", arrived.len()));
                };
                if request["path"] != path {
                    return Err(format!("it arrived at {}", request["path"]));
                }
                if status != 200 { Err("it was not answered".to_owned()) } else { Ok(()) }
            }
            Outcome::Refused(expected, code) => {
                if !arrived.is_empty() {
                    return Err("it got to the upstream".to_owned());
                }
                // Each API has its own place for a code, and one writes it in capitals.
                let told = answer.to_ascii_lowercase().contains(&format!("\"{code}\""));
                if status == expected && told { Ok(()) } else { Err("another answer".to_owned()) }
            }
            Outcome::Proxy(expected) => {
                if !arrived.is_empty() {
                    return Err("it got to the upstream".to_owned());
                }
                if status == expected { Ok(()) } else { Err("another answer".to_owned()) }
            }
        }
    }

    /// What holds of everything that arrives: it was called by this key, for this model, and brings
    /// nothing along that the client says of itself.
    fn judge_arrival(&self, request: &Value) -> Result<(), String> {
        let text = request.to_string();
        if text.contains(&self.secret) {
            return Err("the client's key arrived".to_owned());
        }
        if text.contains(SPOOFED) {
            return Err("a header of the client speaks for the gateway".to_owned());
        }
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
            .collect();
        let once = |name: &str| -> Result<&str, String> {
            let found: Vec<_> = headers.iter().filter(|(present, _)| *present == name).collect();
            match found.as_slice() {
                [(_, value)] => Ok(value),
                _ => Err(format!("{name} arrived {} times", found.len())),
            }
        };
        if once("x-tollgate-key-id")? != self.key_id || once("x-tollgate-org")? != "acme" {
            return Err("it arrived in another name".to_owned());
        }
        once("x-tollgate-request-id")?;
        let forbidden = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];
        let more = ["proxy-authorization", "upgrade", "x-original-url", "x-rewrite-url"];
        if let Some((name, _)) =
            headers.iter().find(|(name, _)| forbidden.contains(name) || more.contains(name))
        {
            return Err(format!("{name} arrived"));
        }
        // Lists and single models have no body.
        if request["method"] == "GET" {
            return Ok(());
        }
        let charged = once("x-tollgate-model")?;
        let in_path = request["path"].as_str().is_some_and(|path| path.starts_with("/v1beta/"));
        let body: Value = serde_json::from_str(request["body"].as_str().unwrap_or_default())
            .map_err(|why| format!("the upstream cannot read the body: {why}"))?;
        if charged != MODEL || (!in_path && body["model"] != charged) {
            return Err(format!("{} arrived and {charged} was charged", body["model"]));
        }
        Ok(())
    }

    /// Sends everything, several at a time, and judges what became of it. Every call that got to the
    /// upstream has its record, and no VM has failed.
    fn run(self) {
        let url = &self.fixture.stack.gateway_url;
        let share = self.rows.len().div_ceil(AT_A_TIME);
        let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
            let numbered: Vec<_> = self.rows.iter().enumerate().collect();
            let threads: Vec<_> = numbered
                .chunks(share)
                .map(|rows| {
                    let rows = rows.to_vec();
                    let send = move |(number, row): (usize, &Row)| {
                        (row.send)(url, &format!("row-{number}-"))
                    };
                    scope.spawn(move || rows.into_iter().map(send).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        self.fixture.upstream_at_rest().unwrap();
        let arrived = self.fixture.upstream_requests().unwrap();
        let mut failures = Vec::new();
        let mut claimed = 0;
        for (number, (row, (status, answer))) in self.rows.iter().zip(&answers).enumerate() {
            let mark = format!("row-{number}-");
            let mine: Vec<_> =
                arrived.iter().filter(|one| one.to_string().contains(&mark)).cloned().collect();
            claimed += mine.len();
            if let Err(why) = self.judge(row.outcome, *status, answer, &mine) {
                let (name, outcome) = (&row.name, row.outcome);
                let answer: String = answer.chars().take(600).collect();
                failures.push(format!(
                    "{name}: {why}\n  expected {outcome:?}\n  status {status}, {answer:?}\n  \
                     upstream {mine:?}"
                ));
            }
        }
        let (bad, all) = (failures.len(), self.rows.len());
        assert!(failures.is_empty(), "{bad} of {all} rows:\n{}", failures.join("\n"));
        assert_eq!(claimed, arrived.len(), "requests arrived that no row has sent: {arrived:?}");
        let records = self.fixture.records(&self.key_id, claimed).unwrap();
        assert_eq!(records.len(), claimed, "calls and records differ");
        println!("{all} rows, {claimed} passed");
    }
}

/// Sends bytes and reads until the gateway closes, has answered, or the time is up: the status (0 for
/// none) and everything that came.
fn send_raw(gateway_url: &str, request: &[u8]) -> (u16, String) {
    let address = gateway_url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
    // A gateway that refuses early may close before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = (&mut stream).take(1 << 20).read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    // What comes before the answer proper is none (RFC 9110, 15.2).
    let answer = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (status, text)
}

/// A request with `connection: close` and this body, given its first line, the name of its row and
/// further header lines.
fn request(first_line: &str, row: &str, headers: &[u8], body: &str) -> Vec<u8> {
    let mut bytes = format!(
        "{first_line} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\nx-row: {row}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    bytes
}
