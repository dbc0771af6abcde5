//! Callbacks in orders that some proxies produce and in orders that none should: the filter never
//! traps, and lets nothing pass that the server has not admitted.

use wasm_tests::{Ending, Exchange, HeadersEnd, Host, Profile, Vm, WasmModule};

use crate::canned_server::{CHAT, CONFIG, Verdict, proxy, serve};

/// Something that happens to a stream.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Request headers; the flag says that nothing follows.
    Headers(bool),
    /// A piece of the request body; the flag says that it is the last.
    Body(&'static str, bool),
    Trailers,
    ResponseHeaders,
    ResponseBody(bool),
    ResponseTrailers,
    UpstreamBreaks,
    ClientLeaves,
}

use Step::{
    Body, ClientLeaves, Headers, ResponseBody, ResponseHeaders, ResponseTrailers, Trailers,
    UpstreamBreaks,
};

/// Whatever the order, the client leaves at the end of each.
const ORDERS: &[&[Step]] = &[
    &[],
    &[ClientLeaves, ClientLeaves],
    // Parts of the request without the others, twice, or late.
    &[Headers(false)],
    &[Headers(false), Trailers],
    &[Trailers],
    &[Headers(false), Body(CHAT, false), Trailers, Trailers],
    &[Headers(false), Body(CHAT, true), Body("", true)],
    &[Headers(false), Body(CHAT, true), Body(CHAT, true)],
    &[Headers(false), Body(CHAT, true), Body("more", false), Trailers],
    &[Headers(true), Body(CHAT, true)],
    &[Headers(true), Body(CHAT, false), Trailers],
    &[Headers(false), Headers(false), Body(CHAT, true)],
    &[Headers(false), Body(CHAT, true), Headers(true)],
    &[Body(CHAT, true)],
    &[Body(CHAT, true), Headers(true)],
    &[Headers(false), ClientLeaves, Body(CHAT, true)],
    // Responses that nobody waited for.
    &[ResponseHeaders, ResponseBody(false), ResponseBody(true)],
    &[ResponseBody(true)],
    &[ResponseTrailers],
    &[Headers(false), ResponseHeaders, ResponseBody(true)],
    &[Headers(false), ResponseHeaders, Body(CHAT, true), ResponseBody(true)],
    &[Headers(false), Body(CHAT, true), ResponseBody(false), ResponseHeaders],
    &[Headers(false), Body(CHAT, true), ResponseHeaders, ResponseHeaders, ResponseBody(true)],
    &[Headers(false), Body(CHAT, true), ResponseHeaders, ResponseTrailers, ResponseTrailers],
    &[Headers(false), Body(CHAT, true), ResponseHeaders, ResponseBody(true), ResponseBody(true)],
    &[Headers(false), Body(CHAT, true), UpstreamBreaks, ResponseHeaders, UpstreamBreaks],
    &[Headers(false), UpstreamBreaks, Body(CHAT, true)],
];

/// Each proxy has its own last words; none at all are said to a stream in a crash.
const ENDINGS: &[&[Ending]] = &[
    &[Ending::Log, Ending::Done, Ending::Delete],
    &[Ending::Done, Ending::Log, Ending::Delete],
    &[Ending::Done, Ending::Delete],
    &[Ending::Log],
    &[Ending::Delete],
    &[Ending::Log, Ending::Log, Ending::Done, Ending::Done, Ending::Delete],
    &[],
];

/// Who asks, and what the server says.
const CASES: &[(bool, Verdict)] = &[
    (true, Verdict::Admit),
    (true, Verdict::Refuse),
    (true, Verdict::Silence),
    (false, Verdict::Admit),
];

fn headers(with_key: bool) -> Vec<(&'static str, &'static str)> {
    let mut headers = vec![
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "gateway"),
        ("content-type", "application/json"),
    ];
    if with_key {
        headers.push(("authorization", "Bearer sk-AbCdEfGhIjKlMnOpQrStUv"));
    }
    headers
}

fn take(exchange: &Exchange, step: Step, with_key: bool) {
    let done = match step {
        Headers(end) => exchange.send_headers(headers(with_key), end),
        Body(piece, end) => exchange.send_body(piece, end),
        Trailers => exchange.send_trailers([("x-checksum", "1")]),
        ResponseHeaders => {
            let headers = [(":status", "200"), ("content-type", "application/json")];
            exchange.respond_headers(headers, false)
        }
        ResponseBody(end) => {
            exchange.respond_body(r#"{"usage":{"prompt_tokens":1,"completion_tokens":1}}"#, end)
        }
        ResponseTrailers => exchange.respond_trailers([("x-checksum", "1")]),
        UpstreamBreaks => exchange.upstream_reset(),
        ClientLeaves => exchange.client_disconnect(),
    };
    done.unwrap();
}

/// Nothing at all of the request is with the upstream.
fn kept(exchange: &Exchange) -> bool {
    let forwarded = exchange.forwarded();
    forwarded.headers.is_none() && forwarded.chunks.is_empty() && forwarded.trailers.is_none()
}

/// A request as it should be.
fn proper_chat(vm: &Vm) -> Exchange {
    vm.request(headers(true)).body([CHAT]).send().unwrap()
}

/// Plays one order on a new stream. Returns whether anything reached the upstream.
fn play(
    host: &Host,
    vm: &Vm,
    order: &[Step],
    (with_key, verdict): (bool, Verdict),
    what: &str,
) -> bool {
    let exchange = vm.open().disorderly().unwrap();
    let may_pass = with_key && verdict == Verdict::Admit;
    for (number, step) in order.iter().enumerate() {
        take(&exchange, *step, with_key);
        assert!(may_pass || kept(&exchange), "{what}: passed at step {number}");
    }
    exchange.finish().unwrap();
    // What the stream still waited for is answered, now that it is gone.
    serve(host, Verdict::Admit);
    host.settle().unwrap();
    assert_eq!(vm.death(), None, "{what}");
    assert!(may_pass || kept(&exchange), "{what}: passed after its end");
    !kept(&exchange)
}

#[test]
fn no_order_of_callbacks_traps_or_lets_anything_pass_unasked() {
    let module = WasmModule::shipped().unwrap();
    let mut passed = 0;
    for headers_end in [HeadersEnd::Truthful, HeadersEnd::AlwaysTrue, HeadersEnd::AlwaysFalse] {
        for endings in ENDINGS {
            for case in CASES {
                let profile = Profile { headers_end, endings, ..Profile::envoy_stop_iteration() };
                for order in ORDERS {
                    let what = format!("{case:?}, {headers_end:?}, {endings:?}, {order:?}");
                    let host = proxy(profile.clone(), case.1);
                    let vm = Vm::start(&host, &module, CONFIG).unwrap();
                    passed += usize::from(play(&host, &vm, order, *case, &what));
                }
            }
        }
    }
    assert!(passed > 0, "not even a request in its proper order passes");
}

#[test]
fn after_all_odd_orders_a_vm_serves_as_before() {
    let module = WasmModule::shipped().unwrap();
    for endings in ENDINGS {
        let profile = Profile { endings, ..Profile::envoy_stop_iteration() };
        let host = proxy(profile, Verdict::Admit);
        let vm = Vm::start(&host, &module, CONFIG).unwrap();
        for order in ORDERS {
            for with_key in [true, false] {
                let what = format!("{endings:?}, {order:?}");
                play(&host, &vm, order, (with_key, Verdict::Admit), &what);
                host.advance_ms(100).unwrap();
            }
        }
        let exchange = proper_chat(&vm);
        assert!(exchange.forwarded().complete, "{endings:?}: {}", exchange.client().text());
        assert_eq!(exchange.forwarded().header("authorization"), None);
    }
}
