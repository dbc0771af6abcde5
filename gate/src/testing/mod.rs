//! Scripts: text files of what happens to a filter and what it does about it. The same script runs
//! against the machine natively and against the shipped module in a wasm host; both must produce
//! the file itself.
//!
//! A line that begins with a space is what the filter does, everything else is what happens to it:
//!
//! ```text
//! clock 1000                              monotonic and wall milliseconds from now on
//! tick                                    the timer of the root context
//! request 1 POST /v1/chat/completions authorization=Bearer~sk-…    (~ stands for a space)
//! body 1 {"model":"m"}                    the whole body;  chunk 1 … is a part of it
//! answer /proxy/v1/admit 200 {…}          answers the oldest call of that path
//! fail /proxy/v1/admit                    lets it fail without a status
//! response 1 200 content-type=text/event-stream
//! data 1 data: {…}\n\n                    a chunk of the response;  last 1 … is the last one
//! end 1                                   the stream is over
//! ```

mod memory;
mod native;

pub use crate::machine::accounts::{Accounts, ByLease, LetPass};
pub use memory::ProcessMemory;
pub use native::Native;

use std::fmt::Write as _;

/// A filter that a script can be played to.
pub trait Filter {
    /// Sets both clocks, in milliseconds since a common zero.
    fn clock(&mut self, millis: u64);
    /// Fires the timer.
    fn tick(&mut self);
    /// A request's head; `end` says that it has no body.
    fn request(&mut self, stream: u32, headers: Vec<(String, Vec<u8>)>, end: bool);
    /// Part of its body.
    fn body(&mut self, stream: u32, bytes: &[u8], end: bool);
    /// The oldest call-out whose path begins so is answered, or fails without a status. False when
    /// there is none.
    fn answer(&mut self, path: &str, status: Option<u16>, body: &[u8]) -> bool;
    /// The upstream's head.
    fn response(&mut self, stream: u32, headers: Vec<(String, Vec<u8>)>, end: bool);
    /// Part of its body.
    fn data(&mut self, stream: u32, bytes: &[u8], end: bool);
    /// The stream is over.
    fn end(&mut self, stream: u32);
    /// What the filter has done since the last time, in order.
    fn seen(&mut self) -> Vec<Seen>;
}

/// Something that a filter did, as the world outside sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It called the policy server.
    Call {
        /// Method.
        method: String,
        /// Path with query.
        path: String,
        /// Body.
        body: Vec<u8>,
    },
    /// It answered the client itself.
    Reply {
        /// The stream.
        stream: u32,
        /// Status.
        status: u16,
        /// Header fields.
        headers: Vec<(String, Vec<u8>)>,
        /// Body.
        body: Vec<u8>,
    },
    /// The request went to the upstream.
    Upstream {
        /// The stream.
        stream: u32,
        /// Header fields as the upstream gets them.
        headers: Vec<(String, Vec<u8>)>,
        /// Body as the upstream gets it.
        body: Vec<u8>,
    },
    /// The client got the answer's head.
    Head {
        /// The stream.
        stream: u32,
        /// Header fields as the client gets them.
        headers: Vec<(String, Vec<u8>)>,
    },
    /// The client got part of the answer's body.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// It asked of the host what that cannot do.
    Fault(&'static str),
    /// It closed the stream, at the client and at the upstream.
    Closed {
        /// The stream.
        stream: u32,
    },
}

/// Plays a script and writes down what happened, in the script's own form.
///
/// # Errors
/// A line that is no command, or that answers a call which was not made.
pub fn play(script: &str, filter: &mut dyn Filter) -> Result<String, String> {
    let mut out = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.starts_with(' ') {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        let line = line.split_once("  #").map_or(line, |(command, _)| command).trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        step(line, filter).map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
        for seen in filter.seen() {
            write(&mut out, &seen);
        }
    }
    Ok(out)
}

fn step(line: &str, filter: &mut dyn Filter) -> Result<(), String> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match command {
        "clock" => filter.clock(rest.parse().map_err(|_| "no number")?),
        "tick" => filter.tick(),
        "request" => {
            let (stream, rest) = numbered(rest)?;
            let mut words = rest.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let mut headers = vec![
                (":method".to_owned(), method.as_bytes().to_vec()),
                (":path".to_owned(), path.as_bytes().to_vec()),
                (":authority".to_owned(), b"gateway".to_vec()),
            ];
            headers.extend(pairs(words)?);
            filter.request(stream, headers, method == "GET");
        }
        "body" | "chunk" => {
            let (stream, text) = numbered(rest)?;
            filter.body(stream, &unescape(text), command == "body");
        }
        "answer" | "fail" => {
            let mut words = rest.splitn(3, ' ');
            let path = words.next().unwrap_or("");
            let status = words.next().map(str::parse).transpose().map_err(|_| "no status")?;
            if !filter.answer(path, status, words.next().unwrap_or("").as_bytes()) {
                return Err("no such call is waiting".to_owned());
            }
        }
        "response" => {
            let (stream, rest) = numbered(rest)?;
            let mut words = rest.split(' ');
            let status = words.next().unwrap_or("");
            let mut headers = vec![(":status".to_owned(), status.as_bytes().to_vec())];
            headers.extend(pairs(words)?);
            filter.response(stream, headers, false);
        }
        "data" | "last" => {
            let (stream, text) = numbered(rest)?;
            filter.data(stream, &unescape(text), command == "last");
        }
        "end" => filter.end(rest.parse().map_err(|_| "no number")?),
        _ => return Err("no command".to_owned()),
    }
    Ok(())
}

fn numbered(rest: &str) -> Result<(u32, &str), String> {
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok((number.parse().map_err(|_| "no stream number")?, rest))
}

fn pairs<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<(String, Vec<u8>)>, String> {
    words
        .map(|word| {
            let (name, value) = word.split_once('=').ok_or("a header needs a =")?;
            Ok((name.to_owned(), unescape(&value.replace('~', " "))))
        })
        .collect()
}

/// `\n`, `\r` and `\xHH` stand for bytes that a line cannot hold.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let (byte, tail) = match (byte, tail) {
            (b'\\', [b'n', tail @ ..]) => (b'\n', tail),
            (b'\\', [b'r', tail @ ..]) => (b'\r', tail),
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap_or("00");
                (u8::from_str_radix(digits, 16).unwrap_or(0), tail)
            }
            _ => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
    out
}

fn escape(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.replace('\n', "\\n").replace('\r', "\\r")
}

fn write(out: &mut String, seen: &Seen) {
    // Writing to a String cannot fail.
    let _ = match seen {
        Seen::Call { method, path, body } => {
            writeln!(out, "  call {method} {} {}", hidden(path), hidden(&escape(body)))
        }
        Seen::Reply { stream, status, headers, body } => {
            writeln!(out, "  reply {stream} {status}{} {}", shown(headers), hidden(&escape(body)))
        }
        Seen::Upstream { stream, headers, body } => {
            writeln!(out, "  upstream {stream}{} {}", shown(headers), escape(body))
        }
        Seen::Head { stream, headers } => writeln!(out, "  head {stream}{}", shown(headers)),
        Seen::Data { stream, bytes } => writeln!(out, "  data {stream} {}", escape(bytes)),
        Seen::Fault(what) => writeln!(out, "  FAULT {what}"),
        Seen::Closed { stream } => writeln!(out, "  close {stream}"),
    };
}

/// Header fields in alphabetical order: the order of edits is no part of the outcome.
fn shown(headers: &[(String, Vec<u8>)]) -> String {
    let mut headers: Vec<_> = headers.iter().filter(|(name, _)| name != ":authority").collect();
    headers.sort();
    headers.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, " {name}={}", hidden(&escape(value)).replace(' ', "~"));
        text
    })
}

/// Random parts differ from run to run: request ids and nonces are written as what they are.
fn hidden(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        if let Some(tail) = rest.strip_prefix("req_") {
            let id = tail.bytes().take_while(u8::is_ascii_hexdigit).count();
            out.push_str("<request>");
            rest = tail.get(id..).unwrap_or("");
        } else if digits == 32 {
            out.push_str("<nonce>");
            rest = rest.get(32..).unwrap_or("");
        } else {
            let next = digits.max(rest.chars().next().map_or(1, char::len_utf8));
            out.push_str(rest.get(..next).unwrap_or(rest));
            rest = rest.get(next..).unwrap_or("");
        }
    }
    out
}
