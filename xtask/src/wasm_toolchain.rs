//! A compiler for `wasm32-unknown-unknown`, from the nearest place that has one.
//!
//! 1. The active toolchain has the target's standard library.
//! 2. `rustup target add` fetches it.
//! 3. Debian's security suite carries a complete toolchain with the sources of the standard
//!    library; the target's library is then built from them.
//! 4. One message that says what to install.
//!
//! `TOLLGATE_WASM_TOOLCHAIN=debian` goes straight to 3, so that this way can be tested anywhere.
//! `rust-toolchain.toml` must not list the target: without a network every cargo command would
//! fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run_command::run_for;
use crate::{system_packages, workspace};

/// The target that the filter is built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Longest time for `rustup target add`: about 30 MB. On a closed network it would try for minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-22";

/// A way to compile for [`TARGET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasmToolchain {
    /// The toolchain that runs us has the target.
    Active,
    /// Debian's packages, building the standard library as well.
    Debian,
}

impl WasmToolchain {
    /// Finds or installs a toolchain.
    ///
    /// # Errors
    /// One message naming every way that was tried and what to install.
    pub fn find() -> anyhow::Result<Self> {
        match std::env::var("TOLLGATE_WASM_TOOLCHAIN").as_deref() {
            Ok("debian") => return Self::debian().map_err(|why| no_toolchain(&why.to_string())),
            Ok("active") | Err(_) => {}
            Ok(other) => anyhow::bail!(
                "TOLLGATE_WASM_TOOLCHAIN is `{other}`; it may be `active` or `debian`"
            ),
        }
        if active_has_target() {
            return Ok(Self::Active);
        }
        let rustup = match rustup_add() {
            Ok(()) if active_has_target() => return Ok(Self::Active),
            Ok(()) => "rustup added the target to another toolchain than the active one".to_owned(),
            Err(why) => why.to_string(),
        };
        Self::debian().map_err(|debian| no_toolchain(&format!("{rustup}; {debian}")))
    }

    fn debian() -> anyhow::Result<Self> {
        if !debian_present() {
            system_packages::install(&DEBIAN_PACKAGES)?;
        }
        anyhow::ensure!(debian_present(), "Debian's packages did not bring {DEBIAN_LINKER}");
        Ok(Self::Debian)
    }

    /// A cargo command for `subcommand` (such as `build`) with this toolchain and target.
    #[must_use]
    pub fn cargo(self, subcommand: &str) -> Command {
        match self {
            Self::Active => {
                let mut command = Command::new(workspace::cargo());
                command.args([subcommand, "--target", TARGET]);
                command
            }
            Self::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                command
                    .args([subcommand, "--target", TARGET])
                    // Its version is Debian's choice, and only this one artefact is built with it.
                    .arg("--ignore-rust-version")
                    .arg("-Zbuild-std=std,panic_abort")
                    .env("RUSTC", DEBIAN_RUSTC)
                    // Building the standard library is an unstable feature of a stable compiler.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
                    .env("CARGO_TARGET_DIR", self.target_dir())
                    // Set by the cargo that runs us, for its own toolchain.
                    .env_remove("CARGO")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("RUSTC_WORKSPACE_WRAPPER");
                command
            }
        }
    }

    /// The target directory of [`Self::cargo`]: apart for Debian's compiler, whose artefacts the
    /// active one could not read.
    #[must_use]
    pub fn target_dir(self) -> PathBuf {
        match self {
            Self::Active => workspace::target_dir(),
            Self::Debian => workspace::target_dir().join("debian-wasm"),
        }
    }
}

fn active_has_target() -> bool {
    Command::new("rustc")
        .current_dir(workspace::root())
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| {
            let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            output.status.success() && has_core_library(Path::new(&folder))
        })
}

fn has_core_library(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}

fn rustup_add() -> anyhow::Result<()> {
    anyhow::ensure!(workspace::on_path("rustup").is_some(), "there is no rustup");
    let mut command = Command::new("rustup");
    command
        .current_dir(workspace::root())
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run_for(&mut command, "rustup target add", RUSTUP_LIMIT)
}

fn debian_present() -> bool {
    let tools = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LINKER];
    tools.iter().all(|tool| workspace::is_executable(Path::new(tool))) && debian_has_sources()
}

fn debian_has_sources() -> bool {
    Command::new(DEBIAN_RUSTC)
        .args(["--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .is_ok_and(|output| {
            Path::new(String::from_utf8_lossy(&output.stdout).trim())
                .join("lib/rustlib/src/rust/library/std/Cargo.toml")
                .is_file()
        })
}

fn no_toolchain(tried: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "no compiler for {TARGET}: run `rustup target add {TARGET}`, or on Debian `apt-get install \
         --no-install-recommends {}` (tried: {tried})",
        DEBIAN_PACKAGES.join(" ")
    )
}
