//! The dashboard and the alert rules name metrics and labels that exist, and each alert leads to a
//! section of the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// Metrics that are not ours: Envoy's own of the filter's VM, which a test of a real Envoy sees.
const ENVOYS: &[&str] = &["envoy_wasm_tollgate_vm_reload_success"];
/// Labels that come from Prometheus itself or from Envoy.
const LABELS_OF_OTHERS: &[&str] = &["instance", "job", "le"];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Every metric as Prometheus shows it, with the values of its labels; none where a label's values
/// are not listed.
fn known() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut known: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let mut histograms = Vec::new();
    for name in read("gate/tests/metric_names.txt").lines() {
        let mut parts = name.split('.');
        let family = parts.next().unwrap().to_owned();
        if family.ends_with("_microseconds") {
            histograms.push(family.clone());
        }
        let labels = known.entry(family).or_default();
        let parts: Vec<_> = parts.collect();
        for pair in parts.chunks(2) {
            labels.entry(pair[0].to_owned()).or_default().insert(pair[1].to_owned());
        }
    }
    for line in read("policy-server/tests/metric_names.txt").lines() {
        let (name, kind) = line.split_once(' ').unwrap();
        if kind == "histogram" {
            histograms.push(name.to_owned());
        }
        let labels: &[&str] = match name {
            "tollgate_server_request_seconds" => &["api", "route", "status"],
            "tollgate_server_file_bytes" => &["file"],
            name if name.ends_with("_usd") => &["level"],
            _ => &[],
        };
        let labels = labels.iter().map(|label| ((*label).to_owned(), BTreeSet::new()));
        known.insert(name.to_owned(), labels.collect());
    }
    for histogram in histograms {
        let labels = known.remove(&histogram).unwrap();
        for part in ["bucket", "sum", "count"] {
            known.insert(format!("{histogram}_{part}"), labels.clone());
        }
    }
    for name in ENVOYS {
        known.insert((*name).to_owned(), BTreeMap::new());
    }
    known
}

/// Words of an expression that are metrics: those that begin as ours or Envoy's do. Functions,
/// durations and labels begin otherwise.
fn metrics(expression: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expression.split(|c| !is_word(c));
    words.filter(|word| word.starts_with("tollgate_") || word.starts_with("envoy_")).collect()
}

/// Labels that an expression groups by or selects, the latter with what they must be.
fn labels(expression: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for grouped in expression.split(" by (").skip(1) {
        let list = grouped.split(')').next().unwrap();
        found.extend(list.split(',').map(|label| (label.trim().to_owned(), None)));
    }
    for selected in expression.split('{').skip(1) {
        let list = selected.split('}').next().unwrap();
        for part in list.split(',') {
            let (label, value) = part.split_once(['=', '!']).unwrap();
            let value = value.trim_start_matches(['=', '~']).trim_matches('"').to_owned();
            found.push((label.trim().to_owned(), Some(value)));
        }
    }
    found
}

fn check(expression: &str, known: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) {
    let of_ours = metrics(expression);
    assert!(!of_ours.is_empty(), "{expression} names no metric");
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        let count = |bracket| expression.matches(bracket).count();
        assert_eq!(count(open), count(close), "{expression}");
    }
    for name in &of_ours {
        assert!(known.contains_key(*name), "{expression}: no metric {name}");
    }
    for (label, value) in labels(expression) {
        if LABELS_OF_OTHERS.contains(&label.as_str()) {
            continue;
        }
        let values = of_ours.iter().find_map(|name| known[*name].get(&label));
        let values = values.unwrap_or_else(|| panic!("{expression}: no label {label}"));
        for value in value.iter().flat_map(|value| value.split('|')) {
            assert!(values.is_empty() || values.contains(value), "{expression}: {label} {value}");
        }
    }
}

#[test]
fn the_dashboard_shows_only_what_exists() {
    let dashboard: Value =
        serde_json::from_str(&read("examples/observability/grafana-dashboard.json")).unwrap();
    let known = known();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut titles = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for panel in panels {
        assert!(titles.insert(panel["title"].as_str().unwrap()), "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            check(&expression.replace("$__rate_interval", "5m"), &known);
            shown.extend(metrics(expression).into_iter().map(str::to_owned));
        }
    }
    // What nobody looks at need not be counted; a histogram is seen by any of its parts.
    let family = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<_> = shown.iter().map(|name| family(name)).collect();
    let unseen: BTreeSet<_> = known.keys().map(|name| family(name)).collect();
    let unseen: Vec<_> = unseen.difference(&shown).map(String::as_str).collect();
    assert_eq!(
        unseen,
        [
            "envoy_wasm_tollgate_vm_reload_success",
            "tollgate_server_build_info",
            "tollgate_server_cluster_windows",
            "tollgate_server_epoch",
            "tollgate_server_leases_parked_total",
            "tollgate_server_revision",
            "tollgate_server_store_up",
            "tollgate_server_uptime_seconds",
        ]
    );
}

/// One rule, as the file's own few kinds of lines say it.
#[derive(Debug, Default)]
struct Rule(BTreeMap<String, String>);

fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines.skip_while(|line| line.trim() != "rules:").skip(1) {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
        let (line, begins) = line.strip_prefix("- ").map_or((line, false), |line| (line, true));
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        if begins {
            assert_eq!((indent, name), (2, "alert"));
            rules.push(Rule::default());
        } else {
            let inner = ["severity", "summary", "runbook_url"].contains(&name);
            assert_eq!(indent, if inner { 6 } else { 4 }, "{line}");
        }
        let value = value.trim();
        let quoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
        assert!(quoted.is_some() || !value.contains([' ', '\'']), "{line}: quote it");
        let had =
            rules.last_mut().unwrap().0.insert(name.to_owned(), quoted.unwrap_or(value).into());
        assert_eq!(had, None, "{line} stands there twice");
    }
    rules
}

#[test]
fn every_alert_is_about_what_exists_and_leads_to_its_section() {
    let known = known();
    let rules = rules(&read("examples/observability/alerts.yaml"));
    let page = read("docs/observability.md");
    let mut names = BTreeSet::new();
    assert!(rules.len() >= 9, "{rules:?}");
    for Rule(rule) in &rules {
        let name = &rule["alert"];
        assert!(names.insert(name.clone()), "{name}");
        check(&rule["expr"], &known);
        assert!(["critical", "warning"].contains(&rule["severity"].as_str()), "{name}");
        assert!(rule["summary"].ends_with('.') && rule["for"].ends_with(['m', 's']), "{name}");
        let runbook = format!("docs/observability.md#{}", name.to_lowercase());
        assert_eq!(rule["runbook_url"], runbook);
        let heading = format!("### {name}");
        assert!(page.lines().any(|line| line == heading), "no section {heading}");
    }
    let sections = page.lines().filter_map(|line| line.strip_prefix("### Tollgate"));
    let sections: BTreeSet<_> = sections.map(|rest| format!("Tollgate{rest}")).collect();
    assert_eq!(sections, names, "a section for each alert and none besides");
}

#[test]
fn a_wrong_expression_is_noticed() {
    let known = known();
    for wrong in [
        "sum(tollgate_no_such_total)",
        "sum by (colour) (tollgate_decisions_total)",
        "tollgate_decisions_total{code=\"no_such_code\"}",
        "sum(tollgate_vms",
        "sum(up)",
    ] {
        assert!(std::panic::catch_unwind(|| check(wrong, &known)).is_err(), "{wrong}");
    }
    check("sum by (code) (rate(tollgate_decisions_total{code=~\"allowed|other\"}[5m]))", &known);
}
