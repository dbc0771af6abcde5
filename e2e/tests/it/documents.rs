//! Every command in the documents does what it says it does.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::Fixture;
use serde_json::json;
use xtask::python_env::PythonEnv;

/// With the SDK of OpenAI, as the suites have it.
const SDK_REQUIREMENTS: &str = "e2e/sdk/python/current.txt";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The commands of a document's console blocks, in order.
pub(crate) fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(project().join(document)).unwrap();
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        }
    }
    commands
}

#[test]
fn the_administration_guide_works_from_top_to_bottom() {
    let fixture = Fixture::start(1).unwrap();
    let commands = commands("docs/admin.md");
    assert!(commands.len() >= 15, "the guide has lost its commands");
    let tools = project().join("target/debug");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let script = format!("set -euo pipefail\n{}\n", commands.join("\n"));
    let run = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", path)
        .env("TOLLGATE_ADMIN_URL", &fixture.stack.admin_url)
        .env("TOLLGATE_ADMIN_TOKEN", fixture.stack.admin_token.as_deref().unwrap())
        .env("GATEWAY", &fixture.stack.gateway_url)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    assert!(out.contains("nightly summariser"), "{out}");
    assert!(out.contains("\"cost_usd\":"), "{out}");
}

#[test]
fn the_quick_start_leads_to_a_paid_call_and_a_revoked_key() {
    let fixture = Fixture::start(1).unwrap();
    let sdk =
        PythonEnv::from_file("sdk-python-current", &project().join(SDK_REQUIREMENTS)).unwrap();
    let mut commands = commands("docs/quickstart.md");
    assert_eq!(commands.remove(0), "cargo xtask up");
    // In a folder that looks like the workspace to whoever runs `up` in it: this test's stack has other
    // ports.
    let folder = fixture.stack.run_folder.join("quickstart");
    std::fs::create_dir_all(folder.join("target/tollgate")).unwrap();
    for name in ["target/debug", "examples"] {
        std::os::unix::fs::symlink(project().join(name), folder.join(name)).unwrap();
    }
    let stack = json!({
        "gateway": fixture.stack.gateway_url, "admin": fixture.stack.admin_url,
        "admin_token": fixture.stack.admin_token,
    });
    std::fs::write(folder.join("target/tollgate/stack.json"), stack.to_string()).unwrap();
    let python = sdk.python();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", python.parent().unwrap().display());
    let script = format!("set -euo pipefail\n{}\n", commands.join("\n"));
    let run = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&folder)
        .env("PATH", path)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    assert!(out.contains("cost in USD: 0.00001"), "{out}");
    assert!(out.contains("laptop") && out.ends_with("as it should be\n"), "{out}");
    assert!(err.contains("refused: 401 key_revoked"), "{err}");
}

/// Stops the server also when an assertion fails.
struct Stopped(std::process::Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_server_starts_as_the_envoy_guide_says() {
    let tollgate = xtask::binaries::build(false).unwrap().tollgate;
    let folder = std::env::temp_dir().join(format!("tollgate-guide-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let commands = commands("docs/envoy.md");
    let (serve, before) = commands.split_last().unwrap();
    // In a folder of the test's own and on free ports; the rest is the guide's.
    let serve = serve.replace("/var/lib/tollgate", &folder.display().to_string());
    let ports = "--filter-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
    let script = format!("set -euo pipefail\n{}\nexec {serve} {ports}\n", before.join("\n"));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut server = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", format!("{}:{path}", tollgate.parent().unwrap().display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Stopped)
        .unwrap();
    let out = BufReader::new(server.0.stdout.take().unwrap());
    let lines: Vec<_> = out.lines().map(Result::unwrap).take(3).collect();
    drop(server);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(lines[0].starts_with("admin token: tga_"), "{} lines", lines.len());
    assert!(lines[1].starts_with("filter API on ") && lines[2].starts_with("admin API on "));
}

#[test]
fn the_readme_names_commands_that_exist() {
    let commands = commands("README.md");
    let named: Vec<_> = commands
        .iter()
        .filter_map(|command| command.strip_prefix("cargo xtask ")?.split(' ').next())
        .collect();
    assert_eq!(named, ["demo", "test"], "the README promises two commands");
    for command in named {
        let help = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "xtask", "--", command, "--help"])
            .current_dir(project())
            .output()
            .unwrap();
        assert!(help.status.success(), "{command}: {}", String::from_utf8_lossy(&help.stderr));
    }
}

/// The headings of a document as they stand in links to them.
fn headings(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let anchor = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut documents = vec![project().join("README.md"), project().join("ARCHITECTURE.md")];
    documents.extend(std::fs::read_dir(project().join("docs")).unwrap().map(|e| e.unwrap().path()));
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") {
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = document.parent().unwrap().join(file);
                let target = if file.is_empty() { document.clone() } else { target };
                assert!(target.exists(), "{}: {link}", document.display());
                let there = heading.is_empty() || headings(&target).iter().any(|h| h == heading);
                assert!(there, "{}: {link}: no such heading", document.display());
            }
        }
    }
}

#[test]
fn every_code_in_the_error_page_and_no_other_is_used() {
    let page = std::fs::read_to_string(project().join("docs/errors.md")).unwrap();
    let source = ["gate/src/refusal/shape.rs", "metering/src/request/problem.rs"]
        .map(|path| std::fs::read_to_string(project().join(path)).unwrap())
        .concat();
    let table = page.split("| --- | --- | --- |").nth(1).unwrap().split("\n\n").next().unwrap();
    let is_code = |word: &&str| word.contains('_') && !word.ends_with("_error");
    let documented: Vec<_> = table.split('`').skip(1).step_by(2).filter(is_code).collect();
    for code in &documented {
        if *code != "service_unavailable" {
            assert!(source.contains(&format!("\"{code}\"")), "{code} is documented but unused");
        }
    }
    let quoted = source.split('"').skip(1).step_by(2);
    let shape = |word: &&str| {
        word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    for code in quoted.filter(shape).filter(is_code) {
        let internal = ["max_tokens", "max_completion_tokens", "stream_options"];
        assert!(documented.contains(&code) || internal.contains(&code), "{code} is not documented");
    }
}
