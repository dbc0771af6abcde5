//! What a request of the shipped filter may cost.

use wasm_tests::fuel::{CostTable, measure};
use wasm_tests::{CEILINGS_FILE, SCENARIOS, WasmModule, scan};

/// Bytes of the artefact: a proxy compiles it once per start, and a fleet fetches it at once.
const MOST_ARTEFACT_BYTES: usize = 1_000_000;

#[test]
fn no_phase_costs_more_than_its_ceiling_and_no_ceiling_is_idle() {
    let text = std::fs::read_to_string(CEILINGS_FILE).unwrap();
    let ceilings = CostTable::from_json(&text).unwrap();
    let table = measure(SCENARIOS).unwrap();
    assert_eq!(table.excesses(&ceilings), [], "\n{}", table.render(&ceilings));
    assert_eq!(table.unused(&ceilings), [""; 0]);
}

/// A large body holds a worker up for as long as it is read.
#[test]
fn no_byte_of_a_request_body_takes_more_instructions_than_its_ceiling() {
    let scanned = scan::measure_all().unwrap();
    assert!(scanned.iter().all(scan::Scanned::is_within), "\n{}", scan::render(&scanned));
    let largest = scanned.iter().map(|one| one.bytes).max();
    assert!(largest >= Some(8 << 20) && scanned.len() >= 8, "{largest:?}");
}

#[test]
fn the_artefact_stays_small_and_imports_only_what_every_proxy_has() {
    let module = WasmModule::shipped().unwrap();
    assert!(module.size_bytes() <= MOST_ARTEFACT_BYTES, "{} bytes", module.size_bytes());
    let imports = module.imports();
    for refused in ["env.proxy_get_metric", "env.proxy_get_log_level"] {
        assert!(!imports.iter().any(|name| name == refused), "{refused} keeps it from loading");
    }
    let wasi = ["clock_time_get", "environ_get", "environ_sizes_get", "random_get"];
    for import in imports.iter().filter_map(|name| name.strip_prefix("wasi_snapshot_preview1.")) {
        assert!(wasi.contains(&import), "{import} is not offered everywhere");
    }
}
