//! One folder per run for logs, rendered configurations and secrets: `target/tollgate/run-…`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::workspace;

/// Folders of ended runs that are kept, for reading their logs; older ones are removed.
const KEPT_RUNS: usize = 40;

/// Makes the folder of a new run and removes those of long ended ones.
///
/// # Errors
/// When the folder cannot be made.
pub fn create() -> anyhow::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let runs = workspace::work_dir()?;
    remove_old(&runs);
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = runs.join(format!("run-{millis}-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    // Made anew, because the mode applies only to a file that did not exist.
    let _ = std::fs::remove_file(path);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn remove_old(runs: &Path) {
    let Ok(entries) = std::fs::read_dir(runs) else { return };
    let mut ended: Vec<(u128, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut parts = name.strip_prefix("run-")?.split('-');
            let millis = parts.next()?.parse().ok()?;
            let owner: u32 = parts.next()?.parse().ok()?;
            let running = Path::new(&format!("/proc/{owner}")).exists();
            (!running).then(|| (millis, entry.path()))
        })
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT_RUNS);
    for (_, folder) in ended.iter().take(surplus) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
