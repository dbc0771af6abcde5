//! A whole gateway in one process: the filter as it ships in several workers, and the real policy
//! server behind its call-outs, mounted without sockets and moved by the host's virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use policy_server::clock::{Clock, ManualClock, SeededEntropy};
use policy_server::live::SessionTimes;
use policy_server::settings::{FilterToken, KeepRequests, Settings, UserKeyLifetime};
use policy_server::webhooks::WebhookSettings;
use policy_server::{App, build};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callout::{CallOut, CallReply};
use crate::exchange::{Exchange, RequestScript};
use crate::headers::HeaderMap;
use crate::host::Host;
use crate::module::WasmModule;
use crate::mounted_router::{LongPoll, Mount, MountedRouter};
use crate::profile::Profile;
use crate::vm::Vm;

/// The cluster under which the filter's configuration names the policy server.
pub const POLICY_CLUSTER: &str = "tollgate_policy_server";

/// The token that filter and server share here. It guards nothing outside this process.
pub const FILTER_TOKEN: &str = "5b0c2f6e9a1d4873b6e0f4c9d2a78b31";

/// Looks at an admin call that waits for the filters, with the host settling in between.
const MAX_LOOKS: usize = 20_000;

/// Real time that the server may take to write what is queued and close.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

const NS_PER_MS: u64 = 1_000_000;

/// A key as the admin API made it. Its secret is shown only on purpose.
#[derive(Clone)]
pub struct MintedKey {
    /// The key's id.
    pub id: String,
    /// What a client presents.
    pub secret: String,
}

impl std::fmt::Debug for MintedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Workers and policy server together.
pub struct Gateway {
    host: Host,
    workers: Vec<Vm>,
    module: WasmModule,
    mount: Rc<Mount>,
    clock: Arc<ManualClock>,
    told_ms: Rc<Cell<u64>>,
    admin_token: String,
    app: Option<App>,
    _directory: TempDir,
}

impl Gateway {
    /// Starts a server on a fresh database and this many workers of the shipped filter.
    pub fn start(profile: Profile, workers: usize) -> Result<Self> {
        Self::start_module(&WasmModule::shipped()?, profile, workers)
    }

    /// The same with another module as the filter.
    pub fn start_module(module: &WasmModule, profile: Profile, workers: usize) -> Result<Self> {
        let host = Host::new(profile);
        host.add_cluster(POLICY_CLUSTER);
        host.set_environment("TOLLGATE_FILTER_TOKEN", FILTER_TOKEN);
        let directory = tempfile::tempdir().context("making a folder for the database")?;
        let clock = Arc::new(ManualClock::at_unix_ms(host.wall_ns() / NS_PER_MS));
        let settings = Settings {
            database: directory.path().join("tollgate.db"),
            journal: None,
            filter_token: FilterToken::new(Some(FILTER_TOKEN))?,
            session: SessionTimes::default(),
            keep_requests: KeepRequests::default(),
            webhooks: WebhookSettings::default(),
            user_key_lifetime: UserKeyLifetime::default(),
        };
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let app = build(settings, shared, Box::new(SeededEntropy::new(1)))?;
        let token = app.admin_token.as_ref().ok_or_else(|| anyhow!("no admin token"))?;
        let admin_token = token.expose().to_owned();
        let mount = Mount::new()?;
        let told_ms = Rc::new(Cell::new(host.now_ns() / NS_PER_MS));
        let server = {
            let (clock, told_ms) = (Arc::clone(&clock), Rc::clone(&told_ms));
            MountedRouter::new(&mount, app.filter.clone())
                .with_long_polls(Box::new(changes_poll))
                .with_time(Box::new(move |now_ms| move_clock(&clock, &told_ms, now_ms)))
        };
        host.serve(server);
        let mut gateway = Self {
            host,
            workers: Vec::new(),
            module: module.clone(),
            mount,
            clock,
            told_ms,
            admin_token,
            app: Some(app),
            _directory: directory,
        };
        for _ in 0..workers {
            gateway.add_worker()?;
        }
        Ok(gateway)
    }

    /// Starts one more worker, as after a crash of another.
    pub fn add_worker(&mut self) -> Result<&Vm> {
        self.add_worker_with(&json!({}))
    }

    /// The same with more in the filter's configuration. Members of `host` stand beside those that the
    /// profile needs.
    pub fn add_worker_with(&mut self, more: &Value) -> Result<&Vm> {
        let mut configuration = json!({"server": {"cluster": POLICY_CLUSTER}});
        for (name, value) in more.as_object().into_iter().flatten() {
            configuration[name] = value.clone();
        }
        if !self.host.state.borrow().profile.holds_headers() {
            configuration["host"]["holds_headers"] = json!(false);
        }
        let vm = Vm::start(&self.host, &self.module, configuration.to_string())?;
        self.workers.push(vm);
        self.workers.last().ok_or_else(|| anyhow!("no worker"))
    }

    /// The proxy.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The workers, in the order in which they were started.
    pub fn workers(&self) -> &[Vm] {
        &self.workers
    }

    /// The server without its ports.
    pub fn server(&self) -> Option<&App> {
        self.app.as_ref()
    }

    /// Lets virtual time pass for filters and server.
    pub fn advance_ms(&self, ms: u64) -> Result<()> {
        self.host.advance_ms(ms)?;
        self.tell_time();
        Ok(())
    }

    /// Parks what lapsed holders still held, as the server's sweeper does every second.
    pub fn sweep(&self) -> Result<()> {
        self.tell_time();
        let app = self.app.as_ref().ok_or_else(|| anyhow!("the server is closed"))?;
        while self.mount.wait_for(app.sweep()).map_err(|error| anyhow!("{error}"))? {}
        Ok(())
    }

    /// One admin call. While it waits for the filters, they get its news.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Result<CallReply> {
        self.tell_time();
        let app = self.app.as_ref().ok_or_else(|| anyhow!("the server is closed"))?;
        let bearer = format!("Bearer {}", self.admin_token);
        let mut headers = HeaderMap::from_pairs([(":method", method), (":path", path)]);
        headers.add("authorization", bearer);
        headers.add("content-type", "application/json");
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut begun = self.mount.begin(&app.admin, &headers, body.as_bytes());
        for _ in 0..MAX_LOOKS {
            match self.mount.take_if_done(begun) {
                Ok(reply) => return Ok(reply),
                Err(pending) => begun = pending,
            }
            self.host.settle()?;
        }
        Ok(self.mount.finish(begun))
    }

    /// An admin call that must succeed; its JSON answer.
    pub fn administer(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let reply = self.admin(method, path, body)?;
        let status = reply.headers.text(":status").unwrap_or("none").to_owned();
        let text = String::from_utf8_lossy(&reply.body);
        ensure!(status.starts_with('2'), "{method} {path}: {status} {text}");
        Ok(serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    /// An organisation "acme" and a priced model "gpt-4o-mini" with the alias "fast".
    pub fn furnish(&self) -> Result<()> {
        let org = json!({"name": "Acme", "models": ["*"]});
        self.administer("PUT", "/admin/v1/orgs/acme", Some(&org))?;
        let model = json!({
            "input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.60",
            "cached_input_usd_per_mtok": "0.075", "context_length": 128_000,
            "max_output_tokens": 16_384, "aliases": ["fast"],
        });
        self.administer("PUT", "/admin/v1/models/gpt-4o-mini", Some(&model))?;
        Ok(())
    }

    /// Makes a key of "acme"; `fields` adds limits, budget and the like.
    pub fn mint_key(&self, fields: &Value) -> Result<MintedKey> {
        let mut body = json!({"org": "acme", "name": "test key"});
        if let (Some(body), Some(fields)) = (body.as_object_mut(), fields.as_object()) {
            body.extend(fields.clone());
        }
        let made = self.administer("POST", "/admin/v1/keys", Some(&body))?;
        let text = |name: &str| {
            let value = made.get(name).and_then(Value::as_str);
            value.map(str::to_owned).ok_or_else(|| anyhow!("no {name} in {made}"))
        };
        Ok(MintedKey { id: text("id")?, secret: text("key")? })
    }

    /// Begins a chat completion with this key at this worker.
    pub fn chat(&self, worker: usize, key: &MintedKey, body: &Value) -> Result<RequestScript> {
        self.raw_chat(worker, key, [body.to_string()])
    }

    /// The same with a body as it is written, in pieces.
    pub fn raw_chat<P: AsRef<[u8]>>(
        &self,
        worker: usize,
        key: &MintedKey,
        body: impl IntoIterator<Item = P>,
    ) -> Result<RequestScript> {
        let vm = self.workers.get(worker).ok_or_else(|| anyhow!("no worker {worker}"))?;
        Ok(Self::chat_through(vm, &key.secret, body))
    }

    /// Begins a chat completion with this secret at any worker, one of no gateway, too.
    pub fn chat_through<P: AsRef<[u8]>>(
        vm: &Vm,
        secret: &str,
        body: impl IntoIterator<Item = P>,
    ) -> RequestScript {
        let body: Vec<P> = body.into_iter().collect();
        let length = body.iter().map(|piece| piece.as_ref().len()).sum::<usize>().to_string();
        let bearer = format!("Bearer {secret}");
        let headers = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            (":authority", "gateway"),
            (":scheme", "http"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
            ("authorization", bearer.as_str()),
        ];
        vm.request(headers).body(body)
    }

    /// A plain chat completion that the upstream answers with this usage.
    pub fn whole_chat(
        &self,
        worker: usize,
        key: &MintedKey,
        usage: (u64, u64),
    ) -> Result<Exchange> {
        let question = json!({
            "model": "gpt-4o-mini", "max_tokens": 64,
            "messages": [{"role": "user", "content": "Say hello."}],
        });
        let exchange = self.chat(worker, key, &question)?.send()?;
        if exchange.ended() {
            return Ok(exchange);
        }
        Self::answer_plainly(&exchange, usage)?;
        Ok(exchange)
    }

    /// The upstream's plain JSON answer to a chat completion, with these tokens of the prompt and of
    /// the completion.
    pub fn answer_plainly(
        exchange: &Exchange,
        (prompt_tokens, completion_tokens): (u64, u64),
    ) -> Result<()> {
        let answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": "Hello."}}],
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
                      "total_tokens": prompt_tokens + completion_tokens},
        })
        .to_string();
        let length = answer.len().to_string();
        let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
        exchange.respond(200, &headers, [answer])?;
        Ok(())
    }

    fn tell_time(&self) {
        move_clock(&self.clock, &self.told_ms, self.host.now_ns() / NS_PER_MS);
    }
}

impl Drop for Gateway {
    /// The routers go first: the server waits for them when it closes.
    fn drop(&mut self) {
        self.workers.clear();
        self.host.stop_serving();
        if let Some(app) = self.app.take() {
            // A writer that does not end leaves a folder behind, nothing worse.
            let _closed = app.close(CLOSE_WITHIN);
        }
    }
}

fn move_clock(clock: &ManualClock, told_ms: &Cell<u64>, now_ms: u64) {
    clock.advance_ms(now_ms.saturating_sub(told_ms.get()));
    told_ms.set(now_ms.max(told_ms.get()));
}

/// `GET /proxy/v1/changes` waits as long as its `wait_ms` says.
fn changes_poll(call: &CallOut) -> Option<LongPoll> {
    let (before, after) = call.path().split_once("wait_ms=")?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let wait_ms: u64 = after.get(..digits)?.parse().ok()?;
    let rest = after.get(digits..)?;
    let is_poll = before.starts_with("/proxy/v1/changes") && wait_ms > 0;
    is_poll.then(|| LongPoll { wait_ms, path_without_wait: format!("{before}wait_ms=0{rest}") })
}
