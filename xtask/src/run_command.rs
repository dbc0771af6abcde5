//! Running a command to its end, with a time limit and an error that says what it was for.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// How often a command with a time limit is looked at: short against any limit in use.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Output of a failed command that is worth repeating in an error, in bytes from its end.
const REPEATED_OUTPUT_BYTES: usize = 2_000;

/// Runs `command` with our own standard streams.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{what}: cannot start {command:?}"))?;
    anyhow::ensure!(status.success(), "{what}: {status}");
    Ok(())
}

/// Runs `command` and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot be started or does not exit with 0; the error repeats the end of its output.
pub fn output(command: &mut Command, what: &str) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: cannot start {command:?}"))?;
    if !output.status.success() {
        let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let tail = text.get(text.len().saturating_sub(REPEATED_OUTPUT_BYTES)..).unwrap_or(&text);
        anyhow::bail!("{what}: {}\n{}", output.status, String::from_utf8_lossy(tail).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` quietly for at most `limit`, then kills it.
///
/// # Errors
/// When it cannot be started, fails, or is not done in time.
pub fn run_for(command: &mut Command, what: &str, limit: Duration) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{what}: cannot start {command:?}"))?;
    let deadline = Instant::now() + limit;
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            anyhow::bail!("{what}: not done within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL_EVERY);
    };
    anyhow::ensure!(status.success(), "{what}: {status}");
    Ok(())
}

/// Does what needs a network once more if it fails: a registry that is slow for a moment must not
/// fail a whole run.
///
/// # Errors
/// Those of the second try.
pub fn twice(mut attempt: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Err(first) = attempt() else { return Ok(()) };
    eprintln!("trying again: {first:#}");
    attempt()
}

/// Whether this process may install system packages.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_beyond_its_time_is_killed() {
        let started = Instant::now();
        let mut command = Command::new("sleep");
        command.arg("30");
        let problem = run_for(&mut command, "nap", Duration::from_millis(200)).unwrap_err();
        assert!(problem.to_string().contains("nap: not done within"), "{problem}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_fails_once_is_tried_once_more() {
        let mut left = 1;
        let fails_once = || {
            left -= 1;
            anyhow::ensure!(left < 0, "not yet");
            Ok(())
        };
        assert!(twice(fails_once).is_ok());
        let mut tries = 0;
        let fails = || {
            tries += 1;
            anyhow::bail!("try {tries}")
        };
        assert_eq!(twice(fails).unwrap_err().to_string(), "try 2");
    }

    #[test]
    fn a_failed_command_repeats_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let problem = output(&mut command, "probe").unwrap_err().to_string();
        assert!(problem.contains("out") && problem.contains("err"), "{problem}");
    }
}
