//! The page about the configuration holds the table of the code. `UPDATE_DOCS=1` writes it there.

use std::fmt::Write as _;
use std::path::Path;

use gate::config::MEMBERS;

const BEGIN: &str = "<!-- made from gate/src/config/reference.rs -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_holds_every_member() {
    let mut table =
        String::from("| member | takes | default | meaning |\n| --- | --- | --- | --- |\n");
    for member in MEMBERS {
        let path = member.path;
        writeln!(table, "| `{path}` | {} | {} | {} |", member.kind, member.default, member.meaning)
            .unwrap();
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has lost its table");
    let (_, after) = rest.split_once(END).expect("the page's table has no end");
    let made = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, made).unwrap();
    } else {
        assert_eq!(text, made, "UPDATE_DOCS=1 writes the page anew");
    }
}
