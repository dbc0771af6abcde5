//! Small modules in text form, written for one question each.
//!
//! A probe is a set of callback bodies. In them a string literal stands for its address and
//! length, and `P"name=value|name=value"` for serialised header pairs. Every host function has a
//! short name here; what it answered is read from the host's trace.

use std::fmt::Write;

use wasm_tests::{Event, Host, Profile, Vm, WasmModule};

/// Where string data starts: below it is scratch space for results.
const DATA_AT: usize = 1024;

/// Callbacks with their parameters and result, so that a probe gives only the body.
const SIGNATURES: &[(&str, &str)] = &[
    ("proxy_on_context_create", "(param $id i32) (param $root i32)"),
    ("proxy_on_vm_start", "(param $id i32) (param $size i32) (result i32)"),
    ("proxy_on_configure", "(param $id i32) (param $size i32) (result i32)"),
    ("proxy_on_tick", "(param $id i32)"),
    ("proxy_on_queue_ready", "(param $id i32) (param $token i32)"),
    ("proxy_on_request_headers", "(param $id i32) (param $n i32) (param $end i32) (result i32)"),
    ("proxy_on_request_body", "(param $id i32) (param $n i32) (param $end i32) (result i32)"),
    ("proxy_on_request_trailers", "(param $id i32) (param $n i32) (result i32)"),
    ("proxy_on_response_headers", "(param $id i32) (param $n i32) (param $end i32) (result i32)"),
    ("proxy_on_response_body", "(param $id i32) (param $n i32) (param $end i32) (result i32)"),
    ("proxy_on_response_trailers", "(param $id i32) (param $n i32) (result i32)"),
    (
        "proxy_on_http_call_response",
        "(param $id i32) (param $token i32) (param $n i32) (param $size i32) (param $t i32)",
    ),
    ("proxy_on_log", "(param $id i32)"),
    ("proxy_on_done", "(param $id i32) (result i32)"),
    ("proxy_on_delete", "(param $id i32)"),
];

const IMPORTS: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_get_header_map_value"
    (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value"
    (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $read (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes"
    (func $write (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data"
    (func $shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data"
    (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (import "env" "proxy_call_foreign_function"
    (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
"#;

/// `$log_read` logs what was handed over at addresses 0 (pointer) and 4 (length); `$call_server`
/// makes a complete GET call to the cluster "server" and leaves the token at address 8.
const LIBRARY: &str = r#"
  (func (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $size)))
    (local.get $at))
  (func (export "proxy_abi_version_0_2_1"))
  (func $log_read
    (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
  (func $call_server (result i32)
    (call $call "server" P":method=GET|:path=/ask|:authority=server" "" ""
      (i32.const 5000) (i32.const 8)))
"#;

/// Compiles a probe from its callbacks.
pub fn probe(callbacks: &[(&str, &str)]) -> WasmModule {
    WasmModule::from_bytes(probe_text(callbacks).as_bytes()).expect("the probe compiles")
}

/// A started VM with one probe, on a host with the cluster "server".
pub fn start(profile: Profile, callbacks: &[(&str, &str)]) -> (Host, Vm) {
    let host = Host::new(profile);
    host.add_cluster("server");
    let vm = Vm::start(&host, &probe(callbacks), "configuration").expect("the probe starts");
    (host, vm)
}

/// A VM of a module on a host of its own.
pub fn start_module(profile: Profile, module: &WasmModule) -> Result<Vm, wasm_tests::HostError> {
    let host = Host::new(profile);
    host.add_cluster("server");
    Vm::start(&host, module, "configuration")
}

/// The text form of a probe.
pub fn probe_text(callbacks: &[(&str, &str)]) -> String {
    let mut functions = String::new();
    for (name, body) in callbacks {
        let signature = SIGNATURES.iter().find(|(known, _)| known == name);
        let (_, signature) = signature.unwrap_or_else(|| panic!("no callback {name}"));
        writeln!(functions, "  (func (export \"{name}\") {signature}\n{body})").unwrap();
    }
    let mut data = Vec::new();
    let library = literals(LIBRARY, &mut data);
    let functions = literals(&functions, &mut data);
    let escaped: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        "(module {IMPORTS}
  (memory (export \"memory\") 64)
  (global $heap (mut i32) (i32.const 65536))
  (global $state (mut i32) (i32.const 0))
  (global $heard (mut i32) (i32.const 0))
  (data (i32.const {DATA_AT}) \"{escaped}\")
{library}{functions})"
    )
}

/// Replaces string literals, except export names, by address and length.
fn literals(text: &str, data: &mut Vec<u8>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('"') {
        let (before, after) = rest.split_at(open);
        let close = after[1..].find('"').expect("a closing quote") + 1;
        let literal = &after[1..close];
        rest = &after[close + 1..];
        if before.ends_with("(export ") {
            out.push_str(before);
            write!(out, "\"{literal}\"").unwrap();
            continue;
        }
        let bytes = match before.strip_suffix('P') {
            Some(before) => {
                out.push_str(before);
                serialised_pairs(literal)
            }
            None => {
                out.push_str(before);
                literal.replace("\\0", "\0").into_bytes()
            }
        };
        write!(out, "(i32.const {}) (i32.const {})", DATA_AT + data.len(), bytes.len()).unwrap();
        data.extend(bytes);
    }
    out.push_str(rest);
    out
}

fn serialised_pairs(text: &str) -> Vec<u8> {
    let pairs: Vec<(&str, &str)> =
        text.split('|').map(|pair| pair.split_once('=').expect("name=value")).collect();
    let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in &pairs {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in &pairs {
        bytes.extend(name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    }
    bytes
}

/// What every call of the import `name` answered, in order.
pub fn answers(host: &Host, name: &str) -> Vec<i32> {
    host.trace(|trace| {
        let answer = |event: &Event| match event {
            Event::HostCall { name: called, status, .. } if *called == name => Some(*status),
            _ => None,
        };
        trace.events().iter().filter_map(answer).collect()
    })
}

/// Every logged message, in order.
pub fn logged(host: &Host) -> Vec<String> {
    host.logs().into_iter().map(|line| line.message).collect()
}

/// Request headers that a proxy can forward.
pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":path", "/a?b=c"), (":authority", "gateway"), (":scheme", "http")];

/// The same with a method that has a body.
pub const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":path", "/a"), (":authority", "gateway"), (":scheme", "http")];
