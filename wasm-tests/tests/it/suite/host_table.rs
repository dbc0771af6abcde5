//! `docs/hosts.md` says what the scenarios show.

use super::table::{Lack, SCENARIOS};

const PAGE: &str = include_str!("../../../../docs/hosts.md");

/// The profiles of the columns, in order.
const COLUMNS: [&str; 5] = ["envoy_stop_iteration", "envoy", "higress", "apisix", "ngx_wasm"];

fn lacks(host: &str, lack: Lack) -> bool {
    let otherwise = SCENARIOS.iter().flat_map(|scenario| scenario.otherwise);
    otherwise.into_iter().any(|(hosts, found, _)| hosts.contains(&host) && *found == lack)
}

#[test]
fn the_page_says_what_the_scenarios_show() {
    for lack in Lack::ALL {
        let row = PAGE.lines().find_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells.first() == Some(&lack.row())).then(|| cells[1..].to_vec())
        });
        let row = row.unwrap_or_else(|| panic!("no row for {lack:?}: {}", lack.row()));
        assert_eq!(row.len(), COLUMNS.len(), "{lack:?}");
        for (host, cell) in COLUMNS.iter().zip(row) {
            assert_eq!(cell == "yes", !lacks(host, *lack), "{lack:?} on {host}: {cell}");
        }
    }
}

#[test]
fn every_lack_is_shown_by_a_scenario() {
    for lack in Lack::ALL {
        let shown = COLUMNS.iter().any(|host| lacks(host, *lack));
        assert!(shown, "{lack:?} is shown by none");
    }
}
