//! A host, a policy server and an upstream around one machine, and what is known of them.

use std::collections::{BTreeMap, BTreeSet};

use gate::testing::ProcessMemory;
use gate::{
    Call, Gate, Headers, HostKind, Input as Happened, Now, Output, SharedMemory,
    SharedMemoryFailed, StreamId, Token, apply_edits,
};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::policy_server;
use crate::input::Input;

/// Shared memory that fails now and then.
#[derive(Debug, Default)]
struct Memory {
    inner: ProcessMemory,
    /// So many accesses from now on fail.
    failures: u8,
}

impl Memory {
    fn fails(&mut self) -> Result<(), SharedMemoryFailed> {
        let fails = self.failures > 0;
        self.failures = self.failures.saturating_sub(1);
        if fails { Err(SharedMemoryFailed) } else { Ok(()) }
    }
}

impl SharedMemory for Memory {
    fn read(&mut self, slot: u32) -> Result<Option<(Vec<u8>, u32)>, SharedMemoryFailed> {
        self.fails()?;
        self.inner.read(slot)
    }

    fn swap(
        &mut self,
        slot: u32,
        value: &[u8],
        expected: Option<u32>,
    ) -> Result<bool, SharedMemoryFailed> {
        self.fails()?;
        self.inner.swap(slot, value, expected)
    }
}

/// What has become of a request.
#[derive(Debug, Default)]
struct Fate {
    /// It was answered by the filter.
    is_answered: bool,
    /// It has been answered before it went on: it must never go on.
    is_refused: bool,
    is_resumed: bool,
    /// It is with the upstream.
    went_on: bool,
    /// All of its body was shown, or it has none.
    is_complete: bool,
    /// The upstream's answer has begun.
    has_head: bool,
    body: Vec<u8>,
    /// The body that is coming, where it comes in parts, and how much of it is there.
    coming: Option<(&'static str, usize)>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    gate: Gate,
    host: HostKind,
    memory: Memory,
    now: Now,
    calls: Vec<Call>,
    /// The request in whose context the host calls.
    context: Option<StreamId>,
    fates: BTreeMap<StreamId, Fate>,
    /// Which of the coming outputs are refused: a bit for each.
    refusals: u8,
    /// Calls that went on, and the records that came of them by their numbers.
    went_on: u64,
    records: BTreeMap<u64, String>,
    was_shadow: bool,
    /// Streams that the host has ended, to be told to the machine.
    over: BTreeSet<StreamId>,
}

/// Nothing is refused: some requests go on that are nobody's, and have no record.
const SHADOW: &str = r#"{"server":{"cluster":"c"},"limits":{"body_bytes":60},"shadow":true}"#;

const CONFIGURATIONS: [&str; 5] = [
    r#"{"server":{"cluster":"c"},"limits":{"body_bytes":2000},"idempotency":true}"#,
    r#"{"server":{"cluster":"c"},"limits":{"body_bytes":60}}"#,
    r#"{"server":{"cluster":"c"},"profile":"deltallm"}"#,
    r#"{"server":{"cluster":"c"},"profile":"mindproxy","idempotency":true}"#,
    SHADOW,
];

fn configuration(choice: u8) -> gate::config::Config {
    let text = CONFIGURATIONS[usize::from(choice) % CONFIGURATIONS.len()];
    gate::config::parse(text.as_bytes()).expect("a good configuration")
}

fn token() -> Option<Token> {
    Token::new(&"t".repeat(40))
}

impl World {
    pub(super) fn new(host: HostKind) -> Self {
        let mut gate = Gate::new(configuration(0), token(), [3; 32]);
        gate.runs_on(host);
        Self {
            gate,
            host,
            memory: Memory::default(),
            now: Now { monotonic_ms: 1_000, micros: 0, wall_ms: 1_000, is_exact: true },
            calls: Vec::new(),
            context: None,
            fates: BTreeMap::new(),
            refusals: 0,
            went_on: 0,
            records: BTreeMap::new(),
            was_shadow: false,
            over: BTreeSet::new(),
        }
    }

    fn drive(&mut self, input: Happened<'_>) {
        self.context = match input {
            Happened::Tick => None,
            Happened::CallDone { .. } => unreachable!("whose it is says the call"),
            Happened::RequestHeaders { stream, .. }
            | Happened::RequestBodyGrows { stream, .. }
            | Happened::RequestBodyPart { stream, .. }
            | Happened::RequestBody { stream, .. }
            | Happened::ResponseHeaders { stream, .. }
            | Happened::ResponseBody { stream, .. }
            | Happened::EditRefused { stream }
            | Happened::Decided { stream }
            | Happened::End { stream } => Some(stream),
        };
        self.drive_in_context(input);
    }

    fn drive_in_context(&mut self, input: Happened<'_>) {
        self.gate.handle(self.now, &mut self.memory, input);
        self.now.is_exact = true;
        self.carry_out();
    }

    /// Does what the machine says, as the plugin does: what is refused is told to it where the request
    /// depends on it.
    fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.gate.next_output() {
                self.perform(output);
            }
            let Some(stream) = self.over.pop_first() else { break };
            self.gate.handle(self.now, &mut self.memory, Happened::End { stream });
            self.forget(stream);
        }
    }

    fn perform(&mut self, output: Output) {
        let is_refused = !matches!(output, Output::Observe(_)) && self.refusals & 1 == 1;
        self.refusals >>= u32::from(!matches!(output, Output::Observe(_)));
        let stream = output.stream().filter(|_| output.is_vital());
        match output {
            Output::Call(call) if is_refused => {
                let failed = Happened::CallDone { call: call.id, status: None, body: &[] };
                return self.gate.handle(self.now, &mut self.memory, failed);
            }
            Output::Call(call) => {
                let is_own = call.stream.is_none_or(|of| self.context.is_none_or(|at| at == of));
                assert!(is_own, "a call for a request in the context of another one");
                self.calls.push(call);
            }
            Output::Reply { stream, .. } => self.replied(stream, is_refused),
            Output::Resume { stream } => {
                let fate = self.fates.entry(stream).or_default();
                assert!(!fate.is_refused, "resumed after an answer");
                assert!(!std::mem::replace(&mut fate.is_resumed, true), "resumed twice");
            }
            Output::EditRequestBody { stream, length, edits } => {
                let fate = self.fates.entry(stream).or_default();
                assert_eq!(length, fate.body.len(), "edits of another body");
                let edited = apply_edits(&fate.body, &edits);
                // Half of a surrogate pair stays where it was: JSON has it, values of serde_json do not.
                let is_json = serde_json::from_slice::<IgnoredAny>(&edited).is_ok();
                assert!(is_json, "edited to no JSON");
                let of_values = |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok();
                assert_eq!(of_values(&fate.body), of_values(&edited), "edited to another text");
            }
            Output::CloseStream { stream } if !is_refused => {
                assert!(self.host == HostKind::Envoy, "a host that cannot is asked to close");
                self.over.insert(stream);
            }
            _ => {}
        }
        if let Some(stream) = stream.filter(|_| is_refused) {
            let refused = Happened::EditRefused { stream };
            self.gate.handle(self.now, &mut self.memory, refused);
        }
    }

    fn replied(&mut self, stream: StreamId, is_refused_by_host: bool) {
        let fate = self.fates.entry(stream).or_default();
        assert!(!std::mem::replace(&mut fate.is_answered, true), "two answers");
        if fate.went_on {
            assert!(!fate.has_head, "an answer behind the upstream's");
            if !is_refused_by_host {
                self.over.insert(stream);
            }
        } else {
            fate.is_refused = true;
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.fates.remove(&stream);
        if self.host != HostKind::Envoy {
            // nginx ends a request's calls with it; of Envoy's the answers still come.
            self.calls.retain(|call| call.stream != Some(stream));
        }
    }

    /// After a callback of a request: what is not held goes on.
    fn look(&mut self, stream: StreamId) {
        let Some(fate) = self.fates.get_mut(&stream) else { return };
        if !self.gate.holds(stream) && !fate.went_on {
            assert!(!fate.is_refused, "goes on after a refusal");
            fate.went_on = true;
            self.went_on += 1;
        }
    }

    fn look_at_all(&mut self) {
        for stream in self.fates.keys().copied().collect::<Vec<_>>() {
            self.look(stream);
        }
    }

    /// What must hold after every event.
    pub(super) fn check(&mut self) {
        self.look_at_all();
        for (stream, fate) in &self.fates {
            let goes_on = fate.is_refused && !self.gate.holds(*stream);
            assert!(!goes_on, "a refusal does not stay one");
        }
        let accounts = self.gate.accounts();
        for (lease, reserved) in &accounts.reserved {
            let drawn = accounts.drawn.get(lease).copied().unwrap_or_default();
            assert_eq!(*reserved, drawn, "set aside in {lease:?}, and drawn by running calls");
        }
    }

    pub(super) fn request(&mut self, stream: StreamId, kind: u8, key: u8, says_end: bool) {
        // A host that uses an id again has ended its stream, if without a word.
        self.forget(stream);
        let is_get = kind >= 6;
        let headers = head(kind, key);
        let fate = Fate { is_complete: is_get, ..Fate::default() };
        self.fates.insert(stream, fate);
        let address = (key & 4 != 0).then(|| std::net::IpAddr::from([10, 0, 0, 1]));
        let end = is_get || says_end;
        self.drive(Happened::RequestHeaders { stream, headers: &headers, address, end });
        self.look(stream);
    }

    /// Some bytes more; they are of this text where the body is shown in parts and is not begun.
    pub(super) fn grows(&mut self, stream: StreamId, size: usize, text: &'static str) {
        let read = self.gate.body_read(stream);
        match self.fates.get_mut(&stream).zip(read).filter(|(fate, _)| !fate.is_complete) {
            None => self.drive(Happened::RequestBodyGrows { stream, size }),
            Some((fate, read)) => {
                let (text, there) = fate.coming.get_or_insert((text, 0));
                *there += size % (text.len() - *there + 1);
                let (text, size) = (*text, *there);
                let part = &text.as_bytes()[read.min(size)..size];
                self.drive(Happened::RequestBodyPart { stream, part, size, end: false });
            }
        }
        self.look(stream);
    }

    pub(super) fn body(&mut self, stream: StreamId, body: &[u8]) {
        let mut body = body;
        if let Some(fate) = self.fates.get_mut(&stream) {
            // The body is shown as a whole once, and is not another one afterwards.
            if fate.is_complete {
                return;
            }
            // What has begun goes on as it began.
            body = fate.coming.map_or(body, |(text, _)| text.as_bytes());
            fate.body = body.to_vec();
            fate.is_complete = true;
        }
        match self.gate.body_read(stream) {
            None => self.drive(Happened::RequestBody { stream, body }),
            Some(read) => {
                let (part, size) = (&body[read.min(body.len())..], body.len());
                self.drive(Happened::RequestBodyPart { stream, part, size, end: true });
            }
        }
        self.look(stream);
    }

    /// Some call is answered: by a server that means well, by one that does not, or by chance.
    pub(super) fn answer(&mut self, which: usize, how: u8, input: &mut Input<'_>) {
        if self.calls.is_empty() {
            return;
        }
        let call = self.calls.remove(which % self.calls.len());
        let (status, body) = match how {
            0..=15 => (None, Vec::new()),
            16..=31 => (Some(u16::from(input.byte()) * 3), input.take(20).to_vec()),
            how => policy_server::answer(&call, how),
        };
        self.answered(&call, status, &body);
    }

    fn answered(&mut self, call: &Call, status: Option<u16>, body: &[u8]) {
        if policy_server::path(call).contains("reports") {
            self.note_records(&call.body);
        }
        self.context = call.stream;
        self.drive_in_context(Happened::CallDone { call: call.id, status, body });
    }

    fn note_records(&mut self, body: &[u8]) {
        let report: Value = serde_json::from_slice(body).expect("a report is JSON");
        for record in report["records"].as_array().into_iter().flatten() {
            let number = record["sequence"].as_u64().expect("records have numbers");
            let text = record.to_string();
            let before = self.records.insert(number, text.clone());
            assert!(before.is_none_or(|before| before == text), "a record has changed");
        }
    }

    pub(super) fn head(&mut self, stream: StreamId, status: &str, kind: &str, end: bool) {
        let headers: Headers = vec![
            (b":status".to_vec(), status.as_bytes().to_vec()),
            (b"content-type".to_vec(), kind.as_bytes().to_vec()),
        ];
        if let Some(fate) = self.fates.get_mut(&stream).filter(|fate| fate.went_on) {
            fate.has_head = true;
        }
        self.drive(Happened::ResponseHeaders { stream, headers: &headers, details: None, end });
    }

    pub(super) fn data(&mut self, stream: StreamId, chunk: &[u8], end: bool) {
        self.drive(Happened::ResponseBody { stream, chunk, end });
    }

    pub(super) fn end(&mut self, stream: StreamId) {
        self.drive(Happened::End { stream });
        self.forget(stream);
    }

    pub(super) fn tick(&mut self) {
        // wasm-nginx-module has no timer.
        if self.host != HostKind::Apisix {
            self.drive(Happened::Tick);
        }
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
    }

    pub(super) fn clock_fails(&mut self) {
        self.now.is_exact = false;
    }

    pub(super) fn lose_swaps(&mut self, swaps: u32) {
        self.memory.inner.lose_swaps = swaps;
    }

    pub(super) fn memory_fails(&mut self, times: u8) {
        self.memory.failures = times;
    }

    pub(super) fn refuse(&mut self, which: u8) {
        self.refusals = which;
    }

    pub(super) fn reconfigure(&mut self, choice: u8) {
        let chosen = CONFIGURATIONS[usize::from(choice) % CONFIGURATIONS.len()];
        self.was_shadow |= chosen == SHADOW;
        self.gate.reconfigure(configuration(choice), token());
        self.carry_out();
    }

    pub(super) fn decided(&mut self, stream: StreamId) {
        self.drive(Happened::Decided { stream });
    }

    /// From now on everybody does as they should: each request that is there as a whole gets an
    /// answer or goes on, everything ends, and every call that went on has its record.
    pub(super) fn settle(&mut self) {
        self.refusals = 0;
        self.memory.failures = 0;
        self.memory.inner.lose_swaps = 0;
        self.now.is_exact = true;
        self.rounds(3);
        for (stream, fate) in &self.fates {
            let is_stuck = fate.is_complete && !fate.went_on && !fate.is_answered;
            assert!(!is_stuck, "{stream:?} waits for ever");
        }
        for stream in self.fates.keys().copied().collect::<Vec<_>>() {
            self.end(stream);
        }
        assert_eq!(self.gate.open_streams(), 0, "a stream was left behind");
        // Windows are left and records told of again and again, less often as time goes by.
        for _ in 0..20 {
            self.rounds(2);
            let is_done = self.gate.accounts().unfinished == 0;
            if is_done && self.records.len() as u64 >= self.went_on {
                break;
            }
        }
        let accounts = self.gate.accounts();
        assert!(
            accounts.reserved.values().all(|money| money.0 == 0),
            "money is set aside for nobody"
        );
        assert_eq!(accounts.unfinished, 0, "a call never leaves its windows");
        assert!(accounts.calls <= 2, "{} calls of nobody", accounts.calls);
        let records = self.records.len() as u64;
        let is_as_many = records == self.went_on || self.was_shadow && records < self.went_on;
        assert!(is_as_many, "{records} records of {} calls", self.went_on);
    }

    /// Time passes, and the server answers everything.
    fn rounds(&mut self, rounds: u32) {
        let visitor = StreamId(99);
        for round in 0..rounds {
            self.wait(2_000);
            self.tick();
            if round % 2 == 1 {
                // A request makes a VM without a session, or without a timer, look after its affairs.
                self.request(visitor, 7, 1, true);
            }
            // Registration, catalogue, key and lease come one after the other.
            for _ in 0..6 {
                let calls = std::mem::take(&mut self.calls);
                if calls.is_empty() {
                    break;
                }
                for call in calls {
                    let (status, body) = policy_server::answer(&call, policy_server::WELL);
                    self.answered(&call, status, &body);
                }
                self.look_at_all();
            }
            self.end(visitor);
            self.check();
        }
    }
}

/// A request's head. The last key's calls are one that is sent again.
fn head(kind: u8, key: u8) -> Headers {
    let (method, path) = match kind {
        0..=2 => ("POST", "/v1/chat/completions"),
        3 => ("POST", "/v1beta/models/m:streamGenerateContent"),
        4 => ("POST", "/v1/messages"),
        5 => ("POST", "/v1/auth/exchange"),
        6 => ("GET", "/v1/usage"),
        _ => ("GET", "/v1/models"),
    };
    let mut headers = vec![
        (b":method".to_vec(), method.as_bytes().to_vec()),
        (b":path".to_vec(), path.as_bytes().to_vec()),
    ];
    if key > 0 {
        let value = format!("Bearer sk-0123456789-0123456789-{}", key & 3);
        headers.push((b"authorization".to_vec(), value.into_bytes()));
    }
    if method == "POST" {
        headers.push((b"content-length".to_vec(), b"40".to_vec()));
    }
    if key == 2 {
        headers.push((b"idempotency-key".to_vec(), b"again".to_vec()));
    }
    headers
}
