//! What operations on keys take in a database with a million of them.

use std::process::Command;

use crate::plugin_build::quiet_unless_terminal;
use crate::run_command;
use crate::workspace;

/// Builds and runs the measuring program of the policy server.
///
/// # Errors
/// When the build fails or an operation takes too long.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root());
    command.args(["bench", "--package", "policy-server", "--bench", "keys"]);
    quiet_unless_terminal(&mut command);
    run_command::run(command.arg("--").args(arguments), "bench keys")
}
