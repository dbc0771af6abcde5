//! `docs/permissions.md` says what the code's table says.

use std::fmt::Write as _;

use policy_server::http::needs;
use policy_server::permissions::{Action, Role, reach};

const BEGIN: &str = "<!-- the table -->\n";
const BETWEEN: &str = "<!-- the routes -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut text = String::from("| permission |");
    for role in Role::ALL {
        write!(text, " {} |", role.as_str().replace('_', " ")).unwrap();
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(Role::ALL.len()));
    for action in Action::ALL {
        write!(text, "\n| `{}` |", action.as_str()).unwrap();
        for role in Role::ALL {
            write!(text, " {} |", reach(role, *action).as_str()).unwrap();
        }
    }
    text.push('\n');
    text
}

fn routes() -> String {
    let mut text = String::from("| route | permission | in the audit |\n| --- | --- | --- |\n");
    for need in needs() {
        let verb = need.verb.map_or(String::new(), |verb| format!("`{verb}`"));
        let path = need.path.trim_start_matches("/admin/v1");
        writeln!(text, "| `{} {path}` | `{}` | {verb} |", need.method, need.action.as_str())
            .unwrap();
    }
    text
}

/// With UPDATE_PERMISSIONS=1 it is written anew.
#[test]
fn the_page_of_permissions_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/permissions.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, rest) = rest.split_once(BETWEEN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let between = "\n## Routes\n\nPaths stand below `/admin/v1`.\n\n";
    let expected = format!("{before}{BEGIN}{}{between}{BETWEEN}{}{END}{after}", table(), routes());
    if std::env::var_os("UPDATE_PERMISSIONS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert!(page == expected, "run this test with UPDATE_PERMISSIONS=1 and look at the change");
}
