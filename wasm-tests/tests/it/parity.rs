//! The scripts of the gate have the same outcome in the filter as it ships.

use std::path::{Path, PathBuf};

use gate::testing::play;
use serde_json::Value;

use crate::script_filter::Shipped;

/// The configuration and token under which every script runs, natively and here.
const CONFIG: &str = include_str!("../../../gate/tests/scripts/config.json");
const TOKEN: &str = "filter-token-for-tests-0123456789";

/// The configuration where keys and models stand in it: there is no server and no token.
const LOCAL_CONFIG: &str = include_str!("../../../gate/tests/scripts/without_server/config.json");

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gate/tests").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_script = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "txt");
    let mut scripts: Vec<_> = entries.filter(is_script).collect();
    scripts.sort();
    scripts
}

/// The first line that differs, since whole scripts are too long to compare by eye.
fn difference(outcome: &str, script: &str) -> Option<String> {
    let (mut got, mut wanted) = (outcome.lines(), script.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (got.next(), wanted.next()) {
            (None, None) => return None,
            (got, wanted) if got == wanted => {}
            (got, wanted) => {
                let [got, wanted] = [got, wanted].map(|line| line.unwrap_or("(nothing)"));
                return Some(format!("line {number}:\nnative {wanted}\nwasm   {got}"));
            }
        }
    }
}

#[test]
fn every_script_has_the_same_outcome_in_the_shipped_module() {
    let config: Value = serde_json::from_str(CONFIG).unwrap();
    let cluster = config["server"]["cluster"].as_str().unwrap();
    let scripts = scripts("scripts");
    assert!(scripts.len() >= 5, "scripts are missing");
    play_all(scripts, || Shipped::start(CONFIG, cluster, TOKEN));
}

#[test]
fn every_script_without_a_server_has_the_same_outcome_in_the_shipped_module() {
    let scripts = scripts("scripts/without_server");
    assert!(scripts.len() >= 2, "scripts are missing");
    play_all(scripts, || Shipped::start(LOCAL_CONFIG, "nobody", ""));
}

fn play_all(scripts: Vec<PathBuf>, start: impl Fn() -> Shipped) {
    let mut differences = Vec::new();
    for path in scripts {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let script = std::fs::read_to_string(&path).unwrap();
        let mut filter = start();
        let found = match play(&script, &mut filter) {
            Ok(outcome) => difference(&outcome, &script),
            Err(why) => Some(why),
        };
        differences.extend(found.map(|found| format!("{name}, {found}")));
        assert_eq!(filter.violations(), [], "{name}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
