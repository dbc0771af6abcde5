//! Call-outs over HTTP. gRPC is there to be imported, and refuses.

use wasmtime::Linker;

use super::{Outcome, Refusal, host_trap, import};
use crate::callout::{CallId, CallOut, CallReply, PendingCall};
use crate::headers::{HeaderMap, decode_pairs};
use crate::memory::Guest;
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm_state::VmState;

/// Calls that may be under way at once in one proxy. More is a storm, not load.
const MAX_PENDING_CALLS: usize = 100_000;

/// Tokens of HTTP calls grow by this; the numbers between are for gRPC.
const TOKEN_STEP: u32 = 4;

/// The two lowest bits of a token that names a gRPC stream.
const GRPC_STREAM_BITS: u32 = 2;

/// What the guest hands over for a call, as pointers and lengths.
struct CallArguments {
    cluster: (u32, u32),
    headers: (u32, u32),
    body: (u32, u32),
    trailers: (u32, u32),
    timeout_ms: u32,
    token_at: u32,
}

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_http_call",
        |g,
         cluster: u32,
         cluster_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         trailers: u32,
         trailers_len: u32,
         timeout_ms: u32,
         token_at: u32| {
            let arguments = CallArguments {
                cluster: (cluster, cluster_len),
                headers: (headers, headers_len),
                body: (body, body_len),
                trailers: (trailers, trailers_len),
                timeout_ms,
                token_at,
            };
            http_call(g, arguments)
        }
    );
    define_grpc(linker, profile)
}

fn http_call(guest: &mut Guest<'_, '_>, arguments: CallArguments) -> Outcome {
    let cluster = guest.text(arguments.cluster.0, arguments.cluster.1)?;
    let body = guest.bytes(arguments.body.0, arguments.body.1)?;
    let headers = decode_pairs(&guest.bytes(arguments.headers.0, arguments.headers.1)?);
    let trailers = decode_pairs(&guest.bytes(arguments.trailers.0, arguments.trailers.1)?);
    guest.write_u32(arguments.token_at, 0)?;
    guest.note(|| {
        let path = headers.text(":path").unwrap_or("?");
        format!("{cluster} {} {path} {}", headers.text(":method").unwrap_or("?"), body.len())
    });
    if arguments.timeout_ms > i32::MAX as u32 {
        return Err(Status::BadArgument.into());
    }
    let carriage = guest.state().carriage();
    if carriage != Carriage::FilterManager {
        return nginx_call(guest, cluster, headers, body, trailers, &arguments);
    }
    if !guest.state().host.borrow().clusters.contains(&cluster) {
        guest.state().violation(ViolationKind::UnknownCluster, cluster);
        return Err(Status::BadArgument.into());
    }
    if [":method", ":path", ":authority"].iter().any(|name| headers.get(name).is_none()) {
        guest.state().violation(ViolationKind::IncompleteCall, format!("{headers:?}"));
        return Err(Status::BadArgument.into());
    }
    if guest.state().host.borrow().calls.len() >= MAX_PENDING_CALLS {
        return Err(Status::InternalFailure.into());
    }
    let token = start_call(guest.state_mut(), cluster, headers, body, trailers, &arguments);
    guest.note(|| format!("token {token}"));
    guest.write_u32(arguments.token_at, token)
}

/// A call-out of a proxy that is built on nginx: a bad address shows only in the answer, and not
/// every phase may make one.
fn nginx_call(
    guest: &mut Guest<'_, '_>,
    cluster: String,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    arguments: &CallArguments,
) -> Outcome {
    let state = guest.state();
    let of_request = [Phase::RequestHeaders, Phase::RequestBody, Phase::CallReply];
    let in_request = state.phase.is_some_and(|phase| of_request.contains(&phase));
    let apisix = state.carriage() == Carriage::Apisix;
    if apisix && !in_request {
        return Err(Status::BadArgument.into());
    }
    if !apisix && !in_request && state.phase != Some(Phase::Tick) {
        return Err(host_trap(guest, "a call-out in a phase that cannot make one"));
    }
    if apisix && headers.is_empty() {
        state.violation(ViolationKind::WorkerCrashed, "a call-out without headers");
        return Err(Refusal::Trap(wasmtime::Error::msg("the worker died")));
    }
    let (vm, context) = (state.index, state.context());
    let under_way = |one: &PendingCall| one.call.vm == vm && one.call.context == context;
    if apisix && state.host.borrow().calls.values().any(under_way) {
        return Err(Status::InternalFailure.into());
    }
    let unreachable = !state.host.borrow().clusters.contains(&cluster)
        || (apisix && headers.text(":method") == Some("POST") && body.is_empty());
    let token = start_call(guest.state_mut(), cluster, headers, body, trailers, arguments);
    if unreachable {
        let mut host = guest.state().host.borrow_mut();
        let now_ns = host.clock.monotonic_ns;
        if let Some(mut newest) = host.calls.last_entry() {
            newest.get_mut().arriving = Some((now_ns, CallReply::reset()));
        }
    }
    guest.note(|| format!("token {token}"));
    guest.write_u32(arguments.token_at, token)
}

fn start_call(
    state: &mut VmState,
    cluster: String,
    mut headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    arguments: &CallArguments,
) -> u32 {
    if !body.is_empty() {
        headers.set("content-length", body.len().to_string());
    }
    state.last_call_token += TOKEN_STEP;
    let token = state.last_call_token;
    let context = state.context();
    let root = state.root_of(context);
    let vm = state.index;
    let mut host = state.host.borrow_mut();
    host.calls_made += 1;
    let id = CallId(host.calls_made);
    let call = CallOut {
        id,
        vm,
        root,
        context,
        token,
        cluster,
        headers,
        body,
        trailers,
        timeout_ms: u64::from(arguments.timeout_ms),
        sent_ns: host.clock.monotonic_ns,
    };
    host.calls.insert(id, PendingCall { call, arriving: None });
    token
}

/// gRPC calls find no service; operations on a token that is no stream's are bad arguments.
fn define_grpc(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    fn no_service(guest: &mut Guest<'_, '_>) -> Outcome {
        guest.state().violation(ViolationKind::NotModelled, "gRPC");
        Err(Status::ParseFailure.into())
    }
    fn no_stream(token: u32) -> Outcome {
        let is_stream = token & 3 == GRPC_STREAM_BITS;
        Err(if is_stream { Status::NotFound } else { Status::BadArgument }.into())
    }
    import!(
        linker,
        profile,
        "proxy_grpc_call",
        |g,
         _a: u32,
         _b: u32,
         _c: u32,
         _d: u32,
         _e: u32,
         _f: u32,
         _g: u32,
         _h: u32,
         _i: u32,
         _j: u32,
         _k: u32,
         _l: u32| no_service(g)
    );
    import!(
        linker,
        profile,
        "proxy_grpc_stream",
        |g, _a: u32, _b: u32, _c: u32, _d: u32, _e: u32, _f: u32, _g: u32, _h: u32, _i: u32| {
            no_service(g)
        }
    );
    import!(
        linker,
        profile,
        "proxy_grpc_send",
        |_g, token: u32, _at: u32, _length: u32, _end: u32| no_stream(token)
    );
    import!(linker, profile, "proxy_grpc_cancel", |_g, token: u32| { no_stream(token) });
    import!(linker, profile, "proxy_grpc_close", |_g, token: u32| { no_stream(token) });
    Ok(())
}
