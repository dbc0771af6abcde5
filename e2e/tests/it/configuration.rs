//! A wrong filter configuration stops Envoy at start, with every problem named by its path.

use serde_json::json;
use xtask::stack::{Stack, StackOptions};

#[test]
fn every_problem_of_a_configuration_is_named() {
    let filter_config = json!({
        "server": {"cluster": 7, "token": "very-secret-token"},
        "limits": {"body_bytes": 0},
        "polcy": {},
    });
    let refused = Stack::start(&StackOptions { filter_config, ..StackOptions::default() });
    let error = format!("{:?}", refused.err().expect("Envoy has started"));
    for problem in [
        "server.cluster: must be a string",
        "server.token: a token may not stand in the configuration",
        "limits.body_bytes: must be an integer",
        "polcy: is not known",
    ] {
        assert!(error.contains(problem), "{problem} is not named: {error}");
    }
    assert!(!error.contains("very-secret-token"), "the log repeats the token: {error}");
}
