//! One worker's instance of a module.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use wasmtime::{Linker, Store};

use crate::abi;
use crate::callout::{CallOut, CallReply};
use crate::error::HostError;
use crate::exchange::{Exchange, RequestScript};
use crate::headers::HeaderMap;
use crate::host::Host;
use crate::module::WasmModule;
use crate::profile::{Carriage, Recovery};
use crate::stream::Stream;
use crate::trace::Phase;
use crate::vm_core::{Core, EXPORTS};
use crate::vm_state::{PluginNames, Root, VmState};

const NS_PER_MS: u64 = 1_000_000;

/// Bytes of one wasm page.
const PAGE_BYTES: u64 = 65_536;

/// How to start a VM.
#[derive(Clone, Debug, Default)]
pub struct VmOptions {
    /// The plugin configuration, as `on_configure` reads it.
    pub configuration: Vec<u8>,
    /// The VM configuration.
    pub vm_configuration: Vec<u8>,
    /// The plugin's names.
    pub names: PluginNames,
}

impl VmOptions {
    /// Options with a plugin configuration and the default names.
    pub fn with_configuration(configuration: impl AsRef<[u8]>) -> Self {
        Self { configuration: configuration.as_ref().to_vec(), ..Self::default() }
    }
}

/// One VM: its own memory, its own contexts. Cloning gives another handle to the same VM; the
/// last handle's end is the worker's end.
#[derive(Clone)]
pub struct Vm {
    pub(crate) inner: Rc<VmInner>,
    pub(crate) host: Host,
}

pub(crate) struct VmInner {
    core: RefCell<Core>,
    index: usize,
    /// What it takes to build the VM anew.
    module: WasmModule,
    options: VmOptions,
    built_ns: Cell<u64>,
}

impl Vm {
    /// Loads the module into a new VM of `host` and starts and configures it.
    pub fn start(
        host: &Host,
        module: &WasmModule,
        configuration: impl AsRef<[u8]>,
    ) -> Result<Self, HostError> {
        Self::start_with(host, module, VmOptions::with_configuration(configuration))
    }

    /// The same with all options.
    pub fn start_with(
        host: &Host,
        module: &WasmModule,
        options: VmOptions,
    ) -> Result<Self, HostError> {
        let index = host.state.borrow().vms.len();
        let core = load(host, module, index, &options)?;
        let inner = Rc::new(VmInner {
            core: RefCell::new(core),
            index,
            module: module.clone(),
            options,
            built_ns: Cell::new(host.now_ns()),
        });
        host.state.borrow_mut().vms.push(Rc::downgrade(&inner));
        let vm = Self { inner, host: host.clone() };
        vm.inner.with(|core| vm.inner.begin(core, true))?;
        host.settle_if_automatic()?;
        Ok(vm)
    }

    /// Gives the VM a new configuration as Envoy does: a new root context in the same memory,
    /// which serves all later streams. The old ones stay until
    /// [`retire_old_roots`](Self::retire_old_roots). A refused configuration changes nothing.
    pub fn reconfigure(&self, configuration: impl AsRef<[u8]>) -> Result<(), HostError> {
        self.inner.with(|core| {
            if core.state().host.borrow().profile.configures_at_first_request {
                core.state_mut().unconfigured = Some(configuration.as_ref().to_vec());
                return Ok(());
            }
            start_root(core, configuration.as_ref(), false)
        })?;
        self.host.settle_if_automatic()
    }

    /// Ends all root contexts but the newest, as after the drain time. A root that answers
    /// `on_done` with false stays until it calls `proxy_done`.
    pub fn retire_old_roots(&self) -> Result<(), HostError> {
        self.inner.with(|core| {
            let newest = core.state().newest_root;
            let old = core
                .state()
                .roots
                .iter()
                .filter(|(id, root)| **id != newest && !root.deleted && !root.done_pending);
            for id in old.map(|(id, _)| *id).collect::<Vec<_>>() {
                retire_root(core, id)?;
            }
            Ok(())
        })?;
        self.host.settle_if_automatic()
    }

    /// Ends all root contexts, as at a graceful shutdown.
    pub fn shut_down(&self) -> Result<(), HostError> {
        self.inner.with(|core| {
            let live = core.state().roots.iter().filter(|(_, r)| !r.deleted && !r.done_pending);
            for id in live.map(|(id, _)| *id).collect::<Vec<_>>() {
                retire_root(core, id)?;
            }
            Ok(())
        })?;
        self.host.settle_if_automatic()
    }

    /// Ends the VM without a word, as a crash of its worker does.
    pub fn kill(&self) {
        self.inner.core.borrow_mut().kill("killed by the test");
    }

    /// Makes the tick callback of the newest root now, whatever its timer says.
    pub fn tick(&self) -> Result<(), HostError> {
        let root = self.newest_root();
        self.inner.with(|core| core.call(Phase::Tick, root, &[]).map(|_| ()))?;
        self.host.settle_if_automatic()
    }

    /// Ends the newest root context, as when its listener goes while another stays; the newest of
    /// those that are left takes its place.
    pub fn retire_newest_root(&self) -> Result<(), HostError> {
        let newest = self.newest_root();
        self.inner.with(|core| retire_root(core, newest))?;
        let left = self.live_roots().into_iter().filter(|id| *id != newest).max();
        self.inner.core.borrow_mut().state_mut().newest_root = left.unwrap_or(newest);
        self.host.settle_if_automatic()
    }

    /// Why the VM is dead, if it is.
    pub fn death(&self) -> Option<String> {
        self.inner.core.borrow().dead.clone()
    }

    /// Which VM of its host this is, counted from 0.
    pub fn index(&self) -> usize {
        self.inner.index
    }

    /// The root context that serves new streams.
    pub fn newest_root(&self) -> u32 {
        self.inner.core.borrow().state().newest_root
    }

    /// Root contexts that have not been deleted.
    pub fn live_roots(&self) -> Vec<u32> {
        let core = self.inner.core.borrow();
        core.state().roots.iter().filter(|(_, root)| !root.deleted).map(|(id, _)| *id).collect()
    }

    /// Streams that have not ended.
    pub fn live_streams(&self) -> usize {
        let core = self.inner.core.borrow();
        core.state().streams.values().filter(|stream| !stream.ended).count()
    }

    /// Size of the guest's memory, in bytes. It never shrinks.
    pub fn memory_bytes(&self) -> u64 {
        let core = self.inner.core.borrow();
        core.state().memory.map_or(0, |memory| memory.size(&core.store) * PAGE_BYTES)
    }

    /// Period of the newest root's ticks in milliseconds; 0 if it has none.
    pub fn tick_period_ms(&self) -> u64 {
        let core = self.inner.core.borrow();
        let state = core.state();
        state.roots.get(&state.newest_root).map_or(0, |root| root.tick_period_ms)
    }

    /// The other handle: the proxy that this VM is part of.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Opens a stream. Nothing has been received on it yet.
    ///
    /// On a proxy that builds a VM anew after a trap, this is where it does so.
    pub fn open(&self) -> Exchange {
        self.inner.revive_if_due(&self.host);
        let mut core = self.inner.core.borrow_mut();
        let properties = core.state().host.borrow().properties.clone();
        let state = core.state_mut();
        let id = state.allocate_context();
        let stream = Stream::new(state.newest_root, properties);
        let handle = Rc::clone(&stream.handle);
        handle.set(id);
        state.streams.insert(id, stream);
        drop(core);
        Exchange::new(self.clone(), handle)
    }

    /// Begins to describe a request; see [`RequestScript::send`].
    pub fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> RequestScript {
        RequestScript::new(self.clone(), HeaderMap::from_pairs(headers))
    }
}

impl VmInner {
    /// Configures a new VM, or leaves that to its first request.
    fn begin(&self, core: &mut Core, starts: bool) -> Result<(), HostError> {
        let configuration = &self.options.configuration;
        if core.state().host.borrow().profile.configures_at_first_request {
            core.state_mut().unconfigured = Some(configuration.clone());
            return Ok(());
        }
        start_root(core, configuration, starts)
    }

    /// Builds the VM anew if it is dead and the proxy does that. One that does not start stays
    /// dead. What became of the old one's streams can still be read.
    fn revive_if_due(&self, host: &Host) {
        let now_ns = host.now_ns();
        let not_before_ns = match host.state.borrow().profile.recovery {
            Recovery::Never => return,
            Recovery::AtNextRequest => 0,
            Recovery::NotBeforeMs(ms) => self.built_ns.get() + ms * NS_PER_MS,
        };
        if self.core.borrow().dead.is_none() || now_ns < not_before_ns {
            return;
        }
        let Ok(mut fresh) = load(host, &self.module, self.index, &self.options) else { return };
        self.built_ns.set(now_ns);
        let mut old = self.core.borrow_mut();
        let (before, after) = (old.state_mut(), fresh.state_mut());
        after.next_context = before.next_context;
        after.streams = std::mem::take(&mut before.streams);
        for stream in after.streams.values_mut() {
            (stream.failed, stream.deleted) = (true, true);
        }
        *old = fresh;
        // `ngx_wasm_module` does not start a VM that follows a dead one, only configure it.
        let starts = old.state().carriage() != Carriage::NgxWasm;
        // A refused configuration leaves it dead, as the first VM's would.
        drop(self.begin(&mut old, starts));
    }

    pub(crate) fn with<R>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        work(&mut self.core.borrow_mut())
    }

    pub(crate) fn call_reply(&self, call: &CallOut, reply: CallReply) -> Result<(), HostError> {
        self.with(|core| {
            if core.state().carriage() != Carriage::FilterManager
                && core.state().streams.contains_key(&call.context)
            {
                return core.nginx_call_answered(call, reply);
            }
            let alive = core.state().roots.get(&call.root).is_some_and(|root| !root.deleted);
            if core.dead.is_some() || !alive {
                return Ok(());
            }
            let sizes = [
                call.token,
                reply.headers.len() as u32,
                reply.body.len() as u32,
                reply.trailers.len() as u32,
            ];
            core.state_mut().reply = Some((call.root, reply));
            let outcome = core.call(Phase::CallReply, call.root, &sizes);
            core.state_mut().reply = None;
            outcome.map(|_| ())
        })
    }

    pub(crate) fn queue_ready(&self, root: u32, token: u32) -> Result<(), HostError> {
        self.with(|core| match core.dead {
            Some(_) => Ok(()),
            None => core.call(Phase::QueueReady, root, &[token]).map(|_| ()),
        })
    }

    pub(crate) fn next_tick_ns(&self) -> Option<u64> {
        let core = self.core.borrow();
        let ticks = core.state().host.borrow().profile.ticks;
        if core.dead.is_some() || !ticks {
            return None;
        }
        core.state().roots.values().filter_map(|root| root.next_tick_ns).min()
    }

    pub(crate) fn tick_if_due(&self, now_ns: u64) -> Result<(), HostError> {
        if self.next_tick_ns().is_none_or(|at_ns| at_ns > now_ns) {
            return Ok(());
        }
        self.with(|core| {
            let is_due = |root: &Root| root.next_tick_ns.is_some_and(|at_ns| at_ns <= now_ns);
            let roots = core.state().roots.iter().filter(|(_, root)| is_due(root));
            for id in roots.map(|(id, _)| *id).collect::<Vec<_>>() {
                // The timer is armed again after the callback, unless that stopped or moved it.
                if let Some(root) = core.state_mut().roots.get_mut(&id) {
                    root.next_tick_ns = None;
                }
                core.call(Phase::Tick, id, &[])?;
                if let Some(root) = core.state_mut().roots.get_mut(&id)
                    && root.tick_period_ms > 0
                    && !root.deleted
                    && root.next_tick_ns.is_none()
                {
                    root.next_tick_ns = Some(now_ns + root.tick_period_ms * NS_PER_MS);
                }
            }
            Ok(())
        })
    }
}

impl Drop for VmInner {
    fn drop(&mut self) {
        self.core.get_mut().kill("dropped");
    }
}

fn load(
    host: &Host,
    module: &WasmModule,
    index: usize,
    options: &VmOptions,
) -> Result<Core, HostError> {
    let fail = |error: wasmtime::Error| HostError::Load(format!("{error:#}"));
    let engine = module.module.engine();
    let profile = host.state.borrow().profile.clone();
    let state = VmState::new(
        host.state.clone(),
        index,
        options.vm_configuration.clone(),
        options.names.clone(),
    );
    let mut store = Store::new(engine, state);
    let mut linker = Linker::new(engine);
    abi::define_imports(&mut linker, &profile).map_err(fail)?;
    store.set_fuel(u64::MAX).map_err(fail)?;
    let instance = linker.instantiate(&mut store, &module.module).map_err(fail)?;

    let has_version = profile.abi_versions.iter().any(|version| {
        instance.get_func(&mut store, &format!("proxy_abi_version_{version}")).is_some()
    });
    if !profile.abi_versions.is_empty() && !has_version {
        return Err(HostError::Load("no proxy_abi_version_* export".to_owned()));
    }
    let memory = instance.get_memory(&mut store, "memory");
    let allocate = ["proxy_on_memory_allocate", "malloc"]
        .iter()
        .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok());
    let mut callbacks = BTreeMap::new();
    for (name, phase) in EXPORTS {
        if let Some(function) = instance.get_func(&mut store, name) {
            callbacks.insert(*phase, function);
        }
    }
    if let Some(function) = instance.get_func(&mut store, "_initialize") {
        callbacks.insert(Phase::Initialize, function);
    }
    (store.data_mut().memory, store.data_mut().allocate) = (memory, allocate);
    let mut core = Core { store, callbacks, dead: None };
    core.call(Phase::Initialize, 0, &[])?;
    Ok(core)
}

/// Creates a root context and configures it. The first one also starts the VM.
pub(crate) fn start_root(
    core: &mut Core,
    configuration: &[u8],
    first: bool,
) -> Result<(), HostError> {
    let state = core.state_mut();
    let id = state.allocate_context();
    state.roots.insert(id, Root::default());
    core.call(Phase::ContextCreate, id, &[0])?;
    let wants_start = first && core.state().host.borrow().profile.vm_start;
    if wants_start {
        let size = core.state().vm_configuration.len() as u32;
        if core.call(Phase::VmStart, id, &[size])?.value == Some(0) {
            let lines = core.state().host.borrow().last_log_lines();
            core.kill("on_vm_start answered false");
            return Err(HostError::StartRefused(lines));
        }
    }
    core.state_mut().configuring = Some(configuration.to_vec());
    core.state_mut().configuration = configuration.to_vec();
    let answered = core.call(Phase::Configure, id, &[configuration.len() as u32]);
    core.state_mut().configuring = None;
    if answered?.value == Some(0) {
        let lines = core.state().host.borrow().last_log_lines();
        if first && !core.state().host.borrow().profile.configures_at_first_request {
            core.kill("on_configure answered false");
        } else {
            retire_root(core, id)?;
        }
        return Err(HostError::ConfigurationRefused(lines));
    }
    core.state_mut().newest_root = id;
    Ok(())
}

/// `on_done`, and `on_delete` unless the root asked to wait.
fn retire_root(core: &mut Core, id: u32) -> Result<(), HostError> {
    if core.call(Phase::Done, id, &[])?.value == Some(0) {
        if let Some(root) = core.state_mut().roots.get_mut(&id) {
            root.done_pending = true;
        }
        return Ok(());
    }
    core.delete_root(id)
}
