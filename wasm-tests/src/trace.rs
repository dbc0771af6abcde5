//! What happened, in order, and what it cost.
//!
//! The record is for snapshots and for reading a failure; the meter is for ceilings. Both are
//! deterministic: the same script gives the same record and the same fuel.

use std::collections::BTreeMap;
use std::fmt;

/// Events kept before recording stops: enough for any single test, small enough that a load loop
/// that forgot to lower the level does not eat the machine.
const MAX_EVENTS: usize = 200_000;

/// The callback that a VM is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each variant is the callback of the same name
pub enum Phase {
    Initialize,
    ContextCreate,
    VmStart,
    Configure,
    Tick,
    QueueReady,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    CallReply,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Log,
    Done,
    Delete,
}

impl Phase {
    /// The name used in traces, tables and ceiling files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::ContextCreate => "context_create",
            Self::VmStart => "vm_start",
            Self::Configure => "configure",
            Self::Tick => "tick",
            Self::QueueReady => "queue_ready",
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::RequestTrailers => "request_trailers",
            Self::CallReply => "call_reply",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::ResponseTrailers => "response_trailers",
            Self::Log => "log",
            Self::Done => "done",
            Self::Delete => "delete",
        }
    }
}

/// How much is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceLevel {
    /// Nothing; the meter still counts.
    Off,
    /// Callbacks only.
    Callbacks,
    /// Callbacks and host calls.
    HostCalls,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The host called into a VM.
    Entered {
        /// Which VM, counted from 0.
        vm: usize,
        /// The context id that the callback is for.
        context: u32,
        /// Which callback.
        phase: Phase,
        /// Its further arguments.
        arguments: Vec<u32>,
    },
    /// The guest called the host.
    HostCall {
        /// Which VM.
        vm: usize,
        /// The context that the call acts on.
        context: u32,
        /// The import's name.
        name: &'static str,
        /// What it was about, for a reader.
        detail: String,
        /// The returned number.
        status: i32,
    },
    /// The callback returned.
    Returned {
        /// Which VM.
        vm: usize,
        /// Which callback.
        phase: Phase,
        /// The returned value, where the callback has one.
        value: Option<u32>,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entered { vm, context, phase, arguments } => {
                write!(f, "vm{vm} ctx{context} > {}{arguments:?}", phase.name())
            }
            Self::HostCall { vm, context, name, detail, status } => {
                write!(f, "vm{vm} ctx{context}   {name}({detail}) = {status}")
            }
            Self::Returned { vm, phase, value } => match value {
                Some(value) => write!(f, "vm{vm} < {} = {value}", phase.name()),
                None => write!(f, "vm{vm} < {}", phase.name()),
            },
        }
    }
}

/// The ordered record of one host.
#[derive(Debug)]
pub struct Trace {
    level: TraceLevel,
    events: Vec<Event>,
    dropped: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { level: TraceLevel::HostCalls, events: Vec::new(), dropped: 0 }
    }
}

impl Trace {
    /// Changes how much is recorded from now on.
    pub fn set_level(&mut self, level: TraceLevel) {
        self.level = level;
    }

    pub(crate) fn records_host_calls(&self) -> bool {
        self.level >= TraceLevel::HostCalls
    }

    pub(crate) fn push(&mut self, event: Event) {
        let needed = match event {
            Event::HostCall { .. } => TraceLevel::HostCalls,
            _ => TraceLevel::Callbacks,
        };
        if self.level < needed {
            return;
        }
        if self.events.len() >= MAX_EVENTS {
            self.dropped += 1;
            return;
        }
        self.events.push(event);
    }

    /// Forgets what was recorded so far.
    pub fn clear(&mut self) {
        self.events.clear();
        self.dropped = 0;
    }

    /// All events in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Events that were not kept because the record was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How often the import `name` was called.
    pub fn host_calls(&self, name: &str) -> usize {
        let is_call =
            |event: &&Event| matches!(event, Event::HostCall { name: n, .. } if *n == name);
        self.events.iter().filter(is_call).count()
    }

    /// The callbacks that were made, in order.
    pub fn phases(&self) -> Vec<Phase> {
        let phase = |event: &Event| match event {
            Event::Entered { phase, .. } => Some(*phase),
            _ => None,
        };
        self.events.iter().filter_map(phase).collect()
    }

    /// One line per event, for snapshots.
    pub fn render(&self) -> String {
        self.events.iter().map(|event| format!("{event}\n")).collect()
    }
}

/// What callbacks of one kind cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Callbacks made.
    pub callbacks: u64,
    /// Entries into the VM: callbacks, and allocations that the host asked for to return data.
    pub vm_entries: u64,
    /// Host calls made by the guest.
    pub host_calls: u64,
    /// Wasm fuel: about one unit per instruction.
    pub fuel: u64,
}

impl Cost {
    pub(crate) fn add(&mut self, other: Self) {
        self.callbacks += other.callbacks;
        self.vm_entries += other.vm_entries;
        self.host_calls += other.host_calls;
        self.fuel += other.fuel;
    }
}

/// Costs by callback, since the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    costs: BTreeMap<Phase, Cost>,
}

impl Meter {
    pub(crate) fn add(&mut self, phase: Phase, cost: Cost) {
        self.costs.entry(phase).or_default().add(cost);
    }

    /// The cost of one kind of callback; zero if it was never made.
    pub fn of(&self, phase: Phase) -> Cost {
        self.costs.get(&phase).copied().unwrap_or_default()
    }

    /// The cost of several kinds of callback together.
    pub fn of_all(&self, phases: &[Phase]) -> Cost {
        let mut sum = Cost::default();
        for phase in phases {
            sum.add(self.of(*phase));
        }
        sum
    }

    /// The cost of everything.
    pub fn total(&self) -> Cost {
        let mut sum = Cost::default();
        for cost in self.costs.values() {
            sum.add(*cost);
        }
        sum
    }

    /// Every kind of callback that was made, in the order of a request.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, Cost)> + '_ {
        self.costs.iter().map(|(phase, cost)| (*phase, *cost))
    }
}
