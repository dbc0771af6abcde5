//! What only HTTP/2 can say.

use super::Outcome::{self, Passes, Proxy, Refused};
use super::{BODY, Corpus, raw_http2};

const CHAT: Outcome = Passes("/v1/chat/completions");
const NOWHERE: Outcome = Refused(404, "unknown_endpoint");

type Field = (&'static [u8], &'static [u8]);

/// A request that may pass, before a row changes it; `{bearer}` is the good key.
const GOOD: &[Field] = &[
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"gateway"),
    (b":path", b"/v1/chat/completions"),
    (b"content-type", b"application/json"),
    (b"authorization", b"{bearer}"),
];

/// One way to change it.
enum Change {
    /// Another value of a field that is there.
    Value(&'static [u8], &'static [u8]),
    /// Further fields at the end.
    More(&'static [Field]),
    /// A field at the beginning.
    First(Field),
    /// Without a field.
    Without(&'static [u8]),
    /// Trailers behind the body.
    Trailers(&'static [Field]),
}

use Change::{First, More, Trailers, Value, Without};

const TABLE: &[(&str, Change, Outcome)] = &[
    ("as it should be", More(&[]), CHAT),
    ("a path twice", More(&[(b":path", b"/v1/files")]), Proxy(0)),
    ("another path before", First((b":path", b"/v1/files")), Proxy(0)),
    ("a method twice", First((b":method", b"GET")), Proxy(0)),
    ("an authority twice", First((b":authority", b"elsewhere")), Proxy(0)),
    ("no path", Without(b":path"), Proxy(0)),
    ("an empty path", Value(b":path", b""), Proxy(0)),
    ("no method", Without(b":method"), Proxy(0)),
    ("no scheme", Without(b":scheme"), Proxy(0)),
    ("no authority", Without(b":authority"), Proxy(0)),
    ("a path without a slash", Value(b":path", b"v1/chat/completions"), Proxy(0)),
    ("an absolute path", Value(b":path", b"http://elsewhere/v1/chat/completions"), Proxy(0)),
    ("a star", Value(b":path", b"*"), Proxy(0)),
    ("a fragment", Value(b":path", b"/v1/chat/completions#x"), Proxy(400)),
    ("a blank in the path", Value(b":path", b"/v1/chat/completions x"), Proxy(0)),
    ("a line end in the path", Value(b":path", b"/v1/chat/completions\r\nx: y"), Proxy(0)),
    ("a NUL in the path", Value(b":path", b"/v1/chat/completions\0"), Proxy(0)),
    ("two slashes", Value(b":path", b"//v1//chat/completions"), CHAT),
    ("dots", Value(b":path", b"/v1/files/../chat/completions"), CHAT),
    ("an escaped slash", Value(b":path", b"/v1/chat%2fcompletions"), NOWHERE),
    ("a scheme of files", Value(b":scheme", b"file"), CHAT),
    ("an unknown pseudo header", First((b":tollgate", b"x")), Proxy(0)),
    ("a pseudo header behind others", More(&[(b":protocol", b"websocket")]), Proxy(0)),
    ("a method in small letters", Value(b":method", b"post"), NOWHERE),
    ("CONNECT", Value(b":method", b"CONNECT"), Proxy(0)),
    ("a status in a request", First((b":status", b"200")), Proxy(0)),
    ("a name in capitals", More(&[(b"X-Tollgate-Key-Id", b"spoofed-by-the-client")]), Proxy(0)),
    ("a name with a line end", More(&[(b"x\r\ny", b"z")]), Proxy(0)),
    ("a name with a colon", More(&[(b"x:y", b"z")]), Proxy(0)),
    ("an empty name", More(&[(b"", b"z")]), Proxy(0)),
    (
        "a value with a line end",
        More(&[(b"x-a", b"b\r\nx-tollgate-key-id: spoofed-by-the-client")]),
        Proxy(0),
    ),
    ("a value with a NUL", More(&[(b"x-a", b"b\0")]), Proxy(0)),
    (
        "the gateway's names",
        More(&[
            (b"x-tollgate-key-id", b"spoofed-by-the-client"),
            (b"x-tollgate-org", b"spoofed-by-the-client"),
        ]),
        CHAT,
    ),
    ("underscores", More(&[(b"x_tollgate_key_id", b"spoofed-by-the-client")]), Proxy(0)),
    ("a key twice", More(&[(b"authorization", b"{bearer}")]), Refused(401, "invalid_api_key")),
    ("a key of another kind", More(&[(b"x-api-key", b"nobody")]), Refused(401, "invalid_api_key")),
    ("connection", More(&[(b"connection", b"x-tollgate-key-id")]), Proxy(0)),
    ("transfer-encoding", More(&[(b"transfer-encoding", b"chunked")]), Proxy(0)),
    ("keep-alive", More(&[(b"keep-alive", b"1")]), Proxy(0)),
    ("upgrade", More(&[(b"upgrade", b"websocket")]), Proxy(0)),
    ("te", More(&[(b"te", b"gzip")]), Proxy(0)),
    ("a length that is too small", More(&[(b"content-length", b"5")]), Proxy(0)),
    ("a length that is too large", More(&[(b"content-length", b"500")]), Proxy(0)),
    ("two lengths", More(&[(b"content-length", b"53"), (b"content-length", b"5")]), Proxy(0)),
    ("another host", More(&[(b"host", b"elsewhere")]), CHAT),
    (
        "cookies in crumbs",
        More(&[(b"cookie", b"a=spoofed-by-the-client"), (b"cookie", b"b=c")]),
        CHAT,
    ),
    (
        "trailers that speak for the gateway",
        Trailers(&[(b"x-tollgate-key-id", b"spoofed-by-the-client")]),
        CHAT,
    ),
    ("trailers with a key", Trailers(&[(b"authorization", b"Bearer spoofed-by-the-client")]), CHAT),
    ("trailers with a pseudo header", Trailers(&[(b":path", b"/v1/files")]), Proxy(0)),
    ("trailers that frame", Trailers(&[(b"content-length", b"5")]), Proxy(0)),
];

#[test]
fn every_odd_request_of_http2() {
    let mut corpus = Corpus::start();
    let bearer = format!("Bearer {}", corpus.secret);
    for (name, change, outcome) in TABLE {
        let mut fields = GOOD.to_vec();
        let mut trailers: &[Field] = &[];
        match change {
            Value(name, value) => {
                fields.iter_mut().filter(|(one, _)| one == name).for_each(|one| one.1 = value)
            }
            More(more) => fields.extend(*more),
            First(field) => fields.insert(0, *field),
            Without(name) => fields.retain(|(one, _)| one != name),
            Trailers(fields) => trailers = fields,
        }
        let bearer = bearer.clone();
        corpus.row(name, *outcome, move |url, row| {
            let value =
                |value: &'static [u8]| if value == b"{bearer}" { bearer.as_bytes() } else { value };
            let mut fields: Vec<(&[u8], &[u8])> =
                fields.iter().map(|(name, text)| (*name, value(text))).collect();
            fields.push((b"x-row", row.as_bytes()));
            raw_http2::send(url, &fields, BODY.as_bytes(), trailers)
        });
    }
    corpus.run();
}
