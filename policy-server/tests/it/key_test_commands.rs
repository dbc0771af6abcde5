//! `tollgate keys test`, and what the CLI says when something is wrong.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::process::{serve, tollgate};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_key_is_tested_by_secret_by_standard_input_and_by_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let run = |arguments: &[&str], input: &str| -> Output {
        let mut child = tollgate()
            .args(arguments)
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let ok = |arguments: &[&str]| {
        let output = run(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let sizes = ["--context-length", "128000", "--max-output-tokens", "16384"];
    let prices = ["--input-price", "1", "--output-price", "2", "--aliases", "fast"];
    ok(&[&["model", "put", "gpt-4o-mini"][..], &prices, &sizes].concat());
    ok(&["org", "put", "acme", "--budget", "500", "--period", "month"]);
    let create = ["key", "create", "--org", "acme", "--name", "nightly", "--budget", "1"];
    let limits = ["--limit-rate", "requests/1m=60", "--allowed-ips", "192.0.2.0/24", "--json"];
    let key: Value = serde_json::from_str(&ok(&[&create[..], &limits].concat())).unwrap();
    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());

    let shown = ok(&["keys", "test", secret]);
    let line = |start: &str| {
        let found = shown.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in {shown}")).to_owned()
    };
    assert!(line("may call ").ends_with(" yes"), "{shown}");
    assert!(line("form ").ends_with("tollgate, well formed"), "{shown}");
    assert!(line("secret ").ends_with("current"), "{shown}");
    assert!(line("key  ").contains(id) && line("key  ").contains("nightly"), "{shown}");
    assert!(line("may call from").ends_with("192.0.2.0/24"), "{shown}");
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("requests 1m 60 proxy"), "{shown}");
    assert!(words.contains("1.00 0.00 1.00 none"), "{shown}");
    assert!(line("gpt-4o-mini").contains("true"), "{shown}");
    assert!(shown.starts_with("may call "), "the verdict comes first: {shown}");

    let from_input = run(&["keys", "test", "-", "--json"], &format!("{secret}\n"));
    assert!(from_input.status.success(), "{}", text(&from_input.stderr));
    let answer: Value = serde_json::from_slice(&from_input.stdout).unwrap();
    assert_eq!(answer["key"]["id"], id);
    assert_eq!(run(&["keys", "test", "-"], " \n").status.code(), Some(1), "there is none");

    let away = ["key", "test", id, "--model", "fast", "--address", "198.51.100.7"];
    let refused = run(&away, "");
    assert_eq!(refused.status.code(), Some(3));
    let shown = text(&refused.stdout);
    assert!(shown.contains("may not be used from 198.51.100.7 (403 ip_not_allowed)"), "{shown}");
    assert!(shown.contains("fast: gpt-4o-mini, allowed"), "{shown}");
    assert!(text(&refused.stderr).contains("the key may not call (ip_not_allowed)"));
    ok(&["keys", "disable", id]);
    let refused = run(&["keys", "test", id, "--json"], "");
    assert_eq!(refused.status.code(), Some(3));
    let answer: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["refusal"]["code"], "key_disabled");
    let broken = secret.replace("sk-tg-", "sk-tg-0");
    let refused = run(&["keys", "test", &broken], "");
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stdout).contains("its checksum does not match"));
    assert_eq!(run(&["keys", "test", "key_none"], "").status.code(), Some(1), "no such key");

    assert_eq!(server.terminate(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains(secret) && !log.contains(&broken), "a secret stands in the log");
}

#[test]
fn what_goes_wrong_is_said_with_its_field_the_server_and_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let url = server.admin_url();
    let complaint = |url: &str, token: &str, command: &str| {
        let output = tollgate()
            .args(command.split_whitespace())
            .env("TOLLGATE_ADMIN_URL", url)
            .env("TOLLGATE_ADMIN_TOKEN", token)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(output.stdout.is_empty(), "{command}");
        text(&output.stderr)
    };
    let digest = format!("keys import --org acme --sha256 {}", "ab".repeat(32));
    for command in ["orgs put acme", digest.as_str()] {
        let asked = tollgate()
            .args(command.split_whitespace())
            .env("TOLLGATE_ADMIN_URL", &url)
            .env("TOLLGATE_ADMIN_TOKEN", &token)
            .output();
        assert!(asked.unwrap().status.success(), "{command}");
    }
    let said = complaint(&url, &token, "keys create --org nowhere");
    assert!(said.contains("org: there is no organisation 'nowhere' (unknown_org)"), "{said}");
    let said = complaint(&url, &token, &digest);
    assert!(said.contains("a key has, or had, this secret; it is about sha256"), "{said}");
    let said = complaint(&url, "tga_wrong", "keys list");
    assert!(said.contains("the token is that of TOLLGATE_ADMIN_TOKEN, the server"), "{said}");
    assert!(said.contains(&url) && said.contains("(invalid_admin_token)"), "{said}");
    assert!(!said.contains("tga_wrong"), "{said}");
    assert_eq!(server.terminate(), Some(0));
    let said = complaint(&url, &token, "keys list");
    assert!(said.contains("cannot reach the admin API") && said.contains(&url), "{said}");
    let elsewhere = "http://127.0.0.1:9/not-here";
    assert!(complaint(elsewhere, &token, "keys list").contains("127.0.0.1:9"));
}

#[test]
fn completion_scripts_need_no_server_and_bash_can_read_theirs() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tollgate().args(["completion", shell]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        assert!(script.contains("tollgate") && script.contains("service-accounts"), "{shell}");
        if shell == "bash" {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), script).unwrap();
            let read = std::process::Command::new("bash").arg("-n").arg(file.path()).status();
            assert!(read.unwrap().success());
        }
    }
    let unknown = tollgate().args(["completion", "tcsh"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}
