//! A proxy that refuses host calls, one at a time and for ever: the filter never traps, lets
//! nothing pass that the server has not admitted, and works again once the proxy does.

use wasm_tests::{
    Effect, Event, Exchange, Host, HostError, Phase, Profile, Status, Vm, WasmModule,
};

use crate::canned_server::{CHAT, CONFIG, LEASED_OUTPUT_TOKENS, Verdict, proxy, serve};

const SET_CONTEXT: &str = "proxy_set_effective_context";
const CALL: &str = "proxy_http_call";

/// Statuses that proxies refuse with: unknown, bad argument, forbidden, not offered.
const STATUSES: &[Status] =
    &[Status::NotFound, Status::BadArgument, Status::InternalFailure, Status::Unimplemented];

const VERDICTS: &[Verdict] =
    &[Verdict::Admit, Verdict::AdmitOneAMinute, Verdict::Refuse, Verdict::Silence];

/// Longer than the filter waits for an answer about a request, in milliseconds.
const LONGEST_CALL_MS: u64 = 6_000;

const NS_PER_MS: u64 = 1_000_000;

/// Statuses of `call` that the filter can survive: the SDK itself makes calls to other services,
/// and ends the VM on statuses that no proxy gives for them.
fn bearable(call: &str) -> Vec<Status> {
    let sdk_knows = [Status::BadArgument, Status::InternalFailure];
    STATUSES.iter().filter(|status| call != CALL || sdk_knows.contains(status)).copied().collect()
}

/// One host call of the undisturbed run.
#[derive(Clone, Copy)]
struct Made {
    name: &'static str,
    /// Calls of that name before it.
    before: u64,
}

/// Every host call of a run, but those that the SDK makes on its own: it enters the context of a
/// call-out's answer before the filter is asked anything, and cannot bear a refusal.
fn host_calls_of(events: &[Event]) -> Vec<Made> {
    let mut made = Vec::new();
    let mut count = std::collections::BTreeMap::<&str, u64>::new();
    let mut entered_by_answer = false;
    for event in events {
        match event {
            Event::Entered { phase, .. } => entered_by_answer = *phase == Phase::CallReply,
            Event::HostCall { name, .. } => {
                let before = count.entry(name).or_default();
                if !(std::mem::take(&mut entered_by_answer) && *name == SET_CONTEXT) {
                    made.push(Made { name, before: *before });
                }
                *before += 1;
            }
            Event::Returned { .. } => {}
        }
    }
    made
}

/// What the upstream got, as far as the tests judge it.
#[derive(Default)]
struct Passed {
    chats: usize,
    /// Those that the server admitted in another form: without the client's key, for the model
    /// of that alias, with the lease's limit.
    altered: usize,
}

fn judge(exchange: &Exchange, passed: &mut Passed) {
    let forwarded = exchange.forwarded();
    if forwarded.headers.is_none() && forwarded.chunks.is_empty() {
        return;
    }
    passed.chats += 1;
    let body = forwarded.json();
    let as_admitted = forwarded.header("authorization").is_none()
        && body["max_tokens"] == LEASED_OUTPUT_TOKENS
        && body["model"] == "gpt-4o-mini";
    passed.altered += usize::from(!as_admitted);
}

/// Sends a chat; the upstream answers if it gets the request.
fn chat(vm: &Vm) -> Result<Exchange, HostError> {
    let length = CHAT.len().to_string();
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "gateway"),
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
        ("authorization", "Bearer sk-AbCdEfGhIjKlMnOpQrStUv"),
    ];
    let (start, rest) = CHAT.split_at(CHAT.len() / 2);
    let exchange = vm.request(headers).body([start, rest]).send()?;
    if exchange.forwarded().headers.is_some() && !exchange.ended() {
        let answer = [r#"{"choices":[],"usage":"#, r#"{"prompt_tokens":1,"completion_tokens":1}}"#];
        exchange.respond(200, &[("content-type", "application/json")], answer)?;
    }
    Ok(exchange)
}

/// Lets time pass at one blow, as when the machine slept: cheaper than every tick on the way.
fn sleep(host: &Host, vm: &Vm, ms: u64) -> Result<(), HostError> {
    let step_ns = ms * NS_PER_MS;
    host.set_clocks_ns(host.now_ns() + step_ns, host.wall_ns() + step_ns);
    host.settle()?;
    vm.tick()
}

/// The life of a worker: a refused request, a cold and a warm chat, reports, a lapsed session.
fn live(host: &Host, module: &WasmModule, passed: &mut Passed) -> Result<Vm, HostError> {
    let vm = Vm::start(host, module, CONFIG)?;
    let anonymous = vm.open();
    let headers = [(":method", "GET"), (":path", "/v1/models"), (":authority", "gateway")];
    anonymous.send_headers(headers, true)?;
    judge(&anonymous, passed);
    anonymous.finish()?;
    for _ in 0..2 {
        let exchange = chat(&vm)?;
        sleep(host, &vm, 100)?;
        sleep(host, &vm, LONGEST_CALL_MS)?;
        judge(&exchange, passed);
        exchange.finish()?;
    }
    sleep(host, &vm, LONGEST_CALL_MS)?;
    Ok(vm)
}

/// Whether the worker serves again once the proxy and the server are well.
fn recovers(host: &Host, vm: &Vm) -> Result<bool, HostError> {
    host.clear_faults();
    serve(host, Verdict::Admit);
    // A window that is full, a session that lapsed, a pause after a failure: all of it passes.
    for _ in 0..4 {
        sleep(host, vm, 30_000)?;
    }
    let exchange = chat(vm)?;
    Ok(exchange.status() == Some(200) && exchange.client().complete)
}

/// What can go wrong when a host call is refused.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// So many chats passed that were not admitted.
    Unadmitted(usize),
    /// So many chats passed in another form than was admitted.
    Altered(usize),
    /// The worker does not serve any more.
    Stuck,
    Failed(String),
}

/// Runs a life under one fault.
fn trouble(module: &WasmModule, verdict: Verdict, fault: impl FnOnce(&Host)) -> Option<Trouble> {
    let host = proxy(Profile::envoy_stop_iteration(), verdict);
    fault(&host);
    let mut passed = Passed::default();
    let lived = live(&host, module, &mut passed);
    if passed.chats > admitted(verdict) {
        return Some(Trouble::Unadmitted(passed.chats - admitted(verdict)));
    }
    if passed.altered > 0 {
        return Some(Trouble::Altered(passed.altered));
    }
    let recovered = match lived {
        Ok(vm) => recovers(&host, &vm),
        // Without configuration nothing starts, and nothing passes.
        Err(HostError::ConfigurationRefused(_)) => return None,
        Err(error) => Err(error),
    };
    match recovered {
        // That there is no such key is remembered until the server says otherwise.
        Ok(recovered) if recovered || verdict == Verdict::Refuse => None,
        Ok(_) => Some(Trouble::Stuck),
        Err(error) => Some(Trouble::Failed(error.to_string())),
    }
}

/// Chats of one life that the server admits.
fn admitted(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Admit => 2,
        Verdict::AdmitOneAMinute => 1,
        Verdict::Refuse | Verdict::Silence => 0,
    }
}

/// The host calls of an undisturbed life, which must be as the server says.
fn undisturbed(module: &WasmModule, verdict: Verdict) -> Vec<Made> {
    let host = proxy(Profile::envoy_stop_iteration(), verdict);
    let mut passed = Passed::default();
    live(&host, module, &mut passed).unwrap();
    assert_eq!((passed.chats, passed.altered), (admitted(verdict), 0), "{verdict:?}");
    assert_eq!(host.violations(), [], "{verdict:?}");
    host.trace(|trace| host_calls_of(trace.events()))
}

/// Refuses each host call of each kind of life, first once at every place, then always.
fn every_trouble(judge: impl Fn(&str, &Trouble) -> bool) -> Vec<String> {
    let module = WasmModule::shipped().unwrap();
    let mut found = Vec::new();
    for verdict in VERDICTS {
        let made = undisturbed(&module, *verdict);
        let once = made.iter().map(|made| (made.name, made.before, 1));
        let first = made.iter().filter(|made| made.before == 0 && made.name != SET_CONTEXT);
        let always = first.map(|made| (made.name, 0, u64::MAX));
        for (name, skip, times) in once.chain(always) {
            for status in bearable(name) {
                let fault = |host: &Host| {
                    host.fault(name, skip, times, Effect::Return(status));
                };
                let trouble = trouble(&module, *verdict, fault);
                if let Some(trouble) = trouble.filter(|trouble| judge(name, trouble)) {
                    let how = if times == 1 { format!("call {skip}") } else { "always".to_owned() };
                    found.push(format!("{verdict:?}: {name} {status} {how}: {trouble:?}"));
                }
            }
        }
    }
    found
}

#[test]
fn a_refused_host_call_neither_traps_nor_opens_nor_blocks_for_ever() {
    let found = every_trouble(|_, _| true);
    assert!(found.is_empty(), "{}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_request_that_can_neither_be_read_nor_answered_waits_until_the_client_leaves() {
    let module = WasmModule::shipped().unwrap();
    let host = proxy(Profile::envoy_stop_iteration(), Verdict::Admit);
    let vm = Vm::start(&host, &module, CONFIG).unwrap();
    let refused = ["proxy_get_header_map_pairs", "proxy_send_local_response"];
    let faults = refused.map(|name| host.fail_next(name, Status::InternalFailure));
    let exchange = chat(&vm).unwrap();
    assert_eq!(faults.map(|fault| fault.fired()), [1, 1]);
    assert!(exchange.forwarded().headers.is_none() && exchange.status().is_none());
    exchange.client_disconnect().unwrap();
    assert_eq!(chat(&vm).unwrap().status(), Some(200));
}
