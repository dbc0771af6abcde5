//! Our own programs that a stack runs, built first so that none is stale.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::plugin_build::quiet_unless_terminal;
use crate::run_command::run;
use crate::workspace;

/// Built programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `tollgate`, the policy server and its command line.
    pub tollgate: PathBuf,
    /// `mock-upstream`.
    pub mock_upstream: PathBuf,
}

/// Builds both programs; once per process, since sources do not change under a running test.
///
/// # Errors
/// When the build fails.
pub fn build(release: bool) -> anyhow::Result<Binaries> {
    static BUILT: Mutex<[bool; 2]> = Mutex::new([false; 2]);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = usize::from(release);
    if built.get(slot) != Some(&true) {
        let mut command = Command::new(workspace::cargo());
        command
            .current_dir(workspace::root())
            .args(["build", "--package", "policy-server", "--bin", "tollgate"])
            .args(["--package", "mock-upstream", "--bin", "mock-upstream"]);
        if release {
            command.arg("--release");
        }
        quiet_unless_terminal(&mut command);
        run(&mut command, "building the policy server and the mock upstream")?;
        if let Some(done) = built.get_mut(slot) {
            *done = true;
        }
    }
    let folder = workspace::target_dir().join(if release { "release" } else { "debug" });
    Ok(Binaries { tollgate: folder.join("tollgate"), mock_upstream: folder.join("mock-upstream") })
}

/// Builds the policy server with the places at which tests kill it (feature `failpoints`), under a
/// name of its own; the one that ships stays as it is.
///
/// # Errors
/// When the build fails.
pub fn build_with_failpoints() -> anyhow::Result<PathBuf> {
    let mut command = Command::new(workspace::cargo());
    command
        .current_dir(workspace::root())
        .args(["build", "--package", "policy-server", "--features", "failpoints"])
        .args(["--bin", "tollgate-failpoints"]);
    quiet_unless_terminal(&mut command);
    run(&mut command, "building the policy server with failpoints")?;
    Ok(workspace::target_dir().join("debug").join("tollgate-failpoints"))
}
