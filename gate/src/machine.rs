//! One VM: its bond with the server, what it knows, and the exchanges that run in it.

#[cfg(feature = "testing")]
pub(crate) mod accounts;
mod ahead;
mod answering;
mod authority;
mod calls;
mod changes;
mod early_head;
mod errand;
mod forward;
mod housekeeping;
mod lost_holder;
mod observe;
mod order;
mod queue;
mod recheck;
mod request_body;
mod shadow;
mod stop;
mod token;
mod usage;
mod user_key;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use metering::window::Call as WindowCall;
use wire::v1::{Basis, KeyPolicy};
use wire::{KeyDigest, KeyId, Nonce, RequestId};

use crate::catalogue::Models;
use crate::config::Config;
use crate::exchange::{Body, Exchange, Open, Stage};
use crate::header_filter::{Betas, not_for_upstream};
use crate::host_abilities::{HostAbilities, HostKind};
use crate::id_hash::IdMap;
use crate::io::{CallId, Headers, Input, Now, Output, SharedMemory, StreamId};
use crate::key_cache::KeyCache;
use crate::link::{Link, Sent};
use crate::observation::{Decision, Meters, Watched};
use crate::outbox::{Outbox, Reporter};
use crate::policy_calls::Purpose;
use crate::pool::{Pool, Said};
use crate::refusal::Refusal;
use crate::repetition;
use crate::running_calls::RunningCalls;
use crate::url_query;
use crate::windows::{self, Group};

pub use token::Token;

/// Most ended calls that wait to leave their windows. It takes a shared memory that fails for minutes
/// to reach it; the oldest then stays counted as running until its claim is forgotten, which errs
/// on the safe side.
const MOST_UNFINISHED: usize = 10_000;

/// The machine of one VM.
#[derive(Debug)]
pub struct Gate {
    config: Config,
    /// None where no server is to be asked.
    token: Option<Token>,
    /// Tells this VM's running calls from other VMs' in shared windows.
    vm: u64,
    random: Random,
    link: Link,
    models: Option<Rc<Models>>,
    keys: KeyCache,
    streams: IdMap<StreamId, Exchange>,
    calls: IdMap<CallId, Pending>,
    /// Requests that wait for what others have asked for; each is one of `streams`, or was.
    queue: Vec<StreamId>,
    /// Requests are just being taken up in the context of another one.
    is_elsewhere: bool,
    next_call: u64,
    next_lease: u64,
    next_request: u64,
    pool: Pool,
    running_calls: RunningCalls,
    /// What is asked for ahead of need: for which key, under which number.
    aheads: BTreeMap<CallId, (KeyId, u64)>,
    outbox: Outbox,
    unfinished: VecDeque<Unfinished>,
    touch_at_ms: u64,
    /// Running calls that have not given a sign of life since then.
    to_touch: Vec<StreamId>,
    /// Some running call has just been asked to end.
    stops_asked: bool,
    /// Keys of running calls of which nothing is known any more.
    rechecks: recheck::Rechecks,
    /// When it was last said that the server refuses the token.
    token_complaint_ms: Option<u64>,
    meters: Meters,
    outputs: VecDeque<Output>,
    /// What the host was found to be.
    found: HostKind,
    /// What it can do.
    host: HostAbilities,
    /// What the server was told of this VM is not so any more.
    must_register_anew: bool,
    /// When a VM without a timer next looks after what it holds.
    look_after_at_ms: u64,
}

/// A call-out under way.
#[derive(Debug, Clone, Copy)]
struct Pending {
    purpose: Purpose,
    stream: Option<StreamId>,
    sent: Sent,
    /// The same in microseconds, to measure how long the answer took.
    sent_us: u64,
    /// What it asks for on behalf of a request: a key's digest, or that of no key for what all need.
    asks_for: Option<KeyDigest>,
    /// It is a request's, and was made in the context of none.
    by_the_clock: bool,
    /// As whom it was made: an answer to a holder that is no more says nothing.
    nonce: Nonce,
}

/// An ended call whose place in a window could not be given back yet.
#[derive(Debug)]
struct Unfinished {
    groups: Vec<Group>,
    call: WindowCall,
    used_tokens: u64,
}

/// Numbers for jitter and nonces, grown from the driver's random seed (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

impl Gate {
    /// A VM that knows nothing yet. `seed` are random bytes: the first 16 become the nonce by
    /// which it registers, so they must be unpredictable and never repeat.
    #[must_use]
    pub fn new(config: Config, token: impl Into<Option<Token>>, seed: [u8; 32]) -> Self {
        let (nonce, rest) = seed.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let number = |from: usize| {
            rest.get(from..from + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        let host = HostAbilities::of(config.host.kind.unwrap_or_default(), &config.host);
        Self {
            config,
            token: token.into(),
            found: HostKind::default(),
            host,
            must_register_anew: false,
            look_after_at_ms: 0,
            vm: number(0),
            random: Random(number(8)),
            link: Link::new(Nonce(*nonce)),
            models: None,
            keys: KeyCache::default(),
            streams: IdMap::default(),
            calls: IdMap::default(),
            queue: Vec::new(),
            is_elsewhere: false,
            next_call: 0,
            next_lease: 0,
            next_request: 0,
            pool: Pool::default(),
            running_calls: RunningCalls::default(),
            aheads: BTreeMap::new(),
            outbox: Outbox::default(),
            unfinished: VecDeque::new(),
            touch_at_ms: 0,
            to_touch: Vec::new(),
            stops_asked: false,
            rechecks: recheck::Rechecks::default(),
            token_complaint_ms: None,
            meters: Meters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a new configuration of the same kind, with a server or without one. What is known from a
    /// server and what runs stays; calls of keys that a configuration without a server does not hold
    /// any more, or says to be at an end, end with the next tick.
    pub fn reconfigure(&mut self, config: Config, token: impl Into<Option<Token>>) {
        self.config = config;
        self.token = token.into();
        self.runs_on(self.found);
        self.hold_calls_to_local_keys();
    }

    /// Says what the host was found to be. The configuration may say otherwise, and then holds.
    pub fn runs_on(&mut self, found: HostKind) {
        self.found = found;
        let host = HostAbilities::of(self.config.host.kind.unwrap_or(found), &self.config.host);
        if host.counted_at_server_below() != self.host.counted_at_server_below() {
            // Limits were learned as another host counts them, and the server was told so.
            self.must_register_anew = self.link.session.is_some();
            self.keys.clear();
        }
        self.host = host;
    }

    /// What the host of this VM can do.
    #[must_use]
    pub fn host(&self) -> &HostAbilities {
        &self.host
    }

    /// What is known of a key, its limits as this VM counts them.
    fn localized(&self, mut policy: KeyPolicy) -> KeyPolicy {
        self.host.localize(&mut policy.limits);
        policy
    }

    /// Takes in one event. Afterwards every [`Gate::next_output`] is to be carried out.
    pub fn handle(&mut self, now: Now, memory: &mut dyn SharedMemory, input: Input<'_>) {
        let mut watched = Watched::new(memory);
        self.take_in(now, &mut watched, input);
        watched.told_to(&mut self.meters);
    }

    fn take_in(&mut self, now: Now, memory: &mut dyn SharedMemory, input: Input<'_>) {
        if std::mem::take(&mut self.must_register_anew) {
            self.lose_holder(now);
        }
        match input {
            Input::Tick => self.tick(now, memory),
            Input::RequestHeaders { stream, headers, address, end } => {
                self.request_headers(stream, (headers, address, end), now, memory);
            }
            Input::RequestBodyGrows { stream, size } => {
                self.body_grows(stream, (&[], size, false), now, memory);
            }
            Input::RequestBodyPart { stream, part, size, end } => {
                self.body_grows(stream, (part, size, end), now, memory);
                if end {
                    self.body_ends(stream, now, memory);
                }
            }
            Input::RequestBody { stream, body } => {
                self.whole_body(stream, body, now, memory);
            }
            Input::ResponseHeaders { stream, headers, details, end } => {
                self.response_headers(stream, headers, details, end, now);
            }
            Input::ResponseBody { stream, chunk, end } => {
                self.response_body(stream, chunk, end, now);
            }
            Input::CallDone { call, status, body } => {
                self.call_done(call, status, body, now, memory);
                self.take_up_in_passing(now, memory);
                self.stop_if_asked(now);
            }
            Input::EditRefused { stream } => self.edit_refused(stream, now, memory),
            Input::Decided { stream } => self.verdict_carried_out(stream, now),
            Input::End { stream } => self.end(stream, now, memory),
        }
    }

    /// The next thing to do.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the request must not go on now: it is undecided, or has been answered here. A
    /// stream that is not known must never go on.
    #[must_use]
    pub fn holds(&self, stream: StreamId) -> bool {
        !matches!(
            self.streams.get(&stream).map(|exchange| &exchange.stage),
            Some(Stage::Running(_) | Stage::Passing(_))
        )
    }

    /// Whether the host must be kept from going on behind the head: as [`Gate::holds`], but where the
    /// host must not wait for a body with the head in its hands, the body alone holds nothing.
    #[must_use]
    pub fn holds_head(&self, stream: StreamId) -> bool {
        match self.streams.get(&stream).map(|exchange| &exchange.stage) {
            Some(Stage::Open(open)) => {
                let only_body = matches!(open.body, Body::Coming(_)) && open.waits_for.is_none();
                self.host.holds_for_body || !only_body
            }
            _ => self.holds(stream),
        }
    }

    /// Whether the response body is to be shown to the machine.
    #[must_use]
    pub fn reads_response(&self, stream: StreamId) -> bool {
        match self.streams.get(&stream) {
            Some(Exchange { stage: Stage::Running(running), .. }) => running.answer.may_change(),
            _ => false,
        }
    }

    /// Streams that are open now; for tests of leaks.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    fn stage(&mut self, stream: StreamId) -> Option<&mut Stage> {
        self.streams.get_mut(&stream).map(|exchange| &mut exchange.stage)
    }

    fn request_headers(
        &mut self,
        stream: StreamId,
        (headers, address, end): (&Headers, Option<IpAddr>, bool),
        now: Now,
        memory: &mut dyn SharedMemory,
    ) {
        // A host that reuses ids has ended the old stream without telling us.
        self.end(stream, now, memory);
        self.look_after_unless_timed(now, memory);
        let request = self.new_request_id();
        match Exchange::begin(request, (headers, address), &self.config, &self.host, now) {
            Ok(exchange) => {
                self.streams.insert(stream, exchange);
                // An empty body is read like any other, and found not to be JSON.
                let most = self.config.body_bytes;
                if Open::head_is_all(headers, end, self.host.body_end)
                    && let Some(Stage::Open(open)) = self.stage(stream)
                {
                    open.body_complete(&[], most);
                }
                let betas = match self.stage(stream) {
                    Some(Stage::Open(open)) => open.betas_on_their_way(),
                    _ => Betas::Removed,
                };
                self.strip(stream, headers, betas);
                self.advance(stream, now, memory);
                self.let_head_go(stream, headers, now);
            }
            Err(refused) => {
                let (exchange, refusal) = *refused;
                self.streams.insert(stream, exchange);
                let in_shadow = self.streams.get(&stream).is_some_and(|one| one.in_shadow);
                let betas = if in_shadow { Betas::Pass } else { Betas::Removed };
                self.strip(stream, headers, betas);
                self.refuse(stream, None, &refusal, now);
            }
        }
    }

    /// Removes what neither the upstream nor the proxy's access log must see, before the request
    /// waits for anything: on a host that lets a paused request slip, it slips without a credential.
    fn strip(&mut self, stream: StreamId, headers: &Headers, betas: Betas) {
        let path = headers.iter().find(|(name, _)| name == b":path");
        let path = path.filter(|_| self.host.writes_paths);
        if let Some(path) = path.and_then(|(_, path)| url_query::without_credentials(path)) {
            let value = String::from_utf8_lossy(&path).into_owned();
            let name = ":path".to_owned();
            self.outputs.push_back(Output::SetRequestHeader { stream, name, value });
        }
        for name in not_for_upstream(headers, betas) {
            self.outputs.push_back(Output::RemoveRequestHeader { stream, name });
        }
    }

    fn new_request_id(&mut self) -> RequestId {
        self.next_request += 1;
        let text = format!("req_{:016x}{:08x}", self.vm, self.next_request);
        // 28 or a few more characters of hexadecimal: always an id.
        RequestId::new(text).unwrap_or_else(|_| unreachable_id())
    }

    /// Answers instead of the upstream.
    fn reply(&mut self, stream: StreamId, refusal: &Refusal) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        exchange.stage = Stage::Answered;
        exchange.notes.decision = Some(Decision::refused(refusal.code()));
        exchange.notes.in_shadow = false;
        let reply = refusal.reply(exchange.voice, exchange.request.as_str());
        self.outputs.push_back(Output::Reply { stream, reply });
    }

    fn end(&mut self, stream: StreamId, now: Now, memory: &mut dyn SharedMemory) {
        let Some(mut exchange) = self.streams.remove(&stream) else { return };
        self.count_decision(&mut exchange.notes);
        match exchange.stage {
            Stage::Answered | Stage::Passing(_) => {
                self.log_fields(stream, &exchange.request, &exchange.notes, None)
            }
            Stage::Open(open) => {
                self.log_fields(stream, &exchange.request, &exchange.notes, None);
                self.abandon(&open, now);
            }
            Stage::Running(running) => {
                let sequence = self.outbox.next_sequence();
                let left = crate::exchange::depart(&running, exchange.request, sequence, now);
                let record = &left.record;
                self.count_call(&running, record);
                self.log_fields(stream, &record.request, &exchange.notes, Some(record));
                if left.record.basis == Basis::Refunded
                    && let Some(once) = running.once
                {
                    repetition::forget(memory, once);
                }
                let reporter = self.reporter();
                if self.reports() {
                    self.outbox.record(reporter, left.record);
                }
                if let Some((lease, draw)) = &running.drawn {
                    let (key, at) = (&running.policy.key, now.monotonic_ms);
                    let said = self.pool.end(key, lease, *draw, left.cost, at);
                    self.say(said);
                }
                self.leave_windows(
                    Unfinished {
                        groups: running.groups,
                        call: running.window_call,
                        used_tokens: left.used_tokens,
                    },
                    now,
                    memory,
                );
            }
        }
        if self.meters.is_overdue(now.monotonic_ms) {
            self.tell_meters(now);
        }
    }

    fn reporter(&self) -> Option<Reporter> {
        self.link.session.as_ref().map(|session| (session.holder.clone(), session.epoch))
    }

    /// Has the server told what is to be said of leases.
    fn say(&mut self, said: impl IntoIterator<Item = Said>) {
        for said in said {
            let reporter = self.reporter();
            self.outbox.lease(reporter, said);
        }
    }

    fn leave_windows(&mut self, call: Unfinished, now: Now, memory: &mut dyn SharedMemory) {
        let Unfinished { groups, call, used_tokens } = call;
        let groups = windows::finish(memory, groups, call, used_tokens, now.monotonic_ms);
        if !groups.is_empty() {
            if self.unfinished.len() >= MOST_UNFINISHED {
                self.unfinished.pop_front();
            }
            self.unfinished.push_back(Unfinished { groups, call, used_tokens });
        }
    }
}

/// Only for a text that cannot be an id, which the formats here never are.
fn unreachable_id() -> RequestId {
    RequestId::new("req_0").unwrap_or_else(|_| unreachable_id())
}
