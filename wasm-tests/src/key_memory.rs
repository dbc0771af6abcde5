//! How much memory one VM needs by how many keys it has seen: what it remembers of keys is bounded,
//! so a million of them need no more than what fills its memory of keys.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::callout::{Answer, CallOut, CallReply};
use crate::gateway::Gateway;
use crate::host::Host;
use crate::module::WasmModule;
use crate::profile::Profile;
use crate::trace::TraceLevel;
use crate::vm::Vm;

/// The cluster of the server that stands in for the policy server.
const CLUSTER: &str = "policy";

/// Most memory of a VM that knows as many keys as it can, in bytes: a policy of 10,000 keys is some
/// 5 MiB, what is known of a request and the module itself another two.
pub const MOST_BYTES: u64 = 16 << 20;

/// What the server says of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is good.
    Known,
    /// There is no such key, as when somebody guesses.
    Unknown,
    /// It is good, has a window of its own, and a request is counted in it.
    Counted,
}

/// One VM that meets key after key.
pub struct KeyMeter {
    host: Host,
    vm: Vm,
    seen: Seen,
    met: u64,
}

impl KeyMeter {
    /// A VM that has met none.
    pub fn start(seen: Seen) -> Result<Self> {
        let host = Host::new(Profile::envoy_stop_iteration());
        host.trace(|trace| trace.set_level(TraceLevel::Off));
        host.add_cluster(CLUSTER);
        host.set_environment("TOLLGATE_FILTER_TOKEN", "filter-token-for-tests-0123456789");
        host.serve(move |call: &CallOut| answer(call, seen));
        let configuration = json!({"server": {"cluster": CLUSTER}}).to_string();
        let vm = Vm::start(&host, &WasmModule::shipped()?, configuration)?;
        Ok(Self { host, vm, seen, met: 0 })
    }

    /// Sends requests until this many different keys have been seen; the VM's memory in bytes.
    pub fn meet(&mut self, keys: u64) -> Result<u64> {
        while self.met < keys {
            self.met += 1;
            // A hundred keys a second.
            self.host.advance_ms(10)?;
            self.host.clear_logs();
            let secret = format!("sk-{:032x}", self.met);
            if self.seen == Seen::Counted {
                self.count(&secret)?;
                continue;
            }
            let bearer = format!("Bearer {secret}");
            let headers = [
                (":method", "GET"),
                (":path", "/v1/models"),
                (":authority", "gateway"),
                (":scheme", "http"),
                ("authorization", bearer.as_str()),
            ];
            let exchange = self.vm.request(headers).send()?;
            let expected = if self.seen == Seen::Known { 200 } else { 401 };
            let text = exchange.client().text();
            ensure!(exchange.status() == Some(expected), "key {}: {text}", self.met);
        }
        self.check()
    }

    /// Bytes of the data that all workers share: names and values.
    pub fn shared_bytes(&self) -> usize {
        self.host.shared(|shared| shared.byte_size())
    }

    /// One call of a key, which its window counts.
    fn count(&self, secret: &str) -> Result<()> {
        let body =
            r#"{"model":"gpt-4o-mini","max_tokens":2,"messages":[{"role":"user","content":"x"}]}"#;
        let exchange = Gateway::chat_through(&self.vm, secret, [body]).send()?;
        exchange.respond(500, &[("content-length", "0")], Vec::<Vec<u8>>::new())?;
        ensure!(exchange.status() == Some(500), "key {}: {}", self.met, exchange.client().text());
        exchange.finish().map_err(Into::into)
    }

    fn check(&self) -> Result<u64> {
        ensure!(self.vm.death().is_none(), "the VM is dead");
        ensure!(self.host.violations().is_empty(), "{:?}", self.host.violations());
        Ok(self.vm.memory_bytes())
    }
}

fn answer(call: &CallOut, seen: Seen) -> Answer {
    let path = call.path().split('?').next().unwrap_or_default();
    let reply = match path {
        "/proxy/v1/holders" => json!({
            "holder": "h1", "epoch": 7, "revision": 1, "session_ttl_ms": 60_000,
            "catalogue_version": 1,
        }),
        "/proxy/v1/catalogue" => json!({
            "epoch": 7, "revision": 1, "version": 1,
            "models": [{
                "name": "gpt-4o-mini",
                "price": {"input": 150_000, "output": 600_000, "cached_input": 75_000},
                "context_length": 128_000, "max_output_tokens": 16_384, "input_overhead_tokens": 64,
                "created_unix_s": 1_700_000_000_u64,
            }],
        }),
        "/proxy/v1/changes" if call.path().ends_with("wait_ms=0") => news(),
        "/proxy/v1/changes" => return Answer::After(20_000, CallReply::json(200, &news())),
        "/proxy/v1/admit" => {
            let key = match seen {
                Seen::Unknown => json!("unknown"),
                // Each has an id of its own, as in a server.
                Seen::Known | Seen::Counted => json!({"known": {
                    "key": format!("key_{:020}", call.id.0), "org": "acme", "state": "active",
                    "models": {"only": ["gpt-4o-mini"]}, "limits": limits(call.id.0),
                    "budgeted": false,
                }}),
            };
            json!({"epoch": 7, "revision": 1, "key": key, "lease": "not_needed"})
        }
        _ => news(),
    };
    Answer::Now(CallReply::json(200, &reply))
}

fn news() -> Value {
    json!({"epoch": 7, "revision": 1})
}

fn limits(number: u64) -> Value {
    json!([{
        "unit": "requests", "window": "1m", "max": 60, "scope": "proxy",
        "subject": {"level": "key", "id": format!("key_{number:020}")},
    }])
}

/// Memory of a VM after these numbers of keys, in bytes, for known and for unknown keys.
pub fn measure(counts: &[u64]) -> Result<Vec<(Seen, Vec<u64>)>> {
    [Seen::Known, Seen::Unknown]
        .into_iter()
        .map(|seen| {
            let mut meter = KeyMeter::start(seen)?;
            let bytes: Result<Vec<u64>> = counts.iter().map(|count| meter.meet(*count)).collect();
            Ok((seen, bytes.with_context(|| format!("{seen:?} keys"))?))
        })
        .collect()
}

/// Bytes of shared data for each limited entity, beyond what is there without any, after this many of
/// them were counted once; and the VM's memory.
pub fn measure_counted(entities: u64) -> Result<(f64, u64)> {
    let mut meter = KeyMeter::start(Seen::Counted)?;
    meter.meet(1)?;
    let before = meter.shared_bytes();
    let memory = meter.meet(entities)?;
    // Far fewer than a float holds exactly.
    let more = meter.shared_bytes().saturating_sub(before) as f64;
    Ok((more / (entities - 1) as f64, memory))
}
