//! HTTP/2 as bytes, so that what no library would send can be sent (RFC 9113, RFC 7541).

use std::io::{Read, Write};
use std::net::TcpStream;

use super::ANSWER_LIMIT;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Frames of an answer that are read at most.
const MOST_FRAMES: usize = 200;

/// A header block that adds nothing to the table of the connection: literals, not compressed.
fn block(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// A length with a prefix of seven bits (RFC 7541, 5.1).
fn integer(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return bytes.push(u8::try_from(value).unwrap());
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Sends one request with these header fields, body and trailers. The status, 0 where the stream or
/// the connection was broken off, and the body.
pub fn send(
    gateway_url: &str,
    headers: &[(&[u8], &[u8])],
    body: &[u8],
    trailers: &[(&[u8], &[u8])],
) -> (u16, String) {
    let address = gateway_url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // The block of an answer can be read without a table: none is allowed (RFC 7541, 4.2).
    bytes.extend(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &block(headers)));
    let last = if trailers.is_empty() { END_STREAM } else { 0 };
    bytes.extend(frame(DATA, last, 1, body));
    if !trailers.is_empty() {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
    }
    let _ = stream.write_all(&bytes);
    read(&mut stream)
}

fn read(stream: &mut TcpStream) -> (u16, String) {
    let (mut status, mut body) = (0, Vec::new());
    for _ in 0..MOST_FRAMES {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            break;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).is_err() {
            break;
        }
        let (kind, flags) = (head[3], head[4]);
        match kind {
            HEADERS if status == 0 => status = status_of(&payload),
            DATA => body.extend_from_slice(&payload),
            SETTINGS if flags & ACK == 0 => {
                let _ = stream.write_all(&frame(SETTINGS, ACK, 0, &[]));
            }
            RST_STREAM | GOAWAY => break,
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            break;
        }
    }
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// `:status` stands first: an entry of the static table, or a literal with the name of one.
fn status_of(block: &[u8]) -> u16 {
    // A change of the table's size may stand before it.
    let at = block.iter().position(|byte| byte & 0b1110_0000 != 0b0010_0000).unwrap_or(0);
    match block[at..] {
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
        }
        // A name of the table (8 to 14), and the three digits as Huffman code or as they are.
        [_, length, ref rest @ ..] => {
            let value = &rest[..usize::from(length & 127)];
            let digits = if length & 128 == 0 {
                String::from_utf8_lossy(value).into_owned()
            } else {
                digits_of(value)
            };
            digits.parse().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Three digits in the Huffman code of RFC 7541 (appendix B): `0` to `2` have five bits, the others six.
fn digits_of(bytes: &[u8]) -> String {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let (mut text, mut at) = (String::new(), 0);
    while text.len() < 3 {
        let value = |length: usize| {
            bits.get(at..at + length).map(|bits| bits.iter().fold(0_u8, |sum, bit| sum * 2 + bit))
        };
        match (value(5), value(6)) {
            (Some(short @ 0..=2), _) => {
                text.push(char::from(b'0' + short));
                at += 5;
            }
            (_, Some(long @ 0x19..=0x1f)) => {
                text.push(char::from(b'3' + long - 0x19));
                at += 6;
            }
            _ => break,
        }
    }
    text
}

#[test]
fn the_status_is_read_in_each_of_its_forms() {
    assert_eq!(status_of(&[0x88]), 200);
    assert_eq!(status_of(&[0x20, 0x8c]), 400);
    assert_eq!(status_of(&[0x08, 3, b'4', b'0', b'1']), 401);
    // 401: 011010 00000 00001, filled up with ones.
    assert_eq!(status_of(&[0x48, 0x82, 0b0110_1000, 0b0000_0001]), 401);
}
