//! How one proxy differs from another, as data.
//!
//! A profile says which host calls exist and what they do, which callbacks the proxy makes and in
//! which order. The machinery reads this table; adding a proxy is adding a function here.

use std::collections::BTreeMap;

use crate::status::Status;

/// What a host offers of one host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// The call does what the ABI says.
    Works,
    /// The call exists and always answers this status without doing anything.
    Answers(Status),
    /// The call exists and ends the VM.
    Traps,
    /// The import is missing: a module that names it does not load.
    Missing,
}

/// What the proxy tells the filter in `end_of_stream` of the request headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersEnd {
    /// The truth.
    Truthful,
    /// Always true, even when a body follows.
    AlwaysTrue,
    /// Always false, even when nothing follows.
    AlwaysFalse,
}

/// A callback at the end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `proxy_on_log`
    Log,
    /// `proxy_on_done`
    Done,
    /// `proxy_on_delete`
    Delete,
}

/// The quirks of one proxy.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Name, for messages and snapshots.
    pub name: &'static str,
    /// Pause in a headers callback stops the headers only, and the body is still delivered.
    /// Without it Pause in headers holds back everything that follows.
    pub headers_stop_iteration: bool,
    /// What `end_of_stream` of the request headers means here.
    pub headers_end: HeadersEnd,
    /// Whether `proxy_on_vm_start` is called.
    pub vm_start: bool,
    /// Whether timers exist.
    pub ticks: bool,
    /// Whether a stream's context id is used again after the stream is gone.
    pub reuses_context_ids: bool,
    /// The callbacks at the end of a stream, in order.
    pub endings: &'static [Ending],
    /// Whether the module must export a `proxy_abi_version_*` function.
    pub needs_abi_version: bool,
    /// Bytes that the proxy buffers for a paused body before it answers 413 itself.
    pub buffer_limit_bytes: usize,
    /// Host calls that differ from [`Support::Works`], by import name.
    pub host_calls: BTreeMap<&'static str, Support>,
}

/// Envoy's own default for `per_connection_buffer_limit_bytes` of a listener.
pub const ENVOY_DEFAULT_BUFFER_LIMIT_BYTES: usize = 1024 * 1024;

impl Profile {
    /// Envoy 1.40 with `allow_on_headers_stop_iteration: true`, as the shipped configuration sets.
    pub fn envoy_stop_iteration() -> Self {
        Self { name: "envoy_stop_iteration", headers_stop_iteration: true, ..Self::envoy() }
    }

    /// Envoy 1.40 without that field, and every Envoy that does not know it.
    pub fn envoy() -> Self {
        Self {
            name: "envoy",
            headers_stop_iteration: false,
            headers_end: HeadersEnd::Truthful,
            vm_start: true,
            ticks: true,
            reuses_context_ids: false,
            endings: &[Ending::Log, Ending::Done, Ending::Delete],
            needs_abi_version: true,
            buffer_limit_bytes: ENVOY_DEFAULT_BUFFER_LIMIT_BYTES,
            host_calls: BTreeMap::new(),
        }
    }

    /// The same profile with another body buffer, in bytes.
    pub fn with_buffer_limit_bytes(mut self, bytes: usize) -> Self {
        self.buffer_limit_bytes = bytes;
        self
    }

    /// The same profile with one host call changed.
    pub fn with_host_call(mut self, import: &'static str, support: Support) -> Self {
        self.host_calls.insert(import, support);
        self
    }

    /// What this proxy makes of the import `name`.
    pub fn support(&self, name: &str) -> Support {
        self.host_calls.get(name).copied().unwrap_or(Support::Works)
    }
}
