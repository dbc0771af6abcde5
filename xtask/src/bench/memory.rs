//! Memory of one VM by how many different keys it has seen, in the wasm machine of `wasm-tests`.

use std::process::Command;

use crate::plugin_build;
use crate::plugin_build::quiet_unless_terminal;
use crate::run_command;
use crate::workspace;

/// Builds the filter and runs the measuring program of `wasm-tests`.
///
/// # Errors
/// When a build fails or a VM needs more than it may.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    plugin_build::build()?;
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root());
    command.args(["run", "--package", "wasm-tests", "--bin", "key_memory"]);
    quiet_unless_terminal(&mut command);
    run_command::run(command.arg("--").args(arguments), "bench memory")
}
