//! A wall clock that a test can move, for the processes of a stack.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use xtask::workspace;

/// The offset of the wall clock in some processes, kept in a file that they have mapped.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    offset_file: PathBuf,
}

impl WallClock {
    /// Compiles the library that moves the clock; the offset is zero at first.
    ///
    /// # Errors
    /// When there is no C compiler (`cc`), which linking Rust needs as well, or it fails.
    pub fn build() -> anyhow::Result<Self> {
        let _one_at_a_time = workspace::lock("wall-clock")?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wall_clock.c");
        let folder = workspace::work_dir()?;
        let library = folder.join("wall-clock.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&library, &source])
            .output()
            .context("cannot run `cc`; a C compiler is needed to move the clock")?;
        let complaint = String::from_utf8_lossy(&compiled.stderr);
        anyhow::ensure!(compiled.status.success(), "cc failed: {complaint}");
        let offset_file = folder.join(format!("wall-clock-offset-{}", std::process::id()));
        let clock = Self { library, offset_file };
        clock.set(0)?;
        Ok(clock)
    }

    /// Moves the clock to so many seconds from the machine's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, offset_s: i64) -> anyhow::Result<()> {
        // In place and in one write: the file is mapped.
        std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.offset_file)
            .and_then(|file| {
                std::os::unix::fs::FileExt::write_all_at(&file, &offset_s.to_ne_bytes(), 0)
            })
            .with_context(|| format!("cannot write {}", self.offset_file.display()))
    }

    /// The environment of processes that are to have this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("WALL_CLOCK_OFFSET".to_owned(), text(&self.offset_file)),
        ]
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.offset_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wall_clock_of_a_process_with_it_moves() {
        let clock = WallClock::build().unwrap();
        let year = || {
            let mut date = Command::new("date");
            date.args(["-u", "+%Y"]).envs(clock.environment());
            String::from_utf8(date.output().unwrap().stdout).unwrap().trim().parse::<i32>().unwrap()
        };
        let now = year();
        clock.set(10 * 366 * 86_400).unwrap();
        assert!((10..=11).contains(&(year() - now)));
        clock.set(0).unwrap();
        assert!(year() - now <= 1);
    }
}
