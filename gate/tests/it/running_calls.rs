//! Calls of one key that run at the same time are bounded although nothing is said of the key, and every
//! way in which a call can end makes room for the next.

use gate::config::parse;
use gate::testing::ProcessMemory;
use gate::{Gate, Headers, HostKind, Input, Now, Output, StreamId};

const KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";
const DIGEST: &str = "8d4be1bc480e7edb96e0fb485045beadc9d07e43eefd2b00f594393ec45d93cd";
/// Of somebody else, unlimited in every test.
const OTHER_KEY: &str = "sk-of-somebody-else-0123456789";

/// The workers of one proxy.
struct Proxy {
    workers: Vec<Gate>,
    memory: ProcessMemory,
    next_stream: u32,
    now_ms: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    GoesOn(usize, StreamId),
    Refused { status: u16, code: String, retry_after: Option<String> },
}

impl Proxy {
    /// With a bound on running calls, and further members of the key and of the configuration.
    fn new(bound: u64, of_key: &str, rest: &str) -> Self {
        Self::on(HostKind::Envoy, 2, bound, (of_key, rest))
    }

    fn on(kind: HostKind, workers: u8, bound: u64, (of_key, rest): (&str, &str)) -> Self {
        let other = metering::api_key::digest(OTHER_KEY.as_bytes()).0;
        let other: String = other.iter().map(|byte| format!("{byte:02x}")).collect();
        let config = format!(
            r#"{{"keys":[{{"id":"k","org":"o","digests":["{DIGEST}"]{of_key}}},
                {{"id":"other","org":"o","digests":["{other}"]}}],
                "models":[{{"name":"m","context_length":1000,"max_output_tokens":100}}],
                "limits":{{"concurrent_calls_per_key":{bound}}}{rest}}}"#
        );
        let config = parse(config.as_bytes()).unwrap();
        config.check_on(kind).unwrap();
        let worker = |seed| {
            let mut gate = Gate::new(config.clone(), None, [seed; 32]);
            gate.runs_on(kind);
            gate
        };
        let workers = (0..workers).map(worker).collect();
        Self { workers, memory: ProcessMemory::default(), next_stream: 0, now_ms: 1_000 }
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms, wall_ms: self.now_ms, micros: 0, is_exact: true }
    }

    fn handle(&mut self, worker: usize, input: Input<'_>) -> Vec<Output> {
        let now = self.now();
        self.workers[worker].handle(now, &mut self.memory, input);
        std::iter::from_fn(|| self.workers[worker].next_output()).collect()
    }

    fn stream(&mut self) -> StreamId {
        self.next_stream += 1;
        StreamId(self.next_stream)
    }

    fn call(&mut self, worker: usize, key: &str) -> Fate {
        let stream = self.stream();
        self.call_in(worker, key, stream)
    }

    fn call_in(&mut self, worker: usize, key: &str, stream: StreamId) -> Fate {
        let bearer = format!("Bearer {key}");
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let body = br#"{"model":"m","stream":true}"#;
        let headers: Headers = vec![
            pair(":method", "POST"),
            pair(":path", "/v1/chat/completions"),
            pair("authorization", &bearer),
            pair("content-length", &body.len().to_string()),
        ];
        let head = Input::RequestHeaders { stream, headers: &headers, address: None, end: false };
        self.handle(worker, head);
        let outputs = self.handle(worker, Input::RequestBody { stream, body });
        let replies = outputs.iter().find_map(|output| match output {
            Output::Reply { reply, .. } => Some(reply),
            _ => None,
        });
        let Some(reply) = replies else { return Fate::GoesOn(worker, stream) };
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let code = body["error"]["code"].as_str().unwrap().to_owned();
        let headers = &reply.headers;
        let retry_after = headers.iter().find(|(name, _)| *name == "retry-after");
        let retry_after = retry_after.map(|(_, value)| value.clone());
        let status = reply.status;
        self.handle(worker, Input::End { stream });
        Fate::Refused { status, code, retry_after }
    }

    /// Calls of the key that go on before one is refused, the workers taking turns.
    fn fill(&mut self, most: usize) -> (usize, Option<Fate>) {
        for calls in 0..most {
            let fate = self.call(calls % self.workers.len(), KEY);
            if !matches!(fate, Fate::GoesOn(..)) {
                return (calls, Some(fate));
            }
        }
        (most, None)
    }

    fn head(&mut self, worker: usize, stream: StreamId, (status, kind): (&str, &str), end: bool) {
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let headers: Headers = vec![pair(":status", status), pair("content-type", kind)];
        let head = Input::ResponseHeaders { stream, headers: &headers, details: None, end };
        self.handle(worker, head);
    }
}

/// Ends a call of a worker.
type End = fn(&mut Proxy, usize, StreamId);

fn full() -> Fate {
    let code = "concurrency_exceeded".to_owned();
    Fate::Refused { status: 429, code, retry_after: Some("1".to_owned()) }
}

#[test]
fn one_key_cannot_take_all_places_of_a_proxy() {
    let mut proxy = Proxy::new(200, "", "");
    let (calls, refused) = proxy.fill(1_000);
    // A hundredth of the bound is not counted in each worker.
    assert_eq!((calls, refused), (204, Some(full())));
    assert!(matches!(proxy.call(0, OTHER_KEY), Fate::GoesOn(..)));
    assert!(matches!(proxy.call(1, OTHER_KEY), Fate::GoesOn(..)));
}

#[test]
fn without_a_word_of_the_operator_there_is_a_bound() {
    let config = parse(br#"{"server":{"cluster":"c"}}"#).unwrap();
    assert_eq!(config.concurrent_calls_per_key, Some(1_000));
    let (calls, refused) = Proxy::new(1_000, "", "").fill(2_000);
    assert_eq!((calls, refused), (1_020, Some(full())));
}

#[test]
fn nought_is_no_bound() {
    assert_eq!(Proxy::new(0, "", "").fill(2_000), (2_000, None));
}

#[test]
fn a_limit_of_the_key_itself_holds_instead() {
    let own = r#","limits":[{"unit":"concurrent","max":5,"scope":"proxy"}]"#;
    assert_eq!(Proxy::new(2, own, "").fill(100), (5, Some(full())));
    // Limits of other things, and of others, leave the bound as it is.
    for others in [
        r#"{"unit":"requests","window":"1m","max":50}"#,
        r#"{"unit":"concurrent","max":50,"model":"m"}"#,
        r#"{"unit":"concurrent","max":50,"level":"org"}"#,
    ] {
        let limits = format!(r#","limits":[{others}]"#);
        assert_eq!(Proxy::new(2, &limits, "").fill(100), (2, Some(full())), "{others}");
    }
}

#[test]
fn every_end_of_a_call_makes_room() {
    let ends: [(&str, End); 6] = [
        ("a whole answer", |proxy, worker, stream| {
            proxy.head(worker, stream, ("200", "application/json"), false);
            proxy.handle(worker, Input::ResponseBody { stream, chunk: b"{}", end: true });
            proxy.handle(worker, Input::End { stream });
        }),
        ("an answer without a body", |proxy, worker, stream| {
            proxy.head(worker, stream, ("500", "text/plain"), true);
            proxy.handle(worker, Input::End { stream });
        }),
        ("a stream that breaks off", |proxy, worker, stream| {
            proxy.head(worker, stream, ("200", "text/event-stream"), false);
            proxy.handle(worker, Input::ResponseBody { stream, chunk: b"data: {", end: false });
            proxy.handle(worker, Input::End { stream });
        }),
        ("a client that goes before the answer", |proxy, worker, stream| {
            proxy.handle(worker, Input::End { stream });
        }),
        ("an edit that the host refuses", |proxy, worker, stream| {
            proxy.handle(worker, Input::EditRefused { stream });
            proxy.handle(worker, Input::End { stream });
        }),
        ("a host that uses the number again and told of no end", |proxy, worker, stream| {
            let fate = proxy.call_in(worker, OTHER_KEY, stream);
            assert_eq!(fate, Fate::GoesOn(worker, stream));
            proxy.handle(worker, Input::End { stream });
        }),
    ];
    // One that counts from the first call on, and one that does not.
    for bound in [1, 300] {
        for (name, end) in ends {
            let mut proxy = Proxy::new(bound, "", "");
            let (calls, refused) = proxy.fill(1_000);
            assert_eq!(refused, Some(full()));
            // The newest of them, which is counted.
            let (worker, stream) = ((calls - 1) % 2, StreamId(proxy.next_stream - 1));
            for _ in 0..3 {
                end(&mut proxy, worker, stream);
                let again = proxy.call_in(worker, KEY, stream);
                assert_eq!(again, Fate::GoesOn(worker, stream), "{name}, {bound}");
                assert_eq!(proxy.call(worker, KEY), full(), "{name}: room for two");
            }
        }
    }
}

#[test]
fn once_all_have_ended_nothing_is_counted_any_more() {
    let mut proxy = Proxy::new(300, "", "");
    for _ in 0..3 {
        let first = proxy.next_stream + 1;
        let (calls, refused) = proxy.fill(1_000);
        assert_eq!((calls, refused), (306, Some(full())));
        for (call, stream) in (first..proxy.next_stream).enumerate() {
            proxy.handle(call % 2, Input::End { stream: StreamId(stream) });
        }
    }
}

#[test]
fn few_calls_of_a_key_cost_no_swap() {
    let mut proxy = Proxy::new(1_000, "", "");
    for worker in 0..20 {
        assert!(matches!(proxy.call(worker % 2, KEY), Fate::GoesOn(..)));
    }
    assert_eq!(proxy.memory, ProcessMemory::default());
    proxy.call(0, KEY);
    assert_ne!(proxy.memory, ProcessMemory::default());
}

#[test]
fn a_worker_that_shares_no_memory_has_its_part() {
    let host = r#","host":{"workers":4,"windows":"per_worker"}"#;
    for kind in [HostKind::Apisix, HostKind::NgxWasm] {
        let mut proxy = Proxy::on(kind, 1, 40, ("", host));
        assert_eq!(proxy.fill(100), (10, Some(full())), "{kind:?}");
    }
}

#[test]
fn in_shadow_mode_a_full_bound_is_only_told() {
    assert_eq!(Proxy::new(1, "", r#","shadow":true"#).fill(20), (20, None));
    assert_eq!(Proxy::new(1, r#","shadow":true"#, "").fill(20), (20, None));
}
