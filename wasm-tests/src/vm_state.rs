//! What one VM's host calls work on: its contexts, and what they asked for during a callback.

use std::collections::BTreeMap;

use wasmtime::{Memory, TypedFunc};

use crate::callout::CallReply;
use crate::host_state::SharedHostState;
use crate::metrics::MetricKind;
use crate::profile::Carriage;
use crate::stream::{LocalReply, Side, Stream};
use crate::trace::Phase;
use crate::violation::ViolationKind;

/// Records of streams whose id belongs to another stream by now are kept under numbers from here.
const ARCHIVE: u32 = 1 << 31;

/// A root context.
#[derive(Debug, Default)]
pub(crate) struct Root {
    /// Milliseconds between ticks; 0 means none.
    pub(crate) tick_period_ms: u64,
    /// Monotonic time of the next tick.
    pub(crate) next_tick_ns: Option<u64>,
    /// `proxy_on_done` answered false: deletion waits for `proxy_done`.
    pub(crate) done_pending: bool,
    pub(crate) deleted: bool,
}

/// What a host call asked for that happens once the guest has returned.
#[derive(Debug)]
pub(crate) enum Deferred {
    Continue(u32, Side),
    Close(u32),
    Reply(u32, LocalReply),
    DeleteRoot(u32),
}

/// Counters of the callback that is running.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EntryCounters {
    pub(crate) host_calls: u64,
    pub(crate) allocations: u64,
}

pub(crate) struct VmState {
    pub(crate) host: SharedHostState,
    pub(crate) index: usize,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    pub(crate) roots: BTreeMap<u32, Root>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    pub(crate) next_context: u32,
    /// Ids of streams that are gone, where the proxy uses them again.
    pub(crate) free_contexts: Vec<u32>,
    /// The root context that new streams belong to.
    pub(crate) newest_root: u32,
    pub(crate) current: u32,
    pub(crate) effective: u32,
    pub(crate) deferred: Vec<Deferred>,
    /// A local reply was asked for: the callback's own answer no longer counts.
    pub(crate) stop_next: bool,
    /// The reply that the guest is being called back with, and the root it belongs to.
    pub(crate) reply: Option<(u32, CallReply)>,
    /// The plugin configuration, on most proxies readable only while `on_configure` runs.
    pub(crate) configuring: Option<Vec<u8>>,
    /// The last plugin configuration.
    pub(crate) configuration: Vec<u8>,
    /// The configuration that the first request will bring, where the proxy waits for one.
    pub(crate) unconfigured: Option<Vec<u8>>,
    /// The stream that an answer in the root context is about, on proxies where host calls act on
    /// it without being told.
    pub(crate) acting: Option<u32>,
    /// The callback that is running.
    pub(crate) phase: Option<Phase>,
    /// What the last request body of this worker left behind, on proxies that keep it.
    pub(crate) stale_body: Vec<u8>,
    archived: u32,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) names: PluginNames,
    pub(crate) entry: EntryCounters,
    pub(crate) last_call_token: u32,
    pub(crate) metrics: BTreeMap<u32, (MetricKind, String)>,
}

/// The names that a proxy's configuration gives to a plugin.
#[derive(Clone, Debug)]
pub struct PluginNames {
    /// `plugin_name`
    pub plugin: String,
    /// `plugin_root_id`
    pub root_id: String,
    /// `plugin_vm_id`
    pub vm_id: String,
}

impl Default for PluginNames {
    fn default() -> Self {
        let name = || "tollgate".to_owned();
        Self { plugin: name(), root_id: name(), vm_id: name() }
    }
}

impl VmState {
    pub(crate) fn new(
        host: SharedHostState,
        index: usize,
        vm_configuration: Vec<u8>,
        names: PluginNames,
    ) -> Self {
        Self {
            host,
            index,
            memory: None,
            allocate: None,
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_context: 1,
            free_contexts: Vec::new(),
            newest_root: 0,
            current: 0,
            effective: 0,
            deferred: Vec::new(),
            stop_next: false,
            reply: None,
            configuring: None,
            configuration: Vec::new(),
            unconfigured: None,
            acting: None,
            phase: None,
            stale_body: Vec::new(),
            archived: 0,
            vm_configuration,
            names,
            entry: EntryCounters::default(),
            last_call_token: 0,
            metrics: BTreeMap::new(),
        }
    }

    /// Whether the guest may name this context.
    pub(crate) fn knows(&self, context: u32) -> bool {
        self.roots.get(&context).is_some_and(|root| !root.deleted)
            || self.streams.get(&context).is_some_and(|stream| !stream.deleted)
    }

    /// How messages pass the filter on this proxy.
    pub(crate) fn carriage(&self) -> Carriage {
        self.host.borrow().profile.carriage
    }

    /// The context that a host call acts on: the effective one if it still exists, else the one
    /// that was entered.
    pub(crate) fn context(&self) -> u32 {
        if let Some(stream) = self.acting {
            stream
        } else if self.effective != 0 && self.knows(self.effective) {
            self.effective
        } else {
            self.current
        }
    }

    /// The root context that a context belongs to.
    pub(crate) fn root_of(&self, context: u32) -> u32 {
        self.streams.get(&context).map_or(context, |stream| stream.root)
    }

    /// The stream that a host call acts on, if it acts on one.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.context())
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        let context = self.context();
        self.streams.get_mut(&context)
    }

    pub(crate) fn violation(&self, kind: ViolationKind, detail: impl Into<String>) {
        self.host.borrow_mut().violation(self.index, self.context(), kind, detail);
    }

    /// Forgets the record of a stream that is over.
    pub(crate) fn forget_stream(&mut self, id: u32) {
        let reuses = self.host.borrow().profile.reuses_context_ids;
        if self.streams.remove(&id).is_some() && reuses && id < ARCHIVE {
            self.free_contexts.push(id);
        }
    }

    pub(crate) fn allocate_context(&mut self) -> u32 {
        if let Some(id) = self.free_contexts.pop() {
            return id;
        }
        if self.host.borrow().profile.reuses_context_ids
            && let Some(id) = self.archive_one()
        {
            return id;
        }
        let id = self.next_context;
        self.next_context += 1;
        id
    }

    /// Puts the record of a stream that is over aside, so that its id is free.
    fn archive_one(&mut self) -> Option<u32> {
        let mut over = self.streams.range(..ARCHIVE).filter(|(_, stream)| stream.deleted);
        let id = *over.next()?.0;
        let record = self.streams.remove(&id)?;
        let archived = ARCHIVE + self.archived;
        self.archived += 1;
        record.handle.set(archived);
        self.streams.insert(archived, record);
        Some(id)
    }
}
