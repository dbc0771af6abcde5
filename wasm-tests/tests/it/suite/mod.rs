//! The same scenarios on every host: the same outcome, or a difference that has a name and stands in
//! `docs/hosts.md`. What holds of all of them is checked after each (see `stage`).

mod host_table;
mod scenarios;
mod settings;
mod shadow;
mod stage;
mod table;

use wasm_tests::Profile;

use stage::Stage;
use table::{PENDING, SCENARIOS, Scenario};

/// What a scenario comes to on a host, or why it did not.
fn outcome(scenario: &Scenario, profile: &Profile) -> Result<(), String> {
    let expected = scenario.expected_on(profile.name);
    let name = scenario.name;
    let run = std::panic::catch_unwind(|| {
        let stage = Stage::new(profile.clone(), 2);
        let facts = (scenario.run)(&stage);
        stage.check(name);
        facts
    });
    let shown =
        |facts: &[String]| facts.iter().map(|fact| format!("    {fact:?},\n")).collect::<String>();
    match run {
        Ok(facts) if facts == expected => Ok(()),
        Ok(facts) => Err(format!("{name} on {}:\n{}", profile.name, shown(&facts))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("{name} on {}: {}", profile.name, text.unwrap_or_default()))
        }
    }
}

fn run_all(profile: &Profile) {
    let mut wrong = Vec::new();
    for scenario in SCENARIOS {
        let pending = PENDING.contains(&(profile.name, scenario.name));
        match (outcome(scenario, profile), pending) {
            (Err(why), false) => wrong.push(why),
            (Ok(()), true) => wrong.push(format!("{} is pending and passes", scenario.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), SCENARIOS.len(), wrong.join("\n"));
}

#[test]
fn every_scenario_on_envoy_with_stop_iteration() {
    run_all(&Profile::envoy_stop_iteration());
}

#[test]
fn every_scenario_on_envoy_with_trailers() {
    let name = "envoy_stop_iteration_trailers";
    run_all(&Profile::envoy_stop_iteration().with_request_trailers(name));
}

#[test]
fn every_scenario_on_envoy_without_stop_iteration() {
    run_all(&Profile::envoy());
}

#[test]
fn every_scenario_on_envoy_without_stop_iteration_with_trailers() {
    run_all(&Profile::envoy().with_request_trailers("envoy_trailers"));
}

#[test]
fn every_scenario_on_higress() {
    run_all(&Profile::higress());
}

#[test]
fn every_scenario_on_higress_with_trailers() {
    run_all(&Profile::higress().with_request_trailers("higress_trailers"));
}

#[test]
fn every_scenario_on_apisix() {
    run_all(&Profile::apisix());
}

#[test]
fn every_scenario_on_ngx_wasm() {
    run_all(&Profile::ngx_wasm());
}

#[test]
fn every_scenario_on_ngx_wasm_without_shared_data() {
    run_all(&Profile::ngx_wasm_without_shared_data());
}

#[test]
fn nothing_pends_that_is_no_scenario() {
    for (_, name) in PENDING {
        assert!(SCENARIOS.iter().any(|scenario| scenario.name == *name), "{name}");
    }
}
