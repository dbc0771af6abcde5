//! A body that comes in parts, as a host shows it that keeps all of them in one place.

use gate::config::parse;
use gate::testing::ProcessMemory;
use gate::{Gate, Headers, HostKind, Input, Now, StreamId};

const DIGEST: &str = "8d4be1bc480e7edb96e0fb485045beadc9d07e43eefd2b00f594393ec45d93cd";
const STREAM: StreamId = StreamId(1);
const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// A machine to which the head of a call was shown.
fn begun(memory: &mut ProcessMemory) -> Gate {
    let config = format!(
        r#"{{"keys":[{{"id":"k","org":"o","digests":["{DIGEST}"]}}],
            "models":[{{"name":"m","context_length":1000,"max_output_tokens":100}}]}}"#
    );
    let mut gate = Gate::new(parse(config.as_bytes()).unwrap(), None, [1; 32]);
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let headers: Headers = vec![
        pair(":method", "POST"),
        pair(":path", "/v1/chat/completions"),
        pair("authorization", "Bearer sk-AbCdEfGhIjKlMnOpQrStUv"),
        pair("content-length", &BODY.len().to_string()),
    ];
    let head =
        Input::RequestHeaders { stream: STREAM, headers: &headers, address: None, end: false };
    handle(&mut gate, memory, head);
    gate
}

fn handle(gate: &mut Gate, memory: &mut ProcessMemory, input: Input<'_>) {
    let now = Now { monotonic_ms: 1_000, wall_ms: 1_000, micros: 0, is_exact: true };
    gate.handle(now, memory, input);
    while gate.next_output().is_some() {}
}

#[test]
fn what_was_read_is_not_asked_for_again() {
    for cut in 0..BODY.len() {
        let mut memory = ProcessMemory::default();
        let mut gate = begun(&mut memory);
        let (first, second) = BODY.split_at(cut);
        for (part, size, end) in [(first, cut, false), (second, BODY.len(), true)] {
            assert_eq!(gate.body_read(STREAM), Some(size - part.len()));
            assert!(gate.holds(STREAM));
            let part = Input::RequestBodyPart { stream: STREAM, part, size, end };
            handle(&mut gate, &mut memory, part);
        }
        assert!(!gate.holds(STREAM), "cut at {cut}");
    }
}

/// Of a body that is refused nothing more need be shown.
#[test]
fn nothing_behind_a_fault_is_asked_for() {
    let mut memory = ProcessMemory::default();
    let mut gate = begun(&mut memory);
    let part = Input::RequestBodyPart { stream: STREAM, part: b"[}", size: 2, end: false };
    handle(&mut gate, &mut memory, part);
    assert_eq!(gate.body_read(STREAM), Some(usize::MAX));
    let end = Input::RequestBodyPart { stream: STREAM, part: b"", size: BODY.len(), end: true };
    handle(&mut gate, &mut memory, end);
    assert!(gate.is_decided(STREAM) && gate.holds(STREAM));
}

/// A new configuration may say that the host is another one.
#[test]
fn a_body_that_is_shown_as_a_whole_after_all_is_read_anew() {
    let mut memory = ProcessMemory::default();
    let mut gate = begun(&mut memory);
    let part = BODY.get(..20).unwrap();
    let part = Input::RequestBodyPart { stream: STREAM, part, size: 20, end: false };
    handle(&mut gate, &mut memory, part);
    gate.runs_on(HostKind::NgxWasm);
    assert_eq!(gate.body_read(STREAM), None);
    handle(&mut gate, &mut memory, Input::RequestBody { stream: STREAM, body: BODY });
    assert!(!gate.holds(STREAM));
}
