//! The page about the configuration holds what `tollgate serve` and the offline commands take.
//! `UPDATE_DOCS=1` writes it there.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use super::Cli;

const BEGIN: &str = "<!-- made from the command line of tollgate -->\n";
const END: &str = "<!-- end of the command line -->\n";

/// The commands whose options are settings of an installation.
const COMMANDS: [&[&str]; 4] = [&["serve"], &["backup"], &["restore"], &["admin-token", "rotate"]];

/// A sentence as clap shows it (it takes the last stop off), for one cell of a table.
fn sentence(argument: &clap::Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help());
    let text = help.map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').replace('|', "\\|")
}

fn row(argument: &clap::Arg) -> Option<String> {
    let flag = argument.get_long().filter(|flag| *flag != "help")?;
    let takes_value = argument.get_action().takes_values();
    let name = argument.get_value_names().and_then(|names| names.first());
    let value = name.filter(|_| takes_value).map(|name| format!(" {name}")).unwrap_or_default();
    let variable = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
    let defaults = argument.get_default_values();
    let default = defaults.first().map(|text| format!("`{}`", text.to_string_lossy()));
    let default = match default {
        Some(text) if takes_value => text,
        _ if argument.is_required_set() => "required".to_owned(),
        _ => "–".to_owned(),
    };
    let variable = variable.unwrap_or_else(|| "–".to_owned());
    Some(format!("| `--{flag}{value}` | {variable} | {default} | {} |\n", sentence(argument)))
}

#[test]
fn the_page_holds_every_setting() {
    let mut tables = String::new();
    for words in COMMANDS {
        let command = words.iter().fold(Cli::command(), |command, word| {
            command.find_subcommand(word).expect("the command is there").clone()
        });
        let title = words.join(" ");
        writeln!(tables, "\n### tollgate {title}\n").unwrap();
        tables += "| option | environment | default | meaning |\n| --- | --- | --- | --- |\n";
        tables.extend(command.get_arguments().filter_map(row));
    }
    tables.push('\n');
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has lost its tables");
    let (_, after) = rest.split_once(END).expect("the page's tables have no end");
    let made = format!("{before}{BEGIN}{tables}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, made).unwrap();
    } else {
        assert_eq!(text, made, "UPDATE_DOCS=1 writes the page anew");
    }
}
