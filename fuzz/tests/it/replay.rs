//! Every finding of the past and every input of the corpus, without instrumentation.

use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};

fn inputs(kind: &str, target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs them all; says which one breaks the target.
fn replay(kind: &str, target: &Target) -> usize {
    let files = inputs(kind, target);
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let run = target.run;
        let outcome = std::panic::catch_unwind(|| run(&bytes));
        assert!(outcome.is_ok(), "{} breaks the target {}", file.display(), target.name);
    }
    files.len()
}

#[test]
fn nothing_that_was_found_breaks_a_target_again() {
    for target in TARGETS {
        replay("findings", target);
    }
}

#[test]
fn the_corpus_passes_and_there_is_one_for_each_target() {
    for target in TARGETS {
        assert!(replay("corpus", target) > 0, "no corpus for {}", target.name);
    }
}

#[test]
fn no_folder_is_of_a_target_that_is_no_more() {
    for kind in ["corpus", "findings"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind);
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name();
            assert!(TARGETS.iter().any(|target| name == target.name), "{kind}/{name:?}");
        }
    }
}

#[test]
fn the_smallest_inputs_pass() {
    for target in TARGETS {
        (target.run)(b"");
        (0..=u8::MAX).for_each(|byte| (target.run)(&[byte]));
    }
}
