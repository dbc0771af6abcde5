//! How one proxy differs from another, as data.
//!
//! A profile says which host calls exist and what they do, which callbacks the proxy makes and in
//! which order. The machinery reads this table; adding a proxy is adding a function here.

mod imports;
mod nginx;

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

/// Who carries a message past the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// Envoy's filter manager: pieces as they come, held back by Pause (see `filter_manager`).
    FilterManager,
    /// APISIX: a coroutine for each request that runs one callback after the other (see
    /// `nginx_phases`).
    Apisix,
    /// `ngx_wasm_module`: nginx's own phases (see `nginx_phases`).
    NgxWasm,
}

/// What becomes of a worker whose VM has trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It answers for the VM until somebody restarts it.
    Never,
    /// The next request gets a new VM.
    AtNextRequest,
    /// The same, but not sooner than this after the last one.
    NotBeforeMs(u64),
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
    /// The `proxy_abi_version_*` exports of which the module must have one; none means that the
    /// proxy does not insist.
    pub abi_versions: &'static [&'static str],
    /// How messages pass the filter.
    pub carriage: Carriage,
    /// Nothing is configured before the first request.
    pub configures_at_first_request: bool,
    /// What happens after a trap.
    pub recovery: Recovery,
    /// Names of header fields are shown as they were written, not in lower case.
    pub names_as_written: bool,
    /// Most header fields of a message that are shown at once; the others go on all the same.
    pub most_fields: usize,
    /// Every request that has a body ends with trailers, as a client of HTTP/2 may do it.
    pub request_trailers: bool,
    /// Bytes of a request body that the proxy keeps in memory; a longer one lies in a file.
    pub body_in_memory_bytes: usize,
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
            abi_versions: &["0_1_0", "0_2_0", "0_2_1"],
            carriage: Carriage::FilterManager,
            configures_at_first_request: false,
            recovery: Recovery::Never,
            names_as_written: false,
            most_fields: usize::MAX,
            request_trailers: false,
            body_in_memory_bytes: usize::MAX,
            buffer_limit_bytes: ENVOY_DEFAULT_BUFFER_LIMIT_BYTES,
            host_calls: BTreeMap::new(),
        }
    }

    /// Higress, a fork of Envoy. Headers can be stopped alone only by a module of an ABI of its own
    /// (0.2.100), and a VM that trapped is built anew, at most every five seconds.
    pub fn higress() -> Self {
        Self {
            name: "higress",
            abi_versions: &["0_1_0", "0_2_0", "0_2_1", "0_2_100"],
            recovery: Recovery::NotBeforeMs(5_000),
            ..Self::envoy()
        }
    }

    /// The same profile where every request with a body ends with trailers.
    pub fn with_request_trailers(mut self, name: &'static str) -> Self {
        self.name = name;
        self.request_trailers = true;
        self
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

    /// Whether a body is still delivered while its head is paused, or nothing needs to be paused:
    /// where not, the filter must be told (`host.holds_headers`).
    pub fn holds_headers(&self) -> bool {
        self.headers_stop_iteration || self.is_nginx()
    }

    /// Whether the proxy is one of those that are built on nginx.
    pub fn is_nginx(&self) -> bool {
        self.carriage != Carriage::FilterManager
    }
}
