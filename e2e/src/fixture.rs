//! A running stack with something to call.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use xtask::http_client::{Answer, Client};
use xtask::stack::{Stack, StackOptions};

/// The model that every fixture has. Prices are chosen so that every token matters to the
/// nano-dollar: 0.153 and 0.617 USD per million tokens.
pub const MODEL: &str = "gpt-4o-mini";

/// A stack with the organisation `acme` and [`MODEL`] (alias `fast`).
pub struct Fixture {
    /// The stack.
    pub stack: Stack,
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
        let fixture = Self { stack: Stack::start(options)? };
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
        Ok((text("id")?, text("key")?))
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

    fn all_records(&self, key: &str) -> anyhow::Result<Vec<Value>> {
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

    /// No VM of Envoy has trapped: asserted at the end of every test.
    ///
    /// # Panics
    /// When one has.
    pub fn assert_no_trap(&self) {
        let stats = self.stack.envoy_admin().get("/stats").unwrap().success().unwrap().body;
        let bad = stats.lines().find(|line| {
            let failed = ["vm_reload", "runtime_error", "vm_failed", "crash"];
            line.contains("wasm")
                && failed.iter().any(|word| line.contains(word))
                && !line.ends_with(": 0")
        });
        assert_eq!(bad, None, "a VM has failed");
        let created = stats.lines().find(|line| line.contains("wasm.envoy.wasm.runtime.v8.active"));
        assert!(created.is_some(), "Envoy shows no wasm VM: {stats}");
    }
}

/// Waits until a condition holds, for at most ten seconds.
fn wait_for(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds()? {
        anyhow::ensure!(Instant::now() < deadline, "waited ten seconds for {what}");
        std::thread::sleep(Duration::from_millis(20));
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
