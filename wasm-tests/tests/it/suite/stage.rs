//! One gateway of one host, and what must hold of it whatever a scenario does.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use wasm_tests::{Answer, CallOut, CallReply, Carriage, Exchange, Gateway, MintedKey, Profile};

/// Nano-USD of a token of the model that scenarios call (see `Gateway::furnish`).
const INPUT_NANO: u64 = 150;
const OUTPUT_NANO: u64 = 600;

/// Time after which every report of a host with timers has arrived, in milliseconds.
const REPORTED_MS: u64 = 3_000;

/// How long a host without timers may go on by what it knew, in milliseconds: the session of a
/// worker that is not told of changes.
pub const SESSION_MS: u64 = 10_000;

/// A gateway with everything that was sent through it.
pub struct Stage {
    pub gateway: Gateway,
    pub profile: Profile,
    keys: RefCell<Vec<MintedKey>>,
    /// Whose calls take reports along on a host without timers.
    carrier: RefCell<Option<MintedKey>>,
    sent: RefCell<Vec<Exchange>>,
    upstream_nano: Cell<u64>,
    /// The policy server is gone for good.
    server_is_gone: Cell<bool>,
    /// Workers that a scenario ended on purpose.
    pub may_die: Cell<bool>,
}

impl Stage {
    pub fn new(profile: Profile, workers: usize) -> Self {
        Self::with(profile, workers, &json!({}))
    }

    /// The same with more in the filter's configuration.
    pub fn with(profile: Profile, workers: usize, more: &Value) -> Self {
        let mut gateway = Gateway::start(profile.clone(), 0).unwrap();
        for _ in 0..workers {
            gateway.add_worker_with(more).unwrap();
        }
        gateway.furnish().unwrap();
        let other = json!({
            "input_usd_per_mtok": "1", "output_usd_per_mtok": "2", "context_length": 8_000,
            "max_output_tokens": 1_000,
        });
        gateway.administer("PUT", "/admin/v1/models/other", Some(&other)).unwrap();
        Self {
            gateway,
            profile,
            keys: RefCell::default(),
            carrier: RefCell::default(),
            sent: RefCell::default(),
            upstream_nano: Cell::default(),
            server_is_gone: Cell::default(),
            may_die: Cell::default(),
        }
    }

    /// A key with these fields, and a budget unless they say otherwise.
    pub fn key(&self, fields: Value) -> MintedKey {
        let mut all = json!({"budget": {"usd": "1.00", "period": "none"}});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let key = self.gateway.mint_key(&all).unwrap();
        self.keys.borrow_mut().push(key.clone());
        key
    }

    /// A question that names its own limit.
    pub fn question() -> Value {
        json!({
            "model": "gpt-4o-mini", "max_tokens": 64,
            "messages": [{"role": "user", "content": "Say hello."}],
        })
    }

    /// Sends a body with a key, and leaves it to the scenario to answer for the upstream.
    pub fn send(&self, worker: usize, key: &MintedKey, body: &str) -> usize {
        let script = self.gateway.raw_chat(worker, key, [body]).unwrap();
        self.keep(script.send().unwrap())
    }

    /// Remembers an exchange; its number.
    pub fn keep(&self, exchange: Exchange) -> usize {
        let mut sent = self.sent.borrow_mut();
        sent.push(exchange);
        sent.len() - 1
    }

    /// Looks at an exchange.
    pub fn look<R>(&self, number: usize, look: impl FnOnce(&Exchange) -> R) -> R {
        look(&self.sent.borrow()[number])
    }

    /// What has become of a request: the status and code of the answer, or that there is none, and
    /// whether the upstream got it.
    pub fn told(&self, number: usize) -> String {
        self.look(number, |exchange| {
            let status = exchange.status().map_or("no answer".to_owned(), |code| code.to_string());
            let code = exchange.client().json()["error"]["code"].as_str().map(str::to_owned);
            let code = code.map(|code| format!(" {code}")).unwrap_or_default();
            let forwarded = if exchange.forwarded().complete { ", forwarded" } else { "" };
            format!("{status}{code}{forwarded}")
        })
    }

    /// The same, with what shadow mode says would have refused it.
    pub fn told_in_shadow(&self, number: usize) -> String {
        let code = self.look(number, |exchange| {
            exchange.client().header("x-tollgate-shadow").map(str::to_owned)
        });
        let code = code.map(|code| format!(", shadow {code}")).unwrap_or_default();
        format!("{}{code}", self.told(number))
    }

    /// A JSON answer of the upstream that has this usage; nothing where the request did not get
    /// there.
    pub fn answer(&self, number: usize, (input, output): (u64, u64)) {
        if !self.look(number, |exchange| exchange.forwarded().complete) {
            return;
        }
        self.look(number, |exchange| Gateway::answer_plainly(exchange, (input, output)).unwrap());
        self.spent(input, output);
    }

    /// Notes what a call costs at the upstream.
    pub fn spent(&self, input: u64, output: u64) {
        let nano = input * INPUT_NANO + output * OUTPUT_NANO;
        self.upstream_nano.set(self.upstream_nano.get() + nano);
    }

    /// A whole plain chat.
    pub fn chat(&self, worker: usize, key: &MintedKey) -> String {
        let number = self.send(worker, key, &Self::question().to_string());
        self.answer(number, (9, 2));
        self.told(number)
    }

    /// The policy server is replaced by one that always answers so.
    pub fn server_says(&self, reply: Option<CallReply>) {
        self.server_is_gone.set(true);
        self.gateway.host().serve(move |_: &CallOut| match &reply {
            Some(reply) => Answer::Now(reply.clone()),
            None => Answer::Later,
        });
    }

    /// What the host makes of a connection that nobody took.
    pub fn refused_call(&self) -> CallReply {
        match self.profile.carriage {
            Carriage::FilterManager => CallReply::refused(),
            _ => CallReply::reset(),
        }
    }

    /// Lets what is to be reported arrive. A host without timers reports when requests come.
    pub fn settle(&self) {
        self.gateway.advance_ms(REPORTED_MS).unwrap();
        if self.profile.ticks {
            return;
        }
        // Answers of the filter's own carry nothing: their calls would be lost.
        let mut carrier = self.carrier.borrow_mut();
        let carrier = carrier.get_or_insert_with(|| self.gateway.mint_key(&json!({})).unwrap());
        for worker in 0..self.gateway.workers().len() {
            for _ in 0..3 {
                self.gateway.advance_ms(REPORTED_MS).unwrap();
                drop(self.gateway.whole_chat(worker, carrier, (9, 2)).unwrap());
            }
        }
    }

    /// The records of a key's calls, oldest first.
    pub fn records(&self, key: &MintedKey) -> Vec<Value> {
        let path = format!("/admin/v1/records?key={}&limit=100", key.id);
        let page = self.gateway.administer("GET", &path, None).unwrap();
        let mut records = page["data"].as_array().cloned().unwrap();
        records.sort_by_key(|record| record["sequence"].as_u64());
        records
    }

    /// Basis and cost of each of a key's calls.
    pub fn charges(&self, key: &MintedKey) -> Vec<String> {
        self.settle();
        let records = self.records(key);
        let shown = |record: &Value| {
            let text = |name: &str| record[name].as_str().unwrap_or("?").to_owned();
            format!("{} {} {}", text("ending"), text("basis"), text("cost_usd"))
        };
        records.iter().map(shown).collect()
    }

    /// Everything that must hold at the end of any scenario on any host.
    pub fn check(&self, name: &str) {
        let what = format!("{} on {}", name, self.profile.name);
        assert_eq!(self.gateway.host().violations(), [], "{what}");
        for worker in self.gateway.workers() {
            assert!(self.may_die.get() || worker.death().is_none(), "{what}: {:?}", worker.death());
        }
        for exchange in self.sent.borrow().iter() {
            exchange.finish().unwrap();
            self.no_credential_at_the_upstream(exchange, &what);
        }
        for worker in self.gateway.workers() {
            assert_eq!(worker.live_streams(), 0, "{what}");
        }
        if !self.may_die.get() && !self.server_is_gone.get() {
            self.ledger_holds(&what);
        }
        assert_eq!(self.gateway.host().violations(), [], "{what}: after the end");
    }

    fn no_credential_at_the_upstream(&self, exchange: &Exchange, what: &str) {
        let forwarded = exchange.forwarded();
        let heads = forwarded.headers.iter().chain(&forwarded.trailers);
        let mut bytes: Vec<u8> =
            heads.flat_map(|head| head.pairs()).fold(Vec::new(), |mut all, (name, value)| {
                all.extend(name.to_ascii_lowercase());
                all.push(b' ');
                all.extend_from_slice(value);
                all.push(b'\n');
                all
            });
        bytes.extend(forwarded.chunks.concat());
        let text = String::from_utf8_lossy(&bytes);
        for key in self.keys.borrow().iter() {
            assert!(!text.contains(&key.secret), "{what}: the upstream got a key");
        }
        assert!(!text.contains("authorization"), "{what}: the upstream got a credential:\n{text}");
    }

    /// What is charged covers what the upstream was paid.
    fn ledger_holds(&self, what: &str) {
        self.settle();
        let keys = self.keys.borrow();
        let costs = keys.iter().flat_map(|key| self.records(key));
        let charged: f64 = costs
            .map(|record| {
                record["cost_usd"].as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
            })
            .sum();
        let nano = (charged * 1e9).round() as u64;
        assert!(nano >= self.upstream_nano.get(), "{what}: {nano} < {}", self.upstream_nano.get());
    }
}
