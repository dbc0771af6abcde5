//! `docs/profiles.md` has a line for every row, and every row that a client can see has a test.

use super::stage::rows_listed;

/// Every row of the table of the three products, in its order, with whether a test of this module
/// plays it.
const ROWS: [(&str, bool); 40] = [
    ("token", true),
    ("storage", true),
    ("where_sent", true),
    ("owner", false),
    ("admin_api_for_keys", false),
    ("expiry", true),
    ("states", true),
    ("rotate", true),
    ("disable_enable", true),
    ("rate_limit", true),
    ("rate_scopes", true),
    ("body_of_429", true),
    ("retry_after", true),
    ("rate_headers", true),
    ("key_budget", true),
    ("other_budgets", true),
    ("budget_status", true),
    ("budget_codes", true),
    ("accounting", true),
    ("per_call_cost_shown", true),
    ("price_rule", true),
    ("model_limit", true),
    ("empty_model_list", true),
    ("disallowed_model", true),
    ("unknown_model", true),
    ("get_v1_models", true),
    ("aliases", true),
    ("ip_restriction", true),
    ("bad_key", true),
    ("error_envelope", true),
    ("user_scoped_keys", true),
    ("self_service_keys", true),
    ("usage_query", true),
    ("request_id", true),
    ("idempotency", true),
    ("dry_run", true),
    ("audit_of_key_changes", true),
    ("effect_of_change", true),
    ("native_api_families", true),
    ("failover", false),
];

#[test]
fn every_row_has_its_line_and_what_clients_see_has_its_test() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profiles.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rows) = page.split_once("<!-- the rows -->\n").unwrap();
    let (rows, _) = rows.split_once("<!-- end -->").unwrap();
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
        cells.collect::<Vec<_>>()
    };
    let lines: Vec<_> = rows.lines().skip(2).map(cells).collect();
    let names: Vec<_> = lines.iter().map(|cells| cells[0].trim_matches('`')).collect();
    assert_eq!(names, ROWS.map(|(name, _)| name));
    for cells in &lines {
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
    let mut tested = rows_listed(Vec::new());
    let played = ROWS.iter().filter(|(_, played)| *played).map(|(name, _)| (*name).to_owned());
    let mut played: Vec<_> = played.collect();
    tested.sort();
    played.sort();
    assert_eq!(tested, played);
}
