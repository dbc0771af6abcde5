//! Call-outs answered by a real router in this process.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use tokio::sync::watch;
use wasm_tests::{Host, LongPoll, Mount, MountedRouter, Profile};

use crate::probe::{GET, logged, start};

const ASK_AND_PAUSE: (&str, &str) = (
    "proxy_on_request_headers",
    r#"(global.set $state (local.get $id))
       (drop (call $call "server" P":method=POST|:path=/echo|:authority=server|x-token=t" "body" ""
         (i32.const 60000) (i32.const 8)))
       (i32.const 1)"#,
);

const POLL: (&str, &str) = (
    "proxy_on_configure",
    r#"(drop (call $call "server" P":method=GET|:path=/changes?wait=25000|:authority=server"
         "" "" (i32.const 40000) (i32.const 8)))
       (i32.const 1)"#,
);

const LOG_REPLY: (&str, &str) = (
    "proxy_on_http_call_response",
    r#"(drop (call $read (i32.const 4) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
       (call $log_read)
       (drop (call $effective (global.get $state)))
       (drop (call $continue (i32.const 0)))"#,
);

fn poll_rule(call: &wasm_tests::CallOut) -> Option<LongPoll> {
    let path = call.path().strip_suffix("?wait=25000")?;
    Some(LongPoll { wait_ms: 25_000, path_without_wait: format!("{path}?wait=0") })
}

/// Answers at once when asked without waiting, otherwise when the watched number changes.
fn polling_router(news: &watch::Sender<u32>) -> Router {
    let news = news.subscribe();
    let changes = move |query: axum::extract::RawQuery| {
        let mut news = news.clone();
        async move {
            if query.0.as_deref() != Some("wait=0") {
                news.mark_unchanged();
                news.changed().await.unwrap();
            }
            format!("revision {}", *news.borrow())
        }
    };
    Router::new().route("/changes", get(changes))
}

#[test]
fn a_call_reaches_the_router_with_its_headers_and_body() {
    let mount = Mount::new().unwrap();
    let echo = |headers: HeaderMap, body: String| async move {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        format!("{} {} {body}", header("host"), header("x-token"))
    };
    let router = Router::new().route("/echo", post(echo));
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_REPLY]);
    host.serve(MountedRouter::new(&mount, router.clone()));
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!(logged(&host), ["server t body"]);
    assert!(exchange.forwarded().complete);

    let reply = mount.request(&router, "GET", "/none", &[], b"");
    assert_eq!(reply.headers.text(":status"), Some("404"));
}

#[test]
fn a_long_poll_stays_pending_until_there_is_news() {
    let mount = Mount::new().unwrap();
    let (news, _) = watch::channel(7);
    let host = Host::new(Profile::envoy());
    host.add_cluster("server");
    let polling = MountedRouter::new(&mount, polling_router(&news));
    host.serve(polling.with_long_polls(Box::new(poll_rule)));
    let module = crate::probe::probe(&[POLL, LOG_REPLY]);
    let _vm = wasm_tests::Vm::start(&host, &module, "").unwrap();
    host.advance_ms(10_000).unwrap();
    assert_eq!(host.pending_calls().len(), 1);
    news.send(8).unwrap();
    host.settle().unwrap();
    assert_eq!(logged(&host), ["revision 8"]);
}

#[test]
fn a_long_poll_without_news_ends_at_its_virtual_waiting_time() {
    let mount = Mount::new().unwrap();
    let (news, _) = watch::channel(7);
    let host = Host::new(Profile::envoy());
    host.add_cluster("server");
    let times = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = std::rc::Rc::clone(&times);
    let polling = MountedRouter::new(&mount, polling_router(&news))
        .with_long_polls(Box::new(poll_rule))
        .with_time(Box::new(move |now_ms| seen.borrow_mut().push(now_ms)));
    host.serve(polling);
    let module = crate::probe::probe(&[POLL, LOG_REPLY]);
    let _vm = wasm_tests::Vm::start(&host, &module, "").unwrap();
    host.advance_ms(24_999).unwrap();
    assert_eq!(logged(&host), [""; 0]);
    host.advance_ms(1).unwrap();
    assert_eq!(logged(&host), ["revision 7"]);
    let times = times.borrow();
    assert_eq!(times.last().unwrap() - times[0], 25_000);
}
