//! Keys, tokens and prompts go through everything, with every log as talkative as it gets; then all that
//! any process has put out is searched for them. (What every other test puts out is searched for keys
//! and tokens when it ends.)

use e2e::{Fixture, RawAnswer, chat, wait_within};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

/// What stands in for what users write, and for credentials that are nobody's.
const PROMPT: &str = "canary-of-a-prompt-1f0c9a7e5b3d";
const ANSWER: &str = "canary-of-an-upstream-key-77aa01c2";
const STRANGER: &str = "sk-canaryofnobody0123456789abcdef77";
const MALFORMED: &str = "canary of a credential that is no key";
const COOKIE: &str = "canary-of-a-cookie-55d1e0";

fn talkative() -> StackOptions {
    StackOptions {
        concurrency: 1,
        journal: true,
        // Envoy's own components log whole requests at that level, whatever a filter does; what the
        // filter logs, and the host of it, is the component `wasm`.
        envoy_arguments: vec!["--component-log-level".to_owned(), "wasm:trace".to_owned()],
        environment: vec![("TOLLGATE_LOG".to_owned(), "trace".to_owned())],
        upstream_key: Some(ANSWER.to_owned()),
        server_arguments: vec!["--webhooks-egress=127.0.0.1:9".to_owned()],
        ..StackOptions::default()
    }
}

/// Calls in every API, good and bad, by everybody.
fn calls(fixture: &Fixture, secret: &str) {
    let messages = json!([{"role": "user", "content": PROMPT}]);
    let of = |members: Value| {
        let mut body = json!({"model": e2e::MODEL});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body.to_string()
    };
    let chat_path = "/v1/chat/completions";
    let tools = json!([{"type": "function", "function": {"name": "f", "description": PROMPT}}]);
    let bodies = [
        (chat_path, of(json!({"messages": messages, "user": PROMPT}))),
        (chat_path, of(json!({"messages": messages, "stream": true}))),
        (chat_path, of(json!({"messages": messages, "tools": tools, "stop": [PROMPT]}))),
        (chat_path, of(json!({"messages": messages, "model": PROMPT}))),
        (chat_path, of(json!({"messages": messages, "max_tokens": PROMPT}))),
        (chat_path, of(json!({"messages": messages, "stream": PROMPT}))),
        (chat_path, of(json!({PROMPT: messages, "n": 99_999}))),
        (chat_path, format!("{{\"model\":\"{PROMPT}\",\"model\":\"{PROMPT}\"}}")),
        (chat_path, format!("{{\"model\": {PROMPT}")),
        (chat_path, format!("{PROMPT}{}", "x".repeat(11 << 20))),
        ("/v1/completions", of(json!({"prompt": PROMPT}))),
        ("/v1/responses", of(json!({"input": PROMPT, "instructions": PROMPT}))),
        ("/v1/embeddings", of(json!({"input": PROMPT}))),
        ("/v1/messages", of(json!({"messages": messages, "max_tokens": 16, "system": PROMPT}))),
        (
            "/v1beta/models/gpt-4o-mini:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}).to_string(),
        ),
        ("/v1/files", PROMPT.to_owned()),
    ];
    let bearer = |key: &str| format!("authorization: Bearer {key}");
    let credentials = [
        bearer(secret),
        format!("x-api-key: {secret}"),
        format!("x-goog-api-key: {secret}"),
        format!("{}\r\ncookie: session={COOKIE}\r\nx-mock-fault: status=500", bearer(secret)),
        format!("{}\r\nx-mock-fault: drop=1", bearer(secret)),
        format!("{}\r\nx-api-key: {secret}", bearer(secret)),
        bearer(&format!("{secret}x")),
        bearer(STRANGER),
        bearer(MALFORMED),
        format!("authorization: Basic {MALFORMED}"),
        format!("cookie: {COOKIE}"),
        // No credential at all, but one in the URL (below).
        "x-nothing: 1".to_owned(),
    ];
    let mut requests = Vec::new();
    for (path, body) in &bodies {
        for credential in &credentials {
            // One large body is enough for each kind of refusal.
            if body.len() > 1 << 20 && !credential.starts_with("authorization: Bearer") {
                continue;
            }
            let in_url = if credential.starts_with("x-nothing") {
                format!("?key={secret}&q={PROMPT}")
            } else {
                String::new()
            };
            let length = body.len();
            requests.push(
                format!(
                    "POST {path}{in_url} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
                     content-type: application/json\r\ncontent-length: {length}\r\n{credential}\r\n\
                     \r\n{body}"
                )
                .into_bytes(),
            );
        }
    }
    let answers = requests
        .chunks(16)
        .flat_map(|some| RawAnswer::of_all(&fixture.stack.gateway_url, some).unwrap_or_default());
    let served = answers.filter(|answer| answer.status == 200).count();
    assert!(served >= 20, "only {served} of {} were served", requests.len());
}

/// What people do at the policy server, right and wrong; the secrets that it makes.
fn administration(fixture: &Fixture) -> Vec<String> {
    let admin = fixture.stack.admin();
    let made = |path: &str, body: Value, member: &str| {
        let answer = admin.post(path, &body).unwrap().success().unwrap().json();
        answer[member].as_str().unwrap_or_else(|| panic!("{path}: no {member}")).to_owned()
    };
    let org = "/admin/v1/orgs/acme";
    admin
        .put(&format!("{org}/users/ada"), &json!({"role": "org_owner"}))
        .unwrap()
        .success()
        .unwrap();
    let hook = json!({"url": "https://hooks.example.com/x", "events": null});
    let secrets = vec![
        made(&format!("{org}/users/ada/tokens"), json!({}), "token"),
        made(&format!("{org}/webhooks"), hook, "secret"),
    ];
    for token in [STRANGER, &secrets[0], MALFORMED] {
        let client = Client::new(&fixture.stack.admin_url, Some(token));
        client.get("/admin/v1/keys").unwrap();
        client.post("/admin/v1/keys", &json!({"org": "elsewhere", "name": secrets[0]})).unwrap();
        client.get(&format!("/admin/v1/keys?q={STRANGER}")).unwrap();
        // The filter API, with a token that is not the filter's.
        let filter = Client::new(&fixture.stack.policy_server_url, Some(token));
        for path in ["/proxy/v1/resolve", "/proxy/v1/report", "/proxy/v1/session"] {
            filter.post(path, &json!({"digest": PROMPT, "secret": secrets[1]})).unwrap();
        }
    }
    secrets
}

#[test]
fn no_output_of_any_process_holds_a_key_a_token_or_a_prompt() {
    let fixture = Fixture::with(&talkative()).unwrap();
    let (id, secret) = fixture.key(json!({"models": ["*"]})).unwrap();
    for canary in [PROMPT, ANSWER, STRANGER, MALFORMED, COOKIE] {
        fixture.keep_secret(canary);
    }
    for made in administration(&fixture) {
        fixture.keep_secret(&made);
    }
    calls(&fixture, &secret);
    fixture.revoke(&id, 5_000).unwrap();
    assert_eq!(chat(&fixture.stack.gateway(&secret), json!({})).unwrap().status, 401);
    // Whatever is still to be reported, and told to Envoy's counters, is.
    fixture.upstream_at_rest().unwrap();
    fixture.settled_spend(&id).unwrap();

    let log = |name: &str| std::fs::read_to_string(fixture.stack.run_folder.join(name)).unwrap();
    wait_within(Duration::from_secs(15), Duration::from_millis(100), "the logs", || {
        Ok(log("envoy.log").contains("wasm_vm") || log("envoy.log").contains("[trace][wasm]"))
    })
    .unwrap();
    // It has something to say of what was refused.
    assert!(log("policy-server.log").contains("WARN"), "the server logs nothing");
    // What is told to those who ask, who may see a great deal, but not this.
    let admin = fixture.stack.admin();
    let pages =
        ["keys", "records", "audit", "orgs/acme/users/ada/tokens", "orgs/acme/webhooks", "status"];
    for page in pages {
        let text = admin.get(&format!("/admin/v1/{page}")).unwrap().success().unwrap().body;
        assert_eq!(fixture.secrets_in(page, text.as_bytes()), [""; 0]);
    }
    assert_eq!(fixture.told_secrets().unwrap(), [""; 0]);
}

#[test]
fn a_secret_that_is_put_out_is_found() {
    let fixture = Fixture::start(1).unwrap();
    let (_, secret) = fixture.key(json!({})).unwrap();
    let file = fixture.stack.run_folder.join("told.log");
    std::fs::write(&file, format!("someone wrote {secret} here")).unwrap();
    let told = fixture.told_secrets().unwrap();
    assert!(told.len() == 1 && told[0].ends_with("told.log"), "{told:?}");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "Function: proxy_on_log failed: Uncaught RuntimeError: unreachable")
        .unwrap();
    assert_eq!(fixture.dead_vms().unwrap().len(), 1);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn the_kernel_writes_no_image_of_the_servers_memory() {
    let fixture = Fixture::start(1).unwrap();
    let id = fixture.stack.server_id();
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
