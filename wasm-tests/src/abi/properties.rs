//! Properties: what the proxy knows about a stream beyond its messages.

use wasmtime::Linker;

use super::{Outcome, Refusal, host_trap, import};
use crate::headers::HeaderMap;
use crate::memory::{Guest, shown};
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::stream::Stream;
use crate::vm_state::VmState;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_get_property",
        |g, path: u32, path_len: u32, value_at: u32, length_at: u32| {
            let path = g.bytes(path, path_len)?;
            g.note(|| shown(&path).replace("\\x00", "."));
            let found = match g.state().carriage() {
                Carriage::FilterManager => lookup(g.state(), &path),
                Carriage::Apisix => apisix_variable(g.state(), &path),
                Carriage::NgxWasm => ngx_wasm_property(g, &path)?,
            };
            let value = found.ok_or(Status::NotFound)?;
            g.hand_over(&value, value_at, length_at)
        }
    );
    import!(
        linker,
        profile,
        "proxy_set_property",
        |g, path: u32, path_len: u32, value: u32, value_len: u32| {
            let path = g.bytes(path, path_len)?;
            let value = g.bytes(value, value_len)?;
            set(g, &path, value)
        }
    );
    Ok(())
}

/// Values that a filter sets are filter state under a prefix of its own.
fn filter_state_key(path: &[u8]) -> Vec<u8> {
    [b"wasm.".as_slice(), path].concat()
}

fn set(guest: &mut Guest<'_, '_>, path: &[u8], value: Vec<u8>) -> Outcome {
    guest.note(|| format!("{} = {}", shown(path), shown(&value)));
    match guest.state().carriage() {
        Carriage::FilterManager => {}
        Carriage::Apisix if !APISIX_VARIABLES.contains(&path) => {
            return Err(Status::InternalFailure.into());
        }
        Carriage::NgxWasm => return Err(Status::NotFound.into()),
        Carriage::Apisix => {
            let stream = guest.state_mut().stream_mut().ok_or(Status::InternalFailure)?;
            stream.properties.insert(path.to_vec(), value);
            return Ok(());
        }
    }
    let stream = guest.state_mut().stream_mut().ok_or(Status::NotFound)?;
    stream.properties.insert(filter_state_key(path), value);
    Ok(())
}

/// The variables of nginx that APISIX declares for a filter to set.
const APISIX_VARIABLES: [&[u8]; 2] = [b"wasm_process_req_body", b"wasm_process_resp_body"];

/// A property is the variable of nginx of that name.
fn apisix_variable(state: &VmState, path: &[u8]) -> Option<Vec<u8>> {
    if path == b"plugin_root_id" {
        return Some(state.names.root_id.clone().into_bytes());
    }
    let stream = state.stream()?;
    match path {
        b"remote_addr" => Some(CLIENT_ADDRESS.to_vec()),
        b"request_method" => stream.request.headers.as_ref()?.get(":method").map(<[u8]>::to_vec),
        b"upstream_connect_time" | b"upstream_header_time" => upstream_time(stream, path),
        _ => stream.properties.get(path).cloned(),
    }
}

/// How long the upstream took, or `-` where it did not come so far; nothing where there was none.
fn upstream_time(stream: &Stream, name: &[u8]) -> Option<Vec<u8>> {
    stream.upstream.headers.as_ref()?;
    let has_answered = stream.reply_details.is_none();
    let happened = has_answered || (name == b"upstream_connect_time" && stream.upstream_connected);
    Some(if happened { b"0.001".to_vec() } else { b"-".to_vec() })
}

/// Where requests come from, without a port.
const CLIENT_ADDRESS: &[u8] = b"192.0.2.7";

/// Some of Envoy's attributes, as text, and nginx's variables behind `ngx.`, which only a request
/// has.
fn ngx_wasm_property(guest: &Guest<'_, '_>, path: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let state = guest.state();
    let dotted: Vec<u8> = path.iter().map(|byte| if *byte == 0 { b'.' } else { *byte }).collect();
    let needs_request = [&b"ngx."[..], b"request.", b"response.", b"source."]
        .iter()
        .any(|of| dotted.starts_with(of));
    if needs_request && state.stream().is_none() {
        return Err(host_trap(guest, "a property of a request outside any"));
    }
    Ok(match dotted.as_slice() {
        b"plugin_name" => Some(state.names.plugin.clone().into_bytes()),
        b"plugin_root_id" => Some(b"0".to_vec()),
        b"ngx.nginx_version" => Some(b"1.27.4".to_vec()),
        b"ngx.upstream_connect_time" | b"ngx.upstream_header_time" => {
            let name = dotted.get(b"ngx.".len()..).unwrap_or_default();
            state.stream().and_then(|stream| upstream_time(stream, name))
        }
        b"ngx.remote_addr" | b"source.address" => Some(CLIENT_ADDRESS.to_vec()),
        b"response.code" => {
            let status = state.stream().and_then(|stream| stream.client.status());
            status.map(|status| status.to_string().into_bytes())
        }
        b"response.code_details" => None,
        _ => match dotted.strip_prefix(b"request.") {
            Some(_) => lookup(state, path),
            None => None,
        },
    })
}

/// What a test has set comes first, then what the filter has set, then what the messages say.
fn lookup(state: &VmState, path: &[u8]) -> Option<Vec<u8>> {
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    if let Some(stream) = state.stream() {
        let own = filter_state_key(path);
        let set = stream.properties.get(path).or_else(|| stream.properties.get(&own));
        if let Some(value) = set {
            return Some(value.clone());
        }
    }
    let text = std::str::from_utf8(path).ok()?;
    let segments: Vec<&str> = text.split('\0').collect();
    match segments.as_slice() {
        ["plugin_name"] => Some(state.names.plugin.clone().into_bytes()),
        ["plugin_root_id"] => Some(state.names.root_id.clone().into_bytes()),
        ["plugin_vm_id"] => Some(state.names.vm_id.clone().into_bytes()),
        ["request", rest @ ..] => of_request(state.stream()?.request.headers.as_ref()?, rest),
        ["response", "code"] => {
            let status = state.stream()?.client.status()?;
            Some(i64::from(status).to_le_bytes().to_vec())
        }
        ["response", "code_details"] => state.stream()?.reply_details.clone(),
        _ => None,
    }
}

fn of_request(headers: &HeaderMap, rest: &[&str]) -> Option<Vec<u8>> {
    let path = headers.get(":path");
    let split = path.and_then(|path| path.iter().position(|byte| *byte == b'?'));
    let found = match rest {
        ["path"] => path,
        ["url_path"] => path.map(|path| path.get(..split.unwrap_or(path.len())).unwrap_or(path)),
        ["query"] => path.map(|path| split.and_then(|at| path.get(at + 1..)).unwrap_or_default()),
        ["method"] => headers.get(":method"),
        ["host"] => headers.get(":authority"),
        ["scheme"] => headers.get(":scheme"),
        ["id"] => headers.get("x-request-id"),
        ["useragent"] => headers.get("user-agent"),
        ["headers", name] => headers.get(name),
        _ => None,
    };
    found.map(<[u8]>::to_vec)
}
