//! Without a server a revocation is the next configuration.

use gate::config::parse;
use gate::testing::ProcessMemory;
use gate::{Gate, Headers, Input, Now, Output, StreamId};

const KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";
const DIGEST: &str = "8d4be1bc480e7edb96e0fb485045beadc9d07e43eefd2b00f594393ec45d93cd";

fn config(state: Option<&str>) -> gate::config::Config {
    let key = |state| format!(r#"{{"id":"k","org":"o","digests":["{DIGEST}"],{state}}}"#);
    let keys = state.map(key).unwrap_or_default();
    let models = r#"[{"name":"m","context_length":1000,"max_output_tokens":100}]"#;
    parse(format!(r#"{{"keys":[{keys}],"models":{models}}}"#).as_bytes()).unwrap()
}

fn at(ms: u64) -> Now {
    Now { monotonic_ms: ms, wall_ms: ms, micros: 0, is_exact: true }
}

/// A machine with a stream that runs.
fn running() -> (Gate, ProcessMemory) {
    let mut gate = Gate::new(config(Some(r#""state":"active""#)), None, [1; 32]);
    let mut memory = ProcessMemory::default();
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let bearer = format!("Bearer {KEY}");
    let headers: Headers = vec![
        pair(":method", "POST"),
        pair(":path", "/v1/chat/completions"),
        pair("authorization", &bearer),
    ];
    let stream = StreamId(1);
    let body = br#"{"model":"m","stream":true}"#;
    for input in [
        Input::RequestHeaders { stream, headers: &headers, address: None, end: false },
        Input::RequestBody { stream, body },
    ] {
        gate.handle(at(1_000), &mut memory, input);
    }
    assert!(!gate.holds(stream));
    while gate.next_output().is_some() {}
    (gate, memory)
}

/// What the machine does at the next ticks, once it has this configuration.
fn after(config: gate::config::Config) -> Vec<Output> {
    let (mut gate, mut memory) = running();
    gate.reconfigure(config, None);
    let mut outputs = Vec::new();
    for ms in [1_050, 1_100, 3_000] {
        gate.handle(at(ms), &mut memory, Input::Tick);
        outputs.extend(std::iter::from_fn(|| gate.next_output()));
    }
    outputs
}

fn code(outputs: &[Output]) -> Option<String> {
    outputs.iter().find_map(|output| match output {
        Output::Reply { reply, .. } => {
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            Some(body["error"]["code"].as_str().unwrap().to_owned())
        }
        _ => None,
    })
}

#[test]
fn calls_of_keys_that_are_at_an_end_end_with_the_configuration_that_says_so() {
    assert_eq!(after(config(Some(r#""state":"active""#))), []);
    let state = |state| code(&after(config(Some(state))));
    assert_eq!(state(r#""state":"revoked""#).as_deref(), Some("key_revoked"));
    assert_eq!(state(r#""state":"disabled""#).as_deref(), Some("key_disabled"));
    let ended = r#""expires_at":"1970-01-01T00:00:02Z""#;
    assert_eq!(state(ended).as_deref(), Some("key_expired"));
    assert_eq!(code(&after(config(None))).as_deref(), Some("key_revoked"));
}

#[test]
fn nobody_is_called_and_no_token_is_needed() {
    let (mut gate, mut memory) = running();
    gate.handle(at(2_000), &mut memory, Input::End { stream: StreamId(1) });
    for ms in (2_000..200_000).step_by(1_000) {
        gate.handle(at(ms), &mut memory, Input::Tick);
    }
    let calls = |output: &Output| matches!(output, Output::Call(_));
    assert!(!std::iter::from_fn(|| gate.next_output()).any(|output| calls(&output)));
    assert_eq!(gate.open_streams(), 0);
}
