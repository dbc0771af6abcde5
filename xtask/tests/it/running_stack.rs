//! A whole stack: that it comes up, carries a request, survives its server's restart and leaves
//! nothing.

use std::path::Path;

use serde_json::{Value, json};
use xtask::stack::{Stack, StackOptions};

const PROVIDER_KEY: &str = "sk-provider-0123456789";

fn mint(stack: &Stack) -> String {
    let admin = stack.admin();
    admin
        .put("/admin/v1/orgs/o", &json!({"name": "O", "models": ["*"]}))
        .unwrap()
        .success()
        .unwrap();
    let model = json!({
        "input_usd_per_mtok": "1",
        "output_usd_per_mtok": "1",
        "context_length": 1000,
        "max_output_tokens": 100,
    });
    admin.put("/admin/v1/models/m", &model).unwrap().success().unwrap();
    let key = admin.post("/admin/v1/keys", &json!({"org": "o", "name": "k"})).unwrap();
    key.success().unwrap().json()["key"].as_str().unwrap().to_owned()
}

fn chat(stack: &Stack, key: &str) -> u16 {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    stack.gateway(key).post("/v1/chat/completions", &body).unwrap().status
}

fn seen_credentials(stack: &Stack) -> Vec<String> {
    let seen: Value = stack.mock().get("/_mock/requests").unwrap().json();
    seen["requests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|request| request["headers"].as_array().unwrap())
        .filter(|header| header[0] == "authorization")
        .map(|header| header[1].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_stack_carries_requests_with_the_providers_key_and_leaves_no_process() {
    let options = StackOptions {
        concurrency: 1,
        upstream_key: Some(PROVIDER_KEY.to_owned()),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(&options).unwrap();
    let key = mint(&stack);
    assert_eq!(chat(&stack, &key), 200);
    assert_eq!(chat(&stack, "sk-nobody-0123456789abcdef0123456789"), 401);
    // The client's own credential is gone, the provider's is there, and only on what was allowed.
    assert_eq!(seen_credentials(&stack), [format!("Bearer {PROVIDER_KEY}")]);
    assert!(stack.envoy_stat("http.gateway.downstream_rq_total").unwrap() >= 2);

    let admin_url = stack.admin_url.clone();
    stack.kill_server();
    assert_eq!(stack.ended_part(), Some("policy server"));
    stack.restart_server().unwrap();
    assert_eq!((stack.ended_part(), &stack.admin_url), (None, &admin_url));
    assert_eq!(stack.admin().get("/admin/v1/keys").unwrap().status, 200);

    for secret in [key.as_str(), stack.admin_token.as_deref().unwrap()] {
        for file in std::fs::read_dir(&stack.run_folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!log.contains(secret), "a secret in {}", path.display());
            }
        }
    }

    let ids = stack.process_ids();
    assert_eq!(ids.len(), 3);
    drop(stack);
    for (name, id) in ids {
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{name} still runs");
    }
}

#[test]
fn a_wrong_filter_configuration_is_a_clear_error() {
    let options = StackOptions {
        concurrency: 1,
        filter_config: json!({"server": {"cluster": "tollgate_policy_server"}, "nonsense": 1}),
        ..StackOptions::default()
    };
    let Err(problem) = Stack::start(&options) else { panic!("it was accepted") };
    assert!(problem.to_string().contains("nonsense"), "{problem:#}");
}
