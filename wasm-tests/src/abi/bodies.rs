//! Bodies and other buffers.

use wasmtime::Linker;

use super::{Outcome, Refusal, host_trap, import};
use crate::memory::Guest;
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::stream::Side;
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm_state::VmState;

/// The highest buffer number of the ABI.
const MAX_BUFFER: u32 = 8;

const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_get_buffer_bytes",
        |g, buffer: u32, start: u32, length: u32, data_at: u32, length_at: u32| {
            get_bytes(g, buffer, start, length, (data_at, length_at))
        }
    );
    import!(
        linker,
        profile,
        "proxy_get_buffer_status",
        |g, buffer: u32, length_at: u32, flags_at: u32| {
            let length = with_buffer(g.state(), buffer, <[u8]>::len)?;
            g.write_u32(length_at, length as u32)?;
            g.write_u32(flags_at, 0)
        }
    );
    import!(
        linker,
        profile,
        "proxy_set_buffer_bytes",
        |g, buffer: u32, start: u32, length: u32, data: u32, data_len: u32| {
            set_bytes(g, buffer, start, length, (data, data_len))
        }
    );
    Ok(())
}

fn side_of(buffer: u32) -> Option<Side> {
    match buffer {
        REQUEST_BODY => Some(Side::Request),
        RESPONSE_BODY => Some(Side::Response),
        _ => None,
    }
}

/// Looks at a buffer. A body that is not there now is empty; other buffers that are not there
/// are not found.
fn with_buffer<R>(
    state: &VmState,
    buffer: u32,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, Refusal> {
    if buffer > MAX_BUFFER {
        return Err(Status::BadArgument.into());
    }
    if let Some(side) = side_of(buffer) {
        let body = state.stream().and_then(|stream| stream.half(side).visible_body());
        return Ok(look(body.map(Vec::as_slice).unwrap_or_default()));
    }
    match buffer {
        VM_CONFIGURATION => Ok(look(&state.vm_configuration)),
        PLUGIN_CONFIGURATION => {
            let kept = state.host.borrow().profile.is_nginx();
            let configuration = state.configuring.as_ref().or(kept.then_some(&state.configuration));
            let configuration = configuration.ok_or(Status::NotFound)?;
            Ok(look(configuration))
        }
        CALL_BODY => {
            let root = state.root_of(state.context());
            let reply = state.reply.as_ref().filter(|(owner, reply)| {
                // A broken connection has no reply to look at.
                *owner == root && !reply.headers.is_empty()
            });
            let (_, reply) = reply.ok_or(Status::NotFound)?;
            Ok(look(&reply.body))
        }
        _ => Ok(look(&[])),
    }
}

fn buffer_name(buffer: u32) -> &'static str {
    match buffer {
        REQUEST_BODY => "request body",
        RESPONSE_BODY => "response body",
        CALL_BODY => "call body",
        VM_CONFIGURATION => "vm configuration",
        PLUGIN_CONFIGURATION => "plugin configuration",
        _ => "other buffer",
    }
}

fn get_bytes(
    guest: &mut Guest<'_, '_>,
    buffer: u32,
    start: u32,
    length: u32,
    results: (u32, u32),
) -> Outcome {
    guest.note(|| format!("{} {start}+{length}", buffer_name(buffer)));
    match guest.state().carriage() {
        Carriage::FilterManager => {}
        Carriage::Apisix => return apisix_get_bytes(guest, buffer, (start, length), results),
        Carriage::NgxWasm => return ngx_wasm_get_bytes(guest, buffer, length, results),
    }
    let found = with_buffer(guest.state(), buffer, |bytes| {
        let from = start as usize;
        let to = from.saturating_add(length as usize).min(bytes.len());
        bytes.get(from..to).map(<[u8]>::to_vec)
    })?;
    match found {
        // Nothing to hand over: the guest's variables stay as they are.
        Some(bytes) if bytes.is_empty() => Ok(()),
        Some(bytes) => guest.hand_over(&bytes, results.0, results.1),
        None => {
            let detail = format!("read from {start} behind the end of {}", buffer_name(buffer));
            guest.state().violation(ViolationKind::BodyNotWritable, detail);
            Err(Status::BadArgument.into())
        }
    }
}

/// Nothing to read is "not found" here, and lengths are signed numbers above zero.
fn apisix_get_bytes(
    guest: &mut Guest<'_, '_>,
    buffer: u32,
    (start, length): (u32, u32),
    results: (u32, u32),
) -> Outcome {
    let bytes = with_buffer(guest.state(), buffer, <[u8]>::to_vec)?;
    let state = guest.state();
    if bytes.is_empty() && buffer == REQUEST_BODY && state.phase == Some(Phase::RequestBody) {
        // A request without a body leaves the last one's in place.
        let stale = state.stale_body.clone();
        if !stale.is_empty() {
            state.violation(ViolationKind::StaleBody, "request body");
            return guest.hand_over(&stale, results.0, results.1);
        }
    }
    if bytes.is_empty() {
        return Err(Status::NotFound.into());
    }
    if buffer == PLUGIN_CONFIGURATION {
        return guest.hand_over(&bytes, results.0, results.1);
    }
    let is_length = length > 0 && i32::try_from(length).is_ok();
    let from = start as usize;
    if !is_length || from >= bytes.len() {
        return Err(Status::BadArgument.into());
    }
    let to = from.saturating_add(length as usize).min(bytes.len());
    guest.hand_over(bytes.get(from..to).unwrap_or_default(), results.0, results.1)
}

/// The offset is ignored, a body in a file is not found, and a request body can be asked for in
/// its own callback only.
fn ngx_wasm_get_bytes(
    guest: &mut Guest<'_, '_>,
    buffer: u32,
    length: u32,
    results: (u32, u32),
) -> Outcome {
    let state = guest.state();
    if buffer == REQUEST_BODY {
        if state.phase == Some(Phase::CallReply) {
            return Err(host_trap(guest, "request body read in a call-out's callback"));
        }
        if state.stream().is_some_and(|stream| stream.body_in_file) {
            return Err(Status::NotFound.into());
        }
    }
    let bytes = with_buffer(state, buffer, <[u8]>::to_vec)?;
    if bytes.is_empty() {
        return Err(Status::NotFound.into());
    }
    let to = (length as usize).min(bytes.len());
    guest.hand_over(bytes.get(..to).unwrap_or_default(), results.0, results.1)
}

/// Replaces the whole, prepends or appends; nothing else is possible.
fn set_bytes(
    guest: &mut Guest<'_, '_>,
    buffer: u32,
    start: u32,
    length: u32,
    data: (u32, u32),
) -> Outcome {
    with_buffer(guest.state(), buffer, |_| ())?;
    let bytes = guest.bytes(data.0, data.1)?;
    guest.note(|| format!("{} {start}+{length} <- {}", buffer_name(buffer), bytes.len()));
    let (start, length) = (start as usize, length as usize);
    if guest.state().carriage() == Carriage::NgxWasm {
        let phase = match side_of(buffer) {
            Some(Side::Request) => Some(Phase::RequestBody),
            Some(Side::Response) => Some(Phase::ResponseBody),
            None => None,
        };
        if phase.is_none() || guest.state().phase != phase {
            return Err(host_trap(guest, "a body written outside its own callback"));
        }
        let stream = guest.state_mut().stream_mut();
        if let Some(stream) =
            stream.filter(|stream| phase == Some(Phase::RequestBody) && stream.body_in_file)
        {
            // Meant as a replacement, it comes behind what lies in the file.
            stream.request.chunk.extend(bytes);
            return Ok(());
        }
    }
    let body = side_of(buffer).and_then(|side| {
        guest.state_mut().stream_mut().and_then(|stream| stream.half_mut(side).visible_body_mut())
    });
    let done = match body {
        Some(body) if start == 0 && length == 0 => {
            body.splice(0..0, bytes);
            true
        }
        Some(body) if start == 0 && length >= body.len() => {
            *body = bytes;
            true
        }
        Some(body) if start > 0 && start >= body.len() => {
            body.extend(bytes);
            true
        }
        _ => false,
    };
    if done {
        return Ok(());
    }
    let detail = format!("{} at {start}+{length}", buffer_name(buffer));
    guest.state().violation(ViolationKind::BodyNotWritable, detail);
    Err(Status::BadArgument.into())
}
