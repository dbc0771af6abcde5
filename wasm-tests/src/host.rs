//! The proxy process: time, shared data, clusters, environment, and what the VMs left behind.

use std::cell::RefCell;
use std::rc::Rc;

use crate::callout::{Answer, CallId, CallOut, CallReply, Server};
use crate::error::HostError;
use crate::faults::{Effect, FaultHandle, Race};
use crate::host_state::{Clock, HostState, LogLine, SeededRandom, SharedHostState};
use crate::profile::Profile;
use crate::shared_data::SharedData;
use crate::status::Status;
use crate::trace::{Meter, Trace};
use crate::violation::{Violation, ViolationKind};
use crate::vm::VmInner;

/// Rounds of delivering replies at one moment before the host gives up: a reply that leads to a
/// call that is answered at once, for ever, is a storm and must be seen as one.
const MAX_SETTLE_ROUNDS: usize = 20_000;

/// Ticks and replies that one `advance` may deliver.
const MAX_TIMED_EVENTS: usize = 2_000_000;

const NS_PER_MS: u64 = 1_000_000;

/// One simulated proxy process. Cloning gives another handle to the same process.
#[derive(Clone)]
pub struct Host {
    pub(crate) state: SharedHostState,
}

impl Host {
    /// A proxy without clusters, environment or VMs, at a fixed virtual time.
    pub fn new(profile: Profile) -> Self {
        Self { state: Rc::new(RefCell::new(HostState::new(profile))) }
    }

    /// Adds a cluster that call-outs may name.
    pub fn add_cluster(&self, name: &str) {
        self.state.borrow_mut().clusters.insert(name.to_owned());
    }

    /// Takes a cluster away: calls to it are refused synchronously, as while it warms up.
    pub fn remove_cluster(&self, name: &str) {
        self.state.borrow_mut().clusters.remove(name);
    }

    /// Sets an environment variable that guests can read.
    pub fn set_environment(&self, name: &str, value: &str) {
        let mut state = self.state.borrow_mut();
        state.environment.retain(|(known, _)| known != name);
        state.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a property that every later stream has, by its path segments.
    pub fn set_property(&self, path: &[&str], value: impl AsRef<[u8]>) {
        let key = path.join("\0").into_bytes();
        self.state.borrow_mut().properties.insert(key, value.as_ref().to_vec());
    }

    /// Starts the random numbers of guests from another seed.
    pub fn seed(&self, seed: u64) {
        self.state.borrow_mut().random = SeededRandom(seed);
    }

    /// Lets `server` answer call-outs from now on.
    pub fn serve(&self, server: impl Server + 'static) {
        self.state.borrow_mut().server = Some(Box::new(server));
    }

    /// Nobody answers call-outs any more; pending ones stay pending.
    pub fn stop_serving(&self) {
        self.state.borrow_mut().server = None;
    }

    /// Whether replies are delivered by themselves after every step. When not, only
    /// [`settle`](Self::settle) and [`advance_ms`](Self::advance_ms) deliver.
    pub fn set_auto_settle(&self, on: bool) {
        self.state.borrow_mut().auto_settle = on;
    }

    /// Sets the fuel that one entry into a VM may use before it traps.
    pub fn set_fuel_per_entry(&self, fuel: u64) {
        self.state.borrow_mut().fuel_per_entry = fuel;
    }

    /// Monotonic time in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.state.borrow().clock.monotonic_ns
    }

    /// Wall time in nanoseconds since the Unix epoch.
    pub fn wall_ns(&self) -> u64 {
        self.state.borrow().clock.wall_ns
    }

    /// Makes wall time jump, forwards or backwards. Monotonic time does not notice.
    pub fn set_wall_ns(&self, wall_ns: u64) {
        self.state.borrow_mut().clock.wall_ns = wall_ns;
    }

    /// Puts both clocks at a moment of their own, forwards or backwards, as between two lives of a
    /// machine. Nothing happens meanwhile: no tick, no reply, no timeout.
    pub fn set_clocks_ns(&self, monotonic_ns: u64, wall_ns: u64) {
        self.state.borrow_mut().clock = Clock { monotonic_ns, wall_ns };
    }

    /// Makes the next call of the import `call` answer `status`.
    pub fn fail_next(&self, call: &str, status: Status) -> FaultHandle {
        self.fault(call, 0, 1, Effect::Return(status))
    }

    /// Applies `effect` to `times` calls of the import `call`, after `skip` calls that pass.
    pub fn fault(&self, call: &str, skip: u64, times: u64, effect: Effect) -> FaultHandle {
        self.state.borrow_mut().faults.add(call, skip, times, effect)
    }

    /// Lets another VM get in between: `race` changes shared data right before a call of the
    /// import `call` does its work.
    pub fn race(&self, call: &str, skip: u64, times: u64, race: Race) -> FaultHandle {
        self.fault(call, skip, times, Effect::Race(race))
    }

    /// Ends all scripted faults.
    pub fn clear_faults(&self) {
        self.state.borrow_mut().faults.clear();
    }

    /// Looks at, or changes, shared data.
    pub fn shared<R>(&self, look: impl FnOnce(&mut SharedData) -> R) -> R {
        look(&mut self.state.borrow_mut().shared)
    }

    /// Looks at, or changes, the trace.
    pub fn trace<R>(&self, look: impl FnOnce(&mut Trace) -> R) -> R {
        look(&mut self.state.borrow_mut().trace)
    }

    /// What was spent since the last [`reset_meter`](Self::reset_meter).
    pub fn meter(&self) -> Meter {
        self.state.borrow().meter.clone()
    }

    /// Starts the meter anew.
    pub fn reset_meter(&self) {
        self.state.borrow_mut().meter = Meter::default();
    }

    /// Everything that guests logged.
    pub fn logs(&self) -> Vec<LogLine> {
        self.state.borrow().logs.clone()
    }

    /// Forgets what was logged.
    pub fn clear_logs(&self) {
        self.state.borrow_mut().logs.clear();
    }

    /// Everything that a real proxy would not bear.
    pub fn violations(&self) -> Vec<Violation> {
        self.state.borrow().violations.clone()
    }

    /// The violations that are not of the given kinds.
    pub fn violations_except(&self, kinds: &[ViolationKind]) -> Vec<Violation> {
        let state = self.state.borrow();
        state.violations.iter().filter(|v| !kinds.contains(&v.kind)).cloned().collect()
    }

    /// The value of a counter or gauge, if a guest defined it.
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.state.borrow().metrics.value(name)
    }

    /// The samples of a histogram, in order.
    pub fn samples(&self, name: &str) -> Vec<u64> {
        self.state.borrow().metrics.samples(name).to_vec()
    }

    /// The names of all defined metrics.
    pub fn metric_names(&self) -> Vec<String> {
        self.state.borrow().metrics.names()
    }

    /// Call-outs made so far, answered or not.
    pub fn calls_made(&self) -> u64 {
        self.state.borrow().calls_made
    }

    /// Call-outs without an answer yet, oldest first.
    pub fn pending_calls(&self) -> Vec<CallOut> {
        let state = self.state.borrow();
        let open = state.calls.values().filter(|pending| pending.arriving.is_none());
        open.map(|pending| pending.call.clone()).collect()
    }

    /// Answers a pending call-out now.
    pub fn answer_call(&self, id: CallId, reply: CallReply) -> Result<(), HostError> {
        {
            let mut state = self.state.borrow_mut();
            let now_ns = state.clock.monotonic_ns;
            let pending = state.calls.get_mut(&id).ok_or(HostError::UnknownCall(id.0))?;
            pending.arriving = Some((now_ns, reply));
        }
        self.deliver(id)?;
        self.settle_if_automatic()
    }

    /// Breaks the connection of a pending call-out: the filter is called back with no headers.
    pub fn fail_call(&self, id: CallId) -> Result<(), HostError> {
        self.answer_call(id, CallReply::reset())
    }

    /// Answers every pending call-out with the same reply; new ones it leads to stay pending
    /// unless a server is attached. Returns how many were answered.
    pub fn answer_all(&self, reply: &CallReply) -> Result<usize, HostError> {
        let pending = self.pending_calls();
        for call in &pending {
            self.answer_call(call.id, reply.clone())?;
        }
        Ok(pending.len())
    }

    /// Delivers everything that is due now: replies, and messages in queues.
    pub fn settle(&self) -> Result<(), HostError> {
        for _ in 0..MAX_SETTLE_ROUNDS {
            self.ask_server();
            let next = {
                let state = self.state.borrow();
                let now_ns = state.clock.monotonic_ns;
                let due = state.calls.values().filter_map(|pending| {
                    let at = pending.next_event_ns().filter(|at| *at <= now_ns)?;
                    Some((at, pending.call.id))
                });
                due.min()
            };
            let queued = self.state.borrow_mut().queues.next_ready();
            match (next, queued) {
                (None, None) => return Ok(()),
                (call, queue) => {
                    if let Some((token, vm, root)) = queue
                        && let Some(vm) = self.vm(vm)
                    {
                        vm.queue_ready(root, token)?;
                    }
                    if let Some((_, id)) = call {
                        self.deliver(id)?;
                    }
                }
            }
        }
        Err(HostError::Unsettled(MAX_SETTLE_ROUNDS))
    }

    /// Lets `ms` milliseconds pass. Ticks, replies and timeouts happen at their own moments.
    pub fn advance_ms(&self, ms: u64) -> Result<(), HostError> {
        let until_ns = self.now_ns() + ms * NS_PER_MS;
        self.settle()?;
        for _ in 0..MAX_TIMED_EVENTS {
            let Some(at_ns) = self.next_event_ns().filter(|at| *at <= until_ns) else {
                self.state.borrow_mut().advance_to(until_ns);
                return self.settle();
            };
            self.state.borrow_mut().advance_to(at_ns);
            for vm in self.vms() {
                vm.tick_if_due(at_ns)?;
            }
            self.settle()?;
        }
        Err(HostError::Unsettled(MAX_TIMED_EVENTS))
    }

    pub(crate) fn settle_if_automatic(&self) -> Result<(), HostError> {
        if self.state.borrow().auto_settle { self.settle() } else { Ok(()) }
    }

    /// The next tick, reply or timeout, if there is any.
    fn next_event_ns(&self) -> Option<u64> {
        let ticks = self.vms().into_iter().filter_map(|vm| vm.next_tick_ns()).min();
        let state = self.state.borrow();
        let calls = state.calls.values().filter_map(|pending| pending.next_event_ns()).min();
        let now_ns = state.clock.monotonic_ns;
        let server = state.server.as_ref();
        let open = state.calls.values().filter(|pending| pending.arriving.is_none());
        let looks = open.filter_map(|pending| server?.next_event_ns(&pending.call));
        let looks = looks.filter(|at_ns| *at_ns > now_ns).min();
        ticks.into_iter().chain(calls).chain(looks).min()
    }

    fn ask_server(&self) {
        // The server is taken out while it works: it may hold a handle to this very host.
        let Some(mut server) = self.state.borrow_mut().server.take() else {
            return;
        };
        let now_ns = self.now_ns();
        for call in self.pending_calls() {
            let at_ns = match server.answer(&call, now_ns) {
                Answer::Later => continue,
                Answer::Now(reply) => (now_ns, reply),
                Answer::After(ms, reply) => (now_ns + ms * NS_PER_MS, reply),
            };
            if let Some(pending) = self.state.borrow_mut().calls.get_mut(&call.id) {
                pending.arriving = Some(at_ns);
            }
        }
        let mut state = self.state.borrow_mut();
        if state.server.is_none() {
            state.server = Some(server);
        }
    }

    /// Calls the guest back for a call whose reply or timeout is due.
    fn deliver(&self, id: CallId) -> Result<(), HostError> {
        let (call, reply) = {
            let mut state = self.state.borrow_mut();
            let Some(pending) = state.calls.remove(&id) else {
                return Ok(());
            };
            let deadline_ns = pending.deadline_ns();
            let in_time =
                pending.arriving.filter(|(at, _)| deadline_ns.is_none_or(|end| *at < end));
            let reply = match in_time {
                Some((_, reply)) => reply,
                None => {
                    if let Some(server) = state.server.as_mut() {
                        server.abandoned(id);
                    }
                    if state.profile.is_nginx() {
                        CallReply::reset()
                    } else {
                        CallReply::timed_out()
                    }
                }
            };
            (pending.call, reply)
        };
        match self.vm(call.vm) {
            Some(vm) => vm.call_reply(&call, reply),
            None => Ok(()),
        }
    }

    fn vm(&self, index: usize) -> Option<Rc<VmInner>> {
        self.state.borrow().vms.get(index).and_then(std::rc::Weak::upgrade)
    }

    fn vms(&self) -> Vec<Rc<VmInner>> {
        self.state.borrow().vms.iter().filter_map(std::rc::Weak::upgrade).collect()
    }
}
