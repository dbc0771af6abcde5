//! Everything that the processes of a run have put out, searched for what must not be in it.

use std::path::{Path, PathBuf};

use xtask::gateway::Gateway;

/// Pages of Envoy's admin interface that repeat what it knows.
const PAGES: [&str; 6] =
    ["/config_dump", "/stats", "/stats/prometheus", "/clusters", "/listeners", "/server_info"];

/// Files that hold a secret on purpose, for their owner alone: the provider's credential, and what `up`
/// leaves for whoever tries Tollgate out.
const SECRET_FILES: [&str; 2] = ["upstream-key.yaml", "stack.json"];

/// Deepest folder below that of a run.
const DEEPEST: usize = 6;

/// The files of a run's folder: logs, configurations, the database with its side files, the journal.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEEPEST {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where any of these secrets stands in the files of a run, without those of its owner; the secrets are
/// named by their numbers.
///
/// # Errors
/// When a file cannot be read; one that has gone meanwhile holds nothing.
pub fn in_files(folder: &Path, secrets: &[String]) -> anyhow::Result<Vec<String>> {
    let mut places = Vec::new();
    for file in files(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if SECRET_FILES.contains(&name.as_str()) {
            continue;
        }
        match std::fs::read(&file) {
            Ok(bytes) => places.extend(found(&name, &bytes, secrets)),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(places)
}

/// The same of what a running Envoy says of itself.
///
/// # Errors
/// When it does not answer.
pub fn in_pages(gateway: &Gateway, secrets: &[String]) -> anyhow::Result<Vec<String>> {
    let mut places = Vec::new();
    for page in PAGES {
        let text = gateway.admin().get(page)?.success()?.body;
        places.extend(found(page, text.as_bytes(), secrets));
    }
    Ok(places)
}

/// A line for each secret that stands in a text.
#[must_use]
pub fn found(place: &str, text: &[u8], secrets: &[String]) -> Vec<String> {
    let numbered = secrets.iter().enumerate();
    numbered
        .filter(|(_, secret)| memchr::memmem::find(text, secret.as_bytes()).is_some())
        .map(|(number, _)| format!("secret {number} stands in {place}"))
        .collect()
}
