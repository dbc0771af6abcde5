//! The workspace's own rules, which no compiler checks: who may know whom, how long a file may be,
//! which words may not stand in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::workspace;

/// Which crates of this workspace each one may depend on. Development dependencies may add those of
/// [`TEST_EDGES`].
const EDGES: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("metering", &["wire"]),
    ("gate", &["wire", "metering"]),
    ("plugin", &["gate"]),
    ("policy-server", &["wire", "metering"]),
    ("simulation", &["wire", "metering", "gate", "policy-server"]),
    ("wasm-tests", &["gate", "policy-server", "wire"]),
    ("mock-upstream", &[]),
    ("e2e", &["xtask"]),
    ("fuzz", &["wire", "metering", "gate"]),
    ("xtask", &[]),
];

/// Further edges of tests only: scripts of `gate` are played through wasm, which finds its tools
/// with the library of `xtask`, as do those who ask other languages how they read a body; keys that
/// are guessed are made as `metering` makes them.
const TEST_EDGES: &[(&str, &[&str])] = &[
    ("wasm-tests", &["gate", "metering", "policy-server", "wire", "xtask"]),
    ("fuzz", &["xtask"]),
];

/// All other crates that the pure crates may build on. None of them reads a clock, randomness, the
/// environment, files or sockets.
const PURE_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("wire", &["serde", "serde_json"]),
    ("metering", &["base64", "hex", "memchr", "serde", "serde_json", "sha2", "thiserror"]),
    ("gate", &["base64", "hex", "log", "memchr", "serde", "serde_json", "sha2", "thiserror"]),
    ("plugin", &["log", "proxy-wasm"]),
];

/// Crates that may contain `unsafe`: those at the border of the wasm machine.
const MAY_BE_UNSAFE: &[&str] = &["plugin", "wasm-tests"];

/// Lines above which a file fails. From 500 lines on a file should say in its header why.
const MAX_LINES: usize = 800;

/// Module names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "manager", "types", "misc"];

/// Words that must not stay in a source file. Written in halves, so that this file may contain
/// them.
const BANNED_WORDS: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it or leave it out"),
    (concat!("unimpl", "emented!("), "finish it or leave it out"),
    (concat!("dbg", "!("), "a trace left behind"),
    (concat!("FIX", "ME"), "fix it, or say what is so in a sentence"),
    (concat!("XX", "X "), "say what is so in a sentence"),
    (concat!("TO", "DO"), "finish it, or say what is so in a sentence"),
    (concat!("<<<<", "<<< "), "a merge conflict"),
];

/// Files and folders that are not sources of ours.
const NOT_OURS: &[&str] = &["target", ".git", "Cargo.lock", "LICENSE"];

/// Extensions of the files whose words are checked.
const TEXT_EXTENSIONS: &[&str] =
    &["rs", "toml", "yaml", "yml", "md", "json", "sql", "py", "txt", "html", "js", "css", ""];

/// Checks all rules.
///
/// # Errors
/// Every breach, one a line.
pub fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    let mut problems = edge_problems(&metadata);
    for file in files(&workspace::root())? {
        problems.extend(file_problems(&file));
    }
    anyhow::ensure!(
        problems.is_empty(),
        "{} problems of tidiness:\n{}",
        problems.len(),
        problems.join("\n")
    );
    Ok(())
}

fn edge_problems(metadata: &Metadata) -> Vec<String> {
    let names: BTreeSet<&str> =
        metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(allowed) = row(EDGES, name) else {
            problems.push(format!("the crate `{name}` is not in the table of edges"));
            continue;
        };
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let test_only = dependency.kind == DependencyKind::Development;
            if names.contains(other) {
                let in_tests = row(TEST_EDGES, name).unwrap_or_default();
                let fine = allowed.contains(&other)
                    || test_only && (in_tests.contains(&other) || other == name);
                if !fine {
                    problems.push(format!("`{name}` must not depend on `{other}`"));
                }
            } else if let (Some(pure), false) = (row(PURE_DEPENDENCIES, name), test_only)
                && !pure.contains(&other)
            {
                problems.push(format!("`{name}` may not build on the crate `{other}`"));
            }
        }
    }
    let gone = EDGES.iter().map(|(name, _)| *name).filter(|name| !names.contains(name));
    problems
        .extend(gone.map(|name| format!("the table of edges names `{name}`, which is not there")));
    problems
}

fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(present, _)| *present == name).map(|(_, row)| *row)
}

/// All files of the workspace that are ours, in a fixed order.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let top = folder == root;
            if (top && NOT_OURS.contains(&name.as_str())) || name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn file_problems(file: &Path) -> Vec<String> {
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    if !TEXT_EXTENSIONS.contains(&extension.as_ref()) {
        return Vec::new();
    }
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let root = workspace::root();
    let path = file.strip_prefix(&root).unwrap_or(file);
    text_problems(path, &text)
}

/// The problems of one file; `path` is relative to the workspace.
fn text_problems(path: &Path, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let shown = path.display();
    for (number, line) in text.lines().enumerate() {
        for (word, advice) in BANNED_WORDS {
            if line.contains(word) {
                problems.push(format!("{shown}:{}: `{word}`: {advice}", number + 1));
            }
        }
    }
    if path.extension().is_some_and(|extension| extension == "rs") {
        problems.extend(rust_problems(path, text));
    }
    problems
}

fn rust_problems(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{shown}: {lines} lines; at most {MAX_LINES}"));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    for name in [stem.as_ref(), folder.as_ref()] {
        if EMPTY_NAMES.contains(&name) {
            problems.push(format!("{shown}: the name `{name}` does not say what is inside"));
        }
    }
    let owner = path.iter().next().unwrap_or_default().to_string_lossy();
    if !MAY_BE_UNSAFE.contains(&owner.as_ref()) {
        let word = concat!("uns", "afe");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if [" {", " fn", " impl", " extern", "("]
                .iter()
                .any(|after| code.contains(&format!("{word}{after}")))
            {
                problems
                    .push(format!("{shown}:{}: `{word}` outside {MAY_BE_UNSAFE:?}", number + 1));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &str) {
        let problems = text_problems(Path::new(path), text);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    }

    #[test]
    fn breaches_are_found() {
        check("gate/src/utils.rs", "", "does not say");
        check("gate/src/helpers/x.rs", "", "does not say");
        check("gate/src/x.rs", &"\n".repeat(MAX_LINES + 1), "801 lines");
        check("gate/src/x.rs", concat!("fn f() { to", "do!() }"), "gate/src/x.rs:1");
        check("gate/src/x.rs", concat!("\nuns", "afe { f() }"), "gate/src/x.rs:2");
    }

    #[test]
    fn what_is_allowed_passes() {
        let text = concat!("uns", "afe { f() }");
        assert_eq!(text_problems(Path::new("plugin/src/host.rs"), text), Vec::<String>::new());
        let text = concat!("// never uns", "afe {");
        assert_eq!(text_problems(Path::new("gate/src/x.rs"), text), Vec::<String>::new());
    }

    #[test]
    fn every_edge_names_a_crate_of_the_table() {
        for (_, row) in EDGES.iter().chain(TEST_EDGES) {
            for name in *row {
                assert!(EDGES.iter().any(|(known, _)| known == name), "{name}");
            }
        }
    }
}
