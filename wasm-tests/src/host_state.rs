//! What all VMs of one simulated proxy share.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use crate::callout::{CallId, CallOut, PendingCall, Server};
use crate::faults::FaultScript;
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::shared_data::{SharedData, SharedQueues};
use crate::trace::{Meter, Trace};
use crate::violation::{Violation, ViolationKind};
use crate::vm::VmInner;
use crate::vm_core::DEFAULT_FUEL_PER_ENTRY;

/// Log lines kept; what is beyond is counted only.
const MAX_LOG_LINES: usize = 50_000;

/// Violations kept: one is a finding, a thousand are the same finding.
const MAX_VIOLATIONS: usize = 1_000;

/// Lines that an error quotes from the end of the log.
const QUOTED_LOG_LINES: usize = 5;

/// 2026-01-01T00:00:00Z in nanoseconds: where virtual wall time starts.
const WALL_START_NS: u64 = 1_767_225_600_000_000_000;

/// Where virtual monotonic time starts: an hour of uptime, so that "now − window" never wraps by
/// accident of the test.
const MONOTONIC_START_NS: u64 = 3_600_000_000_000;

/// A line that a guest logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which VM.
    pub vm: usize,
    /// The context that was active.
    pub context: u32,
    /// 0 trace … 5 critical.
    pub level: u32,
    /// The message, with replacement characters where it is not UTF-8.
    pub message: String,
}

/// Virtual time. Both clocks move together unless a test makes wall time jump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) monotonic_ns: u64,
    pub(crate) wall_ns: u64,
}

/// SplitMix64: enough for nonces and jitter, and the same everywhere.
#[derive(Debug)]
pub(crate) struct SeededRandom(pub(crate) u64);

impl SeededRandom {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}

pub(crate) struct HostState {
    pub(crate) profile: Profile,
    pub(crate) clock: Clock,
    pub(crate) random: SeededRandom,
    pub(crate) shared: SharedData,
    pub(crate) queues: SharedQueues,
    pub(crate) clusters: BTreeSet<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) metrics: Metrics,
    pub(crate) faults: FaultScript,
    pub(crate) trace: Trace,
    pub(crate) meter: Meter,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) calls: BTreeMap<CallId, PendingCall>,
    pub(crate) calls_made: u64,
    pub(crate) server: Option<Box<dyn Server>>,
    pub(crate) auto_settle: bool,
    pub(crate) fuel_per_entry: u64,
    pub(crate) vms: Vec<Weak<VmInner>>,
}

pub(crate) type SharedHostState = Rc<RefCell<HostState>>;

impl HostState {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            clock: Clock { monotonic_ns: MONOTONIC_START_NS, wall_ns: WALL_START_NS },
            random: SeededRandom(1),
            shared: SharedData::default(),
            queues: SharedQueues::default(),
            clusters: BTreeSet::new(),
            environment: Vec::new(),
            properties: BTreeMap::new(),
            metrics: Metrics::default(),
            faults: FaultScript::default(),
            trace: Trace::default(),
            meter: Meter::default(),
            logs: Vec::new(),
            violations: Vec::new(),
            calls: BTreeMap::new(),
            calls_made: 0,
            server: None,
            auto_settle: true,
            fuel_per_entry: DEFAULT_FUEL_PER_ENTRY,
            vms: Vec::new(),
        }
    }

    pub(crate) fn advance_to(&mut self, monotonic_ns: u64) {
        let step = monotonic_ns.saturating_sub(self.clock.monotonic_ns);
        self.clock.monotonic_ns += step;
        self.clock.wall_ns += step;
    }

    pub(crate) fn log(&mut self, line: LogLine) {
        if self.logs.len() < MAX_LOG_LINES {
            self.logs.push(line);
        }
    }

    pub(crate) fn last_log_lines(&self) -> Vec<String> {
        let from = self.logs.len().saturating_sub(QUOTED_LOG_LINES);
        self.logs[from..].iter().map(|line| line.message.clone()).collect()
    }

    pub(crate) fn violation(
        &mut self,
        vm: usize,
        context: u32,
        kind: ViolationKind,
        detail: impl Into<String>,
    ) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { vm, context, kind, detail: detail.into() });
        }
    }

    /// Forgets the calls that one stream of a VM has made, and tells the server.
    pub(crate) fn drop_calls_of_stream(&mut self, vm: usize, stream: u32) {
        let of_stream = |call: &CallOut| call.vm == vm && call.context == stream;
        self.drop_calls_that(of_stream);
    }

    /// Forgets the calls of a VM, or of one root context of it, and tells the server.
    pub(crate) fn drop_calls(&mut self, vm: usize, root: Option<u32>) {
        self.drop_calls_that(|call| call.vm == vm && root.is_none_or(|root| call.root == root));
    }

    fn drop_calls_that(&mut self, is_gone: impl Fn(&CallOut) -> bool) {
        let calls = self.calls.values().map(|pending| &pending.call);
        let gone: Vec<CallId> = calls.filter(|call| is_gone(call)).map(|call| call.id).collect();
        for id in gone {
            self.calls.remove(&id);
            if let Some(server) = self.server.as_mut() {
                server.abandoned(id);
            }
        }
    }
}
