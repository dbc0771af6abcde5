//! One request of a key, under a configuration and with a server that answers as it is told.

use gate::observation::Observation;
use gate::testing::{Filter, Native, ProcessMemory, Seen};
use gate::{HostKind, Token};
use serde_json::{Value, json};

const TOKEN: &str = "filter-token-for-tests-0123456789";
/// The header that says what would have refused a request.
const TOLD: &str = "x-tollgate-shadow";
/// The upstream's answer, apart from what the filter adds.
const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":1}}"#;

/// Who says that nothing is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody, unless the trial's own configuration does.
    Plain,
    /// The configuration, for the path.
    Path,
    /// What the server says of the key.
    Key,
}

/// What is sent, and to whom.
#[derive(Debug, Clone)]
pub(super) struct Trial<'a> {
    /// Members of the configuration beside `server`.
    pub(super) config: Value,
    pub(super) host: HostKind,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// `name=value`, with `~` for a space.
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
    /// The body comes in two pieces, the first with all but its last byte.
    pub(super) in_pieces: bool,
    /// What the server knows of the key beyond what every key has; none for a key that it does not know.
    pub(super) key: Option<Value>,
    /// What it answers to an ask for money.
    pub(super) lease: Value,
    /// So many requests of the same kind come before; none of them is over.
    pub(super) earlier: u32,
    /// Time between them and the last one, in milliseconds.
    pub(super) pause_ms: u64,
    /// From this request on every call to the server fails.
    pub(super) server_fails_from: Option<u32>,
    /// So many swaps of shared memory are lost to other workers.
    pub(super) lost_swaps: u32,
}

impl Default for Trial<'_> {
    fn default() -> Self {
        Self {
            config: json!({}),
            host: HostKind::Envoy,
            method: "POST",
            path: "/v1/chat/completions",
            headers: "authorization=Bearer~sk-AbCdEfGhIjKlMnOpQrStUv",
            body: r#"{"model":"m","max_tokens":10}"#,
            in_pieces: false,
            key: Some(json!({})),
            lease: json!("not_needed"),
            earlier: 0,
            pause_ms: 0,
            server_fails_from: None,
            lost_swaps: 0,
        }
    }
}

/// What became of the last request.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Status and code of each answer of the filter's own.
    pub(super) replies: Vec<String>,
    /// The head as the upstream got it.
    pub(super) upstream_head: Vec<(String, Vec<u8>)>,
    /// The body as the upstream got it; none where it got nothing.
    pub(super) upstream: Option<String>,
    /// What the answer says would have refused it.
    pub(super) told: Option<String>,
    /// The client got the upstream's answer, up to what was added to it.
    pub(super) answer_is_shown: bool,
    /// Names of the answer's header fields that are not the upstream's.
    pub(super) added: Vec<String>,
    pub(super) records: Vec<Value>,
    pub(super) leases: Vec<Value>,
    /// Calls to the server before the verdict.
    pub(super) calls: usize,
    /// The proxy's memory when the verdict had fallen.
    pub(super) memory: ProcessMemory,
    /// What was counted of all requests, by name; what is zero is left out.
    pub(super) counted: Vec<String>,
    /// The access log's fields.
    pub(super) line: Value,
}

impl Trial<'_> {
    /// Sends it, and whatever the upstream then answers.
    pub(super) fn play(&self, mode: Mode) -> Outcome {
        let mut config = json!({"server": {"cluster": "policy"}, "limits": {"body_bytes": 2_000}});
        let mut merge = |more: &Value| {
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        };
        merge(&self.config);
        if mode == Mode::Path {
            merge(&json!({"shadow": true}));
        }
        let config = gate::config::parse(config.to_string().as_bytes()).unwrap();
        config.check_on(self.host).unwrap();
        let mut filter = Native::new(config, Token::new(TOKEN).unwrap()).on(self.host);
        filter.clock(1_000);
        let mut outcome = Outcome::default();
        for number in 0..=self.earlier {
            let is_last = number == self.earlier;
            if is_last {
                filter.clock(1_000 + self.pause_ms);
                filter.memory.lose_swaps = self.lost_swaps;
            }
            let seen = self.send(&mut filter, number, mode);
            if is_last {
                outcome.take(seen);
            }
        }
        filter.memory.lose_swaps = 0;
        outcome.memory = std::mem::take(&mut filter.memory);
        if outcome.upstream.is_some() {
            answer(&mut filter, self.earlier, &mut outcome);
        }
        (0..=self.earlier).for_each(|number| filter.end(number));
        self.let_all_be_told(&mut filter, mode, &mut outcome);
        outcome
    }

    fn send(&self, filter: &mut Native, number: u32, mode: Mode) -> Vec<Seen> {
        let mut headers = vec![
            (":method".to_owned(), self.method.as_bytes().to_vec()),
            (":path".to_owned(), self.path.as_bytes().to_vec()),
        ];
        for pair in self.headers.split(' ').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            headers.push((name.to_owned(), value.replace('~', " ").into_bytes()));
        }
        filter.request(number, headers, self.method == "GET");
        let mut seen = self.serve(filter, number, mode);
        if self.method != "GET" && !seen.iter().any(|seen| matches!(seen, Seen::Reply { .. })) {
            let body = self.body.as_bytes();
            let (first, last) = body.split_at(body.len().saturating_sub(1));
            if self.in_pieces {
                filter.body(number, first, false);
                filter.body(number, last, true);
            } else {
                filter.body(number, body, true);
            }
            seen.extend(self.serve(filter, number, mode));
        }
        seen
    }

    /// Answers every call until there is none.
    fn serve(&self, filter: &mut Native, number: u32, mode: Mode) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let seen = filter.seen();
            let calls: Vec<String> = seen.iter().filter_map(path_of_call).collect();
            all.extend(seen);
            if calls.is_empty() {
                return all;
            }
            for path in calls {
                let fails = self.server_fails_from.is_some_and(|from| number >= from);
                let body = self.reply(&path, mode).to_string();
                let (status, body) = if fails { (None, "") } else { (Some(200), body.as_str()) };
                filter.answer(&path, status, body.as_bytes());
            }
        }
    }

    fn reply(&self, path: &str, mode: Mode) -> Value {
        let mut reply = json!({"epoch": 7, "revision": 1});
        let more = match path {
            _ if path.contains("holders") => {
                json!({"holder": "h", "session_ttl_ms": 60_000, "catalogue_version": 1})
            }
            _ if path.contains("catalogue") => json!({"version": 1, "models": [
                {"name": "m", "aliases": ["alias"], "price": {"input": 1_000, "output": 2_000},
                 "context_length": 9_000, "max_output_tokens": 900},
                {"name": "other", "context_length": 10, "max_output_tokens": 5},
                {"name": "old", "context_length": 10, "max_output_tokens": 5, "retired": true},
                {"name": "speech", "context_length": 10, "max_output_tokens": 5,
                 "price": {"input": 0, "output": 0, "per_call": 12_000}}]}),
            _ if path.contains("admit") => {
                let key = self.key.as_ref().map_or(json!("unknown"), |more| {
                    let mut known = json!({"key": "key_1", "org": "acme", "state": "active",
                        "models": "all", "limits": [], "budgeted": false});
                    known.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                    if mode == Mode::Key {
                        known["shadow"] = json!(true);
                    }
                    json!({"known": known})
                });
                json!({"key": key, "lease": self.lease})
            }
            _ if path.contains("leases") => json!({"answer": self.lease}),
            _ => json!({"changes": []}),
        };
        reply.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        reply
    }

    /// The timer fires until everything was reported.
    fn let_all_be_told(&self, filter: &mut Native, mode: Mode, outcome: &mut Outcome) {
        for round in 1..5 {
            filter.clock(1_000 + self.pause_ms + round * 5_000);
            filter.tick();
            for seen in filter.seen() {
                let Seen::Call { path, body, .. } = seen else { continue };
                if path.contains("reports") {
                    let report: Value = serde_json::from_slice(&body).unwrap();
                    outcome.records.extend(report["records"].as_array().unwrap().clone());
                    outcome.leases.extend(report["leases"].as_array().unwrap().clone());
                    let reply = self.reply(&path, mode).to_string();
                    filter.answer(&path, Some(200), reply.as_bytes());
                }
            }
        }
        for observed in filter.observed() {
            match observed {
                Observation::Change { metric, by } if by > 0 => {
                    outcome.counted.push(metric.name());
                }
                Observation::LogFields { text, .. } => {
                    outcome.line = serde_json::from_str(&text).unwrap();
                }
                Observation::Change { .. } | Observation::Sample { .. } => {}
            }
        }
    }
}

fn path_of_call(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Call { path, .. } => Some(path.clone()),
        _ => None,
    }
}

/// The upstream answers.
fn answer(filter: &mut Native, stream: u32, outcome: &mut Outcome) {
    let upstreams = [(":status", "200"), ("content-type", "application/json"), ("x-own", "1")];
    let headers = upstreams.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    filter.response(stream, headers.to_vec(), false);
    filter.data(stream, ANSWER.as_bytes(), true);
    for seen in filter.seen() {
        match seen {
            Seen::Head { headers, .. } => {
                for (name, value) in upstreams {
                    let value = (name.to_owned(), value.as_bytes().to_vec());
                    assert!(headers.contains(&value), "{name} of the upstream is gone");
                }
                let told = headers.iter().find(|(name, _)| name == TOLD);
                outcome.told = told.map(|(_, code)| String::from_utf8(code.clone()).unwrap());
                let is_added = |name: &String| upstreams.iter().all(|(other, _)| other != name);
                outcome.added =
                    headers.into_iter().map(|(name, _)| name).filter(is_added).collect();
            }
            Seen::Data { bytes, .. } => {
                let (begin, _) = ANSWER.split_at(ANSWER.len() - 2);
                outcome.answer_is_shown = bytes.starts_with(begin.as_bytes());
            }
            _ => {}
        }
    }
}

impl Outcome {
    fn take(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            match seen {
                Seen::Call { .. } => self.calls += 1,
                Seen::Reply { status, body, .. } => {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let code = body["error"]["code"].as_str().unwrap_or_default();
                    self.replies.push(format!("{status} {code}"));
                }
                Seen::Upstream { headers, body, .. } => {
                    assert_eq!(self.upstream, None, "it goes on once");
                    self.upstream_head = headers;
                    self.upstream = Some(String::from_utf8(body).unwrap());
                }
                Seen::Fault(what) => panic!("{what}"),
                Seen::Head { .. } | Seen::Data { .. } | Seen::Closed { .. } => {}
            }
        }
    }
}
