//! An upstream whose answers are meant to use up what stands in front of it. The model of a request
//! says which.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

/// What other users call: a small answer at once.
pub const PLAIN: &str = "plain";
/// A stream that begins and then says nothing.
pub const SILENT: &str = "silent";
/// One server-sent event of [`ANSWER_BYTES`].
pub const EVENT: &str = "event";
/// A document with a million members.
pub const MEMBERS: &str = "members";
/// [`ANSWER_BYTES`] in some kilobytes, though nobody said that it takes compressed answers.
pub const BOMB: &str = "bomb";

/// Every model.
pub const MODELS: [&str; 5] = [PLAIN, SILENT, EVENT, MEMBERS, BOMB];

/// Length of a giant answer, unpacked.
const ANSWER_BYTES: usize = 32 << 20;

/// Longest request that is read; the gateway's own limit is below it.
const MOST_REQUEST: usize = 12 << 20;

/// Answers nest no calls: this is far more than a thread needs, and there is one for each connection.
const STACK: usize = 64 << 10;

/// A silent stream is closed after this, lest a thread stay for ever.
const SILENCE: Duration = Duration::from_secs(60);

/// Binds a free port on loopback and answers on it until the process ends; the port.
///
/// # Errors
/// When no port is free.
pub fn start() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let bomb = bomb()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let bomb = bomb.clone();
            let connection = std::thread::Builder::new().stack_size(STACK);
            // A peer that went away ends its own thread only; where there is none to be had, it is told
            // by the end of its connection.
            let _ = connection.spawn(move || serve(stream, &bomb));
        }
    });
    Ok(port)
}

fn bomb() -> anyhow::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..ANSWER_BYTES >> 20 {
        packed.write_all(&zeros)?;
    }
    Ok(packed.finish()?)
}

const USAGE: &str = r#""usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}"#;

fn serve(mut stream: TcpStream, bomb: &[u8]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(body) = next_request(&mut stream, &mut buffer)? else { return Ok(()) };
        let model = MODELS.iter().find(|model| has_model(&body, model)).copied().unwrap_or(PLAIN);
        match model {
            SILENT => {
                head(&mut stream, "text/event-stream", None)?;
                chunk(
                    &mut stream,
                    b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
                )?;
                std::thread::sleep(SILENCE);
                return Ok(());
            }
            EVENT => {
                head(&mut stream, "text/event-stream", None)?;
                chunk(&mut stream, b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"")?;
                repeat(&mut stream, b"a word of a giant event ")?;
                chunk(&mut stream, format!("\"}}}}],{USAGE}}}\n\n").as_bytes())?;
                chunk(&mut stream, b"data: [DONE]\n\n")?;
            }
            MEMBERS => {
                head(&mut stream, "application/json", None)?;
                chunk(&mut stream, b"{\"id\":\"c\",\"choices\":[],\"more\":{\"a\":1")?;
                repeat(&mut stream, b",\"member of many kinds\":[1,{}]")?;
                chunk(&mut stream, format!("}},{USAGE}}}").as_bytes())?;
            }
            BOMB => {
                head(&mut stream, "application/json", Some("gzip"))?;
                chunk(&mut stream, bomb)?;
            }
            _ => {
                let answer = format!(
                    r#"{{"id":"c","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"ok"}},"finish_reason":"stop"}}],{USAGE}}}"#
                );
                head(&mut stream, "application/json", None)?;
                chunk(&mut stream, answer.as_bytes())?;
            }
        }
        stream.write_all(b"0\r\n\r\n")?;
    }
}

/// Every request says its model at the beginning; bodies of megabytes are not looked through.
fn has_model(body: &[u8], model: &str) -> bool {
    let body = body.get(..256).unwrap_or(body);
    let wanted = format!("\"model\":\"{model}\"");
    body.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

fn head(stream: &mut TcpStream, content_type: &str, encoding: Option<&str>) -> anyhow::Result<()> {
    let encoding = encoding.map(|name| format!("content-encoding: {name}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{encoding}transfer-encoding: chunked\r\n\r\n"
    );
    Ok(stream.write_all(head.as_bytes())?)
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> anyhow::Result<()> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    Ok(stream.write_all(&framed)?)
}

fn repeat(stream: &mut TcpStream, piece: &[u8]) -> anyhow::Result<()> {
    let block = piece.repeat((64 << 10) / piece.len());
    for _ in 0..ANSWER_BYTES / block.len() {
        chunk(stream, &block)?;
    }
    Ok(())
}

/// The body of the next request, read as far as its length says or its chunks go; none at the end of
/// the connection.
fn next_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            let head =
                String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map(|length| length.trim().parse::<usize>())
                .transpose()?;
            let rest = buffer.get(end + 4..).unwrap_or_default();
            let whole = match length {
                Some(length) => (rest.len() >= length).then_some(length),
                None if head.contains("transfer-encoding:") => {
                    find(rest, b"0\r\n\r\n").map(|end| end + 5)
                }
                None => Some(0),
            };
            if let Some(length) = whole {
                let body = rest.get(..length).unwrap_or_default().to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Some(body));
            }
        }
        anyhow::ensure!(buffer.len() < MOST_REQUEST, "an endless request");
        let mut piece = [0; 16 << 10];
        let read = stream.read(&mut piece).context("reading a request")?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
