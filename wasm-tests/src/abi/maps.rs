//! Header and trailer maps.

use wasmtime::Linker;

use super::{Outcome, Refusal, host_trap, import};
use crate::headers::{HeaderMap, decode_pairs, encode_pairs};
use crate::memory::{Guest, shown};
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::stream::Side;
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm_state::VmState;

/// The highest map number of the ABI.
const MAX_MAP: u32 = 7;

const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;
const CALL_HEADERS: u32 = 6;
const CALL_TRAILERS: u32 = 7;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_get_header_map_value",
        |g, map: u32, key: u32, key_len: u32, value_at: u32, length_at: u32| {
            get_value(g, map, (key, key_len), value_at, length_at)
        }
    );
    import!(linker, profile, "proxy_get_header_map_pairs", |g, map: u32, at: u32, len_at: u32| {
        get_pairs(g, map, at, len_at)
    });
    import!(linker, profile, "proxy_get_header_map_size", |g, map: u32, size_at: u32| {
        check_number(map)?;
        let size = readable(g.state(), map).ok_or(Status::BadArgument)?.byte_size();
        g.write_u32(size_at, size as u32)
    });
    import!(linker, profile, "proxy_set_header_map_pairs", |g, map: u32, at: u32, len: u32| {
        set_pairs(g, map, at, len)
    });
    import!(
        linker,
        profile,
        "proxy_add_header_map_value",
        |g, map: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            edit(g, map, (key, key_len), Some((value, value_len)), |h, n, v| h.add(n, v))
        }
    );
    import!(
        linker,
        profile,
        "proxy_replace_header_map_value",
        |g, map: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            edit(g, map, (key, key_len), Some((value, value_len)), |h, n, v| h.set(n, v))
        }
    );
    import!(
        linker,
        profile,
        "proxy_remove_header_map_value",
        |g, map: u32, key: u32, key_len: u32| {
            edit(g, map, (key, key_len), None, |headers, name, _| headers.remove(name))
        }
    );
    Ok(())
}

fn check_number(map: u32) -> Result<(), Refusal> {
    if map > MAX_MAP { Err(Status::BadArgument.into()) } else { Ok(()) }
}

fn map_name(map: u32) -> &'static str {
    match map {
        REQUEST_HEADERS => "request headers",
        REQUEST_TRAILERS => "request trailers",
        RESPONSE_HEADERS => "response headers",
        RESPONSE_TRAILERS => "response trailers",
        CALL_HEADERS => "call headers",
        CALL_TRAILERS => "call trailers",
        _ => "grpc metadata",
    }
}

/// The map as it can be read now. While `on_log` runs these are the messages as they ended up.
fn readable(state: &VmState, map: u32) -> Option<&HeaderMap> {
    if map == CALL_HEADERS || map == CALL_TRAILERS {
        let (root, reply) = state.reply.as_ref()?;
        // A broken connection has no reply to look at.
        let present = !reply.headers.is_empty() && state.root_of(state.context()) == *root;
        let trailers = (!reply.trailers.is_empty()).then_some(&reply.trailers);
        let found = if map == CALL_HEADERS { Some(&reply.headers) } else { trailers };
        return found.filter(|_| present);
    }
    let stream = state.stream()?;
    if state.carriage() != Carriage::FilterManager {
        // nginx shows both heads as long as it has the request.
        return match map {
            _ if stream.detached => None,
            REQUEST_HEADERS => stream.request.headers.as_ref(),
            RESPONSE_HEADERS => stream.response.headers.as_ref(),
            _ => None,
        };
    }
    let live = |is_live: bool, found: &'_ Option<HeaderMap>| is_live && found.is_some();
    let (request, response) = (&stream.request, &stream.response);
    match map {
        REQUEST_HEADERS if stream.log_phase || live(request.headers_live, &request.headers) => {
            request.headers.as_ref()
        }
        RESPONSE_HEADERS if stream.log_phase => stream.client.headers.as_ref(),
        RESPONSE_HEADERS if live(response.headers_live, &response.headers) => {
            response.headers.as_ref()
        }
        REQUEST_TRAILERS if !stream.log_phase && request.trailers_live => request.trailers.as_ref(),
        RESPONSE_TRAILERS if stream.log_phase => stream.client.trailers.as_ref(),
        RESPONSE_TRAILERS if response.trailers_live => response.trailers.as_ref(),
        _ => None,
    }
}

/// The head that nginx can change in this phase.
fn writable_in_nginx(state: &mut VmState, map: u32) -> Option<&mut HeaderMap> {
    const REQUEST: [Phase; 3] = [Phase::RequestHeaders, Phase::RequestBody, Phase::CallReply];
    let phase = state.phase?;
    let stream = state.stream_mut()?;
    match map {
        REQUEST_HEADERS if REQUEST.contains(&phase) => stream.request.headers.as_mut(),
        RESPONSE_HEADERS if phase == Phase::ResponseHeaders => stream.response.headers.as_mut(),
        _ => None,
    }
}

/// The map as it can be changed now. In the body callback that ends a message, naming the
/// trailers creates them.
fn writable(state: &mut VmState, map: u32) -> Option<&mut HeaderMap> {
    if state.carriage() != Carriage::FilterManager {
        return writable_in_nginx(state, map);
    }
    let stream = state.stream_mut()?;
    let end_of_stream = stream.end_of_stream;
    let (side, trailers) = match map {
        REQUEST_HEADERS => (Side::Request, false),
        REQUEST_TRAILERS => (Side::Request, true),
        RESPONSE_HEADERS => (Side::Response, false),
        RESPONSE_TRAILERS => (Side::Response, true),
        _ => return None,
    };
    let half = stream.half_mut(side);
    if !trailers {
        return half.headers.as_mut().filter(|_| half.headers_live);
    }
    if half.trailers.is_none() && half.body_live && end_of_stream {
        half.trailers = Some(HeaderMap::default());
        half.trailers_live = true;
        half.trailers_added = true;
    }
    half.trailers.as_mut().filter(|_| half.trailers_live)
}

fn not_live(guest: &Guest<'_, '_>, map: u32, what: &str) -> Refusal {
    let detail = format!("{what} {}", map_name(map));
    if guest.state().carriage() == Carriage::NgxWasm {
        return host_trap(guest, &detail);
    }
    guest.state().violation(ViolationKind::MapNotLive, detail);
    Status::BadArgument.into()
}

fn get_value(
    guest: &mut Guest<'_, '_>,
    map: u32,
    key: (u32, u32),
    value_at: u32,
    length_at: u32,
) -> Outcome {
    check_number(map)?;
    let name = guest.bytes(key.0, key.1)?;
    guest.note(|| format!("{} {}", map_name(map), shown(&name)));
    let value = match readable(guest.state(), map) {
        Some(headers) => headers.get(&name).ok_or(Status::NotFound)?.to_vec(),
        None if guest.state().stream().is_some_and(|stream| stream.log_phase) => {
            return Err(Status::NotFound.into());
        }
        None if map >= CALL_HEADERS => return Err(Status::BadArgument.into()),
        None => return Err(not_live(guest, map, "read of")),
    };
    guest.hand_over(&value, value_at, length_at)
}

/// All pairs at once. A map that is not there reads as empty, without an error.
fn get_pairs(guest: &mut Guest<'_, '_>, map: u32, at: u32, length_at: u32) -> Outcome {
    check_number(map)?;
    guest.note(|| map_name(map).to_owned());
    let absent = map < CALL_HEADERS && readable(guest.state(), map).is_none();
    if absent && guest.state().carriage() != Carriage::FilterManager {
        return Err(not_live(guest, map, "read of"));
    }
    let most = guest.state().host.borrow().profile.most_fields;
    let with_pseudo = guest.state().carriage() == Carriage::NgxWasm;
    let shown = readable(guest.state(), map).map(|headers| headers.shown(most, with_pseudo));
    let bytes = shown.as_ref().map(encode_pairs).unwrap_or_default();
    guest.hand_over(&bytes, at, length_at)
}

fn set_pairs(guest: &mut Guest<'_, '_>, map: u32, at: u32, length: u32) -> Outcome {
    check_number(map)?;
    let pairs = decode_pairs(&guest.bytes(at, length)?);
    guest.note(|| format!("{} {pairs:?}", map_name(map)));
    let mut fresh = HeaderMap::default();
    for (name, value) in pairs.pairs() {
        check_legal(guest, name, value);
        fresh.add(name, value);
    }
    match writable(guest.state_mut(), map) {
        Some(headers) => *headers = fresh,
        None => return Err(not_live(guest, map, "write of")),
    }
    Ok(())
}

fn edit(
    guest: &mut Guest<'_, '_>,
    map: u32,
    key: (u32, u32),
    value: Option<(u32, u32)>,
    change: fn(&mut HeaderMap, &[u8], &[u8]),
) -> Outcome {
    check_number(map)?;
    let name = guest.bytes(key.0, key.1)?;
    let value = value.map(|(at, length)| guest.bytes(at, length)).transpose()?;
    guest.note(|| match &value {
        Some(value) => format!("{} {}: {}", map_name(map), shown(&name), shown(value)),
        None => format!("{} {}", map_name(map), shown(&name)),
    });
    let removes = value.is_none();
    let value = value.unwrap_or_default();
    check_legal(guest, &name, &value);
    match guest.state().carriage() {
        Carriage::Apisix if map == REQUEST_HEADERS && name.starts_with(b":") => {
            return apisix_pseudo_header(guest, &name, value, removes);
        }
        // Answered as done; what nginx sends is as it was.
        Carriage::NgxWasm if matches!(name.as_slice(), b":authority" | b":path") => return Ok(()),
        _ => {}
    }
    match writable(guest.state_mut(), map) {
        Some(headers) => change(headers, &name, &value),
        None => return Err(not_live(guest, map, "write of")),
    }
    Ok(())
}

/// The parts of the request line: `:authority` made of letters becomes the method, a path's query
/// is escaped and the old one is kept.
fn apisix_pseudo_header(
    guest: &mut Guest<'_, '_>,
    name: &[u8],
    value: Vec<u8>,
    removes: bool,
) -> Outcome {
    let Some(headers) = writable(guest.state_mut(), REQUEST_HEADERS) else {
        return Err(not_live(guest, REQUEST_HEADERS, "write of"));
    };
    match name {
        _ if removes => return Err(Status::BadArgument.into()),
        b":authority" | b":method" if value.iter().all(u8::is_ascii_alphabetic) => {
            headers.set(":method", value);
        }
        b":path" => {
            let old = headers.get(":path").unwrap_or_default().to_vec();
            let query = old.iter().position(|byte| *byte == b'?').and_then(|at| old.get(at..));
            let mut path = value.split(|byte| *byte == b'?').collect::<Vec<_>>().join(&b"%3F"[..]);
            path.extend_from_slice(query.unwrap_or_default());
            headers.set(":path", path);
        }
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

/// Envoy takes any bytes here and fails later, at the codec.
fn check_legal(guest: &Guest<'_, '_>, name: &[u8], value: &[u8]) {
    let breaks = |byte: &u8| matches!(*byte, b'\r' | b'\n' | 0);
    let visible = |byte: &u8| byte.is_ascii_graphic();
    if name.is_empty() || !name.iter().all(visible) || value.iter().any(breaks) {
        let detail = format!("{}: {}", shown(name), shown(value));
        guest.state().violation(ViolationKind::IllegalHeader, detail);
    }
}
