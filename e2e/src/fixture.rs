//! A running stack with something to call.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::http_client::{Answer, Client};
use xtask::stack::{Stack, StackOptions};

use crate::audit::{Comparison, Spend, UpstreamCall, compare};
use crate::outputs;
use crate::vm_watch;

/// The model that every fixture has. Prices are chosen so that every token matters to the
/// nano-dollar: 0.153 and 0.617 USD per million tokens.
pub const MODEL: &str = "gpt-4o-mini";

/// Sums that three looks this far apart find the same have come to rest: a filter reports what it
/// has every few hundred milliseconds.
const REST: Duration = Duration::from_millis(400);

/// Most connections that are opened until each of a few workers has got one. With four workers the
/// chance that one gets none of them is below one in ten million.
const MOST_CONNECTIONS: usize = 64;

/// A stack with the organisation `acme` and [`MODEL`] (alias `fast`).
///
/// When it is dropped, no VM of the filter has died in it, by the statistics of its Envoys and by every
/// log of the run, and no secret of it stands in anything that a process of it has put out.
pub struct Fixture {
    /// The stack.
    pub stack: Stack,
    /// What must not be put out by any process, each without its first half, which may be shown.
    secrets: Mutex<Vec<String>>,
    vms_may_die: AtomicBool,
}

impl Fixture {
    /// Starts a stack with this many Envoy workers.
    ///
    /// # Errors
    /// When the stack does not start or the admin API refuses.
    pub fn start(concurrency: u32) -> anyhow::Result<Self> {
        Self::with(&StackOptions { concurrency, ..StackOptions::default() })
    }

    /// Starts a stack with these options.
    ///
    /// # Errors
    /// When the stack does not start or the admin API refuses.
    pub fn with(options: &StackOptions) -> anyhow::Result<Self> {
        let fixture = Self {
            stack: Stack::start(options)?,
            secrets: Mutex::default(),
            vms_may_die: AtomicBool::default(),
        };
        for secret in [fixture.stack.admin_token.as_deref(), options.upstream_key.as_deref()] {
            fixture.keep_secret(secret.unwrap_or_default());
        }
        fixture.keep_secret(fixture.stack.filter_token());
        let admin = fixture.stack.admin();
        let model = json!({
            "input_usd_per_mtok": "0.153", "output_usd_per_mtok": "0.617",
            "context_length": 128_000, "max_output_tokens": 16_384, "aliases": ["fast"],
            "input_overhead_tokens": 0,
        });
        admin.put(&format!("/admin/v1/models/{MODEL}"), &model)?.success()?;
        let other = json!({
            "input_usd_per_mtok": "2.50", "output_usd_per_mtok": "10.00",
            "context_length": 128_000, "max_output_tokens": 16_384,
        });
        admin.put("/admin/v1/models/gpt-4o", &other)?.success()?;
        let org = json!({"name": "Acme", "models": ["*"]});
        admin.put("/admin/v1/orgs/acme", &org)?.success()?;
        Ok(fixture)
    }

    /// Creates a key from these members beside `org` and `name`; returns its id and secret.
    ///
    /// # Errors
    /// When the admin API refuses.
    pub fn key(&self, members: Value) -> anyhow::Result<(String, String)> {
        let mut body = json!({"org": "acme", "name": "test"});
        if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
            body.extend(members);
        }
        let made = self.stack.admin().post("/admin/v1/keys", &body)?.success()?.json();
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("no such member");
        let secret = text("key")?;
        self.keep_secret(&secret);
        Ok((text("id")?, secret))
    }

    /// Nothing that a process of this run puts out may hold this.
    pub fn keep_secret(&self, secret: &str) {
        if let Some(half) = secret.get(secret.len() / 2..).filter(|half| !half.is_empty()) {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(half.to_owned());
        }
    }

    /// A VM is made to die here: that is then seen, or the test fails.
    pub fn expect_dead_vms(&self) {
        self.vms_may_die.store(true, Ordering::Relaxed);
    }

    /// What Envoys, those that run and those that have ended, say of dead VMs.
    ///
    /// # Errors
    /// When one that runs does not answer or a log cannot be read.
    pub fn dead_vms(&self) -> anyhow::Result<Vec<String>> {
        let mut dead = vm_watch::logged(&self.stack.run_folder)?;
        for gateway in self.stack.gateways().iter().filter(|gateway| gateway.is_running()) {
            dead.extend(vm_watch::counted(gateway)?);
        }
        Ok(dead)
    }

    /// A line for each secret of this run that stands in a text.
    #[must_use]
    pub fn secrets_in(&self, place: &str, text: &[u8]) -> Vec<String> {
        outputs::found(place, text, &self.secrets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where secrets of this run stand in what its processes have put out.
    ///
    /// # Errors
    /// When one that runs does not answer or a file cannot be read.
    pub fn told_secrets(&self) -> anyhow::Result<Vec<String>> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut told = outputs::in_files(&self.stack.run_folder, &secrets)?;
        for gateway in self.stack.gateways().iter().filter(|gateway| gateway.is_running()) {
            told.extend(outputs::in_pages(gateway, &secrets)?);
        }
        Ok(told)
    }

    /// Clients with a connection each, at least so many and as many more as it takes until this many
    /// workers have registered: the kernel deals connections out by chance, and a few of them may
    /// all come to one worker. `connect` makes a client and has it call.
    ///
    /// # Errors
    /// When `connect` fails, or a worker gets none of 64 connections.
    pub fn clients_of_every_worker(
        &self,
        at_least: usize,
        workers: u32,
        mut connect: impl FnMut() -> anyhow::Result<Client>,
    ) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::new();
        loop {
            let status = self.stack.admin().get("/admin/v1/status")?.success()?.json();
            if clients.len() >= at_least && status["live_holders"] == workers {
                return Ok(clients);
            }
            anyhow::ensure!(clients.len() < MOST_CONNECTIONS, "not all workers serve: {status}");
            clients.push(connect()?);
        }
    }

    /// The holders that are workers of this gateway, of which it has so many: by the records of calls
    /// that came over connections of their own.
    ///
    /// # Errors
    /// When a call fails, or a worker gets none of 64 connections.
    pub fn holders_of(
        &self,
        gateway: &Gateway,
        workers: usize,
    ) -> anyhow::Result<BTreeSet<String>> {
        let (key, secret) = self.key(json!({}))?;
        for calls in 1..=MOST_CONNECTIONS {
            chat(&gateway.client(&secret), json!({}))?.success()?;
            if calls % (4 * workers) != 0 {
                continue;
            }
            let records = self.records(&key, calls)?;
            let names = records.iter().filter_map(|record| record["holder"].as_str());
            let holders: BTreeSet<_> = names.map(str::to_owned).collect();
            if holders.len() >= workers {
                return Ok(holders);
            }
        }
        anyhow::bail!("not all workers serve")
    }

    /// Revokes a key and waits for at most `wait_ms` until that is applied; the answer, and how long
    /// it took.
    ///
    /// # Errors
    /// When the admin API refuses.
    pub fn revoke(&self, key: &str, wait_ms: u64) -> anyhow::Result<(Value, Duration)> {
        let admin = self.stack.admin();
        let path = format!("/admin/v1/keys/{key}/revoke?wait={wait_ms}");
        let begun = Instant::now();
        let answer = admin.post(&path, &json!({}))?.success()?;
        Ok((answer.json(), begun.elapsed()))
    }

    /// What the mock upstream counted.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn upstream_stats(&self) -> anyhow::Result<Value> {
        Ok(self.stack.mock().get("/_mock/stats")?.success()?.json())
    }

    /// Sets the faults of the mock upstream for every request from now on.
    ///
    /// # Errors
    /// When it refuses.
    pub fn upstream_fault(&self, fault: &str) -> anyhow::Result<()> {
        self.stack.mock().post("/_mock/config", &json!({"fault": fault}))?.success()?;
        Ok(())
    }

    /// The requests that reached the upstream, newest last.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn upstream_requests(&self) -> anyhow::Result<Vec<Value>> {
        let seen = self.stack.mock().get("/_mock/requests?limit=256")?.success()?.json();
        let list = seen.as_array().or_else(|| seen["requests"].as_array());
        Ok(list.cloned().unwrap_or_default())
    }

    /// The calls of a key that reached the upstream, in the order of arrival.
    ///
    /// # Errors
    /// When the upstream does not answer or has left some out.
    pub fn upstream_calls(&self, key: &str) -> anyhow::Result<Vec<UpstreamCall>> {
        let log = self.stack.mock().get("/_mock/calls")?.success()?.json();
        anyhow::ensure!(log["missing"] == 0, "the upstream's log is full");
        let calls = log["calls"].as_array().context("no list of calls")?;
        calls.iter().filter(|call| call["key"] == key).map(UpstreamCall::read).collect()
    }

    /// Waits until no answer is being written by the upstream any more: only then are its counts
    /// final.
    ///
    /// # Errors
    /// When that does not happen within ten seconds.
    pub fn upstream_at_rest(&self) -> anyhow::Result<()> {
        wait_for("the upstream to come to rest", || Ok(self.upstream_stats()?["running"] == 0))
    }

    /// Every record of a key once `count` of them have arrived.
    ///
    /// # Errors
    /// When they do not arrive within ten seconds.
    pub fn records(&self, key: &str, count: usize) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        wait_for("the records", || {
            found = self.all_records(key)?;
            Ok(found.len() >= count)
        })
        .with_context(|| format!("{} of {count} came", found.len()))?;
        Ok(found)
    }

    /// The sums of a key's budget at this moment.
    ///
    /// # Errors
    /// When the admin API does not answer.
    pub fn spend(&self, key: &str) -> anyhow::Result<Spend> {
        let path = format!("/admin/v1/keys/{key}");
        let key = self.stack.admin().get(&path)?.success()?.json();
        Ok(Spend::read(&key["spend"]))
    }

    /// The sums of a key's budget once nothing of it is outstanding and its settled sum has come
    /// to rest.
    ///
    /// # Errors
    /// When that does not happen within `limit`.
    pub fn spend_at_rest(&self, key: &str, limit: Duration) -> anyhow::Result<Spend> {
        let mut last = None;
        let mut spend = self.spend(key)?;
        wait_within(limit, REST, "the money to come to rest", || {
            let still = last == Some(spend) && spend.outstanding == 0;
            last = Some(spend);
            spend = self.spend(key)?;
            Ok(still && last == Some(spend))
        })
        .with_context(|| format!("{spend:?}"))?;
        Ok(spend)
    }

    /// Every record of a key that has arrived by now.
    ///
    /// # Errors
    /// When the admin API does not answer.
    pub fn all_records(&self, key: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/admin/v1/records?key={key}&limit=100{cursor}");
            let page = self.stack.admin().get(&path)?.success()?.json();
            all.extend(page["data"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// Both books of a key once every call at the upstream, which is at rest, has its record and no
    /// money is out.
    ///
    /// # Errors
    /// When that does not happen within `limit`, each.
    ///
    /// # Panics
    /// When the books contradict each other: see [`compare`].
    pub fn settled_books(&self, key: &str, limit: Duration) -> anyhow::Result<(Spend, Comparison)> {
        let calls = self.upstream_calls(key)?;
        wait_within(limit, REST, "a record of every call", || {
            let records = self.all_records(key)?;
            let names: BTreeSet<_> =
                records.iter().filter_map(|record| record["request"].as_str()).collect();
            Ok(calls.iter().all(|call| names.contains(call.request.as_str())))
        })?;
        let spend = self.spend_at_rest(key, limit)?;
        // Records may still have come while the money came to rest.
        Ok((spend, compare(&self.all_records(key)?, &calls)))
    }

    /// The `spend` of a key once no lease of it is outstanding.
    ///
    /// # Errors
    /// When that does not happen within ten seconds.
    pub fn settled_spend(&self, key: &str) -> anyhow::Result<Value> {
        let mut spend = Value::Null;
        wait_for("every lease to come back", || {
            let path = format!("/admin/v1/keys/{key}");
            spend = self.stack.admin().get(&path)?.success()?.json()["spend"].clone();
            Ok(spend["outstanding_usd"] == "0.00")
        })?;
        Ok(spend)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // The first failure is the one to tell.
        if std::thread::panicking() {
            return;
        }
        match self.dead_vms() {
            Ok(dead) if self.vms_may_die.load(Ordering::Relaxed) => {
                assert!(!dead.is_empty(), "no VM has died, and one was to");
            }
            Ok(dead) => assert_eq!(dead, [""; 0], "a VM has died"),
            Err(why) => panic!("whether a VM has died cannot be seen: {why:#}"),
        }
        match self.told_secrets() {
            Ok(told) => assert_eq!(told, [""; 0], "a secret was put out"),
            Err(why) => panic!("whether a secret was put out cannot be seen: {why:#}"),
        }
    }
}

/// Waits until a condition holds, for at most ten seconds.
fn wait_for(what: &str, holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    wait_within(Duration::from_secs(10), Duration::from_millis(20), what, holds)
}

/// Waits until a condition holds, for at most `limit`; looks anew after each `pause`.
///
/// # Errors
/// When the condition fails, or does not hold in time.
pub fn wait_within(
    limit: Duration,
    pause: Duration,
    what: &str,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    while !holds()? {
        anyhow::ensure!(Instant::now() < deadline, "waited {limit:?} for {what}");
        std::thread::sleep(pause);
    }
    Ok(())
}

/// A plain chat call.
///
/// # Errors
/// When no complete answer arrives.
pub fn chat(client: &Client, members: Value) -> anyhow::Result<Answer> {
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]});
    if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
        body.extend(members);
    }
    client.post("/v1/chat/completions", &body)
}

/// A plain chat call with this key by a client that has none of its own.
///
/// # Errors
/// When no complete answer arrives.
pub fn chat_as(client: &Client, secret: &str) -> anyhow::Result<Answer> {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]});
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str())];
    client.send("POST", "/v1/chat/completions", &headers, Some(body.to_string()))
}

/// A plain or streamed chat call for which the mock upstream has this fault.
///
/// # Errors
/// When no complete answer arrives.
pub fn faulty_chat(client: &Client, fault: &str, members: Value) -> anyhow::Result<Answer> {
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]});
    if let (Some(body), Value::Object(members)) = (body.as_object_mut(), members) {
        body.extend(members);
    }
    let headers = [("x-mock-fault", fault)];
    client.send("POST", "/v1/chat/completions", &headers, Some(body.to_string()))
}

/// A streamed chat call; the events' data without `[DONE]`.
///
/// # Errors
/// When no complete answer arrives or it is no success.
pub fn streamed_chat(client: &Client, members: Value) -> anyhow::Result<Vec<Value>> {
    let mut all = json!({"stream": true});
    if let (Some(all), Value::Object(members)) = (all.as_object_mut(), members) {
        all.extend(members);
    }
    let answer = chat(client, all)?.success()?;
    anyhow::ensure!(answer.body.ends_with("data: [DONE]\n\n"), "no end: {}", answer.body);
    let events = answer.body.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    events
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).context("an event is not JSON"))
        .collect()
}
