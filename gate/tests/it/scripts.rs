//! Each file in `tests/scripts` is a script together with its outcome. `UPDATE_SCRIPTS=1` writes
//! the outcome anew; read the difference before you believe it.

use std::path::Path;

use gate::testing::{Native, play};
use gate::{HostKind, Token};

/// The token under which every script runs, natively and through wasm.
const TOKEN: &str = "filter-token-for-tests-0123456789";

/// Plays the scripts of one folder under the configuration that stands beside them.
fn play_folder(folder: &str, kind: HostKind) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder);
    let config = std::fs::read(folder.join("config.json")).unwrap();
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    for path in &scripts {
        let script = std::fs::read_to_string(path).unwrap();
        let config = gate::config::parse(&config).unwrap();
        config.check_on(kind).unwrap();
        let has_server = config.server().is_some();
        // Where nobody is to be called no token is needed.
        let token = Token::new(TOKEN).filter(|_| has_server);
        let mut filter = Native::new(config, token).on(kind);
        let outcome = play(&script, &mut filter).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        assert!(!outcome.contains("  FAULT"), "{path:?}:\n{outcome}");
        assert!(!outcome.contains(TOKEN), "a script shows the token");
        let calls = outcome.lines().any(|line| line.starts_with("  call "));
        assert!(!calls || has_server, "{path:?} calls a server that is not there");
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(path, outcome).unwrap();
        } else {
            assert_eq!(outcome, script, "{path:?}");
        }
    }
    scripts.len()
}

#[test]
fn every_script_has_its_outcome() {
    assert!(play_folder("", HostKind::Envoy) >= 5, "scripts are missing");
}

#[test]
fn other_hosts_have_their_own() {
    assert_eq!(play_folder("apisix", HostKind::Apisix), 4);
    assert_eq!(play_folder("apisix_strict", HostKind::Apisix), 1);
    assert_eq!(play_folder("ngx_wasm", HostKind::NgxWasm), 1);
    assert_eq!(play_folder("early_head", HostKind::Envoy), 1);
}

#[test]
fn without_a_server_keys_and_models_stand_in_the_configuration() {
    assert_eq!(play_folder("without_server", HostKind::Envoy), 2);
    assert_eq!(play_folder("without_server_early_head", HostKind::Envoy), 1);
}
