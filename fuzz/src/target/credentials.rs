//! Heads of requests: wherever a client puts its key, a request that goes on has lost it, and nothing
//! that the filter shows or sends holds it.

use gate::testing::{Filter, Native, Seen};
use gate::{HostKind, Token};

use crate::input::Input;

/// Stands in for the key in an input: no header has this byte.
const MARK: u8 = 1;
/// The key.
const KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";

const PROFILES: [&str; 4] = ["native", "privatemind", "mindproxy", "deltallm"];

fn with_key(bytes: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = bytes.split(|byte| *byte == MARK).collect();
    pieces.join(KEY.as_bytes())
}

/// A path with the key as the value of a parameter. Elsewhere in it stands a name, which errors
/// repeat: of a model, or of a parameter.
fn path_with_key(path: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    let mut before = 0;
    for byte in path {
        match *byte {
            MARK if before == b'=' && written.contains(&b'?') => {
                written.extend_from_slice(KEY.as_bytes())
            }
            MARK => written.push(b'm'),
            other => written.push(other),
        }
        before = *byte;
    }
    written
}

fn holds_key(bytes: &[u8]) -> bool {
    bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes())
}

/// What the policy server says: everybody may do everything.
const ANSWERS: [(&str, &str); 3] = [
    (
        "/proxy/v1/holders",
        r#"{"holder":"h1","epoch":7,"revision":1,"session_ttl_ms":60000,"catalogue_version":1}"#,
    ),
    (
        "/proxy/v1/catalogue",
        r#"{"epoch":7,"revision":1,"version":1,"models":[{"name":"m","price":{"input":1000,"output":1000},"context_length":9000,"max_output_tokens":500}]}"#,
    ),
    (
        "/proxy/v1/admit",
        r#"{"epoch":7,"revision":1,"key":{"known":{"key":"k","org":"o","state":"active","models":"all","limits":[],"budgeted":false}},"lease":"not_needed"}"#,
    ),
];

/// Lines of a head: the path, then header fields as `name:value`.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let profile = input.one_of(&PROFILES);
    let host = input.one_of(&[HostKind::Envoy, HostKind::Apisix, HostKind::NgxWasm]);
    let method = input.one_of(&["POST", "GET"]);
    let config =
        format!(r#"{{"server":{{"cluster":"policy"}},"profile":"{profile}","idempotency":true}}"#);
    let config = gate::config::parse(config.as_bytes()).expect("a good configuration");
    let mut filter = Native::new(config, Token::new(&"t".repeat(32))).on(host);
    filter.clock(1_000);

    let body = br#"{"model":"m","max_tokens":7}"#;
    let mut lines = input.all().split(|byte| *byte == b'\n');
    let path = path_with_key(lines.next().unwrap_or_default());
    let mut headers = vec![
        (":method".to_owned(), method.as_bytes().to_vec()),
        (":path".to_owned(), path),
        ("content-length".to_owned(), body.len().to_string().into_bytes()),
    ];
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        // Proxies bring names in lower case and as text.
        let Ok(name) = String::from_utf8(name.to_ascii_lowercase()) else { continue };
        if !name.is_empty() {
            headers.push((name, with_key(value.get(1..).unwrap_or_default())));
        }
    }
    filter.request(1, headers, method == "GET");
    if method == "POST" {
        filter.body(1, body, true);
    }
    for _ in 0..4 {
        for (path, answer) in ANSWERS {
            filter.answer(path, Some(200), answer.as_bytes());
        }
    }
    check(&filter.seen());
    filter.end(1);
    assert_eq!(filter.gate().open_streams(), 0, "a stream was left behind");
}

fn check(all: &[Seen]) {
    let mut fates = 0;
    for seen in all {
        match seen {
            Seen::Call { path, body, .. } => {
                assert!(!holds_key(path.as_bytes()) && !holds_key(body), "sent to the server");
            }
            Seen::Reply { headers, body, .. } => {
                fates += 1;
                assert!(!holds_key(body), "shown in an answer");
                assert!(!headers.iter().any(|(_, value)| holds_key(value)), "shown in an answer");
            }
            Seen::Upstream { headers, .. } => {
                fates += 1;
                let credentials = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
                for (name, value) in headers {
                    assert!(!credentials.contains(&name.as_str()), "a credential goes on: {name}");
                    let in_query =
                        value.iter().position(|byte| *byte == b'?').map(|at| &value[at..]);
                    if name == ":path" && in_query.is_some_and(holds_key) {
                        check_query(in_query.unwrap_or_default());
                    }
                }
            }
            Seen::Fault(what) => panic!("{what}"),
            Seen::Closed { .. } | Seen::Head { .. } | Seen::Data { .. } => {}
        }
    }
    assert!(fates <= 1, "two fates: {all:?}");
}

/// A key may stand in a query under a name that nobody sends a key by.
fn check_query(query: &[u8]) {
    let query = String::from_utf8_lossy(query).to_ascii_lowercase();
    for part in query.trim_start_matches('?').split(['&', ';']) {
        let name = part.split('=').next().unwrap_or_default();
        let known = ["key", "access_token", "api_key", "api-key", "x-api-key", "x-goog-api-key"];
        assert!(!known.contains(&name), "a credential goes on in the query: {query}");
    }
}
