//! The machinery of fuel ceilings.

use wasm_tests::Profile;
use wasm_tests::fuel::{CostTable, PhaseCost, Scenario, measure};

use crate::probe::{GET, start};

fn one_request() -> Scenario {
    Scenario {
        name: "one request",
        measure: || {
            let (host, vm) = start(
                Profile::envoy(),
                &[
                    ("proxy_on_context_create", ""),
                    (
                        "proxy_on_request_headers",
                        r#"(drop (call $get (i32.const 0) ":path" (i32.const 0) (i32.const 4)))
                           (i32.const 0)"#,
                    ),
                    ("proxy_on_log", ""),
                ],
            );
            host.reset_meter();
            vm.request(GET).send()?.respond(200, &[], ["x"])?;
            Ok(host.meter())
        },
    }
}

#[test]
fn phases_are_summed_and_ceilings_have_headroom_on_fuel_only() {
    let table = measure(&[one_request()]).unwrap();
    let phases = &table.scenarios["one request"];
    assert_eq!(phases.keys().collect::<Vec<_>>(), ["done", "request_headers"]);
    let headers = phases["request_headers"];
    assert_eq!((headers.host_calls, headers.vm_entries), (1, 3));

    let ceilings = table.as_ceilings();
    let ceiling = ceilings.scenarios["one request"]["request_headers"];
    assert_eq!((ceiling.host_calls, ceiling.vm_entries, ceiling.fuel), (1, 3, 1000));
    assert_eq!(table.excesses(&ceilings), []);
    assert_eq!(CostTable::from_json(&ceilings.to_json().unwrap()).unwrap(), ceilings);
    let rendered = table.render(&ceilings);
    assert!(rendered.contains("request_headers"), "{rendered}");
}

#[test]
fn a_cost_above_its_ceiling_or_without_one_is_an_excess() {
    let table = measure(&[one_request()]).unwrap();
    let mut ceilings = table.as_ceilings();
    let phases = ceilings.scenarios.get_mut("one request").unwrap();
    phases.get_mut("request_headers").unwrap().host_calls = 0;
    phases.remove("done");
    phases.insert("tick".to_owned(), PhaseCost::default());
    let excesses = table.excesses(&ceilings);
    let found: Vec<_> = excesses.iter().map(|e| (e.phase.as_str(), e.ceiling.is_some())).collect();
    assert_eq!(found, [("done", false), ("request_headers", true)]);
    assert_eq!(table.unused(&ceilings), ["one request / tick"]);
}

#[test]
fn a_scenario_that_does_not_repeat_itself_is_an_error() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let fickle = Scenario {
        name: "fickle",
        measure: || {
            let (host, vm) =
                start(Profile::envoy(), &[("proxy_on_request_headers", "(i32.const 0)")]);
            for _ in 0..RUNS.fetch_add(1, Ordering::Relaxed) {
                vm.request(GET).send()?;
            }
            Ok(host.meter())
        },
    };
    assert!(measure(&[fickle]).unwrap_err().to_string().contains("does not repeat"));
}
