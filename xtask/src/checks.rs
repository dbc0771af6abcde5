//! `cargo xtask test`: everything that continuous integration checks, cheapest first, with the time
//! that each step took.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::plugin_build::quiet_unless_terminal;
use crate::run_command::run as run_to_end;
use crate::wasm_toolchain::WasmToolchain;
use crate::{envoy_binary, plugin_build, supply_chain, tidy, workspace};

type Step = (&'static str, fn() -> anyhow::Result<()>);

/// In this order: what fails fast and often comes first.
const STEPS: &[Step] = &[
    ("formatting", formatting),
    ("tidy", tidy::run),
    ("tools: Envoy", || envoy_binary::find().map(drop)),
    ("licences and sources", supply_chain::licences_and_sources),
    ("clippy", clippy),
    ("clippy of the filter for wasm", clippy_wasm),
    ("the filter", || plugin_build::build().map(drop)),
    ("a server killed at every step", failpoints),
    ("tests", tests),
];

/// Runs every step, also after one has failed, and prints a summary.
///
/// # Errors
/// Names the steps that failed.
pub fn run() -> anyhow::Result<()> {
    let started = Instant::now();
    let mut outcomes: Vec<(&str, Duration, Option<anyhow::Error>)> = Vec::new();
    for (name, step) in STEPS {
        println!("==> {name}");
        let begun = Instant::now();
        let problem = step().err();
        if let Some(problem) = &problem {
            eprintln!("error: {name}: {problem:#}");
        }
        outcomes.push((name, begun.elapsed(), problem));
    }
    println!("\n{:<34} {:>9}", "step", "seconds");
    for (name, took, problem) in &outcomes {
        let mark = if problem.is_none() { "ok" } else { "FAILED" };
        println!("{name:<34} {:>9.1}  {mark}", took.as_secs_f64());
    }
    println!("{:<34} {:>9.1}", "all", started.elapsed().as_secs_f64());
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|(_, _, problem)| problem.is_some())
        .map(|(name, _, _)| *name)
        .collect();
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root()).args(arguments);
    command
}

fn formatting() -> anyhow::Result<()> {
    run_to_end(&mut cargo(&["fmt", "--all", "--check"]), "cargo fmt (run `cargo fmt --all`)")
}

fn clippy() -> anyhow::Result<()> {
    let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    quiet_unless_terminal(&mut command);
    run_to_end(command.args(["--", "-D", "warnings"]), "cargo clippy")
}

/// The filter's own code that exists only for wasm32 is invisible to the step before.
fn clippy_wasm() -> anyhow::Result<()> {
    let toolchain = WasmToolchain::find()?;
    if toolchain == WasmToolchain::Debian {
        // Debian splits clippy off; the build of the filter still denies what rustc itself warns
        // of.
        println!("left out: this machine's wasm compiler has no clippy");
        return Ok(());
    }
    let mut command = toolchain.cargo("clippy");
    command.current_dir(workspace::root()).args(["--package", "plugin"]);
    quiet_unless_terminal(&mut command);
    run_to_end(command.args(["--", "-D", "warnings"]), "cargo clippy for wasm32")
}

/// The server with places at which it dies. Before the other tests, which build it without them
/// again.
fn failpoints() -> anyhow::Result<()> {
    let mut command = cargo(&["test", "--package", "policy-server", "--locked"]);
    quiet_unless_terminal(&mut command);
    command.args(["--features", "failpoints", "--test", "it", "--", "failpoints::"]);
    run_to_end(&mut command, "cargo test with failpoints")
}

fn tests() -> anyhow::Result<()> {
    let mut command = cargo(&["test", "--workspace", "--locked"]);
    quiet_unless_terminal(&mut command);
    run_to_end(&mut command, "cargo test")
}
