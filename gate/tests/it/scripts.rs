//! Each file in `tests/scripts` is a script together with its outcome. `UPDATE_SCRIPTS=1` writes
//! the outcome anew; read the difference before you believe it.

use std::path::Path;

use gate::Token;
use gate::testing::{Native, play};

/// The configuration and token under which every script runs, natively and through wasm.
const CONFIG: &str = include_str!("../scripts/config.json");
const TOKEN: &str = "filter-token-for-tests-0123456789";

#[test]
fn every_script_has_its_outcome() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 5, "scripts are missing");
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        let config = gate::config::parse(CONFIG.as_bytes()).unwrap();
        let mut filter = Native::new(config, Token::new(TOKEN).unwrap());
        let outcome = play(&script, &mut filter).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&path, outcome).unwrap();
        } else {
            assert_eq!(outcome, script, "{path:?}");
        }
        let secret = TOKEN.to_owned();
        assert!(!script.contains(&secret), "a script shows the token");
    }
}
