//! The settings by which an operator chooses what a host's lacks come to.

use serde_json::json;
use wasm_tests::Profile;

use super::stage::Stage;

#[test]
fn each_worker_counts_its_part_where_that_is_asked_for() {
    let more = json!({"host": {"windows": "per_worker", "workers": 2}});
    for profile in [Profile::apisix(), Profile::ngx_wasm(), Profile::ngx_wasm_without_shared_data()]
    {
        let stage = Stage::with(profile, 2, &more);
        let limit = json!({"limits": [
            {"unit": "requests", "window": "1m", "max": 4, "scope": "proxy"}]});
        let key = stage.key(limit);
        for worker in [0, 1] {
            let facts = [0, 0, 0].map(|_| stage.chat(worker, &key));
            let refused = "429 rpm_exceeded";
            assert_eq!(facts, ["200, forwarded", "200, forwarded", refused], "worker {worker}");
        }
        stage.check("per_worker");
    }
}

#[test]
fn what_cannot_be_written_is_refused_where_that_is_asked_for() {
    let more = json!({"host": {"unwritable_limits": "refuse", "unforced_usage": "refuse"}});
    for profile in [Profile::apisix(), Profile::ngx_wasm()] {
        let stage = Stage::with(profile, 1, &more);
        let key = stage.key(json!({}));
        let limitless = json!({"model": "gpt-4o-mini", "messages": []}).to_string();
        let mut silent = Stage::question();
        silent["stream"] = json!(true);
        let told = |body: &str| stage.told(stage.send(0, &key, body));
        assert_eq!(told(&limitless), "400 output_limit_required");
        assert_eq!(told(&silent.to_string()), "400 stream_usage_required");
        assert_eq!(stage.chat(0, &key), "200, forwarded");
        stage.check("refused");
    }
}

#[test]
fn windows_in_shared_data_are_those_of_all_workers_of_ngx_wasm() {
    let stage = Stage::with(Profile::ngx_wasm(), 2, &json!({"host": {"windows": "shared"}}));
    let limit =
        json!({"limits": [{"unit": "requests", "window": "1m", "max": 3, "scope": "proxy"}]});
    let key = stage.key(limit);
    let facts: Vec<String> = (0..4).map(|number| stage.chat(number % 2, &key)).collect();
    let allowed = "200, forwarded";
    assert_eq!(facts, [allowed, allowed, allowed, "429 rpm_exceeded"]);
    stage.check("shared");
}

/// nginx puts into a file what is longer than `client_body_buffer_size`.
#[test]
fn a_body_that_cannot_be_read_does_not_pass() {
    let profile = Profile { body_in_memory_bytes: 60, ..Profile::ngx_wasm() };
    let stage = Stage::new(profile, 1);
    let key = stage.key(json!({}));
    for _ in 0..2 {
        assert_eq!(stage.chat(0, &key), "413 body_too_large");
    }
    stage.check("in a file");
}
