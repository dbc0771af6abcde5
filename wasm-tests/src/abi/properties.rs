//! Properties: what the proxy knows about a stream beyond its messages.

use wasmtime::Linker;

use super::{Outcome, import};
use crate::headers::HeaderMap;
use crate::memory::{Guest, shown};
use crate::profile::Profile;
use crate::status::Status;
use crate::vm_state::VmState;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_get_property",
        |g, path: u32, path_len: u32, value_at: u32, length_at: u32| {
            let path = g.bytes(path, path_len)?;
            g.note(|| shown(&path).replace("\\x00", "."));
            let value = lookup(g.state(), &path).ok_or(Status::NotFound)?;
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
    let stream = guest.state_mut().stream_mut().ok_or(Status::NotFound)?;
    stream.properties.insert(filter_state_key(path), value);
    Ok(())
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
