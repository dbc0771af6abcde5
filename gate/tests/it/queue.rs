//! Many requests of one key that come at once make few calls to the server, and none of them waits
//! for longer than a call may take.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gate::config::parse;
use gate::testing::ProcessMemory;
use gate::{Call, CallId, Gate, Headers, Input, Now, Output, StreamId, Token};
use serde_json::{Value, json};

const KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";
const TIMEOUT_MS: u64 = 2_000;

/// One worker, and a server that grants what is asked for.
struct World {
    gate: Gate,
    memory: ProcessMemory,
    now_ms: u64,
    calls: VecDeque<Call>,
    /// The requests for which calls were made.
    made_by: BTreeMap<CallId, StreamId>,
    /// How often each path was called.
    called: BTreeMap<String, usize>,
    /// Calls of the key that were under way at the same time.
    most_at_once: usize,
    resumed: BTreeSet<StreamId>,
    replies: BTreeMap<StreamId, (u16, String)>,
    leases: u64,
    /// Every lease is money for one call: little is left.
    is_scarce: bool,
}

impl World {
    fn new() -> Self {
        Self::with(r#"{"server":{"cluster":"c","timeout_ms":2000}}"#)
    }

    fn with(config: &str) -> Self {
        let config = parse(config.as_bytes()).unwrap();
        let token = Token::new(&"t".repeat(40)).unwrap();
        Self {
            gate: Gate::new(config, token, [7; 32]),
            memory: ProcessMemory::default(),
            now_ms: 1_000,
            calls: VecDeque::new(),
            made_by: BTreeMap::new(),
            called: BTreeMap::new(),
            most_at_once: 0,
            resumed: BTreeSet::new(),
            replies: BTreeMap::new(),
            leases: 0,
            is_scarce: false,
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        // In whose context the host calls.
        let context = match input {
            Input::Tick => None,
            Input::CallDone { call, .. } => self.made_by.get(&call).copied(),
            Input::RequestHeaders { stream, .. }
            | Input::RequestBody { stream, .. }
            | Input::End { stream } => Some(stream),
            other => unreachable!("{other:?}"),
        };
        let now =
            Now { monotonic_ms: self.now_ms, wall_ms: self.now_ms, micros: 0, is_exact: true };
        self.gate.handle(now, &mut self.memory, input);
        while let Some(output) = self.gate.next_output() {
            match output {
                Output::Call(call) => {
                    if let Some(stream) = call.stream {
                        // It would end with that one's context.
                        assert!(context.is_none_or(|context| context == stream), "{call:?}");
                        self.made_by.insert(call.id, stream);
                    }
                    let path = path_of(&call).split('?').next().unwrap_or_default().to_owned();
                    // Nothing changes for as long as this takes.
                    if path != "/proxy/v1/changes" {
                        *self.called.entry(path).or_default() += 1;
                        self.calls.push_back(call);
                    }
                }
                Output::Reply { stream, reply } => {
                    let body: Value = serde_json::from_slice(&reply.body).unwrap();
                    let code = body["error"]["code"].as_str().unwrap().to_owned();
                    assert!(self.replies.insert(stream, (reply.status, code)).is_none());
                }
                Output::Resume { stream } => assert!(self.resumed.insert(stream)),
                _ => {}
            }
        }
        let of_requests = self.calls.iter().filter(|call| call.stream.is_some()).count();
        self.most_at_once = self.most_at_once.max(of_requests);
    }

    fn request(&mut self, number: u32) {
        self.request_with(KEY, number);
    }

    fn request_with(&mut self, key: &str, number: u32) {
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let body = br#"{"model":"m","max_tokens":9}"#;
        let headers: Headers = vec![
            pair(":method", "POST"),
            pair(":path", "/v1/chat/completions"),
            pair("authorization", &format!("Bearer {key}")),
            pair("content-length", &body.len().to_string()),
        ];
        let stream = StreamId(number);
        self.handle(Input::RequestHeaders { stream, headers: &headers, address: None, end: false });
        self.handle(Input::RequestBody { stream, body });
    }

    /// The oldest call is answered.
    fn answer(&mut self) -> bool {
        let Some(call) = self.calls.pop_front() else { return false };
        let answer = self.answer_to(&call);
        let body = serde_json::to_vec(&answer).unwrap();
        self.handle(Input::CallDone { call: call.id, status: Some(200), body: &body });
        true
    }

    fn answer_to(&mut self, call: &Call) -> Value {
        let path = path_of(call);
        let asked: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        if path.contains("holders") {
            return json!({"holder": "h", "epoch": 7, "revision": 1, "session_ttl_ms": 60_000,
                "catalogue_version": 1});
        }
        if path.contains("catalogue") {
            return json!({"epoch": 7, "revision": 1, "version": 1, "models": [{"name": "m",
                "price": {"input": 1_000_000, "output": 2_000_000},
                "context_length": 9_000, "max_output_tokens": 900}]});
        }
        let want = asked["want"].as_u64().filter(|_| !self.is_scarce).unwrap_or(0);
        self.leases += 1;
        let tokens = |name: &str| asked["ask"][name].as_u64().unwrap_or(0);
        let need = tokens("input_tokens") * 1_000 + tokens("output_tokens") * 2_000;
        let grant = json!({"granted": {"lease": format!("l{}", self.leases), "n": asked["n"],
            "amount": need + want, "output_tokens": 9}});
        if path.contains("admit") {
            let key = json!({"known": {"key": "k", "org": "o", "state": "active",
                "models": "all", "limits": [], "budgeted": true}});
            return json!({"epoch": 7, "revision": 1, "key": key, "lease": grant});
        }
        if path.contains("leases") {
            return json!({"epoch": 7, "revision": 1, "answer": grant});
        }
        json!({"epoch": 7, "revision": 1})
    }

    fn goes_on(&self, number: u32) -> bool {
        !self.gate.holds(StreamId(number))
    }

    /// The server answers and the clock ticks until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            while self.answer() {}
            self.now_ms += 1;
            if self.now_ms.is_multiple_of(50) {
                self.handle(Input::Tick);
                if self.calls.is_empty() {
                    break;
                }
            }
        }
    }
}

fn path_of(call: &Call) -> &str {
    call.headers.iter().find(|(name, _)| *name == ":path").map_or("", |(_, path)| path)
}

/// The worker knows server and models, but not the key.
fn settled() -> World {
    let mut world = World::new();
    world.request_with("sk-of-somebody-else-0123456789", 1_001);
    while world.answer() {}
    assert!(world.goes_on(1_001), "{:?}", world.replies);
    world.handle(Input::End { stream: StreamId(1_001) });
    world.calls.clear();
    world.resumed.clear();
    world.called.clear();
    world.most_at_once = 0;
    world
}

#[test]
fn a_thousand_requests_at_once_make_few_calls() {
    let mut world = settled();
    for number in 1..=1_000 {
        world.request(number);
    }
    assert_eq!(world.calls.len(), 16, "{:?}", world.called);
    while world.answer() {}
    // So many as are taken up at once go on, the others with the next ticks.
    for _ in 0..20 {
        world.now_ms += 50;
        world.handle(Input::Tick);
        while world.answer() {}
    }
    let running = (1..=1_000).filter(|number| world.goes_on(*number)).count();
    assert_eq!((running, world.resumed.len()), (1_000, 1_000), "{:?}", world.replies);
    let asks = world.called["/proxy/v1/admit"] + world.called["/proxy/v1/leases"];
    assert!(asks < 60, "{:?}", world.called);
}

#[test]
fn a_worker_that_has_just_begun_asks_a_few_times_for_what_all_need() {
    let mut world = World::new();
    for number in 1..=200 {
        world.request(number);
    }
    world.settle();
    let running = (1..=200).filter(|number| world.goes_on(*number)).count();
    assert_eq!(running, 200, "{:?}", world.replies);
    assert!(world.most_at_once <= 32, "{}", world.most_at_once);
    let calls: usize = world.called.values().sum();
    assert!(calls < 100, "{:?}", world.called);
}

#[test]
fn where_each_lease_is_for_one_call_all_get_theirs() {
    let mut world = settled();
    world.is_scarce = true;
    for number in 1..=100 {
        world.request(number);
    }
    world.settle();
    let running = (1..=100).filter(|number| world.goes_on(*number)).count();
    assert_eq!(running, 100, "{:?}", world.replies);
    assert_eq!(world.most_at_once, 16);
}

#[test]
fn nobody_waits_for_longer_than_a_call_may_take() {
    let mut world = settled();
    for number in 1..=40 {
        world.request(number);
    }
    // Nothing is answered, and the host forgets the calls.
    world.calls.clear();
    world.now_ms += TIMEOUT_MS - 1;
    world.handle(Input::Tick);
    assert!(world.calls.iter().all(|call| call.stream.is_none()), "{:?}", world.calls);
    world.now_ms += 1;
    world.handle(Input::Tick);
    let waiting: BTreeSet<_> = world.calls.iter().filter_map(|call| call.stream).collect();
    assert_eq!(waiting, (17..=40).map(StreamId).collect());
    world.settle();
    assert!((17..=40).all(|number| world.goes_on(number)), "{:?}", world.replies);
}

/// A call that the clock has made ends with the configuration under which it was made.
#[test]
fn a_call_that_the_host_forgets_holds_nobody_for_ever() {
    let mut world = settled();
    for number in 1..=20 {
        world.request(number);
    }
    world.calls.clear();
    world.now_ms += TIMEOUT_MS;
    world.handle(Input::Tick);
    let by_the_clock =
        |world: &World| world.calls.iter().filter(|call| call.stream.is_some()).count();
    assert_eq!(by_the_clock(&world), 4);
    world.calls.clear();
    for _ in 0..(TIMEOUT_MS + 1_000) / 50 {
        world.now_ms += 50;
        world.handle(Input::Tick);
    }
    assert_eq!((by_the_clock(&world), world.replies.len()), (0, 0));
    world.now_ms += 50;
    world.handle(Input::Tick);
    let unavailable = (503, "policy_unavailable".to_owned());
    let replies: Vec<_> = world.replies.iter().map(|(StreamId(n), reply)| (*n, reply)).collect();
    let expected: Vec<_> = (17..=20).map(|number| (number, &unavailable)).collect();
    assert_eq!(replies, expected);
}

#[test]
fn a_call_that_the_host_forgets_is_made_again() {
    let mut world = settled();
    world.is_scarce = true;
    for number in 1..=20 {
        world.request(number);
    }
    for _ in 0..16 {
        world.answer();
    }
    world.now_ms += 50;
    world.handle(Input::Tick);
    let by_the_clock = world.calls.iter().filter(|call| call.stream.is_some()).count();
    assert_eq!(by_the_clock, 4);
    world.calls.clear();
    world.now_ms += TIMEOUT_MS + 1_001;
    world.handle(Input::Tick);
    world.settle();
    assert!((1..=20).all(|number| world.goes_on(number)), "{:?}", world.replies);
}

/// One call that fails is all that a request waits for where nothing is refused.
#[test]
fn in_shadow_mode_nobody_waits_for_others() {
    let mut world = World::with(r#"{"server":{"cluster":"c","timeout_ms":2000},"shadow":true}"#);
    for number in 1..=50 {
        world.request(number);
    }
    world.now_ms += TIMEOUT_MS;
    for call in std::mem::take(&mut world.calls) {
        world.handle(Input::CallDone { call: call.id, status: None, body: &[] });
    }
    assert!((1..=50).all(|number| world.goes_on(number)), "{:?}", world.replies);
}

#[test]
fn requests_that_are_gone_hold_nobody_up() {
    let mut world = settled();
    for number in 1..=30 {
        world.request(number);
    }
    for number in (1..=16).chain([19]) {
        world.handle(Input::End { stream: StreamId(number) });
    }
    world.settle();
    let running: Vec<_> = (1..=30).filter(|number| world.goes_on(*number)).collect();
    let waiting = (17..=30).filter(|number| *number != 19);
    assert_eq!(running, waiting.collect::<Vec<_>>());
}

/// With the server gone each request is told so, within the time of its own two tries.
#[test]
fn without_an_answer_each_is_refused() {
    let mut world = settled();
    for number in 1..=50 {
        world.request(number);
    }
    let began_ms = world.now_ms;
    while world.replies.len() < 50 {
        world.now_ms += 50;
        assert!(world.now_ms <= began_ms + 2 * TIMEOUT_MS, "{} answers", world.replies.len());
        world.handle(Input::Tick);
        // The host gives each call its time.
        if (world.now_ms - began_ms).is_multiple_of(TIMEOUT_MS) {
            for call in std::mem::take(&mut world.calls) {
                world.handle(Input::CallDone { call: call.id, status: None, body: &[] });
            }
        }
    }
    let unavailable = (503, "policy_unavailable".to_owned());
    assert!(world.replies.values().all(|reply| *reply == unavailable), "{:?}", world.replies);
}
