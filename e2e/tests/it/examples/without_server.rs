//! `examples/envoy/without-server`: keys and models in the configuration, first those of the example, then
//! those of a server that has gone.

use std::process::Command;

use e2e::Fixture;
use serde_json::{Value, json};

use super::{Example, assert_guarded, chat_of, client_of};
use crate::documents::commands;

/// The key whose digest stands in the example.
const DOCUMENTED_KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";
const ITS_DIGEST: &str = "8d4be1bc480e7edb96e0fb485045beadc9d07e43eefd2b00f594393ec45d93cd";

/// A key and its digest, made as the page says.
fn made_by_hand() -> (String, String) {
    let commands = commands("docs/without-a-server.md").join("\n");
    let script = format!("set -euo pipefail\n{commands}\nprintf '%s\\n' \"$key\"\n");
    let run = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let out = String::from_utf8(run.stdout).unwrap();
    let (sum, key) = out.trim().split_once('\n').unwrap();
    (key.to_owned(), sum.split(' ').next().unwrap().to_owned())
}

/// The filter's configuration as the example has it.
fn configuration(example: &Example) -> String {
    let begin = example.text.find("{\"models\"").expect("the configuration begins so");
    let rest = &example.text[begin..];
    let end = rest.find("\n                vm_config").expect("what stands behind it");
    rest[..end].to_owned()
}

#[test]
fn what_a_server_exported_guards_a_gateway_without_it() {
    let mut fixture = Fixture::start(1).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 2}]);
    let (_, limited) = fixture.key(json!({"limits": limits})).unwrap();
    let (_, free) = fixture.key(json!({})).unwrap();
    let (revoked_id, revoked) = fixture.key(json!({})).unwrap();
    fixture.revoke(&revoked_id, 2_000).unwrap();
    let tollgate = xtask::binaries::build(false).unwrap().tollgate;
    let export = Command::new(tollgate)
        .args(["export", "--strict"])
        .env("TOLLGATE_ADMIN_URL", &fixture.stack.admin_url)
        .env("TOLLGATE_ADMIN_TOKEN", fixture.stack.admin_token.as_deref().unwrap())
        .output()
        .unwrap();
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let exported = String::from_utf8(export.stdout).unwrap().trim().to_owned();
    for secret in [&limited, &free, &revoked] {
        assert!(!exported.contains(secret.as_str()));
    }
    fixture.stack.kill_server();

    let (own_key, digest) = made_by_hand();
    let example = Example::read("envoy/without-server/envoy.yaml").in_place_of(&fixture);
    let both = format!("{ITS_DIGEST}\", \"{digest}");
    let example = example.with(ITS_DIGEST, &both);
    let envoy = example.start(&fixture, "without-server");
    assert_guarded(&envoy, "gateway");
    for key in [DOCUMENTED_KEY, &own_key] {
        assert_eq!(chat_of(&client_of(&envoy, "gateway", Some(key)), 1).status, 200);
    }
    drop(envoy);

    let written = configuration(&example);
    let envoy = example.with(&written, &exported).start(&fixture, "exported");
    assert_guarded(&envoy, "gateway");
    let call = |key: &str| chat_of(&client_of(&envoy, "gateway", Some(key)), 1);
    let statuses = [&limited, &limited, &limited, &free].map(|key| call(key).status);
    assert_eq!(statuses, [200, 200, 429, 200]);
    let code = |answer: Value| answer["error"]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(code(call(&revoked).json()), "key_revoked");
    assert_eq!(code(call(DOCUMENTED_KEY).json()), "invalid_api_key");
    assert_eq!(code(call(&limited).json()), "rpm_exceeded");
}
