//! The filter as it ships: `target/tollgate/tollgate.wasm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::run_command::run;
use crate::wasm_toolchain::{TARGET, WasmToolchain};
use crate::workspace;
use crate::{fewer_functions, indirect_calls};

/// A built filter.
#[derive(Debug, Clone)]
pub struct BuiltPlugin {
    /// The module.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the module, in hexadecimal.
    pub sha256: String,
}

/// A way in which the filter is built.
struct Variant {
    profile: &'static str,
    features: &'static [&'static str],
    file: &'static str,
}

const SHIPPED: Variant = Variant { profile: "wasm", features: &[], file: "tollgate.wasm" };

const TRAPPING: Variant =
    Variant { profile: "wasm-trap", features: &["trap"], file: "tollgate-trap.wasm" };

/// Builds the filter and puts it at `target/tollgate/tollgate.wasm`. Callers in several processes
/// wait for each other; when nothing has changed this takes well under a second.
///
/// # Errors
/// When no toolchain can be had, or the build fails.
pub fn build() -> anyhow::Result<BuiltPlugin> {
    build_variant(&SHIPPED)
}

/// Builds a filter whose VM dies when a request asks for it, at `target/tollgate/tollgate-trap.wasm`:
/// for tests of what becomes of the requests and the money then.
///
/// # Errors
/// As [`build`].
pub fn build_trapping() -> anyhow::Result<BuiltPlugin> {
    build_variant(&TRAPPING)
}

fn build_variant(variant: &Variant) -> anyhow::Result<BuiltPlugin> {
    let _one_at_a_time = workspace::lock("build-plugin")?;
    let toolchain = WasmToolchain::find()?;
    let mut command = toolchain.cargo("build");
    command.current_dir(workspace::root()).args(["--package", "plugin"]);
    command.args(["--profile", variant.profile]);
    if !variant.features.is_empty() {
        command.args(["--features", &variant.features.join(",")]);
    }
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", compiler_flags());
    quiet_unless_terminal(&mut command);
    run(&mut command, "building the filter")?;

    let built = toolchain.target_dir().join(TARGET).join(variant.profile).join("plugin.wasm");
    let module = std::fs::read(&built).with_context(|| {
        format!("the build left no {}; is the package `plugin` a cdylib?", built.display())
    })?;
    let module = fewer_functions::for_http(&module)?;
    let module = indirect_calls::through_the_table(&module)?;
    let path = workspace::work_dir()?.join(variant.file);
    replace(&path, &module)?;
    Ok(BuiltPlugin {
        path,
        bytes: u64::try_from(module.len()).unwrap_or(u64::MAX),
        sha256: hex::encode(Sha256::digest(&module)),
    })
}

/// What the compiler is told beside the profile.
///
/// Optimising for size alone hardly copies functions into their callers: a threshold of its own gives back
/// most of the speed for a few kilobytes, and Envoy's time to compile them.
///
/// Panic messages name source files; the same source must give the same module everywhere, so this
/// machine's folders are left out.
fn compiler_flags() -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo_home =
        std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let root = workspace::root();
    format!(
        "-C llvm-args=-inline-threshold=45 --remap-path-prefix={}=cargo --remap-path-prefix={}=tollgate",
        cargo_home.display(),
        root.display()
    )
}

/// Writes beside the destination and renames, so that an Envoy that is starting never reads half a
/// module. An unchanged module keeps its file.
fn replace(path: &Path, module: &[u8]) -> anyhow::Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == module) {
        return Ok(());
    }
    let fresh = path.with_extension("wasm.new");
    std::fs::write(&fresh, module).with_context(|| format!("cannot write {}", fresh.display()))?;
    std::fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Cargo's progress helps a person who waits and only fills a log.
pub fn quiet_unless_terminal(command: &mut Command) {
    use std::io::IsTerminal;
    if !std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
}
