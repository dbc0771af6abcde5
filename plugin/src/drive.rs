//! One VM: its gate, and the loop that carries inputs in and outputs out.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gate::observation::Observation;
use gate::{CallId, Gate, HostAbilities, HostKind, Input, Output, SharedMemory, StreamId};

use crate::clock::Clock;
use crate::host::{self, Buffer, Map};
use crate::shared_memory::{OwnMemory, SharedData};
use crate::statistics::Statistics;

/// The property that the access log reads; Envoy shows it as the filter state `wasm.tollgate`.
const LOG_FIELDS: &str = "tollgate";

/// State that belongs to the VM: it outlives root contexts, which come and go with configurations.
pub struct Vm {
    gate: RefCell<Gate>,
    clock: Clock,
    statistics: Statistics,
    /// Whether the host keeps properties that we set, once that has been tried.
    takes_log_fields: Cell<Option<bool>>,
    /// The root context that polls: the newest.
    pub newest_root: Cell<u32>,
    /// Tokens of call-outs under way, with the context that made each.
    calls: RefCell<HashMap<u32, (CallId, u32)>>,
    /// What the host was found to be; none until its first request shows it.
    found: Cell<Option<HostKind>>,
    /// Windows where workers share no memory.
    own_memory: RefCell<OwnMemory>,
    /// The event that is being carried in has made a call or an answer.
    acted: Cell<bool>,
}

/// A machine by the plugin's name and whether it has a server.
type Named = ((String, bool), Rc<Vm>);

thread_local! {
    /// One machine for each plugin name, since one VM may run several plugins; and another one where
    /// the plugin gets a server, or has none any more, so that what is owed to a server is still said.
    static VMS: RefCell<Vec<Named>> = const { RefCell::new(Vec::new()) };
}

impl Vm {
    /// The machine of a plugin name, made if there is none yet.
    pub fn configured(
        config: gate::config::Config,
        token: Option<gate::Token>,
        seed: [u8; 32],
        found: Option<HostKind>,
    ) -> Rc<Self> {
        let name = (config.name.clone(), config.server().is_some());
        VMS.with_borrow_mut(|vms| {
            if let Some((_, vm)) = vms.iter().find(|(named, _)| *named == name) {
                vm.found.set(found.or(vm.found.get()));
                let mut gate = vm.gate.borrow_mut();
                gate.reconfigure(config, token);
                gate.runs_on(vm.kind());
                drop(gate);
                return Rc::clone(vm);
            }
            let mut gate = Gate::new(config, token, seed);
            gate.runs_on(found.unwrap_or_default());
            let vm = Rc::new(Self {
                gate: RefCell::new(gate),
                found: Cell::new(found),
                own_memory: RefCell::default(),
                acted: Cell::new(false),
                clock: Clock::default(),
                statistics: Statistics::default(),
                takes_log_fields: Cell::new(None),
                newest_root: Cell::new(0),
                calls: RefCell::default(),
            });
            vms.push((name, Rc::clone(&vm)));
            vm
        })
    }

    /// A request has come: what could not be told before can be told now. ngx_wasm shows nginx's
    /// variables while a request is there; nobody else has this one.
    pub fn find_host(&self) {
        if self.found.get().is_none() {
            let is_nginx = host::property("ngx\0nginx_version").is_some();
            let kind = if is_nginx { HostKind::NgxWasm } else { HostKind::Envoy };
            self.found.set(Some(kind));
            if is_nginx && let Ok(mut gate) = self.gate.try_borrow_mut() {
                gate.runs_on(kind);
            }
        }
    }

    /// What the host was found to be.
    pub fn kind(&self) -> HostKind {
        self.found.get().unwrap_or_default()
    }

    /// What the host can do.
    pub fn host(&self) -> Option<HostAbilities> {
        self.gate.try_borrow().ok().map(|gate| *gate.host())
    }

    /// The last event led to a call or to an answer, so that a request may wait.
    pub fn has_acted(&self) -> bool {
        self.acted.get()
    }

    /// Takes in one event that happened in the active context and does what follows from it.
    pub fn drive(&self, active: u32, input: Input<'_>) {
        let now = self.clock.now();
        // A host that calls back while a host call of ours runs gets nothing done: the machine
        // is busy. None of the known hosts does.
        let Ok(mut gate) = self.gate.try_borrow_mut() else { return };
        let Ok(mut own) = self.own_memory.try_borrow_mut() else { return };
        let mut shared = SharedData::of(self.kind());
        let memory: &mut dyn SharedMemory =
            if gate.host().shares_memory() { &mut shared } else { &mut *own };
        self.acted.set(false);
        gate.handle(now, memory, input);
        while let Some(output) = gate.next_output() {
            let refused_edit = output.stream().filter(|_| output.is_vital());
            match self.perform(active, output) {
                Done::Yes => {}
                Done::CallFailed(call) => {
                    let failed = Input::CallDone { call, status: None, body: &[] };
                    gate.handle(now, memory, failed);
                }
                Done::Refused => {
                    if let Some(stream) = refused_edit {
                        gate.handle(now, memory, Input::EditRefused { stream });
                    }
                }
            }
        }
    }

    /// Whether the request must wait.
    pub fn holds(&self, stream: u32) -> bool {
        !self.gate.try_borrow().is_ok_and(|gate| !gate.holds(StreamId(stream)))
    }

    /// Whether the request has its verdict.
    pub fn is_decided(&self, stream: u32) -> bool {
        self.gate.try_borrow().is_ok_and(|gate| gate.is_decided(StreamId(stream)))
    }

    /// Whether the request's head must wait.
    pub fn holds_head(&self, stream: u32) -> bool {
        !self.gate.try_borrow().is_ok_and(|gate| !gate.holds_head(StreamId(stream)))
    }

    /// Bytes of the request body that need not be shown again; none where it is to be shown as a whole.
    pub fn body_read(&self, stream: u32) -> Option<usize> {
        self.gate.try_borrow().ok()?.body_read(StreamId(stream))
    }

    /// Whether the response body is to be read.
    pub fn reads_response(&self, stream: u32) -> bool {
        self.gate.try_borrow().is_ok_and(|gate| gate.reads_response(StreamId(stream)))
    }

    /// A call-out has been answered, in the active context.
    pub fn call_answered(&self, active: u32, token: u32, num_headers: usize) {
        self.acted.set(false);
        let call = self.calls.borrow_mut().remove(&token);
        let Some((call, _)) = call else { return };
        let status = if num_headers == 0 {
            None
        } else {
            let text = host::header(Map::CallResponse, ":status").ok().flatten();
            text.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok())
        };
        let body = host::buffer(Buffer::CallResponseBody).unwrap_or_default();
        self.drive(active, Input::CallDone { call, status, body: &body });
    }

    /// A context is gone: the SDK tells nobody of answers to its calls.
    pub fn forget_calls_of(&self, context: u32) {
        self.calls.borrow_mut().retain(|_, (_, caller)| *caller != context);
    }

    /// Shows operators something. No request depends on it, so nothing comes of a refusal.
    fn observe(&self, active: u32, observation: Observation) {
        match observation {
            Observation::Change { metric, by } => self.statistics.change(metric, by),
            Observation::Sample { metric, value } => self.statistics.sample(metric, value),
            Observation::LogFields { stream, text } => {
                // Only while the host is at the end of this very stream can it be set in time.
                if stream.0 == active && self.takes_log_fields.get() != Some(false) {
                    let set = host::set_property(LOG_FIELDS, &text).is_ok();
                    // A host that took it once can do it, whatever became of this one.
                    let known = self.takes_log_fields.get().unwrap_or(set);
                    self.takes_log_fields.set(Some(known));
                }
            }
        }
    }

    /// Carries out one output.
    fn perform(&self, active: u32, output: Output) -> Done {
        match output {
            Output::Call(call) => match host::dispatch_http_call(&call) {
                Ok(token) => {
                    self.acted.set(true);
                    self.calls.borrow_mut().insert(token, (call.id, active));
                    Done::Yes
                }
                Err(status) => {
                    log::warn!("a call to {} could not be made: status {}", call.cluster, status.0);
                    Done::CallFailed(call.id)
                }
            },
            Output::Reply { stream, reply } => {
                self.acted.set(true);
                self.on(active, stream, || host::send_local_response(&reply, "tollgate"))
            }
            Output::SetRequestHeader { stream, name, value } => {
                self.on(active, stream, || host::set_header(Map::Request, &name, &value))
            }
            Output::RemoveRequestHeader { stream, name } => {
                self.on(active, stream, || host::remove_header(Map::Request, &name))
            }
            Output::EditRequestBody { stream, length, edits } => self.on(active, stream, || {
                let body = host::buffer(Buffer::RequestBody)?;
                if body.len() != length {
                    return Err(host::MALFORMED);
                }
                host::replace_buffer(Buffer::RequestBody, &gate::apply_edits(&body, &edits))
            }),
            Output::DropRequestBody { stream } => {
                self.on(active, stream, || host::replace_buffer(Buffer::RequestBody, &[]))
            }
            Output::Resume { stream } => self.on(active, stream, host::resume_request),
            Output::SetResponseHeader { stream, name, value } => {
                self.on(active, stream, || host::set_header(Map::Response, &name, &value))
            }
            Output::RemoveResponseHeader { stream, name } => {
                self.on(active, stream, || host::remove_header(Map::Response, &name))
            }
            Output::ReplaceResponseBody { stream, bytes } => {
                self.on(active, stream, || host::replace_buffer(Buffer::ResponseBody, &bytes))
            }
            Output::CloseStream { stream } => self.on(active, stream, host::close_stream),
            Output::Observe(observation) => {
                self.observe(active, observation);
                Done::Yes
            }
        }
    }

    /// Does something to a stream, which need not be the active context.
    fn on(
        &self,
        active: u32,
        stream: StreamId,
        act: impl FnOnce() -> Result<(), host::Status>,
    ) -> Done {
        if stream.0 == active {
            return done(act());
        }
        // Hosts made of nginx say yes and stay where they are.
        if self.kind() != HostKind::Envoy || host::set_effective_context(stream.0).is_err() {
            // The stream is gone; its end has been or will be told.
            return Done::Refused;
        }
        let done = done(act());
        // The active context exists: the host is calling it.
        let _ = host::set_effective_context(active);
        done
    }
}

/// What became of an output.
enum Done {
    Yes,
    CallFailed(CallId),
    Refused,
}

/// Does something to the active stream.
fn done(acted: Result<(), host::Status>) -> Done {
    match acted {
        Ok(()) => Done::Yes,
        Err(status) => {
            // Not louder: clients decide how often this happens.
            log::debug!("a host call failed with status {}", status.0);
            Done::Refused
        }
    }
}
