//! schemathesis makes requests from the admin API's own document, right and wrong ones, and sends
//! them to a running server: nothing answers 5xx, every answer is as the document says, what the
//! document rules out is refused, and nothing is had without a token.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use xtask::backend::{Backend, local_url};
use xtask::http_client::Client;
use xtask::python_env::PythonEnv;
use xtask::run_command::run_for;
use xtask::run_folder;
use xtask::stack::StackOptions;
use xtask::upstream::Upstream;

/// Longest time of one run: it takes a third of it on a small machine.
const LIMIT: Duration = Duration::from_secs(240);

/// The same requests in every run, as far as they do not repeat what the server said.
const SEED: &str = "1";

/// A server with some of everything, and what schemathesis is told of it.
struct Subject {
    backend: Backend,
    folder: std::path::PathBuf,
    /// Names and values of its configuration.
    variables: Vec<(&'static str, String)>,
    /// The personal token of somebody who may do much.
    personal_token: String,
}

impl Subject {
    fn start() -> Self {
        let folder = run_folder::create().unwrap();
        // Nobody calls a model here.
        let options = StackOptions { upstream: Some(Upstream::local(9)), ..Default::default() };
        let backend = Backend::start(&options, &folder).unwrap();
        let admin = backend.admin();
        let model = json!({"input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.60",
                           "context_length": 128_000, "max_output_tokens": 16_384});
        let team = json!({"self_service": {"enabled": true}});
        for (path, body) in [
            ("models/gpt-4o-mini", &model),
            ("models/gpt-4o", &model),
            ("aliases/fast", &json!({"model": "gpt-4o-mini"})),
            ("groups/small", &json!({"models": ["gpt-4o-mini"]})),
            ("plans/gold", &json!({"price_multiplier": "1.25"})),
            ("orgs/acme", &json!({"models": ["*"], "budget": {"usd": "500", "period": "month"}})),
            ("orgs/beta", &json!({"models": ["*"]})),
            ("orgs/acme/teams/search", &team),
            ("orgs/acme/users/ada", &json!({"role": "org_owner"})),
            ("orgs/acme/users/tom", &json!({})),
            ("orgs/acme/teams/search/members/ada", &json!({"role": "team_admin"})),
            ("orgs/acme/teams/search/members/tom", &json!({"role": "team_developer"})),
        ] {
            admin.put(&format!("/admin/v1/{path}"), body).unwrap().success().unwrap();
        }
        let key = json!({"org": "acme", "team": "search", "user": "ada"});
        let account = json!({"team": "search", "name": "nightly"});
        let variables = vec![
            ("KEY", made(&admin, "keys", &key, "id")),
            ("OTHER_KEY", made(&admin, "keys", &json!({"org": "acme"}), "id")),
            ("ACCOUNT", made(&admin, "orgs/acme/service-accounts", &account, "id")),
            ("USER_TOKEN", made(&admin, "orgs/acme/users/tom/tokens", &json!({}), "id")),
        ];
        made(&admin, "orgs/acme/wallet/top-ups", &json!({"usd": "10"}), "id");
        let personal_token = made(&admin, "orgs/acme/users/ada/tokens", &json!({}), "token");
        Self { backend, folder, variables, personal_token }
    }

    /// Runs schemathesis; answers how many requests it made.
    fn tested(&self, python: &PythonEnv, name: &str, token: &str, arguments: &[&str]) -> u64 {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("api_document");
        let program = python.executable("schemathesis").expect("schemathesis is installed");
        let said = self.folder.join(format!("schemathesis-{name}.log"));
        let log = File::create(&said).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--config-file")
            .arg(ours.join("schemathesis.toml"))
            .args(["run", "--seed", SEED, "--no-color"])
            .args(arguments)
            .arg(format!("{}/openapi.json", local_url(self.backend.admin_port())))
            // Files that it keeps for itself.
            .current_dir(&self.folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("TOKEN", token)
            .env("PYTHONPATH", &ours)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SCHEMATHESIS_HOOKS", "checks")
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log));
        let outcome = run_for(&mut command, "schemathesis", LIMIT);
        let said = std::fs::read_to_string(said).unwrap();
        if let Err(problem) = outcome {
            panic!("{name}: {problem:#}\n{said}");
        }
        let made = said.lines().find_map(|line| line.trim().split_once(" generated, "));
        made.and_then(|(number, _)| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }
}

/// Makes something and answers a member of what was made.
fn made(admin: &Client, path: &str, body: &Value, member: &str) -> String {
    let made = admin.post(&format!("/admin/v1/{path}"), body).unwrap().success().unwrap().json();
    made[member].as_str().expect("a text").to_owned()
}

#[test]
fn schemathesis_finds_nothing() {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("api_document/requirements.txt");
    let python = PythonEnv::from_file("schemathesis", &requirements).unwrap();
    let subject = Subject::start();
    // First what is one's own, while whoever it belongs to is still there; but not the token that is
    // signed in with.
    let own = [
        "--max-examples=2",
        "--include-path-regex=^/admin/v1/me",
        "--exclude-path-regex=/me/(tokens/|teams)",
    ];
    let of_person = subject.tested(&python, "person", &subject.personal_token, &own);
    let token = subject.backend.admin_token.clone().unwrap();
    let all = ["--max-examples=2", "--exclude-path-regex=^/admin/v1/me/"];
    let of_admin = subject.tested(&python, "admin", &token, &all);
    println!("{of_person} requests of a person, {of_admin} of the admin token");
    assert!(of_person > 200 && of_admin > 2_000, "{of_person}, {of_admin}");
    let status = subject.backend.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!(status["damaged_rows"], 0, "{status}");
}
