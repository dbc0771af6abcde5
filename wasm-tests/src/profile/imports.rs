//! Which imports a module may have.

use super::{Profile, Support};

/// The functions of ABI 0.2.1 in the module `env`. Each proxy has a part of them, and a few of them
/// have more, which no module that is to run everywhere can use.
const ENV: &[&str] = &[
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_header_map_value",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_set_header_map_pairs",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_set_buffer_bytes",
    "proxy_send_local_response",
    "proxy_http_call",
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_get_status",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
    "proxy_continue_stream",
    "proxy_close_stream",
    "proxy_done",
    "proxy_set_effective_context",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_get_metric",
    "proxy_call_foreign_function",
];

/// The functions of WASI that were seen to work on every proxy.
const WASI: &[&str] = &["clock_time_get", "environ_get", "environ_sizes_get", "random_get"];

impl Profile {
    /// Whether a module with the import `name` of `module` loads here.
    pub fn offers(&self, module: &str, name: &str) -> bool {
        let known = match module {
            "env" => ENV,
            "wasi_snapshot_preview1" => WASI,
            _ => &[],
        };
        known.contains(&name) && self.support(name) != Support::Missing
    }
}
