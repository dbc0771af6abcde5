//! Calls that run for long say so to the other workers, each a few times before it would be forgotten, and
//! never so many at once that the worker's other requests wait.

use std::fmt::Write;

use gate::config::parse;
use gate::testing::ProcessMemory;
use gate::{Gate, Headers, Input, Now, Output, StreamId};

/// As many keys as calls, each of which may have one.
const CALLS: u32 = 1_000;

fn key(number: u32) -> String {
    format!("sk-AbCdEfGhIjKlMnOpQr{number:06}")
}

fn workers() -> [Gate; 2] {
    let keys: Vec<String> = (0..CALLS)
        .map(|number| {
            let digest = metering::api_key::digest(key(number).as_bytes()).0;
            let digest = digest.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            format!(
                r#"{{"id":"k{number}","org":"o","digests":["{digest}"],
                    "limits":[{{"unit":"concurrent","max":1,"scope":"proxy"}}]}}"#
            )
        })
        .collect();
    let config = format!(
        r#"{{"keys":[{}],"models":[{{"name":"m","context_length":1000,"max_output_tokens":100}}]}}"#,
        keys.join(",")
    );
    let config = parse(config.as_bytes()).unwrap();
    [1, 2].map(|seed| Gate::new(config.clone(), None, [seed; 32]))
}

fn now(now_ms: u64) -> Now {
    Now { monotonic_ms: now_ms, wall_ms: now_ms, micros: 0, is_exact: true }
}

/// Whether the call goes on.
fn call(gate: &mut Gate, memory: &mut ProcessMemory, now_ms: u64, number: u32) -> bool {
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let body = br#"{"model":"m","stream":true}"#;
    let headers: Headers = vec![
        pair(":method", "POST"),
        pair(":path", "/v1/chat/completions"),
        pair("authorization", &format!("Bearer {}", key(number))),
        pair("content-length", &body.len().to_string()),
    ];
    let stream = StreamId(number + 1);
    let head = Input::RequestHeaders { stream, headers: &headers, address: None, end: false };
    let mut is_refused = false;
    for input in [head, Input::RequestBody { stream, body }] {
        gate.handle(now(now_ms), memory, input);
        while let Some(output) = gate.next_output() {
            is_refused |= matches!(output, Output::Reply { .. });
        }
    }
    !is_refused
}

#[test]
fn calls_of_many_keys_are_remembered_a_few_at_a_time() {
    let [mut first, mut second] = workers();
    let mut memory = ProcessMemory::default();
    for number in 0..CALLS {
        assert!(call(&mut first, &mut memory, 1_000, number), "call {number}");
    }
    let mut most = 0;
    let mut all = 0;
    // Longer than a call is remembered of which nothing is heard.
    let last_ms = 4 * 60_000;
    for now_ms in (1_000..last_ms).step_by(50) {
        memory.swaps = 0;
        first.handle(now(now_ms), &mut memory, Input::Tick);
        while first.next_output().is_some() {}
        most = most.max(memory.swaps);
        all += memory.swaps;
    }
    assert_eq!(most, 200);
    // Once a minute each.
    assert_eq!(all, 4 * CALLS as usize);
    for number in 0..CALLS {
        assert!(!call(&mut second, &mut memory, last_ms, number), "call {number} is forgotten");
    }
}
