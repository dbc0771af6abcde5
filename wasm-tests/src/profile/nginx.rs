//! The proxies that are built on nginx. What is said of each was seen by running a probe in it or
//! read in its source (2026-11): `wasm-nginx-module` 0.7.0 under APISIX, `ngx_wasm_module` of
//! April 2025.

use std::collections::BTreeMap;

use super::{Carriage, Ending, HeadersEnd, Profile, Recovery, Support};
use crate::status::Status;

const GRPC: [&str; 5] = [
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
];

const QUEUES: [&str; 4] = [
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
];

const SHARED_DATA: [&str; 2] = ["proxy_get_shared_data", "proxy_set_shared_data"];

/// Neither of the two engines has these.
const MISSING: [&str; 3] =
    ["proxy_get_header_map_size", "proxy_get_buffer_status", "proxy_get_log_level"];

/// What APISIX has as a name only.
const APISIX_UNIMPLEMENTED: [&str; 7] = [
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_header_map_pairs",
    "proxy_set_buffer_bytes",
    "proxy_get_status",
    "proxy_done",
    "proxy_call_foreign_function",
];

/// What ends the VM on `ngx_wasm_module` whenever it is called.
const NGX_WASM_TRAPS: [&str; 3] = ["proxy_get_status", "proxy_done", "proxy_close_stream"];

/// `client_body_buffer_size` that the shipped nginx configuration sets: above the largest body that
/// the filter takes, since a body in a file cannot be read.
const BODY_IN_MEMORY_BYTES: usize = 11 << 20;

/// Both engines show so many header fields of a message, and say nothing of the others. For one of them
/// the method, the path and the like are among these.
const FIELDS_SHOWN: usize = 100;

fn table(entries: &[(&[&'static str], Support)]) -> BTreeMap<&'static str, Support> {
    entries.iter().flat_map(|(names, support)| names.iter().map(|name| (*name, *support))).collect()
}

impl Profile {
    /// APISIX with `wasm-nginx-module`: no timers, no shared data, bodies that are read only,
    /// call-outs one at a time and only while a request is on its way to the upstream.
    pub fn apisix() -> Self {
        let unimplemented = Support::Answers(Status::Unimplemented);
        Self {
            name: "apisix",
            headers_end: HeadersEnd::AlwaysTrue,
            vm_start: false,
            ticks: false,
            reuses_context_ids: true,
            endings: &[Ending::Done, Ending::Delete],
            abi_versions: &[],
            carriage: Carriage::Apisix,
            configures_at_first_request: true,
            recovery: Recovery::Never,
            most_fields: FIELDS_SHOWN,
            buffer_limit_bytes: usize::MAX,
            host_calls: table(&[
                (&MISSING, Support::Missing),
                (&["proxy_get_metric"], Support::Missing),
                (&APISIX_UNIMPLEMENTED, unimplemented),
                (&GRPC, unimplemented),
                (&QUEUES, unimplemented),
                (&SHARED_DATA, unimplemented),
            ]),
            ..Self::envoy()
        }
    }

    /// nginx with `ngx_wasm_module` and `shm_kv *` in its configuration.
    pub fn ngx_wasm() -> Self {
        Self {
            name: "ngx_wasm",
            headers_end: HeadersEnd::AlwaysFalse,
            endings: &[Ending::Done, Ending::Log, Ending::Delete],
            carriage: Carriage::NgxWasm,
            recovery: Recovery::AtNextRequest,
            names_as_written: true,
            most_fields: FIELDS_SHOWN,
            buffer_limit_bytes: BODY_IN_MEMORY_BYTES,
            body_in_memory_bytes: BODY_IN_MEMORY_BYTES,
            host_calls: table(&[
                (&MISSING, Support::Missing),
                (&NGX_WASM_TRAPS, Support::Traps),
                (&GRPC, Support::Traps),
                (&QUEUES, Support::Traps),
            ]),
            ..Self::envoy()
        }
    }

    /// The same without `shm_kv`: using shared data ends the VM.
    pub fn ngx_wasm_without_shared_data() -> Self {
        let mut profile = Self::ngx_wasm();
        profile.name = "ngx_wasm_without_shared_data";
        profile.host_calls.extend(table(&[(&SHARED_DATA, Support::Traps)]));
        profile
    }
}
