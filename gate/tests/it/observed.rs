//! What operators are shown while scripts run: each request is counted once and has one line.

use std::collections::BTreeMap;

use gate::Token;
use gate::observation::Observation;
use gate::testing::{Native, play};

const CONFIG: &str = include_str!("../scripts/config.json");
const TOKEN: &str = "filter-token-for-tests-0123456789";
/// The secret of every request here; it is nowhere to be seen.
const SECRET: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";

/// Values of counters and gauges, and the lines, after a script.
fn observed(script: &str) -> (BTreeMap<String, i64>, Vec<serde_json::Value>) {
    observed_under(CONFIG, script)
}

/// The same under another configuration.
fn observed_under(config: &str, script: &str) -> (BTreeMap<String, i64>, Vec<serde_json::Value>) {
    let config = gate::config::parse(config.as_bytes()).unwrap();
    let mut filter = Native::new(config, Token::new(TOKEN).unwrap());
    play(script, &mut filter).unwrap();
    let (mut values, mut lines) = (BTreeMap::new(), Vec::new());
    for observation in filter.observed() {
        match observation {
            Observation::Change { metric, by } => *values.entry(metric.name()).or_default() += by,
            Observation::Sample { metric, value } => {
                *values.entry(metric.name()).or_default() += i64::try_from(value).unwrap();
            }
            Observation::LogFields { text, .. } => {
                assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
                lines.push(serde_json::from_str(&text).unwrap());
            }
        }
    }
    (values, lines)
}

fn script(name: &str) -> String {
    let path = format!("{}/tests/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_call_is_counted_with_its_charge_and_its_call_outs() {
    let (values, lines) = observed(&(script("budgeted_call") + "clock 3000\ntick\n"));
    let of = |name: &str| values.get(name).copied().unwrap_or(0);
    assert_eq!(of("tollgate_decisions_total.code.allowed"), 1);
    assert_eq!(of("tollgate_decisions_total.code.budget_exceeded"), 1);
    assert_eq!(of("tollgate_calls_total.basis.measured"), 1);
    assert_eq!(of("tollgate_charged_nanousd_total.basis.measured"), 2_700);
    for (purpose, count) in [("register", 1), ("catalogue", 1), ("admit", 1), ("lease", 1)] {
        let name = format!("tollgate_callouts_total.purpose.{purpose}.outcome.answered");
        assert_eq!(of(&name), count, "{purpose}");
    }
    assert_eq!(of("tollgate_vms"), 1);
    assert_eq!(of("tollgate_sessions_usable"), 1);
    assert_eq!((of("tollgate_leases_held"), of("tollgate_money_held_nanousd")), (0, 0));
    let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(first["decision"], "allowed");
    assert_eq!((&first["key"], &first["org"]), (&"key_1".into(), &"acme".into()));
    assert_eq!((&first["model"], &first["cost_usd"]), (&"gpt-4o-mini".into(), &"0.0000027".into()));
    assert_eq!((&first["basis"], &first["ending"]), (&"measured".into(), &"complete".into()));
    assert_eq!((&first["input_tokens"], &first["output_tokens"]), (&10.into(), &2.into()));
    assert_eq!(first["callouts"], 3);
    assert!(first["request"].as_str().unwrap().starts_with("req_"));
    assert_eq!(second["decision"], "budget_exceeded");
    assert_eq!((&second["key"], &second["model"]), (&"key_1".into(), &"gpt-4o-mini".into()));
    assert_eq!((second.get("cost_usd"), &second["callouts"]), (None, &1.into()));
}

#[test]
fn without_a_server_as_much_is_seen() {
    let config = include_str!("../scripts/without_server/config.json");
    let (values, lines) =
        observed_under(config, &(script("without_server/calls") + "clock 999999\ntick\n"));
    let [first, ..] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&first["decision"], &first["callouts"]), (&"allowed".into(), &0.into()));
    assert_eq!((&first["key"], &first["org"]), (&"key_1".into(), &"acme".into()));
    let (_, lines) = observed_under(config, &script("without_server/refusals"));
    let line = lines.iter().find(|line| line["decision"] == "model_not_allowed").unwrap();
    assert_eq!((&line["key"], &line["model"]), (&"key_2".into(), &"unpriced".into()));
    assert_eq!(values["tollgate_sessions_usable"], 1, "the alarm for a lost server stays quiet");
}

#[test]
fn a_name_that_only_the_client_has_chosen_is_not_repeated() {
    let request = format!(
        "clock 1000\nrequest 1 GET /no/such/path authorization=Bearer~{SECRET}\nend 1\n\
         request 2 POST /v1/chat/completions authorization=Bearer~{SECRET}\n\
         body 2 {{\"model\":\"my secret plan\",\"messages\":[]}}\nend 2\n"
    );
    let (_, lines) = observed(&request);
    let [unknown, gone] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(unknown["decision"], "unknown_endpoint");
    assert_eq!((&gone["decision"], gone.get("model")), (&"abandoned".into(), None));
}

#[test]
fn every_stream_of_every_script_has_one_line_and_one_verdict() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap() + "clock 99999999999999\ntick\n";
        let (values, lines) = observed(&text);
        let decided = values.iter().filter(|(name, _)| name.starts_with("tollgate_decisions_"));
        let decided: i64 = decided.map(|(_, count)| count).sum();
        assert_eq!(usize::try_from(decided).unwrap(), lines.len(), "{path:?}");
    }
}
