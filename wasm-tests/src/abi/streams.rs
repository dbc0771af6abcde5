//! What a guest can tell the proxy to do with a stream or a context.

use wasmtime::Linker;

use super::{Outcome, host_trap, import};
use crate::headers::decode_pairs;
use crate::memory::{Guest, shown};
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::stream::{LocalReply, Side};
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm_state::{Deferred, VmState};

const HTTP_REQUEST: u32 = 0;
const HTTP_RESPONSE: u32 = 1;
const DOWNSTREAM: u32 = 2;
const UPSTREAM: u32 = 3;

/// The status number that cpp hosts report for a broken connection.
const BROKEN_CONNECTION: u32 = 11;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(linker, profile, "proxy_continue_stream", |g, stream: u32| continue_stream(g, stream));
    import!(linker, profile, "proxy_close_stream", |g, stream: u32| { close_stream(g, stream) });
    import!(
        linker,
        profile,
        "proxy_send_local_response",
        |g,
         status: u32,
         details: u32,
         details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         _grpc_status: i32| {
            let reply = LocalReply {
                status,
                headers: decode_pairs(&g.bytes(headers, headers_len)?),
                body: g.bytes(body, body_len)?,
                details: g.bytes(details, details_len)?,
            };
            send_local_response(g, reply)
        }
    );
    import!(linker, profile, "proxy_set_effective_context", |g, context: u32| {
        g.note(|| context.to_string());
        let state = g.state_mut();
        if state.carriage() != Carriage::FilterManager {
            // Answered as done; host calls act on the request at hand all the same.
            return Ok(());
        }
        if !state.knows(context) {
            return Err(Status::BadArgument.into());
        }
        state.effective = context;
        Ok(())
    });
    import!(linker, profile, "proxy_done", |g| done(g));
    import!(
        linker,
        profile,
        "proxy_get_status",
        |g, code_at: u32, message_at: u32, length_at: u32| {
            let broken = g.state().reply.as_ref().is_some_and(|(_, r)| r.headers.is_empty());
            let (code, message) = if broken { (BROKEN_CONNECTION, "reset") } else { (0, "") };
            g.write_u32(code_at, code)?;
            g.hand_over(message.as_bytes(), message_at, length_at)
        }
    );
    import!(
        linker,
        profile,
        "proxy_call_foreign_function",
        |g,
         name: u32,
         name_len: u32,
         _arguments: u32,
         _arguments_len: u32,
         _results_at: u32,
         _length_at: u32| { foreign_function(g, name, name_len) }
    );
    Ok(())
}

fn continue_stream(guest: &mut Guest<'_, '_>, stream: u32) -> Outcome {
    let side = match stream {
        HTTP_REQUEST => Side::Request,
        HTTP_RESPONSE => Side::Response,
        DOWNSTREAM => return Ok(()),
        UPSTREAM => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    guest.note(|| format!("{side:?}"));
    match guest.state().carriage() {
        Carriage::FilterManager => {}
        Carriage::Apisix => return Ok(()),
        Carriage::NgxWasm => {
            if let Some(stream) = guest.state_mut().stream_mut() {
                stream.told_to_continue = true;
            }
            return Ok(());
        }
    }
    let state = guest.state_mut();
    let id = state.context();
    let Some(stream) = state.stream_mut() else {
        state.violation(ViolationKind::OutsideStream, "continue");
        return Ok(());
    };
    // Whatever direction goes on, the request is out of the filter's hands from here.
    stream.request.headers_live = false;
    stream.request.body_live = false;
    stream.request.trailers_live = false;
    state.deferred.push(Deferred::Continue(id, side));
    Ok(())
}

fn close_stream(guest: &mut Guest<'_, '_>, stream: u32) -> Outcome {
    guest.note(|| stream.to_string());
    match stream {
        HTTP_REQUEST | HTTP_RESPONSE => {}
        DOWNSTREAM | UPSTREAM => return Ok(()),
        _ => return Err(Status::BadArgument.into()),
    }
    let state = guest.state_mut();
    if state.carriage() == Carriage::Apisix {
        return Ok(());
    }
    let id = state.context();
    if state.stream().is_none() {
        state.violation(ViolationKind::OutsideStream, "close");
        return Ok(());
    }
    state.deferred.push(Deferred::Close(id));
    Ok(())
}

fn send_local_response(guest: &mut Guest<'_, '_>, reply: LocalReply) -> Outcome {
    guest.note(|| format!("{} {:?} {}", reply.status, reply.headers, shown(&reply.body)));
    if guest.state().carriage() != Carriage::FilterManager
        && let Some(outcome) = refused_reply(guest, &reply)
    {
        return outcome;
    }
    let state = guest.state_mut();
    state.stop_next = true;
    let id = state.context();
    let Some(stream) = state.stream_mut() else {
        state.violation(ViolationKind::OutsideStream, "local reply");
        return Ok(());
    };
    if stream.ended {
        state.violation(ViolationKind::OutsideStream, "local reply after the end");
        return Ok(());
    }
    if std::mem::replace(&mut stream.local_reply_asked, true) {
        // Envoy says Ok and runs the stream's end twice; what follows is undefined.
        state.violation(ViolationKind::DoubleLocalReply, reply.status.to_string());
        return Ok(());
    }
    state.deferred.push(Deferred::Reply(id, reply));
    Ok(())
}

/// Where a proxy that is built on nginx takes no answer, and what it does instead.
fn refused_reply(guest: &mut Guest<'_, '_>, reply: &LocalReply) -> Option<Outcome> {
    let state = guest.state();
    let apisix = state.carriage() == Carriage::Apisix;
    match state.phase {
        Some(Phase::RequestHeaders | Phase::RequestBody | Phase::CallReply) => None,
        Some(Phase::ResponseHeaders | Phase::ResponseBody) if apisix => {
            state.violation(ViolationKind::ReplyLost, "the response has begun");
            let headers = guest.state_mut().stream_mut()?.response.headers.as_mut()?;
            for (name, value) in reply.headers.pairs() {
                headers.set(name, value);
            }
            Some(Ok(()))
        }
        Some(Phase::ResponseHeaders) => {
            state.violation(ViolationKind::ReplyLost, "the client waits for ever");
            Some(Ok(()))
        }
        _ => Some(Err(host_trap(guest, "an answer outside a request"))),
    }
}

fn done(guest: &mut Guest<'_, '_>) -> Outcome {
    let state = guest.state_mut();
    let id = state.context();
    let root = state.roots.get_mut(&id).filter(|root| root.done_pending && !root.deleted);
    let root = root.ok_or(Status::NotFound)?;
    root.done_pending = false;
    state.deferred.push(Deferred::DeleteRoot(id));
    Ok(())
}

fn foreign_function(guest: &mut Guest<'_, '_>, name: u32, length: u32) -> Outcome {
    let name = guest.text(name, length)?;
    guest.note(|| name.clone());
    match name.as_str() {
        "clear_route_cache" if guest.state().carriage() == Carriage::FilterManager => Ok(()),
        "compress"
        | "uncompress"
        | "set_envoy_filter_state"
        | "declare_property"
        | "verify_signature"
        | "sign" => {
            guest.state().violation(ViolationKind::NotModelled, name);
            Err(Status::NotFound.into())
        }
        _ if guest.state().carriage() == Carriage::NgxWasm => {
            Err(host_trap(guest, "an unknown foreign function"))
        }
        _ => Err(Status::NotFound.into()),
    }
}
