//! `tollgate keys …` with everything that can be said of a key.

use std::process::Output;

use serde_json::{Value, json};

use crate::process::{serve, tollgate};

#[test]
fn keys_are_described_found_counted_imported_and_rotated_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let run = |arguments: &[&str]| -> Output {
        tollgate()
            .args(arguments)
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &token)
            .output()
            .unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ok = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&ok(&[arguments, &["--json"]].concat())).unwrap()
    };
    let complaint = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeds");
        text(&output.stderr)
    };
    ok(&["orgs", "put", "acme"]);

    let create = ["keys", "create", "--org", "acme", "--idempotency-key", "word", "--name", "one"];
    let says = ["--description", "Morning mail", "--notes", "asked for by Ada", "--kind", "user"];
    let more = ["--tags", "batch, eu", "--expires-in", "90d", "--max-call", "0.50"];
    let from = ["--allowed-ips", "192.0.2.0/24,2001:db8::7", "--format", "openai", "--team", "t"];
    let create = [&create[..], &says, &more, &from].concat();
    let key = json(&create);
    assert_eq!((&key["description"], &key["kind"]), (&json!("Morning mail"), &json!("user")));
    assert_eq!((&key["tags"], &key["max_call_usd"]), (&json!(["batch", "eu"]), &json!("0.50")));
    assert_eq!(key["allowed_ips"], json!(["192.0.2.0/24", "2001:db8::7"]));
    assert!(key["key"].as_str().unwrap().starts_with("sk-") && key["expires_at"].is_string());
    let again = json(&create);
    assert!(again["id"] == key["id"] && again.get("key").is_none());
    let id = key["id"].as_str().unwrap();

    let hex = "ab".repeat(32);
    let import = ["keys", "import", "--org", "acme", "--sha256", &hex, "--prefix", "sk-old"];
    let imported = json(&[&import[..], &["--name", "two"]].concat());
    assert_eq!(imported["prefix"], "sk-old");
    assert!(complaint(&import).contains("digest_taken"));

    let filters = ["--team", "t", "--tag", "eu", "--search", "MORNING", "--status", "active"];
    let list = ok(&[&["keys", "list"][..], &filters].concat());
    assert!(list.contains(id) && list.lines().count() == 2, "{list}");
    let by_name = ["keys", "list", "--org", "acme", "--order", "name", "--limit", "1"];
    let page = json(&by_name);
    assert_eq!(page["data"][0]["name"], "one");
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = json(&[&by_name[..], &["--cursor", cursor]].concat());
    assert_eq!((&page["data"][0]["name"], &page["next_cursor"]), (&json!("two"), &Value::Null));
    assert_eq!(json(&["keys", "counts", "--org", "acme"])["active"], 2);
    assert!(ok(&["keys", "counts"]).lines().any(|line| line.starts_with("active ")));

    let rotated = json(&["keys", "rotate", id, "--grace", "3600", "--if-version", "1"]);
    assert!(rotated["previous_secret_until"].is_string() && rotated["version"] == 2);
    let stale = ["keys", "patch", id, "--notes", "", "--if-version", "1"];
    assert!(complaint(&stale).contains("precondition_failed"));
    let bare = ["--tags", "", "--description", "", "--max-call", "none", "--allowed-ips", ""];
    let bare = json(&[&["keys", "patch", id][..], &bare].concat());
    assert_eq!((&bare["tags"], &bare["description"]), (&json!([]), &json!("")));
    assert_eq!((&bare["max_call_usd"], &bare["allowed_ips"]), (&Value::Null, &json!([])));
    let both = ["keys", "patch", id, "--expires-in", "1y", "--expires-at", "none"];
    assert!(complaint(&both).contains("cannot be used with"));
    assert_eq!(server.terminate(), Some(0));
}
