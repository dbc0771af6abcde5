//! Random requests, answers and failures on hosts that are not Envoy: the machine asks of them nothing that
//! they cannot do or do not survive, lets each request go at most once, and forgets every stream. In shadow
//! mode it refuses none.

use std::collections::HashSet;

use gate::testing::{Filter, Native, Seen};
use gate::{HostKind, StreamId, Token};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Request {
        stream: u32,
        kind: u8,
    },
    /// The oldest call of some kind is answered, well or not.
    Answer {
        path: usize,
        kind: u8,
    },
    Response {
        stream: u32,
        kind: u8,
    },
    End {
        stream: u32,
    },
    Wait(u64),
    Tick,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let stream = 1u32..4;
    let event = prop_oneof![
        5 => (stream.clone(), 0u8..8).prop_map(|(stream, kind)| Event::Request { stream, kind }),
        12 => (0usize..6, 0u8..8).prop_map(|(path, kind)| Event::Answer { path, kind }),
        3 => (stream.clone(), 0u8..3).prop_map(|(stream, kind)| Event::Response { stream, kind }),
        2 => stream.prop_map(|stream| Event::End { stream }),
        2 => prop_oneof![0u64..100, 0u64..20_000].prop_map(Event::Wait),
        1 => Just(Event::Tick),
    ];
    proptest::collection::vec(event, 1..100)
}

const BODIES: [&str; 6] = [
    r#"{"model":"m","max_tokens":7}"#,
    r#"{"model":"m"}"#,
    r#"{"model":"alias","max_tokens":7}"#,
    r#"{"model":"m","max_tokens":7,"stream":true}"#,
    r#"{"model":"#,
    r#"{"model":"m","max_tokens":9,"n":3}"#,
];

const PATHS: [&str; 6] = [
    "/proxy/v1/holders",
    "/proxy/v1/catalogue",
    "/proxy/v1/admit",
    "/proxy/v1/leases",
    "/proxy/v1/reports",
    "/proxy/v1/changes",
];

/// Answers by the path's place; the money of each is for the number that was asked for last, which the
/// machine does not compare.
const ANSWERS: [&str; 6] = [
    r#"{"holder":"h1","epoch":7,"revision":1,"session_ttl_ms":9000,"catalogue_version":1}"#,
    r#"{"epoch":7,"revision":9,"version":1,"models":[{"name":"m","aliases":["alias"],"price":{"input":1000,"output":1000},"context_length":9000,"max_output_tokens":500}]}"#,
    r#"{"epoch":7,"revision":9,"key":{"known":{"key":"k","org":"o","state":"active","models":"all","limits":[],"budgeted":true}},"lease":{"granted":{"lease":"l1","n":1,"amount":9000000,"output_tokens":500}}}"#,
    r#"{"epoch":7,"revision":9,"answer":{"granted":{"lease":"l2","n":2,"amount":3000000,"output_tokens":500}}}"#,
    r#"{"epoch":7,"revision":9}"#,
    r#"{"epoch":7,"revision":9,"changes":[{"what":"all_keys"}]}"#,
];

struct World {
    filter: Native,
    now_ms: u64,
    /// Requests whose body is still to be brought, with the body.
    bodies: Vec<(u32, &'static str)>,
    open: HashSet<u32>,
    /// With the upstream, or answered.
    gone: HashSet<u32>,
    /// Nothing may be refused.
    in_shadow: bool,
}

impl World {
    fn new(kind: HostKind, in_shadow: bool) -> Self {
        let config = format!(r#"{{"server":{{"cluster":"policy"}},"shadow":{in_shadow}}}"#);
        let config = gate::config::parse(config.as_bytes()).unwrap();
        let token = Token::new(&"t".repeat(32)).unwrap();
        Self {
            filter: Native::new(config, token).on(kind),
            now_ms: 1_000,
            bodies: Vec::new(),
            open: HashSet::new(),
            gone: HashSet::new(),
            in_shadow,
        }
    }

    fn happen(&mut self, event: &Event, kind: HostKind) {
        match *event {
            Event::Request { stream, kind } => {
                self.open.insert(stream);
                self.gone.remove(&stream);
                self.bodies.retain(|(other, _)| *other != stream);
                let key =
                    if kind == 7 { "Bearer sk-short" } else { "Bearer sk-AbCdEfGhIjKlMnOpQrStUv" };
                let (method, path) = match kind {
                    6 => ("GET", "/v1/models"),
                    _ => ("POST", "/v1/chat/completions"),
                };
                let mut headers = vec![
                    (":method".to_owned(), method.into()),
                    (":path".to_owned(), path.into()),
                    ("authorization".to_owned(), key.into()),
                ];
                if let Some(body) = BODIES.get(usize::from(kind)) {
                    headers.push(("content-length".to_owned(), body.len().to_string().into()));
                    self.bodies.push((stream, body));
                }
                self.filter.request(stream, headers, method == "GET");
            }
            Event::Answer { path, kind } => {
                let answered = match kind {
                    0 => (None, ""),
                    1 => (Some(503), "away"),
                    2 => (Some(409), r#"{"error":{"code":"unknown_holder","message":"gone"}}"#),
                    _ => (Some(200), ANSWERS[path]),
                };
                self.filter.answer(PATHS[path], answered.0, answered.1.as_bytes());
            }
            Event::Response { stream, kind } => {
                if self.gone.contains(&stream) && self.open.contains(&stream) {
                    let answer = [("content-type".to_owned(), b"text/event-stream".to_vec())];
                    let status = if kind == 0 { "500" } else { "200" };
                    let status = (":status".to_owned(), status.into());
                    let headers = std::iter::once(status).chain(answer).collect();
                    self.filter.response(stream, headers, false);
                    let chunk = b"data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n";
                    self.filter.data(stream, chunk, kind == 2);
                }
            }
            Event::End { stream } => self.end(stream),
            Event::Wait(ms) => {
                self.now_ms += ms;
                self.filter.clock(self.now_ms);
            }
            Event::Tick if kind == HostKind::Apisix => {}
            Event::Tick => self.filter.tick(),
        }
        self.look();
        self.bring_bodies();
    }

    fn end(&mut self, stream: u32) {
        self.open.remove(&stream);
        self.bodies.retain(|(other, _)| *other != stream);
        self.filter.end(stream);
    }

    /// The host brings a body as soon as nothing holds the head.
    fn bring_bodies(&mut self) {
        for (stream, body) in std::mem::take(&mut self.bodies) {
            let id = StreamId(stream);
            let gate = self.filter.gate();
            if self.gone.contains(&stream) {
                continue;
            }
            if gate.holds_head(id) {
                self.bodies.push((stream, body));
            } else {
                self.filter.body(stream, body.as_bytes(), true);
                self.look();
            }
        }
    }

    fn look(&mut self) {
        for seen in self.filter.seen() {
            match seen {
                Seen::Fault(what) => panic!("{what}"),
                Seen::Upstream { stream, .. } => {
                    assert!(self.gone.insert(stream), "{stream} went twice, or after an answer");
                }
                Seen::Reply { stream, status, .. } => {
                    assert!(self.gone.insert(stream), "{stream} was answered too late");
                    assert!(!self.in_shadow || status == 200, "{stream} was refused");
                }
                Seen::Closed { .. } => panic!("closed"),
                Seen::Call { .. } | Seen::Head { .. } | Seen::Data { .. } => {}
            }
        }
    }
}

fn run(kind: HostKind, in_shadow: bool, events: &[Event]) {
    let mut world = World::new(kind, in_shadow);
    world.filter.clock(world.now_ms);
    events.iter().for_each(|event| world.happen(event, kind));
    for stream in 1..4 {
        world.end(stream);
    }
    assert_eq!(world.filter.gate().open_streams(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn apisix_survives_whatever_happens(in_shadow: bool, events in events()) {
        run(HostKind::Apisix, in_shadow, &events);
    }

    #[test]
    fn ngx_wasm_survives_whatever_happens(in_shadow: bool, events in events()) {
        run(HostKind::NgxWasm, in_shadow, &events);
    }
}

/// The modules for nginx show the first hundred fields of a head, and the others go on unseen: with a second
/// credential, or names that are the filter's alone.
#[test]
fn a_head_that_may_not_be_shown_as_a_whole_is_refused() {
    let tried = |kind: HostKind, fields: usize, shadow: bool| {
        let config = format!(r#"{{"server":{{"cluster":"policy"}},"shadow":{shadow}}}"#);
        let config = gate::config::parse(config.as_bytes()).unwrap();
        let mut filter = Native::new(config, Token::new(&"t".repeat(32)).unwrap()).on(kind);
        let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut head = vec![
            pair(":method", "POST"),
            pair(":path", "/v1/chat/completions"),
            pair("authorization", "Bearer sk-AbCdEfGhIjKlMnOpQrStUv"),
            pair("content-length", "2"),
        ];
        head.extend((head.len()..fields).map(|at| pair(&format!("x-{at}"), "1")));
        filter.clock(1_000);
        filter.request(1, head, false);
        filter.seen().into_iter().find_map(|seen| match seen {
            Seen::Reply { status, body, .. } => {
                Some((status, String::from_utf8(body).unwrap().contains("too_many_headers")))
            }
            _ => None,
        })
    };
    for kind in [HostKind::Apisix, HostKind::NgxWasm] {
        for shadow in [false, true] {
            assert_eq!(tried(kind, 99, shadow), None, "{kind:?}");
            assert_eq!(tried(kind, 100, shadow), Some((400, true)), "{kind:?}");
            assert_eq!(tried(kind, 103, shadow), Some((400, true)), "{kind:?}");
        }
    }
    assert_eq!(tried(HostKind::Envoy, 1_000, false), None, "Envoy has a limit of its own");
}
