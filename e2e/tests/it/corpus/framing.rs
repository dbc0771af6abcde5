//! Where one request ends and the next begins.

use super::Outcome::{self, Passes, Proxy, Refused};
use super::{Corpus, send_raw};

const CHAT: Outcome = Passes("/v1/chat/completions");

/// Whole requests behind `POST /v1/chat/completions HTTP/1.1`, a host and the good key.
const TABLE: &[(&str, &str, Outcome)] = &[
    (
        "both lengths",
        "content-length: 53\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nPOST /v1/files HTTP/1.1\r\nhost: g\r\n\r\n",
        Proxy(400),
    ),
    (
        "both lengths, the other way round",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        Proxy(400),
    ),
    (
        "two lengths that differ",
        "content-length: 53\r\ncontent-length: 5\r\n\r\n{body}",
        Proxy(400),
    ),
    ("two lengths in one", "content-length: 53, 5\r\n\r\n{body}", Proxy(400)),
    ("a negative length", "content-length: -1\r\n\r\n{body}", Proxy(400)),
    ("a signed length", "content-length: +53\r\n\r\n{body}", Proxy(400)),
    ("a length in hexadecimal", "content-length: 0x35\r\n\r\n{body}", Proxy(400)),
    ("a length with a blank in it", "content-length: 5 3\r\n\r\n{body}", Proxy(400)),
    (
        "a length beyond all numbers",
        "content-length: 99999999999999999999\r\n\r\n{body}",
        Proxy(400),
    ),
    ("chunks", "transfer-encoding: chunked\r\n\r\n35\r\n{body}\r\n0\r\n\r\n", CHAT),
    ("chunks in capitals", "Transfer-Encoding: CHUNKED\r\n\r\n35\r\n{body}\r\n0\r\n\r\n", CHAT),
    (
        "an unknown coding",
        "transfer-encoding: xchunked\r\n\r\n35\r\n{body}\r\n0\r\n\r\n",
        Proxy(501),
    ),
    (
        "chunked twice",
        "transfer-encoding: chunked, chunked\r\n\r\n35\r\n{body}\r\n0\r\n\r\n",
        Proxy(501),
    ),
    (
        "chunked in two headers",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n35\r\n{body}\r\n0\r\n\r\n",
        Proxy(501),
    ),
    ("identity", "transfer-encoding: identity\r\n\r\n{body}", Proxy(501)),
    ("the name with a blank", "transfer-encoding : chunked\r\n\r\n0\r\n\r\n", Proxy(400)),
    ("a folded coding", "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Proxy(400)),
    ("chunk extensions", "transfer-encoding: chunked\r\n\r\n35;a=b\r\n{body}\r\n0;c\r\n\r\n", CHAT),
    (
        "a chunk of a negative size",
        "transfer-encoding: chunked\r\n\r\n-35\r\n{body}\r\n0\r\n\r\n",
        Proxy(400),
    ),
    (
        "a chunk size with 0x",
        "transfer-encoding: chunked\r\n\r\n0x35\r\n{body}\r\n0\r\n\r\n",
        Proxy(400),
    ),
    (
        "a chunk size beyond all numbers",
        "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{body}\r\n0\r\n\r\n",
        Proxy(400),
    ),
    (
        "a chunk that is longer than it says",
        "transfer-encoding: chunked\r\n\r\n5\r\n{body}\r\n0\r\n\r\n",
        Proxy(400),
    ),
    (
        "trailers that speak for the gateway",
        "transfer-encoding: chunked\r\n\r\n35\r\n{body}\r\n0\r\nx-tollgate-key-id: spoofed-by-the-client\r\n\
         authorization: Bearer spoofed-by-the-client\r\n\r\n",
        CHAT,
    ),
    (
        "trailers that frame",
        "transfer-encoding: chunked\r\n\r\n35\r\n{body}\r\n0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        CHAT,
    ),
    // Envoy takes it out: what stands behind it stays in the value.
    ("a header with a bare return", "x-a: b\rx-b: c\r\ncontent-length: 53\r\n\r\n{body}", CHAT),
    ("a header without a colon", "nothing\r\ncontent-length: 53\r\n\r\n{body}", Proxy(400)),
    ("a header without a name", ": value\r\ncontent-length: 53\r\n\r\n{body}", Proxy(400)),
    (
        "a name with a control character",
        "x-\u{1}: b\r\ncontent-length: 53\r\n\r\n{body}",
        Proxy(400),
    ),
    ("no body at all", "\r\n", Refused(400, "invalid_json")),
    // A second request behind the first is one of its own: it has no key.
    (
        "another request in the same packet",
        "content-length: 53\r\n\r\n{body}POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
         content-length: 53\r\n\r\n{body}",
        CHAT,
    ),
    (
        "a request for elsewhere in the same packet",
        "content-length: 53\r\n\r\n{body}POST /v1/files HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        CHAT,
    ),
    (
        "less body than a length of nothing",
        "content-length: 0\r\n\r\n{body}",
        Refused(400, "invalid_json"),
    ),
];

#[test]
fn every_odd_framing() {
    let mut corpus = Corpus::start();
    assert_eq!(super::BODY.len(), 0x35, "the table counts on it");
    let credential = corpus.credential();
    for (name, rest_of_it, outcome) in TABLE {
        // Every request ends its connection, unless another follows it.
        let close =
            if rest_of_it.contains("connection: close") { "" } else { "connection: close\r\n" };
        let credential = credential.clone();
        corpus.row(name, *outcome, move |url, row| {
            let bytes = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\n{close}{credential}x-row: {row}\r\n\
                 content-type: application/json\r\n{}",
                rest_of_it.replace("{body}", super::BODY)
            );
            send_raw(url, bytes.as_bytes())
        });
    }
    corpus.run();
}
