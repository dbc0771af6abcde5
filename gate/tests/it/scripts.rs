//! Each file in `tests/scripts` is a script together with its outcome. `UPDATE_SCRIPTS=1` writes
//! the outcome anew; read the difference before you believe it.

use std::path::Path;

use gate::Token;
use gate::testing::{Native, play};

/// The configuration and token under which every script runs, natively and through wasm.
const CONFIG: &str = include_str!("../scripts/config.json");
const TOKEN: &str = "filter-token-for-tests-0123456789";

/// The same where keys and models stand in the configuration: there is no token.
const LOCAL_CONFIG: &str = include_str!("../local_scripts/config.json");

#[test]
fn every_script_has_its_outcome() {
    play_all("tests/scripts", CONFIG, Some(TOKEN), 5);
}

#[test]
fn every_script_without_a_server_has_its_outcome() {
    play_all("tests/local_scripts", LOCAL_CONFIG, None, 2);
}

fn play_all(folder: &str, config: &str, token: Option<&str>, least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= least, "scripts are missing");
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        let config = gate::config::parse(config.as_bytes()).unwrap();
        let mut filter = Native::new(config, token.and_then(Token::new));
        let outcome = play(&script, &mut filter).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&path, outcome).unwrap();
        } else {
            assert_eq!(outcome, script, "{path:?}");
        }
        assert!(token.is_none_or(|token| !script.contains(token)), "a script shows the token");
        let calls = script.lines().any(|line| line.starts_with("  call "));
        assert!(!calls || token.is_some(), "{path:?} calls a server that is not there");
    }
}
