//! The official OpenAI SDK for Python through a real Envoy.

use std::process::Command;

use e2e::{Fixture, MODEL};
use serde_json::json;
use xtask::python_env::PythonEnv;

#[test]
fn the_openai_python_sdk_simply_works() {
    let fixture = Fixture::start(2).unwrap();
    let python = PythonEnv::sdk().unwrap().python();
    let per_minute =
        |max: u32| json!([{"unit": "requests", "window": "1m", "max": max, "scope": "proxy"}]);
    let (_, good) = fixture.key(json!({"budget": {"usd": "1", "period": "month"}})).unwrap();
    let (_, limited) = fixture.key(json!({"limits": per_minute(1)})).unwrap();
    let (_, poor) = fixture.key(json!({"budget": {"usd": "0.000001", "period": "none"}})).unwrap();
    let (_, narrow) = fixture.key(json!({"models": [MODEL]})).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/openai_suite.py");
    let run = Command::new(python)
        .arg(script)
        .env("GATEWAY", &fixture.stack.gateway_url)
        .env("GOOD_KEY", good)
        .env("LIMITED_KEY", limited)
        .env("POOR_KEY", poor)
        .env("NARROW_KEY", narrow)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    assert!(out.trim_end().ends_with("10 checks passed"), "{out}");
    fixture.assert_no_trap();
}
