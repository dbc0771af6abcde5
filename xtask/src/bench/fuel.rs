//! Instructions and host calls per request, counted by the wasm machine of `wasm-tests`.

use std::process::Command;

use crate::plugin_build;
use crate::plugin_build::quiet_unless_terminal;
use crate::run_command;
use crate::workspace;

/// Builds the filter and runs the measuring program of `wasm-tests`.
///
/// # Errors
/// When a build fails or a ceiling is passed.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    plugin_build::build()?;
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root()).args([
        "run",
        "--package",
        "wasm-tests",
        "--bin",
        "fuel",
    ]);
    quiet_unless_terminal(&mut command);
    run_command::run(command.arg("--").args(arguments), "bench fuel")
}
