//! Random sequences of events, sensible or not: the machine answers each request at most once, lets
//! it go at most once and never after an answer, charges each call that went to the upstream exactly
//! once, and forgets every stream. A stream that was told of its end shows nothing more, and running
//! calls of a key that was withdrawn are over within a second. In shadow mode it refuses and ends nothing.

use std::collections::{HashMap, HashSet};

use gate::testing::ProcessMemory;
use gate::{CallId, Gate, Input, Now, Output, StreamId, Token};
use proptest::prelude::*;

use super::arrays::ArrayClient;
use super::canned::{
    ARRAY_BODY, BODIES, DATA, EXPIRES_UNIX_MS, HEADS, answer, array_request, request,
};

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A request for a stream that comes as an array, head and body.
    ArrayRequest {
        stream: u32,
    },
    /// The next bytes of such a stream.
    Piece {
        stream: u32,
        size: usize,
    },
    Request {
        stream: u32,
        key: u8,
        get: bool,
        end: bool,
    },
    Grows {
        stream: u32,
        size: usize,
    },
    Body {
        stream: u32,
        kind: u8,
    },
    Answer {
        which: usize,
        kind: u8,
    },
    Head {
        stream: u32,
        kind: u8,
    },
    Data {
        stream: u32,
        kind: u8,
        end: bool,
    },
    End {
        stream: u32,
    },
    /// The clocks cannot be read for the next event.
    ClockFails,
    Tick,
    Wait(u64),
    LoseSwaps(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let stream = 1u32..4;
    let event = prop_oneof![
        4 => (stream.clone(), 0u8..4, any::<bool>(), any::<bool>())
            .prop_map(|(stream, key, get, end)| Event::Request { stream, key, get, end: end && get }),
        1 => (stream.clone(), 0usize..4000).prop_map(|(stream, size)| Event::Grows { stream, size }),
        4 => (stream.clone(), 0u8..6).prop_map(|(stream, kind)| Event::Body { stream, kind }),
        9 => (any::<usize>(), 0u8..12).prop_map(|(which, kind)| Event::Answer { which, kind }),
        3 => (stream.clone(), 0u8..4).prop_map(|(stream, kind)| Event::Head { stream, kind }),
        3 => (stream.clone(), 0u8..5, any::<bool>())
            .prop_map(|(stream, kind, end)| Event::Data { stream, kind, end }),
        2 => stream.prop_map(|stream| Event::End { stream }),
        1 => Just(Event::ClockFails),
        2 => Just(Event::Tick),
        1 => prop_oneof![0u64..100, 0u64..90_000].prop_map(Event::Wait),
        1 => (0u32..12).prop_map(Event::LoseSwaps),
    ];
    proptest::collection::vec(event, 1..120)
}

/// What brings three streamed answers under way, and a poll that can tell of the key.
fn three_streams() -> Vec<Event> {
    let mut events = Vec::new();
    for stream in 1..4 {
        events.push(Event::Request { stream, key: 1, get: false, end: false });
        events.push(Event::Body { stream, kind: 1 });
        // Registration, catalogue, key and lease: at most so many calls, one after the other.
        // The key has a last day.
        events.extend((0..3).map(|_| Event::Answer { which: 0, kind: 8 }));
    }
    events.push(Event::Tick);
    events
}

/// Mostly answers and the end of the key.
fn stream_events() -> impl Strategy<Value = Vec<Event>> {
    let stream = 1u32..4;
    let event = prop_oneof![
        6 => stream.clone().prop_map(|stream| Event::Head { stream, kind: 1 }),
        1 => (stream.clone(), 0u8..4).prop_map(|(stream, kind)| Event::Head { stream, kind }),
        9 => (stream.clone(), 1u8..3).prop_map(|(stream, kind)| Event::Data { stream, kind, end: false }),
        2 => (stream, 0u8..5, any::<bool>())
            .prop_map(|(stream, kind, end)| Event::Data { stream, kind, end }),
        2 => (0usize..2, 4u8..9).prop_map(|(which, kind)| Event::Answer { which, kind }),
        1 => Just(Event::ClockFails),
        1 => Just(Event::Tick),
        3 => (1u64..300).prop_map(Event::Wait),
        1 => (900u64..40_000).prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 1..60)
        .prop_map(|events| three_streams().into_iter().chain(events).collect())
}

#[derive(Default)]
struct World {
    /// Nothing may be refused, and no call ended.
    in_shadow: bool,
    /// Streams whose request asks for what the machine itself answers.
    asks_us: HashSet<u32>,
    /// The latest wall time that a clock told exactly.
    exact_wall_ms: u64,
    memory: ProcessMemory,
    calls: Vec<(CallId, String, Vec<u8>)>,
    replied: HashSet<u32>,
    resumed: HashSet<u32>,
    /// Requests that were seen to go on, by stream; each must be recorded once.
    went_on: u32,
    on_the_way: HashSet<u32>,
    recorded: HashMap<u64, String>,
    /// Heads that have come, by stream.
    heads: HashMap<u32, u8>,
    /// Streams that come as an array.
    arrays: HashMap<u32, ArrayClient>,
    /// Streams whose client was told of the end.
    told: HashSet<u32>,
    /// When each of those streams must be over.
    deadlines: HashMap<u32, u64>,
    /// What the client gets instead of the chunk that is passing.
    replaced: Option<Vec<u8>>,
    /// Streams that the host has answered or closed, and whose end the machine must learn.
    ended_by_host: Vec<u32>,
}

/// A stream that must end has so long, in milliseconds.
const END_WITHIN_MS: u64 = 1_000;
/// The timer's period.
const TICK_MS: u64 = 50;

impl World {
    /// Does what the machine says and tells it which streams have ended by that.
    fn carry_out(&mut self, gate: &mut Gate, now: Now) {
        self.perform(gate);
        for stream in std::mem::take(&mut self.ended_by_host) {
            gate.handle(now, &mut self.memory, Input::End { stream: StreamId(stream) });
            self.over(stream);
        }
    }

    /// The key was withdrawn: what runs ends at once, or soon if it is a stream that may be told.
    fn withdrawn(&mut self, now_ms: u64) {
        if self.in_shadow {
            return;
        }
        for stream in self.on_the_way.clone() {
            match self.heads.get(&stream) {
                None => panic!("a call without an answer goes on"),
                Some(0) if !self.arrays.get(&stream).is_some_and(ArrayClient::is_open) => {}
                Some(0 | 1) => {
                    self.deadlines.entry(stream).or_insert(now_ms + END_WITHIN_MS);
                }
                Some(_) => {}
            }
        }
    }

    fn check_deadlines(&self, now_ms: u64) {
        let late = self.deadlines.iter().find(|(_, deadline)| now_ms > **deadline);
        assert_eq!(late, None, "a stream goes on at {now_ms}");
    }

    fn perform(&mut self, gate: &mut Gate) {
        while let Some(output) = gate.next_output() {
            match output {
                Output::Call(call) => {
                    let path = call.headers.iter().find(|(name, _)| *name == ":path");
                    let path = path.map(|(_, path)| path.clone()).unwrap_or_default();
                    self.calls.push((call.id, path, call.body));
                }
                Output::Reply { stream, reply } => {
                    assert!(self.replied.insert(stream.0), "two replies");
                    let is_ours = self.asks_us.contains(&stream.0);
                    let passes = !self.in_shadow || is_ours || reply.status == 200;
                    assert!(passes, "refused: {}", reply.status);
                    if self.on_the_way.contains(&stream.0) {
                        // Its key has ended, or nobody could say for too long whether it has.
                        assert!([401, 503].contains(&reply.status), "reply after it went on");
                        assert!(!self.heads.contains_key(&stream.0), "two answers");
                        self.ended_by_host.push(stream.0);
                    }
                }
                Output::CloseStream { stream } => {
                    assert!(!self.in_shadow, "closed");
                    self.ended_by_host.push(stream.0);
                }
                Output::ReplaceResponseBody { bytes, .. } => self.replaced = Some(bytes),
                Output::Resume { stream } => {
                    assert!(!self.replied.contains(&stream.0), "resumed after a reply");
                    assert!(self.resumed.insert(stream.0), "resumed twice");
                }
                _ => {}
            }
        }
    }

    /// After a request event: a request that is not held is with the upstream from now on.
    fn look(&mut self, gate: &Gate, stream: u32) {
        if !gate.holds(StreamId(stream)) && self.on_the_way.insert(stream) {
            self.went_on += 1;
        }
    }

    fn over(&mut self, stream: u32) {
        self.asks_us.remove(&stream);
        self.replied.remove(&stream);
        self.resumed.remove(&stream);
        self.on_the_way.remove(&stream);
        self.heads.remove(&stream);
        self.told.remove(&stream);
        self.deadlines.remove(&stream);
        if let Some(client) = self.arrays.remove(&stream) {
            client.is_over();
        }
    }

    /// The client of an array gets what has become of a chunk.
    fn array_goes_on(&mut self, stream: u32, chunk: &[u8], now: Now) {
        let bytes = self.replaced.take().unwrap_or_else(|| chunk.to_vec());
        let Some(client) = self.arrays.get_mut(&stream) else { return };
        if client.gets(&bytes) {
            self.deadlines.insert(stream, now.monotonic_ms + END_WITHIN_MS);
        }
    }

    /// The client gets what has become of a chunk.
    fn client_gets(&mut self, stream: u32, chunk: &[u8], now: Now) {
        let bytes = self.replaced.take().unwrap_or_else(|| chunk.to_vec());
        if self.told.contains(&stream) {
            assert_eq!(bytes, b"", "something follows the error event");
        }
        if bytes.windows(7).any(|window| window == b"\"error\"") {
            assert!(bytes.ends_with(b"}}\n\n"), "the error event is not the last");
            self.told.insert(stream);
            self.deadlines.insert(stream, now.monotonic_ms + END_WITHIN_MS);
            if bytes.windows(11).any(|window| window == b"key_expired") {
                // The clock may fail between the instant at which that was seen and the chunk.
                assert!(self.exact_wall_ms >= EXPIRES_UNIX_MS, "too early: {now:?}");
            }
        }
    }

    fn note_records(&mut self, body: &[u8]) {
        let report: serde_json::Value = serde_json::from_slice(body).unwrap();
        for record in report["records"].as_array().unwrap() {
            let sequence = record["sequence"].as_u64().unwrap();
            let text = record.to_string();
            let before = self.recorded.insert(sequence, text.clone());
            assert!(before.is_none_or(|before| before == text), "a record has changed");
        }
    }
}

pub(super) fn run(events: Vec<Event>) {
    run_in(false, events);
}

/// The same, `in_shadow` where nothing is refused.
fn run_in(in_shadow: bool, events: Vec<Event>) {
    let config = format!(
        r#"{{"server":{{"cluster":"c"}},"limits":{{"body_bytes":2000}},"idempotency":true,"shadow":{in_shadow}}}"#
    );
    let config = gate::config::parse(config.as_bytes()).unwrap();
    let mut gate = Gate::new(config, Token::new(&"t".repeat(40)).unwrap(), [3; 32]);
    let mut world = World { in_shadow, ..World::default() };
    let mut now = Now { monotonic_ms: 1000, micros: 0, wall_ms: 1000, is_exact: true };
    let mut clock_fails = false;
    let closing = (1..4).map(|stream| Event::End { stream });
    for event in events.into_iter().chain(closing) {
        let mut touched = None;
        now.is_exact = !std::mem::take(&mut clock_fails);
        if now.is_exact {
            world.exact_wall_ms = now.wall_ms;
        }
        match event {
            Event::ClockFails => clock_fails = true,
            Event::Request { stream, key, get, end } => {
                world.over(stream);
                if get || key == 3 {
                    world.asks_us.insert(stream);
                }
                let headers = request(key, get);
                let input = Input::RequestHeaders {
                    stream: StreamId(stream),
                    headers: &headers,
                    address: None,
                    end,
                };
                gate.handle(now, &mut world.memory, input);
                touched = Some(stream);
            }
            Event::ArrayRequest { stream } => {
                world.over(stream);
                world.arrays.insert(stream, ArrayClient::default());
                let headers = array_request();
                let stream_id = StreamId(stream);
                let input = Input::RequestHeaders {
                    stream: stream_id,
                    headers: &headers,
                    address: None,
                    end: false,
                };
                gate.handle(now, &mut world.memory, input);
                let input = Input::RequestBody { stream: stream_id, body: ARRAY_BODY };
                gate.handle(now, &mut world.memory, input);
                touched = Some(stream);
            }
            Event::Piece { stream, size } => {
                let goes_on = world.heads.get(&stream) == Some(&0);
                if let Some(client) = world.arrays.get_mut(&stream).filter(|_| goes_on) {
                    let (chunk, end) = client.next(size);
                    let input = Input::ResponseBody { stream: StreamId(stream), chunk, end };
                    gate.handle(now, &mut world.memory, input);
                    world.perform(&mut gate);
                    world.array_goes_on(stream, chunk, now);
                    if end {
                        world.ended_by_host.push(stream);
                    }
                }
            }
            Event::Grows { stream, size } => {
                let input = Input::RequestBodyGrows { stream: StreamId(stream), size };
                gate.handle(now, &mut world.memory, input);
                touched = Some(stream);
            }
            Event::Body { stream, kind } => {
                let body = BODIES[usize::from(kind)].as_bytes();
                let input = Input::RequestBody { stream: StreamId(stream), body };
                gate.handle(now, &mut world.memory, input);
                touched = Some(stream);
            }
            Event::Answer { which, kind } if !world.calls.is_empty() => {
                let (call, path, sent) = world.calls.remove(which % world.calls.len());
                if path.contains("reports") {
                    world.note_records(&sent);
                }
                let (status, body) = answer(&path, kind);
                let input = Input::CallDone { call, status, body: body.as_bytes() };
                gate.handle(now, &mut world.memory, input);
                let polled = path.contains("changes") && !path.contains("wait_ms=0");
                let polls = world.calls.len();
                world.carry_out(&mut gate, now);
                let polls_on = world.calls.iter().skip(polls).any(|it| it.1.contains("changes"));
                // It asks for more: the changes were taken.
                if polled && polls_on && (kind == 5 || kind == 6) {
                    world.withdrawn(now.monotonic_ms);
                }
            }
            Event::Answer { .. } => {}
            Event::Head { stream, kind } => {
                let (status, content) = HEADS[usize::from(kind)];
                let headers = vec![
                    (b":status".to_vec(), status.as_bytes().to_vec()),
                    (b"content-type".to_vec(), content.as_bytes().to_vec()),
                ];
                let input = Input::ResponseHeaders {
                    stream: StreamId(stream),
                    headers: &headers,
                    details: None,
                    end: false,
                };
                gate.handle(now, &mut world.memory, input);
                if world.on_the_way.contains(&stream) {
                    world.heads.insert(stream, kind);
                }
            }
            Event::Data { stream, kind, end } => {
                let chunk = DATA[usize::from(kind)].as_bytes();
                let input = Input::ResponseBody { stream: StreamId(stream), chunk, end };
                gate.handle(now, &mut world.memory, input);
                world.perform(&mut gate);
                world.client_gets(stream, chunk, now);
                if end && world.on_the_way.contains(&stream) {
                    world.ended_by_host.push(stream);
                }
            }
            Event::End { stream } => {
                gate.handle(now, &mut world.memory, Input::End { stream: StreamId(stream) });
                world.over(stream);
            }
            Event::Tick => gate.handle(now, &mut world.memory, Input::Tick),
            Event::Wait(ms) => {
                let until = now.monotonic_ms + ms;
                while !world.deadlines.is_empty() && now.monotonic_ms < until {
                    let step = TICK_MS.min(until - now.monotonic_ms);
                    now.monotonic_ms += step;
                    now.wall_ms += step;
                    gate.handle(now, &mut world.memory, Input::Tick);
                    world.carry_out(&mut gate, now);
                    world.check_deadlines(now.monotonic_ms);
                }
                now.wall_ms += until - now.monotonic_ms;
                now.monotonic_ms = until;
            }
            Event::LoseSwaps(swaps) => world.memory.lose_swaps = swaps,
        }
        world.carry_out(&mut gate, now);
        let streams = touched.map_or_else(|| (1..4).collect(), |stream| vec![stream]);
        for stream in streams {
            world.look(&gate, stream);
        }
    }
    assert_eq!(gate.open_streams(), 0, "a stream was left behind");
    now.is_exact = true;
    settle(&mut gate, &mut world, now);
    let recorded = u32::try_from(world.recorded.len()).unwrap();
    // In shadow mode also that goes on of which nobody knows whose it is.
    let all_are = if in_shadow { recorded <= world.went_on } else { recorded == world.went_on };
    assert!(all_are, "{recorded} records of {} calls", world.went_on);
}

/// The server answers everything from now on, until the outbox is empty.
fn settle(gate: &mut Gate, world: &mut World, mut now: Now) {
    let registered = request(1, true);
    for round in 0..40 {
        now.monotonic_ms += 10_000;
        if round % 8 == 0 {
            // a request makes a VM without a session register again
            let input = Input::RequestHeaders {
                stream: StreamId(9),
                headers: &registered,
                address: None,
                end: true,
            };
            gate.handle(now, &mut world.memory, input);
        }
        gate.handle(now, &mut world.memory, Input::Tick);
        world.carry_out(gate, now);
        for (call, path, sent) in std::mem::take(&mut world.calls) {
            if path.contains("reports") {
                world.note_records(&sent);
            }
            let (status, body) = answer(&path, 9);
            let input = Input::CallDone { call, status, body: body.as_bytes() };
            gate.handle(now, &mut world.memory, input);
            world.carry_out(gate, now);
            world.over(9);
        }
        gate.handle(now, &mut world.memory, Input::End { stream: StreamId(9) });
        world.over(9);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn each_request_has_one_fate(in_shadow: bool, events in events()) {
        run_in(in_shadow, events);
    }

    #[test]
    fn each_stream_has_one_end(in_shadow in proptest::bool::weighted(0.2), events in stream_events()) {
        run_in(in_shadow, events);
    }
}
