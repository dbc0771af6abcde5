//! Debian packages, the last way to a tool: only as root, only where `apt-get` exists.

use std::process::Command;
use std::time::Duration;

use crate::run_command::{is_root, run_for};
use crate::workspace::on_path;

/// Longest time for a package installation; a complete Rust toolchain is some hundred megabytes.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// Whether [`install`] can be tried at all.
#[must_use]
pub fn available() -> bool {
    is_root() && on_path("apt-get").is_some()
}

/// Installs Debian packages, refreshing the package lists once if the first attempt fails.
///
/// # Errors
/// When this process may not install packages, or `apt-get` fails or takes too long.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    anyhow::ensure!(
        available(),
        "needs `apt-get install --no-install-recommends {}` run by root",
        packages.join(" ")
    );
    eprintln!("installing Debian packages: {}", packages.join(" "));
    if attempt(packages).is_ok() {
        return Ok(());
    }
    let mut update = Command::new("apt-get");
    update.args(["-qq", "update"]);
    run_for(&mut update, "apt-get update", INSTALL_LIMIT)?;
    attempt(packages)
}

fn attempt(packages: &[&str]) -> anyhow::Result<()> {
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "install", "-y", "--no-install-recommends"])
        .args(packages)
        .stdout(std::process::Stdio::null());
    run_for(&mut install, "apt-get install", INSTALL_LIMIT)
}
