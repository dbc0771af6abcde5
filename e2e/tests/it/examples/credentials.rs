//! `examples/envoy/providers`: each provider gets its own credential, over TLS that is checked.

use std::time::Duration;

use e2e::models::add_models;
use e2e::{Fixture, wait_within};
use serde_json::{Value, json};

use super::certificates::Certificates;
use super::{Example, assert_guarded, chat_of, client_of, port};

/// File, host and header of each provider.
const PROVIDERS: [(&str, &str, &str); 3] = [
    ("openai", "api.openai.com", "authorization"),
    ("anthropic", "api.anthropic.com", "x-api-key"),
    ("gemini", "generativelanguage.googleapis.com", "x-goog-api-key"),
];

fn header(request: &Value, name: &str) -> Vec<String> {
    let pairs = request["headers"].as_array().unwrap();
    let of_name = pairs.iter().filter(|pair| pair[0] == name);
    of_name.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_provider_gets_its_own_credential_and_no_other() {
    let fixture = Fixture::start(1).unwrap();
    add_models(&fixture).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let folder = fixture.stack.run_folder.join("providers");
    let certificates = Certificates::new(&folder);
    certificates.issue("gateway", &["gateway"]);
    let hosts = PROVIDERS.map(|(_, host, _)| host);
    let (_front, tls_port) =
        super::tls_upstream::start(&fixture, &certificates, &hosts, "providers-front");

    let mut example = Example::read("envoy/providers/envoy.yaml").in_place_of(&fixture);
    for (name, host, _) in PROVIDERS {
        let secret = std::fs::read_to_string(
            super::folder().join(format!("envoy/providers/secrets/{name}.yaml")),
        );
        std::fs::write(folder.join(format!("{name}.yaml")), secret.unwrap()).unwrap();
        example = example.with(&format!("address: {host}\n"), "address: 127.0.0.1\n");
    }
    let envoy = example
        .with(&port(443), &port(tls_port))
        .with("/etc/envoy/secrets", &folder.display().to_string())
        .with("/etc/ssl/certs/ca-certificates.crt", &format!("{}/ca.crt", folder.display()))
        .start(&fixture, "providers");
    assert_guarded(&envoy, "gateway");
    assert!(fixture.upstream_requests().unwrap().is_empty(), "refused calls came through");

    // As each SDK asks, with the Tollgate key where the provider's would stand.
    let client = client_of(&envoy, "gateway", None);
    let send = |path: &str, name: &str, value: &str, body: Value| {
        client.send("POST", path, &[(name, value)], Some(body.to_string())).unwrap()
    };
    let bearer = format!("Bearer {key}");
    let messages = json!([{"role": "user", "content": "hello"}]);
    let openai = json!({"model": e2e::MODEL, "messages": messages});
    let anthropic = json!({"model": "claude-mock", "max_tokens": 9, "messages": messages});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
    let path = "/gemini/v1beta/models/gemini-2.5-flash:generateContent";
    for answer in [
        send("/v1/chat/completions", "authorization", &bearer, openai),
        send("/anthropic/v1/messages", "x-api-key", &key, anthropic),
        send(path, "x-goog-api-key", &key, gemini),
    ] {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let seen = fixture.upstream_requests().unwrap();
    assert_eq!(seen.len(), 3);
    for (request, (name, host, own)) in seen.iter().zip(PROVIDERS) {
        assert_eq!(header(request, "host"), [host]);
        for (_, _, credential) in PROVIDERS {
            let found = header(request, credential);
            if credential == own {
                let value = found.first().unwrap();
                let placeholder = format!("REPLACE-WITH-THE-KEY-OF-{}", name.to_uppercase());
                assert!(found.len() == 1 && value.ends_with(&placeholder), "{name}: {found:?}");
            } else {
                assert!(found.is_empty(), "{name} got {credential}");
            }
        }
        assert!(!request.to_string().contains(&key), "{name} got the client's key");
    }
    let dump = xtask::http_client::Client::new(&envoy.admin_url, None);
    let dump = dump.get("/config_dump?include_eds").unwrap().body;
    assert!(!dump.contains("REPLACE-WITH"), "the configuration dump shows a credential");

    // A credential is replaced by moving a file, while Envoy runs.
    let file = folder.join("openai.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(folder.join("new.yaml"), text.replace("REPLACE-WITH", "REPLACED")).unwrap();
    std::fs::rename(folder.join("new.yaml"), &file).unwrap();
    let keyed = client_of(&envoy, "gateway", Some(&key));
    wait_within(Duration::from_secs(10), Duration::from_millis(50), "the new credential", || {
        assert_eq!(chat_of(&keyed, 1).status, 200);
        let newest = fixture.upstream_requests()?.pop().unwrap();
        Ok(header(&newest, "authorization")[0].contains("REPLACED"))
    })
    .unwrap();
}
