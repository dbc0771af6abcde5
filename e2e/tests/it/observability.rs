//! What operators see of a real Envoy with the filter in it: a line of the access log for every
//! request, however it ended, and the filter's metrics under the labels of the shipped configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::streaming::OpenStream;
use e2e::{Fixture, chat, faulty_chat, streamed_chat, wait_within};
use serde_json::{Value, json};
use xtask::stack::StackOptions;

/// Counts are told once a second, and Envoy writes its log every ten seconds at the latest.
const SOON: Duration = Duration::from_secs(15);

/// What the access log of the shipped configuration says of requests, by request id.
fn logged(fixture: &Fixture) -> BTreeMap<String, (Value, Value)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&fixture.stack.run_folder).unwrap() {
        let path = entry.unwrap().path();
        let is_envoys =
            path.file_name().is_some_and(|name| name.to_string_lossy().contains("envoy"));
        if !is_envoys || path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let Some(text) = line["tollgate"].as_str() else { continue };
            let fields: Value = serde_json::from_str(text).unwrap();
            found.insert(fields["request"].as_str().unwrap().to_owned(), (line.clone(), fields));
        }
    }
    found
}

/// The fields of the only request since the last call that was decided so.
fn next(fixture: &Fixture, seen: &mut BTreeMap<String, (Value, Value)>, what: &str) -> Value {
    let mut new = Vec::new();
    wait_within(SOON, Duration::from_millis(50), what, || {
        let all = logged(fixture);
        new =
            all.iter().filter(|(id, _)| !seen.contains_key(*id)).map(|(_, l)| l.clone()).collect();
        Ok(!new.is_empty())
    })
    .unwrap();
    assert_eq!(new.len(), 1, "{what}: {new:?}");
    *seen = logged(fixture);
    new.remove(0).1
}

#[test]
fn every_request_has_a_line_that_says_what_it_came_to() {
    let fixture = Fixture::start(1).unwrap();
    let (id, secret) = fixture.key(json!({"models": [e2e::MODEL]})).unwrap();
    let gateway = fixture.stack.gateway(&secret);
    let mut seen = BTreeMap::new();

    let answer = chat(&gateway, json!({"max_tokens": 50})).unwrap().success().unwrap().json();
    let fields = next(&fixture, &mut seen, "the allowed call");
    assert_eq!((&fields["decision"], &fields["basis"]), (&json!("allowed"), &json!("measured")));
    assert_eq!((&fields["key"], &fields["org"]), (&json!(id), &json!("acme")));
    assert_eq!((&fields["model"], &fields["ending"]), (&json!(e2e::MODEL), &json!("complete")));
    assert_eq!(fields["input_tokens"], answer["usage"]["prompt_tokens"], "{answer}");
    assert_eq!(fields["output_tokens"], answer["usage"]["completion_tokens"], "{answer}");
    let cost: f64 = fields["cost_usd"].as_str().unwrap().parse().unwrap();
    assert!((cost - answer["usage"]["cost_usd"].as_f64().unwrap()).abs() < 1e-12, "{fields}");
    assert!(fields["callouts"].as_u64().unwrap() >= 2, "it was cold: {fields}");
    assert!(fields["added_us"].as_u64().unwrap() > 0, "{fields}");

    chat(&gateway, json!({"max_tokens": 50})).unwrap().success().unwrap();
    let warm = next(&fixture, &mut seen, "the warm call");
    assert_eq!(warm["callouts"], 0, "{warm}");

    chat(&gateway, json!({"model": "gpt-4o"})).unwrap();
    let refused = next(&fixture, &mut seen, "the refused call");
    assert_eq!(refused["decision"], "model_not_allowed");
    assert_eq!((&refused["key"], refused.get("cost_usd")), (&json!(id), None));

    fixture.stack.gateway("sk-nobody-0123456789abcdef0123456789").get("/v1/models").unwrap();
    let unknown = next(&fixture, &mut seen, "the unknown key");
    assert_eq!((&unknown["decision"], unknown.get("key")), (&json!("invalid_api_key"), None));

    streamed_chat(&gateway, json!({"max_tokens": 50})).unwrap();
    let streamed = next(&fixture, &mut seen, "the stream");
    assert_eq!((&streamed["basis"], &streamed["ending"]), (&json!("measured"), &json!("complete")));

    let url = &fixture.stack.gateway_url;
    let pace = [("x-mock-fault", "tokens=60,chunk_delay=50")];
    let mut stream = OpenStream::start(url, &secret, &pace, 60).unwrap();
    stream.read_deltas(2).unwrap();
    drop(stream);
    let aborted = next(&fixture, &mut seen, "the aborted stream");
    assert_eq!((&aborted["basis"], &aborted["ending"]), (&json!("estimated"), &json!("cut")));

    for (line, _) in seen.values() {
        let text = line.to_string();
        assert!(!text.contains(&secret) && !text.contains("hello"), "{text}");
    }
}

/// A name as the proxy keeps it, as Prometheus shows it under the shipped rules for labels.
fn as_shown(name: &str) -> String {
    let mut parts = name.split('.');
    let family = parts.next().unwrap();
    let parts: Vec<_> = parts.collect();
    let labels: Vec<_> =
        parts.chunks(2).map(|pair| format!("{}=\"{}\"", pair[0], pair[1])).collect();
    if labels.is_empty() { family.to_owned() } else { format!("{family}{{{}}}", labels.join(",")) }
}

pub(crate) fn scraped(fixture: &Fixture) -> BTreeMap<String, f64> {
    let page =
        fixture.stack.envoy_admin().get("/stats/prometheus").unwrap().success().unwrap().body;
    let lines = page.lines().filter(|line| line.starts_with("tollgate_"));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            // Envoy writes an empty set of labels, and its own labels in its own order.
            let (family, labels) = name.split_once('{').unwrap_or((name, "}"));
            let mut labels: Vec<_> =
                labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
            labels.sort_by_key(|label| !label.starts_with("purpose"));
            let labels = labels.join(",");
            let name =
                if labels.is_empty() { family.into() } else { format!("{family}{{{labels}}}") };
            (name, value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_filters_metrics_are_in_envoys_statistics_under_closed_sets_of_labels() {
    let options = StackOptions { concurrency: 1, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let (id, secret) = fixture
        .key(json!({"budget": {"usd": "1", "period": "none"},
                    "limits": [{"unit": "requests", "window": "1m", "max": 6, "scope": "proxy"}]}))
        .unwrap();
    let gateway = fixture.stack.gateway(&secret);
    for _ in 0..3 {
        chat(&gateway, json!({"max_tokens": 50})).unwrap().success().unwrap();
    }
    faulty_chat(&gateway, "status=500", json!({})).unwrap();
    faulty_chat(&gateway, "no_usage", json!({})).unwrap();
    chat(&gateway, json!({"model": "nonsense"})).unwrap();
    let url = &fixture.stack.gateway_url;
    let pace = [("x-mock-fault", "tokens=200,chunk_delay=50")];
    let mut stream = OpenStream::start(url, &secret, &pace, 200).unwrap();
    stream.read_deltas(1).unwrap();
    assert_eq!(chat(&gateway, json!({})).unwrap().status, 429);
    fixture.stack.gateway("sk-nobody-0123456789abcdef0123456789").get("/v1/models").unwrap();
    fixture.revoke(&id, 2_000).unwrap();
    // The end of the stream.
    let _ = stream.read_deltas(500);
    drop(stream);

    let expected = [
        ("tollgate_decisions_total{code=\"allowed\"}", 6.0),
        ("tollgate_decisions_total{code=\"rpm_exceeded\"}", 1.0),
        ("tollgate_decisions_total{code=\"unknown_model\"}", 1.0),
        ("tollgate_decisions_total{code=\"invalid_api_key\"}", 1.0),
        ("tollgate_calls_total{basis=\"measured\"}", 3.0),
        ("tollgate_calls_total{basis=\"refunded\"}", 1.0),
        ("tollgate_calls_total{basis=\"estimated\"}", 2.0),
        ("tollgate_answers_without_usage_total{reason=\"missing\"}", 1.0),
        ("tollgate_answers_without_usage_total{reason=\"cut\"}", 1.0),
        ("tollgate_streams_ended_total{reason=\"revoked\"}", 1.0),
        ("tollgate_callouts_total{purpose=\"register\",outcome=\"answered\"}", 1.0),
        ("tollgate_vms", 1.0),
        ("tollgate_sessions_usable", 1.0),
        ("tollgate_calls_running", 0.0),
        ("tollgate_outbox_records", 0.0),
    ];
    let mut shown = BTreeMap::new();
    // Envoy adds samples up every five seconds.
    let histograms = [("tollgate_added_microseconds", 9.0), ("tollgate_callout_microseconds", 3.0)];
    let sampled = |shown: &BTreeMap<String, f64>, family: &str| shown[&format!("{family}_count")];
    let is_there = |shown: &BTreeMap<String, f64>| {
        expected.iter().all(|(name, value)| shown.get(*name) == Some(value))
            && histograms.iter().all(|(family, count)| sampled(shown, family) >= *count)
    };
    let waited = wait_within(SOON, Duration::from_millis(200), "the counts", || {
        shown = scraped(&fixture);
        Ok(is_there(&shown))
    });
    if waited.is_err() {
        for (name, value) in expected {
            assert_eq!(shown.get(name), Some(&value), "{name}: {shown:#?}");
        }
    }
    assert!(shown["tollgate_charged_nanousd_total{basis=\"measured\"}"] > 0.0);
    // Histograms become summaries of buckets; all of a family's names begin with its own.
    let golden = include_str!("../../../gate/tests/metric_names.txt");
    let mut names: Vec<_> = golden.lines().map(as_shown).collect();
    for (family, count) in histograms {
        names.retain(|name| name != family);
        assert!(sampled(&shown, family) >= count, "{family}: {shown:#?}");
        assert!(shown[&format!("{family}_sum")] > 0.0, "{family}");
    }
    for name in &names {
        assert!(shown.contains_key(name), "{name} is not shown: {:#?}", shown.keys());
    }
    let others = shown.keys().filter(|name| !names.contains(name));
    let strange: Vec<_> = others.filter(|name| !name.contains("_microseconds_")).collect();
    assert!(strange.is_empty(), "{strange:?}");
    // Envoy's own, which an alert is about.
    let page = fixture.stack.envoy_admin().get("/stats/prometheus").unwrap().body;
    assert!(page.contains("\nenvoy_wasm_tollgate_vm_reload_success{} 0\n"), "{page}");
}
