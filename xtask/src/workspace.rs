//! Where things are: the workspace, its target directory, and what Tollgate keeps in there.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder that holds the workspace's `Cargo.toml`.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target directory, absolute.
#[must_use]
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root().join(path),
        None => root().join("target"),
    }
}

/// Where artefacts, logs and state of Tollgate's tools go: `target/tollgate`, made if absent.
///
/// # Errors
/// When it cannot be made.
pub fn work_dir() -> anyhow::Result<PathBuf> {
    made(target_dir().join("tollgate"))
}

/// Where tools are installed: `target/tools`, made if absent.
///
/// # Errors
/// When it cannot be made.
pub fn tools_dir() -> anyhow::Result<PathBuf> {
    made(target_dir().join("tools"))
}

/// The cargo that runs us, else the one on `PATH`.
#[must_use]
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Finds an executable on `PATH`.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// Whether `file` is a file that may be executed.
#[must_use]
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Takes the lock file `name` under `target/tools`, waiting for whoever holds it. The lock ends
/// when the file is dropped, also when its process is killed.
///
/// # Errors
/// When the file cannot be made or locked.
pub fn lock(name: &str) -> anyhow::Result<std::fs::File> {
    let path = tools_dir()?.join(format!("{name}.lock"));
    let file = std::fs::File::create(&path)
        .with_context(|| format!("cannot create the lock file {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn made(path: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&path)
        .with_context(|| format!("cannot create the folder {}", path.display()))?;
    Ok(path)
}
