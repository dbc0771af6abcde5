//! What a run has left on the disk.

use std::path::Path;

use anyhow::Context;

/// Files of a folder, of all depths, that hold this text; and how many files there are.
///
/// # Errors
/// When the folder cannot be read.
pub fn files_holding(folder: &Path, text: &str) -> anyhow::Result<(Vec<String>, usize)> {
    let (mut found, mut count) = (Vec::new(), 0);
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            let (inner, files) = files_holding(&path, text)?;
            found.extend(inner);
            count += files;
        } else if let Ok(bytes) = std::fs::read(&path) {
            // One that is gone meanwhile holds nothing.
            count += 1;
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    Ok((found, count))
}
