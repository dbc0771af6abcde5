//! One stack per product for all rows. Tests come and go on threads of their own; whichever runs last
//! ends the stacks, since nothing ends what is left when a test binary exits.

use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use e2e::{Fixture, wait_within};
use serde_json::{Value, json};
use xtask::envoy_config::EnvoyConfig;
use xtask::http_client::{Answer, Client};
use xtask::stack::StackOptions;

/// A product whose place the gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    PrivateMind,
    MindProxy,
    DeltaLlm,
}

use Profile::{DeltaLlm, MindProxy, PrivateMind};

impl Profile {
    const ALL: [Self; 3] = [PrivateMind, MindProxy, DeltaLlm];

    fn name(self) -> &'static str {
        match self {
            PrivateMind => "privatemind",
            MindProxy => "mindproxy",
            DeltaLlm => "deltallm",
        }
    }
}

/// How many rows are still to be run by this process, and the stacks that have been started.
static REMAINING: LazyLock<Mutex<usize>> = LazyLock::new(|| Mutex::new(rows_to_run()));
static STACKS: [Mutex<Option<Fixture>>; 3] = [const { Mutex::new(None) }; 3];

fn rows_to_run() -> usize {
    let rows = rows_listed(std::env::args().skip(1).collect()).len();
    assert!(rows > 0, "the test harness does not list its own tests");
    rows
}

/// The rows that have a test, as the test harness lists them for these arguments.
pub fn rows_listed(arguments: Vec<String>) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let listed = Command::new(program).args(arguments).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let name = |line: &str| {
        let (family, name) =
            line.strip_prefix("profiles::")?.strip_suffix(": test")?.split_once("::")?;
        (family != "page").then(|| name.to_owned())
    };
    listed.lines().filter_map(name).collect()
}

/// Held by every row; the last one ends the stacks.
struct Row;

impl Drop for Row {
    fn drop(&mut self) {
        let mut remaining = REMAINING.lock().unwrap_or_else(PoisonError::into_inner);
        *remaining = remaining.saturating_sub(1);
        if *remaining == 0 {
            for stack in &STACKS {
                // What holds of every stack is looked at when it goes.
                drop(stack.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        }
    }
}

/// Plays a row to each product, all three at once.
pub fn walk(row: impl Fn(&Product) + Sync) {
    LazyLock::force(&REMAINING);
    let _row = Row;
    let failed: Vec<_> = std::thread::scope(|scope| {
        let row = &row;
        let walks = Profile::ALL.map(|profile| {
            let name = std::thread::Builder::new().name(profile.name().to_owned());
            (profile, name.spawn_scoped(scope, move || row(&Product::of(profile))).unwrap())
        });
        let ended = walks.into_iter().map(|(profile, walk)| (profile, walk.join().is_err()));
        ended.filter_map(|(profile, failed)| failed.then_some(profile)).collect()
    });
    assert!(failed.is_empty(), "the row does not hold for {failed:?}: see above");
}

/// The gateway in the manner of one product, with the organisation `acme`, which may call everything,
/// and two models.
pub struct Product {
    pub profile: Profile,
    pub admin: Client,
    pub admin_url: String,
    pub gateway_url: String,
    mock: Client,
}

impl Product {
    fn of(profile: Profile) -> Self {
        let place = Profile::ALL.iter().position(|one| *one == profile).unwrap();
        let mut stack = STACKS[place].lock().unwrap();
        let fixture = stack.get_or_insert_with(|| {
            let mut filter_config = EnvoyConfig::filter_config_of_profile(profile.name());
            let conversations = "/v1/conversations*";
            filter_config["paths"] = json!([
                {"method": "GET", "path": conversations, "model": "free", "keys": "user"},
            ]);
            let options = StackOptions { filter_config, concurrency: 1, ..StackOptions::default() };
            let fixture = Fixture::with(&options).unwrap();
            for model in ["text-embedding-3-small", "claude-mock", "gemini-2.5-flash"] {
                let path = format!("/admin/v1/models/{model}");
                let put = fixture.stack.admin().put(&path, &simple_model());
                put.unwrap().success().unwrap();
            }
            let free = json!({"free": true, "context_length": 1, "max_output_tokens": 1});
            let put = fixture.stack.admin().put("/admin/v1/models/free", &free);
            put.unwrap().success().unwrap();
            fixture
        });
        Self {
            profile,
            admin: fixture.stack.admin(),
            admin_url: fixture.stack.admin_url.clone(),
            gateway_url: fixture.stack.gateway_url.clone(),
            mock: fixture.stack.mock(),
        }
    }

    /// What holds for this product.
    pub fn pick<T>(&self, privatemind: T, mindproxy: T, deltallm: T) -> T {
        match self.profile {
            PrivateMind => privatemind,
            MindProxy => mindproxy,
            DeltaLlm => deltallm,
        }
    }

    /// An answer of the admin API that must be a success.
    pub fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { None } else { Some(body.to_string()) };
        let answer = self.admin.send(method, &format!("/admin/v1/{path}"), &[], body).unwrap();
        answer.success().unwrap_or_else(|error| panic!("{method} {path}: {error}")).json()
    }

    /// A key in the form of the product, with these members; its id and secret.
    pub fn key(&self, members: Value) -> (String, String) {
        let mut body = json!({"org": "acme", "name": "test",
            "format": self.pick("privatemind", "openai", "openai")});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let made = self.admin("POST", "keys", body);
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// A chat with a key, and with further header fields and members.
    pub fn chat_with(&self, key: &str, headers: &[(&str, &str)], members: Value) -> Answer {
        let mut body = json!({"model": "fast", "max_tokens": 16,
            "messages": [{"role": "user", "content": "hello"}]});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let client = Client::new(&self.gateway_url, Some(key));
        client.send("POST", "/v1/chat/completions", headers, Some(body.to_string())).unwrap()
    }

    /// A chat with a key.
    pub fn chat(&self, key: &str, members: Value) -> Answer {
        self.chat_with(key, &[], members)
    }

    /// A chat that is served; its document.
    pub fn served(&self, key: &str, members: Value) -> Value {
        self.chat(key, members).success().unwrap().json()
    }

    /// Status, and the word by which programs know what is wrong: where the product puts it.
    pub fn refused(&self, answer: &Answer) -> (u16, String) {
        let body = answer.json();
        let error = &body["error"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let said = match self.profile {
            PrivateMind => text(&error["code"]),
            MindProxy => text(&error["type"]),
            DeltaLlm => text(&error["code"]).or(text(&error["type"])).or(text(&body["detail"])),
        };
        (answer.status, said.unwrap_or_else(|| panic!("{} says nothing: {body}", answer.status)))
    }

    /// Status and word of a chat that is refused.
    pub fn chat_refused(&self, key: &str, members: Value) -> (u16, String) {
        self.refused(&self.chat(key, members))
    }

    /// The models that a key is shown.
    pub fn models(&self, key: &str) -> Vec<Value> {
        let client = Client::new(&self.gateway_url, Some(key));
        let answer = client.get("/v1/models").unwrap().success().unwrap();
        answer.json()["data"].as_array().unwrap().clone()
    }

    /// The calls of a key in the request log, once there are so many.
    pub fn records(&self, key: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        self.wait_for("the records", || {
            let page = self.admin("GET", &format!("requests?key={key}&limit=100"), Value::Null);
            found = page["data"].as_array().unwrap().clone();
            found.len() >= count
        });
        found
    }

    /// Waits until a condition holds, for at most ten seconds.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let (limit, pause) = (Duration::from_secs(10), Duration::from_millis(50));
        wait_within(limit, pause, what, || Ok(holds())).unwrap();
    }

    /// What the upstream got with the requests of a key, newest last.
    pub fn upstream_requests(&self, key: &str) -> Vec<Value> {
        let seen = self.mock.get("/_mock/requests?limit=256").unwrap().success().unwrap().json();
        let all = seen.as_array().or_else(|| seen["requests"].as_array()).unwrap().clone();
        all.into_iter().filter(|request| request.to_string().contains(key)).collect()
    }
}

/// A model at the prices of [`e2e::MODEL`].
pub fn simple_model() -> Value {
    json!({
        "input_usd_per_mtok": "0.153", "output_usd_per_mtok": "0.617",
        "context_length": 128_000, "max_output_tokens": 16_384, "input_overhead_tokens": 0,
    })
}

/// A limit of a key or team.
pub fn limit(unit: &str, window: &str, max: u64) -> Value {
    match window {
        "" => json!({"unit": unit, "max": max}),
        window => json!({"unit": unit, "window": window, "max": max}),
    }
}
