//! What an operation on keys takes in a database with many of them, as ratios to one with few: both
//! are asked in turn in one run. Exits with 1 where the median of one takes more than 1.5 times as
//! long. `cargo xtask bench keys` runs it.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use clap::Parser;
use policy_server::app::{CreatedKey, Given, KeyForm, Lifetime, OrgForm};
use policy_server::clock::{ManualClock, Now, OsEntropy};
use policy_server::engine::Engine;
use policy_server::live::SessionTimes;
use policy_server::settings::{FilterToken, KeepRequests, Settings, UserKeyLifetime};
use policy_server::store::sqlite::Sqlite;
use policy_server::webhooks::WebhookSettings;
use policy_server::{App, build};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wire::v1::{AdmitRequest, RegisterReply, RegisterRequest};
use wire::{Epoch, HolderId, Nonce, OrgId, TeamId, UserId};

/// The most that the median of an operation may take, as a multiple.
const RATIO_MOST: f64 = 1.5;

/// Keys made in one job while a database is filled.
const MADE_AT_ONCE: usize = 1_000;

/// Organisations in each database.
const ORGS: usize = 10;

const FILTER_TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015";

/// A year in which every date below lies ahead.
const NOW_MS: u64 = 1_795_176_000_000;

#[derive(Debug, Parser)]
struct Arguments {
    /// Keys in the small database.
    #[arg(long, default_value_t = 1_000)]
    few: usize,
    /// Keys in the large one.
    #[arg(long, default_value_t = 1_000_000)]
    many: usize,
    /// How often each operation is carried out.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Given by `cargo bench`; says nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One server and the keys that it was filled with.
struct Filled {
    app: App,
    admin_token: String,
    holder: HolderId,
    epoch: Epoch,
    /// Id and secret of some keys, spread over all of them.
    samples: Vec<(String, String)>,
    count: usize,
    _folder: tempfile::TempDir,
}

/// The operations that are measured.
const OPERATIONS: [&str; 12] = [
    "create",
    "resolve by digest",
    "show",
    "list, newest",
    "list, of an organisation by name",
    "list, active of a team",
    "search, a word that all have",
    "search, the name of one",
    "search, a part of a name",
    "search, an id",
    "rename",
    "revoke",
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> ExitCode {
    let few = Filled::new(arguments.few, arguments.rounds).await;
    let many = Filled::new(arguments.many, arguments.rounds).await;
    println!("medians of {} in ms: elapsed, and of the processor", arguments.rounds);
    let (few_keys, many_keys) = (arguments.few, arguments.many);
    println!(
        "{:<34} {few_keys:>10} {many_keys:>10} {:>6} {few_keys:>10} {many_keys:>10} {:>6}",
        "operation", "ratio", "ratio"
    );
    let mut worst: f64 = 0.0;
    for operation in OPERATIONS {
        let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
        let mut busy = times.clone();
        for round in 0..arguments.rounds {
            // each goes first as often as the other
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                let filled = if which == 0 { &few } else { &many };
                let began = processor_time();
                times[which].push(filled.carry_out(operation, round).await);
                busy[which].push(processor_time().saturating_sub(began));
            }
        }
        let [few_ms, many_ms] = times.map(median_ms);
        let ratio = many_ms / few_ms;
        worst = worst.max(ratio);
        let [few_busy, many_busy] = busy.map(median_ms);
        let busy_ratio = many_busy / few_busy;
        println!(
            "{operation:<34} {few_ms:>10.3} {many_ms:>10.3} {ratio:>6.2} {few_busy:>10.3} \
             {many_busy:>10.3} {busy_ratio:>6.2}"
        );
    }
    if worst <= RATIO_MOST {
        ExitCode::SUCCESS
    } else {
        println!("one takes more than {RATIO_MOST} times as long");
        ExitCode::FAILURE
    }
}

/// Of all threads: tells on a machine that does other things as well what was waited for and what was
/// done.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

/// Names as people give them: what it does, for whom, and which of many.
fn name(index: usize) -> String {
    const WHAT: [&str; 7] = ["nightly", "summary", "search", "mail", "billing", "chat", "eval"];
    // so that neighbours in age are none by name
    let shuffled = index.wrapping_mul(7_919) % 1_000_003;
    format!("{} service {shuffled:07}", WHAT[index % WHAT.len()])
}

fn fields(index: usize) -> Value {
    json!({
        "org": format!("org-{}", index % ORGS), "team": format!("team-{}", index % 70),
        "user": format!("user-{}", index % 500), "name": name(index),
        "tags": [format!("tag-{}", index % 20)], "expires_in": "1y",
    })
}

/// The same as the application takes it.
fn form(index: usize) -> KeyForm {
    KeyForm {
        org: OrgId::new(format!("org-{}", index % ORGS)).ok(),
        team: TeamId::new(format!("team-{}", index % 70)).map_or(Given::Absent, Given::Value),
        user: UserId::new(format!("user-{}", index % 500)).map_or(Given::Absent, Given::Value),
        name: Given::Value(name(index)),
        tags: Given::Value(vec![format!("tag-{}", index % 20)]),
        expires_in: Lifetime::parse("1y"),
        ..KeyForm::default()
    }
}

/// Fills a new database, many keys in one job, since one by one it would take an hour. Answers ids and
/// secrets of some keys, spread over all of them, and the admin token.
fn fill(database: &Path, count: usize, samples: usize) -> (Vec<(String, String)>, String) {
    let now = Now { unix_ms: NOW_MS, monotonic_ms: 0 };
    let store = Sqlite::open(database).expect("a database");
    let (mut engine, token) =
        Engine::start(store, Box::new(OsEntropy), SessionTimes::default(), now).expect("it starts");
    for org in 0..ORGS {
        let id = OrgId::new(format!("org-{org}")).expect("an id");
        engine.run(now, |work| work.put_org(id, OrgForm::default())).expect("an organisation");
    }
    let every = (count / samples).max(1);
    let mut sampled = Vec::new();
    for first in (0..count).step_by(MADE_AT_ONCE) {
        let made = engine.run(now, |work| {
            let indexes = first..count.min(first + MADE_AT_ONCE);
            indexes.map(|index| work.create_key(form(index))).collect::<Result<Vec<_>, _>>()
        });
        for (index, made) in (first..).zip(made.expect("keys")) {
            if index % every == 0 {
                let CreatedKey { view, secret } = made.value;
                sampled.push((view.key.id.to_string(), secret.expose().to_owned()));
            }
        }
    }
    (sampled, token.expect("a token").expose().to_owned())
}

impl Filled {
    async fn new(count: usize, rounds: usize) -> Self {
        let begun = Instant::now();
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("tollgate.sqlite");
        let (samples, admin_token) = fill(&database, count, 2 * rounds);
        let settings = Settings {
            database: database.clone(),
            journal: None,
            filter_token: FilterToken::new(Some(FILTER_TOKEN)).expect("a token"),
            session: SessionTimes::default(),
            keep_requests: KeepRequests::default(),
            webhooks: WebhookSettings::default(),
            user_key_lifetime: UserKeyLifetime::default(),
        };
        let clock = Arc::new(ManualClock::at_unix_ms(NOW_MS));
        let app = build(settings, clock, Box::new(OsEntropy)).expect("it starts");
        let nonce = Nonce([7; 16]);
        let protocol = wire::PROTOCOL_VERSION;
        let plugin = "bench".to_owned();
        let request = RegisterRequest {
            protocol,
            nonce,
            plugin,
            without_push: false,
            count_windows_below: 0,
        };
        let request = serde_json::to_value(request).expect("JSON");
        let filter = app.filter.clone();
        let reply = send(filter, "POST", "/proxy/v1/holders", FILTER_TOKEN, &request).await;
        let reply: RegisterReply = serde_json::from_value(reply).expect("a reply");
        let bytes = database.metadata().map_or(0, |file| file.len());
        let (seconds, megabytes) = (begun.elapsed().as_secs_f64(), bytes / 1_000_000);
        println!("{count} keys made in {seconds:.0} s: {megabytes} MB");
        let (holder, epoch) = (reply.holder, reply.epoch);
        Self { app, admin_token, holder, epoch, samples, count, _folder: folder }
    }

    async fn carry_out(&self, operation: &str, round: usize) -> Duration {
        let (id, secret) = &self.samples[round * 2 % self.samples.len()];
        let index = (round * 7_907) % self.count;
        let nothing = Value::Null;
        let (method, path, body) = match operation {
            "create" => ("POST", "keys".to_owned(), fields(self.count + round)),
            "resolve by digest" => return self.resolve(secret).await,
            "show" => ("GET", format!("keys/{id}"), nothing),
            "list, newest" => ("GET", "keys?limit=50".to_owned(), nothing),
            "list, of an organisation by name" => {
                ("GET", format!("keys?org=org-{}&order=name", round % ORGS), nothing)
            }
            "list, active of a team" => {
                let path = format!("keys?team=team-{}&status=active&limit=10", round % 70);
                ("GET", path, nothing)
            }
            "search, a word that all have" => {
                ("GET", "keys?search=service&limit=10".to_owned(), nothing)
            }
            "search, the name of one" => {
                ("GET", format!("keys?search={}", name(index).replace(' ', "%20")), nothing)
            }
            "search, a part of a name" => (
                "GET",
                format!("keys?search={}&limit=1", &name(index)[name(index).len() - 6..]),
                nothing,
            ),
            "search, an id" => ("GET", format!("keys?search={id}"), nothing),
            "rename" => {
                ("PATCH", format!("keys/{id}?wait=0"), json!({"name": format!("renamed {round}")}))
            }
            "revoke" => {
                // those that nothing else was done to
                let (id, _) = &self.samples[(round * 2 + 1) % self.samples.len()];
                ("POST", format!("keys/{id}/revoke?wait=0"), nothing)
            }
            other => panic!("{other}"),
        };
        let path = format!("/admin/v1/{path}");
        let begun = Instant::now();
        let answer = send(self.app.admin.clone(), method, &path, &self.admin_token, &body).await;
        let taken = begun.elapsed();
        let is_found = answer["data"].as_array().is_none_or(|keys| !keys.is_empty());
        assert!(is_found, "{path} finds nothing");
        taken
    }

    async fn resolve(&self, secret: &str) -> Duration {
        let request = AdmitRequest {
            holder: self.holder.clone(),
            epoch: self.epoch,
            digest: metering::api_key::digest(secret.as_bytes()),
            n: 0,
            ask: None,
            void: Vec::new(),
        };
        let request = serde_json::to_value(request).expect("JSON");
        let begun = Instant::now();
        let filter = self.app.filter.clone();
        let answer = send(filter, "POST", "/proxy/v1/admit", FILTER_TOKEN, &request).await;
        let taken = begun.elapsed();
        assert!(answer["key"]["known"].is_object(), "{answer}");
        taken
    }
}

/// A request that must succeed; answers its JSON.
fn send(
    router: Router,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> impl Future<Output = Value> + Send + use<> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body))
        .expect("a request");
    let what = format!("{method} {path}");
    async move {
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 8 << 20).await.expect("a body");
        assert!(status.is_success(), "{what}: {status} {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).expect("JSON")
    }
}
