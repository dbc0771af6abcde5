//! Senders that are slow, silent, or many: they take only what nobody else needs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use axum::Router;
use policy_server::connections::{Bounds, serve};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::world::{FILTER_TOKEN, Holder, World};

/// Short, so that the tests are.
const BOUNDS: Bounds =
    Bounds { connections: 4, head: Duration::from_millis(600), body: Duration::from_millis(600) };

/// How much later than its time something may happen on a busy machine.
const SLACK: Duration = Duration::from_secs(8);

struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    fn of(router: &Router, bounds: Bounds) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            serve(listener, router, bounds, async move { stopped.await.unwrap_or(()) }).await
        });
        Self { address, runtime: Some(runtime), stop: Some(stop) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(BOUNDS.head + SLACK)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// What comes until the connection ends.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection does not end: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn is_healthy(server: &Server) -> bool {
    let mut stream = server.connect();
    stream.write_all(HEALTH.as_bytes()).unwrap();
    rest(&mut stream).starts_with("HTTP/1.1 200")
}

fn world() -> World {
    tokio::runtime::Runtime::new().unwrap().block_on(World::with_org(None))
}

#[test]
fn a_head_that_comes_in_drops_and_a_connection_that_says_nothing_end() {
    let world = world();
    let server = Server::of(&world.app.admin, BOUNDS);
    let begun = Instant::now();
    let mut silent = server.connect();
    let mut slow = server.connect();
    let mut ended = false;
    for byte in "GET /healthz HTTP/1.1\r\nx-long: ".bytes().chain(std::iter::repeat_n(b'a', 400)) {
        if slow.write_all(&[byte]).is_err() {
            ended = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
        if begun.elapsed() > BOUNDS.head + SLACK {
            break;
        }
    }
    assert!(ended, "ten seconds for one head");
    assert_eq!(rest(&mut silent), "");
    assert!(begun.elapsed() > BOUNDS.head / 2, "nobody is cut off at once");
    assert!(is_healthy(&server));
}

#[test]
fn a_body_that_comes_in_drops_is_answered_and_not_waited_for() {
    let world = world();
    let holder = "reports";
    for (router, head, code) in [
        (
            &world.app.admin,
            format!(
                "PUT /admin/v1/orgs/acme HTTP/1.1\r\nauthorization: Bearer {}",
                world.admin_token
            ),
            "body_timeout",
        ),
        (
            &world.app.admin,
            format!(
                "PUT /admin/v1/orgs/acme HTTP/1.1\r\nidempotency-key: 12345678\r\n\
                 authorization: Bearer {}",
                world.admin_token
            ),
            "body_timeout",
        ),
        (
            &world.app.filter,
            format!("POST /proxy/v1/{holder} HTTP/1.1\r\nauthorization: Bearer {FILTER_TOKEN}"),
            "bad_message",
        ),
    ] {
        let server = Server::of(router, BOUNDS);
        let mut slow = server.connect();
        let head = format!("{head}\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{{");
        slow.write_all(head.as_bytes()).unwrap();
        let mut dripping = slow.try_clone().unwrap();
        let drops = std::thread::spawn(move || {
            while dripping.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        let answer = rest(&mut slow);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(code), "{answer}");
        drop(slow);
        drops.join().unwrap();
        assert!(is_healthy(&server));
    }
}

#[test]
fn many_silent_connections_keep_nobody_out() {
    let world = world();
    let patient = Bounds { head: Duration::from_secs(60), ..BOUNDS };
    let server = Server::of(&world.app.admin, patient);
    let mut silent: Vec<_> = (0..60).map(|_| server.connect()).collect();
    let begun = Instant::now();
    for _ in 0..5 {
        assert!(is_healthy(&server));
    }
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    // All but those that have a place are closed, the oldest first.
    let is_open = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let open: Vec<_> = silent.iter_mut().map(is_open).collect();
    let count = open.iter().filter(|open| **open).count();
    assert!(count < 4, "{open:?}");
    assert!(!open[..50].contains(&true), "{open:?}");
}

#[test]
fn a_connection_that_waits_for_its_answer_is_not_the_one_to_go() {
    let world = world();
    let holder: Holder = tokio::runtime::Runtime::new().unwrap().block_on(world.holder(1));
    let server = Server::of(&world.app.filter, Bounds { connections: 2, ..BOUNDS });
    let poll = |ms: u64| {
        let mut stream = server.connect();
        let head = format!(
            "GET /proxy/v1/changes?holder={}&epoch={}&revision={}&wait_ms={ms} HTTP/1.1\r\n\
             host: x\r\nauthorization: Bearer {FILTER_TOKEN}\r\nconnection: close\r\n\r\n",
            holder.id, holder.epoch.0, holder.revision.0
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut polls = [poll(1_500), poll(1_500)];
    std::thread::sleep(Duration::from_millis(300));
    // Both places are taken by somebody who waits: others wait for them, and are served then.
    let silent: Vec<_> = (0..8).map(|_| server.connect()).collect();
    assert!(is_healthy(&server));
    for stream in &mut polls {
        let answer = rest(stream);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\"changes\":[]"),
            "{answer}"
        );
    }
    drop(silent);
}

#[test]
fn heads_are_bounded_and_odd_requests_leave_the_server_as_it_was() {
    let world = world();
    let server = Server::of(&world.app.admin, BOUNDS);
    let send = |text: &str| {
        let mut stream = server.connect();
        // It may be answered and closed before all of it is sent.
        let _ = stream.write_all(text.as_bytes());
        rest(&mut stream)
    };
    let long = "a".repeat(200_000);
    for head in [
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
        format!("GET /healthz?{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(500)),
        format!("{long} / HTTP/1.1\r\n\r\n"),
    ] {
        let answer = send(&head);
        assert!(!answer.contains(" 200 "), "{:.40}: {answer}", head);
    }
    for odd in [
        "\0\0\0\0\r\n\r\n",
        "GET /healthz HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n folded: x\r\n\r\n",
    ] {
        let answer = send(odd);
        assert!(!answer.contains(" 200 "), "{odd:?}: {answer}");
    }
    assert!(is_healthy(&server));
}

#[test]
fn pipelined_requests_are_answered_in_turn_and_half_closed_connections_end() {
    let world = world();
    let server = Server::of(&world.app.admin, BOUNDS);
    let mut stream = server.connect();
    let first = "GET /admin/v1/keys HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(format!("{first}{first}{HEALTH}").as_bytes()).unwrap();
    let answers = rest(&mut stream);
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["401", "401", "200"]);
    // The body of one request is never the head of the next.
    let mut stream = server.connect();
    let body = format!("{HEALTH}x");
    let head = format!(
        "POST /admin/v1/keys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answers = rest(&mut stream);
    assert!(answers.matches("HTTP/1.1 ").count() <= 1 && !answers.contains(" 200 "), "{answers}");
    let mut stream = server.connect();
    stream.write_all(b"GET /heal").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!rest(&mut stream).contains(" 200 "));
    assert!(is_healthy(&server));
}

#[test]
fn a_stop_waits_for_nobody_who_asks_for_nothing() {
    let world = world();
    let patient = Bounds { head: Duration::from_secs(60), ..BOUNDS };
    let mut server = Server::of(&world.app.admin, patient);
    assert!(is_healthy(&server));
    let mut silent = server.connect();
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(rest(&mut silent), "");
    assert!(begun.elapsed() < SLACK);
}

/// The binary itself: its ports have these bounds.
#[test]
fn the_ports_of_the_server_have_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let process = crate::process::serve(folder.path());
    let filter = process.line("filter API on ").unwrap().to_owned();
    let admin = process.line("admin API on ").unwrap().to_owned();
    for address in [filter, admin] {
        // Without bounds a head of 200 KB is read, before anybody has shown a token.
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(SLACK)).unwrap();
        let long = "a".repeat(200_000);
        let _ = stream.write_all(format!("GET /healthz HTTP/1.1\r\nx: {long}\r\n\r\n").as_bytes());
        let answer = rest(&mut stream);
        assert!(!answer.contains(" 200 "), "{address}: {answer}");
    }
    let answer: (u16, Value) = process.admin("GET", "keys", "none", &json!(null));
    assert_eq!(answer.0, 401);
}
