//! The one test binary: the host's own semantics, proven with small probes, and the filter as it
//! ships.

mod probe;

mod admission;
mod answer_memory;
mod apisix_host;
mod callouts;
mod canned_server;
mod chat;
mod cost;
mod flow;
mod fuel_table;
mod header_maps;
mod higress_host;
mod imports;
mod key_guesses;
mod key_memory;
mod lifecycle;
mod local_replies;
mod message_bodies;
mod mounted_router;
mod ngx_wasm_host;
mod odd_orders;
mod parity;
mod process;
mod refused_host_calls;
mod script_filter;
mod shared_state;
mod stream_end;
mod suite;
mod with_server;
mod without_server;

#[path = "../../../policy-server/tests/it/attacks/welch.rs"]
mod welch;
