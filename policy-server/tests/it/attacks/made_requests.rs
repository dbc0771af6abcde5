//! Requests to the admin API that nobody would write, made from the API's own document: values of the right
//! kind at and beyond every bound, values of other kinds, bodies that are damaged afterwards. They come
//! in sequences, so that each meets what earlier ones have left behind.
//!
//! Whatever comes: no answer is a failure of the server, every answer is one of the document's, with
//! one of its codes ([`exchange`] sees to both); what is taken is what is shown, and can be sent as it is
//! shown; and a server that is started again on what was written shows the same.
//!
//! A test of properties and no target of `fuzz`, which knows no server: a body is read by routes with a
//! store behind them, and each request is a transaction. So requests are made of what the document says,
//! where libFuzzer would have to find that by chance some hundred times a second.

mod maker;

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::maker::Maker;
use super::hostile_text::{full, operations};
use super::welch::Numbers;
use crate::people::Person;
use crate::tables::check_sums;
use crate::world::{World, exchange};

/// Whether two texts of an amount, or two texts at all, say the same.
fn says_the_same(sent: &Value, shown: &Value) -> bool {
    let amount = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_one = digits(whole) && (fraction.is_empty() || digits(fraction));
        let whole = whole.trim_start_matches('0').to_owned();
        is_one.then(|| (whole, fraction.trim_end_matches('0').to_owned()))
    };
    match (sent, shown) {
        (Value::String(sent), Value::String(shown)) => {
            sent == shown || amount(sent).is_some_and(|sent| amount(shown) == Some(sent))
        }
        _ => sent == shown,
    }
}

/// What was sent and is shown otherwise: numbers, flags and amounts, wherever both have them.
fn shown_otherwise(at: &str, sent: &Value, shown: &Value) -> Option<String> {
    match (sent, shown) {
        (Value::Object(sent), Value::Object(shown)) => sent.iter().find_map(|(name, sent)| {
            shown.get(name).and_then(|shown| shown_otherwise(&format!("{at}.{name}"), sent, shown))
        }),
        (Value::Number(_) | Value::Bool(_), Value::Number(_) | Value::Bool(_) | Value::Null) => {
            (sent != shown).then(|| format!("{at}: {sent} is shown as {shown}"))
        }
        (Value::String(text), Value::String(_)) if at.ends_with("usd") || at.contains("_usd") => {
            // Where an amount goes is said by the names of two accounts.
            let size = json!(text.trim_start_matches('-'));
            (!says_the_same(&size, shown)).then(|| format!("{at}: {sent} is shown as {shown}"))
        }
        _ => None,
    }
}

/// Of what is shown, what a body can say.
fn sendable(shown: &Value, schema: &Value) -> Value {
    let parts = schema["anyOf"].as_array();
    if let Some(parts) = parts {
        let fits = |part: &&Value| {
            let inner = part["anyOf"].is_array();
            inner || part["type"].to_string().contains(kind_of(shown))
        };
        return parts.iter().find(fits).map_or(shown.clone(), |part| sendable(shown, part));
    }
    match shown {
        Value::Object(members) => {
            let known = schema["properties"].as_object();
            let kept = members.iter().filter_map(|(name, value)| {
                let schema = known?.get(name)?;
                Some((name.clone(), sendable(value, schema)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => items.iter().map(|item| sendable(item, &schema["items"])).collect(),
        other => other.clone(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// One server and what was sent to it.
struct Visit {
    world: World,
    ada: Person,
    maker: Maker,
    sent: u64,
    taken: u64,
}

impl Visit {
    async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(format!("/admin/v1/{path}"));
        let token = if path.starts_with("me") { &self.ada.token } else { &self.world.admin_token };
        request = request.header("authorization", format!("Bearer {token}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let said = String::from_utf8_lossy(&body).into_owned();
        let request = request.body(Body::from(body)).unwrap();
        let (status, _, bytes) = exchange(&self.world.app.admin, request).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        assert!(status.as_u16() < 500, "{method} {path} {said}: {status} {answer}");
        if !status.is_success() {
            assert!(answer["error"]["code"].is_string(), "{method} {path} {said}: {answer}");
        }
        (status.as_u16(), answer)
    }

    /// One request that nobody would write.
    async fn visit(&mut self, seed: u64, all: &[(String, String, Value)]) {
        self.maker.numbers = Numbers(seed);
        self.maker.odd = self.maker.one_of(&[0, 0, 8, 40]);
        let has_body = |operation: &Value| operation["requestBody"].is_object();
        let wants_body = self.maker.per_cent(80);
        let fitting: Vec<_> = all.iter().filter(|one| has_body(&one.2) == wants_body).collect();
        let (method, template, operation) = self.maker.one_of(&fitting);
        let bare = self.maker.path(template);
        let path = format!("{bare}{}", self.maker.query(operation));
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = if wants_body {
            let value = Value::Object(self.maker.object(schema));
            self.maker.written(&value)
        } else {
            Vec::new()
        };
        let key = self.maker.per_cent(10).then(|| format!("change-{}", self.maker.below(40)));
        let (status, answer) = self.send(method, &path, body.clone(), key.as_deref()).await;
        self.sent += 1;
        let is_taken = wants_body && (200..300).contains(&status);
        if !is_taken {
            return;
        }
        self.taken += 1;
        self.maker.learns(&bare, &answer);
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        if key.is_none() {
            let otherwise = shown_otherwise("", &sent, &answer);
            assert_eq!(otherwise, None, "{method} {path} {sent}: {answer}");
        }
        if method == "PUT" && all.iter().any(|one| one.0 == "GET" && one.1 == *template) {
            self.send_as_shown(&bare, operation).await;
        }
    }

    /// What is shown can be put as it is shown, and nothing is different then.
    async fn send_as_shown(&mut self, path: &str, operation: &Value) {
        let (status, shown) = self.send("GET", path, Vec::new(), None).await;
        if status != 200 {
            return;
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let again = sendable(&shown, schema);
        let mut required = schema["required"].as_array().into_iter().flatten();
        if required.any(|name| again[name.as_str().unwrap_or_default()].is_null()) {
            // It is shown in another form.
            return;
        }
        let parameters = operation["parameters"].as_array().unwrap();
        let waits = parameters.iter().any(|parameter| parameter["name"] == "wait");
        let target = format!("{path}{}", if waits { "?wait=0" } else { "" });
        let (status, answer) = self.send("PUT", &target, again.to_string().into(), None).await;
        assert_eq!(status, 200, "PUT {path}: {again} of {shown} is refused: {answer}");
        let (_, after) = self.send("GET", path, Vec::new(), None).await;
        assert_eq!(after, shown, "PUT {path} {again}");
    }

    /// All that lists show, but for what follows from when they are read.
    async fn lists(&mut self, all: &[(String, String, Value)]) -> Vec<(String, Value)> {
        let mut shown = Vec::new();
        for (method, template, _) in all {
            if method != "GET" || template.contains("export") || template.ends_with("/status") {
                continue;
            }
            let path = template.trim_start_matches("/admin/v1/");
            let path = path.replace("{org}", "acme").replace("{team}", "search");
            // Who has lost the own token is told otherwise after many attempts, which a restart forgets.
            if path.contains('{') || path.starts_with("me") {
                continue;
            }
            let (status, answer) = self.send("GET", &path, Vec::new(), None).await;
            let answer = if status == 200 { answer } else { json!(status) };
            shown.push((path, answer));
        }
        shown
    }
}

async fn play(seeds: Vec<u64>) -> (u64, u64) {
    let all = operations(&["get", "post", "put", "patch", "delete"]);
    let (world, key, ada) = full().await;
    let maker =
        Maker { numbers: Numbers(0), ids: vec![("keys".to_owned(), key.id.to_string())], odd: 0 };
    let mut visit = Visit { world, ada, maker, sent: 0, taken: 0 };
    for seed in seeds {
        visit.visit(seed, &all).await;
    }
    // Caps are lowered below what was spent.
    check_sums(&visit.world.tables());
    let before = visit.lists(&all).await;
    visit.world = visit.world.restart();
    let after = visit.lists(&all).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after, "after a restart");
    }
    let status = visit.world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["damaged_rows"], 0, "{status}");
    (visit.sent, visit.taken)
}

fn in_runtime(seeds: Vec<u64>) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(play(seeds))
}

proptest! {
    // `PROPTEST_CASES` says how many, in sixteenths.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 16,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_sent_is_answered_and_what_is_taken_is_shown(
        seeds in proptest::collection::vec(any::<u64>().no_shrink(), 1..80),
    ) {
        in_runtime(seeds);
    }
}

#[tokio::test]
async fn a_threshold_that_is_there_twice_is_two() {
    let world = World::with_org(Some("5.00")).await;
    let nine = json!({"alerts": [6, 29, 39, 1, 31, 39, 26, 2, 35]});
    let error = world.admin_refused("PATCH", "orgs/acme/wallet", nine, 400).await;
    assert_eq!(error["param"], "alerts", "{error}");
}

/// The same is worth nothing where all of it is refused.
#[test]
fn a_good_part_of_what_is_sent_is_taken() {
    let (sent, taken) = in_runtime((0..600).collect());
    println!("{sent} sent, {taken} taken");
    assert!(taken * 8 > sent, "{taken} of {sent}");
}
