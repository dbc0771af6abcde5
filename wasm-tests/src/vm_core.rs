//! Entering a VM: one callback, its cost, and what it asked to happen afterwards.

use std::collections::BTreeMap;

use wasmtime::{Func, Store, Val};

use crate::error::HostError;
use crate::stream::Stream;
use crate::trace::{Cost, Event, Phase};
use crate::violation::ViolationKind;
use crate::vm_state::{Deferred, VmState};

/// Fuel for one entry, unless a test sets less. Real hosts do not interrupt an endless loop; here
/// it ends as a trap after some ten seconds instead of hanging the tests.
pub(crate) const DEFAULT_FUEL_PER_ENTRY: u64 = 20_000_000_000;

/// Actions that one callback may ask for.
const MAX_DEFERRED: usize = 1_000;

/// The store, the exported callbacks, and whether the guest is still alive.
pub(crate) struct Core {
    pub(crate) store: Store<VmState>,
    pub(crate) callbacks: BTreeMap<Phase, Func>,
    pub(crate) dead: Option<String>,
}

/// What a callback answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The returned number; none if the callback is not exported or returns nothing.
    pub(crate) value: Option<u32>,
    /// A local reply was asked for, so the stream stops whatever the number says.
    pub(crate) stop: bool,
}

/// The callbacks that a host looks for, by export name.
pub(crate) const EXPORTS: &[(&str, Phase)] = &[
    ("proxy_on_context_create", Phase::ContextCreate),
    ("proxy_on_vm_start", Phase::VmStart),
    ("proxy_on_configure", Phase::Configure),
    ("proxy_on_tick", Phase::Tick),
    ("proxy_on_queue_ready", Phase::QueueReady),
    ("proxy_on_request_headers", Phase::RequestHeaders),
    ("proxy_on_request_body", Phase::RequestBody),
    ("proxy_on_request_trailers", Phase::RequestTrailers),
    ("proxy_on_http_call_response", Phase::CallReply),
    ("proxy_on_response_headers", Phase::ResponseHeaders),
    ("proxy_on_response_body", Phase::ResponseBody),
    ("proxy_on_response_trailers", Phase::ResponseTrailers),
    ("proxy_on_log", Phase::Log),
    ("proxy_on_done", Phase::Done),
    ("proxy_on_delete", Phase::Delete),
];

impl Core {
    pub(crate) fn state(&self) -> &VmState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut VmState {
        self.store.data_mut()
    }

    pub(crate) fn stream(&self, id: u32) -> Result<&Stream, HostError> {
        self.state().streams.get(&id).ok_or(HostError::UnknownStream(id))
    }

    pub(crate) fn stream_mut(&mut self, id: u32) -> Result<&mut Stream, HostError> {
        self.state_mut().streams.get_mut(&id).ok_or(HostError::UnknownStream(id))
    }

    pub(crate) fn violation(&self, context: u32, kind: ViolationKind, detail: impl Into<String>) {
        let state = self.state();
        state.host.borrow_mut().violation(state.index, context, kind, detail);
    }

    /// Makes one callback and then does what it asked for.
    pub(crate) fn call(
        &mut self,
        phase: Phase,
        context: u32,
        arguments: &[u32],
    ) -> Result<Answered, HostError> {
        let value = self.enter(phase, context, arguments)?;
        let state = self.state_mut();
        let stop = std::mem::take(&mut state.stop_next);
        if state.deferred.len() > MAX_DEFERRED {
            return Err(HostError::Script(format!("{} deferred actions", state.deferred.len())));
        }
        // One queue for the VM: if an action leads to a further callback, that callback's return
        // runs what is still queued. So a reply and a close asked for together in a call-out's
        // callback cut the stream before the reply has left.
        while !self.state().deferred.is_empty() {
            match self.state_mut().deferred.remove(0) {
                Deferred::Continue(id, side) => self.continue_asked(id, side)?,
                Deferred::Close(id) => self.close_asked(id)?,
                Deferred::Reply(id, reply) => self.local_reply_asked(id, reply)?,
                Deferred::DeleteRoot(id) => self.delete_root(id)?,
            }
        }
        Ok(Answered { value, stop })
    }

    /// Runs the guest's function and accounts for it.
    fn enter(
        &mut self,
        phase: Phase,
        context: u32,
        arguments: &[u32],
    ) -> Result<Option<u32>, HostError> {
        if let Some(reason) = &self.dead {
            return Err(HostError::DeadVm(reason.clone()));
        }
        let Some(function) = self.callbacks.get(&phase).copied() else {
            return Ok(None);
        };
        let state = self.state_mut();
        let before = (state.current, state.effective, state.phase);
        (state.current, state.effective, state.phase) = (context, 0, Some(phase));
        state.entry = Default::default();
        let entered =
            Event::Entered { vm: state.index, context, phase, arguments: arguments.to_vec() };
        state.host.borrow_mut().trace.push(entered);

        let mut values: Vec<Val> = Vec::with_capacity(arguments.len() + 1);
        if phase != Phase::Initialize {
            values.push(Val::I32(context as i32));
        }
        values.extend(arguments.iter().map(|number| Val::I32(*number as i32)));
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        let granted = self.state().host.borrow().fuel_per_entry;
        let outcome = self
            .store
            .set_fuel(granted)
            .and_then(|()| function.call(&mut self.store, &values, &mut results));
        let fuel = granted - self.store.get_fuel().unwrap_or(0);

        let state = self.state_mut();
        (state.current, state.effective, state.phase) = before;
        let cost = Cost {
            callbacks: 1,
            vm_entries: 1 + state.entry.allocations,
            host_calls: state.entry.host_calls,
            fuel,
        };
        let value = results.first().and_then(Val::i32).map(|number| number as u32);
        let mut host = state.host.borrow_mut();
        host.meter.add(phase, cost);
        match outcome {
            Ok(()) => {
                host.trace.push(Event::Returned { vm: state.index, phase, value });
                Ok(value)
            }
            Err(error) => {
                let logs = host.last_log_lines();
                drop(host);
                let message = format!("{error:#}");
                self.kill(&format!("trap in {}: {message}", phase.name()));
                Err(HostError::Trapped { phase: phase.name(), message, logs })
            }
        }
    }

    /// Ends the guest: no callback is made any more and its call-outs are forgotten.
    pub(crate) fn kill(&mut self, reason: &str) {
        self.dead.get_or_insert_with(|| reason.to_owned());
        let state = self.state_mut();
        state.deferred.clear();
        state.stop_next = false;
        let index = state.index;
        state.host.borrow_mut().drop_calls(index, None);
    }

    /// Ends a root context for good.
    pub(crate) fn delete_root(&mut self, id: u32) -> Result<(), HostError> {
        self.call(Phase::Delete, id, &[])?;
        let state = self.state_mut();
        if let Some(root) = state.roots.get_mut(&id) {
            root.deleted = true;
            root.next_tick_ns = None;
        }
        let index = state.index;
        state.host.borrow_mut().drop_calls(index, Some(id));
        Ok(())
    }
}
