//! Processes that we started and must not outlive us.
//!
//! Each runs in a process group of its own and is ended by its id: by [`Process::stop`], when
//! dropped, and when a signal (Ctrl-C) ends us. Nothing else is ever signalled.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Time between SIGTERM and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The same when a signal ends us: a person waits for the prompt.
const SIGNAL_GRACE: Duration = Duration::from_millis(500);

/// Lines of standard output that wait for a reader; later ones only reach the log.
const WAITING_LINES: usize = 64;

/// Process groups to end when a signal ends us.
static LIVE: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Files to remove when a signal ends us.
static PASSING_FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A child in a process group of its own.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `command`. Standard output and error go to `NAME.log` in `log_folder`; lines of
    /// standard output that `is_secret` accepts are handed to [`Process::wait_for_line`] only.
    ///
    /// # Errors
    /// When the log cannot be written or the program not started.
    pub fn start(
        name: &str,
        mut command: Command,
        log_folder: &Path,
        is_secret: fn(&str) -> bool,
    ) -> anyhow::Result<Self> {
        end_children_on_signal()?;
        let log = log_folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file.try_clone()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        live().push(group);
        let (sender, lines) = sync_channel(WAITING_LINES);
        if let Some(stdout) = child.stdout.take() {
            let copy = move || {
                let mut file = file;
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if !is_secret(&line) {
                        let _ = writeln!(file, "{line}");
                    }
                    // A full or abandoned channel must not stop the copying.
                    let _ = sender.try_send(line);
                }
            };
            std::thread::Builder::new().name(format!("{name}-log")).spawn(copy)?;
        }
        Ok(Self { name: name.to_owned(), child, group, log, lines })
    }

    /// The process id, which is also the id of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits for a line of standard output that begins with `prefix` and returns the rest of it.
    /// Lines before it are skipped.
    ///
    /// # Errors
    /// When the process ends or the time is up first; names the log.
    pub fn wait_for_line(&mut self, prefix: &str, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let line = self.next_line(deadline.saturating_duration_since(Instant::now()))?;
            if let Some(rest) = line.strip_prefix(prefix) {
                return Ok(rest.trim().to_owned());
            }
        }
    }

    /// The next line of standard output.
    ///
    /// # Errors
    /// When the process ends or the time is up first; repeats the end of its log.
    pub fn next_line(&mut self, limit: Duration) -> anyhow::Result<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                anyhow::bail!("{} did not say that it is ready; {}", self.name, self.log_tail())
            }
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("{} ended early; {}", self.name, self.log_tail())
            }
        }
    }

    /// Repeats `probe` until it is true.
    ///
    /// # Errors
    /// When the process ends or the time is up first; repeats the end of its log.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !probe() {
            if !self.is_running() {
                anyhow::bail!("{} ended early; {}", self.name, self.log_tail());
            }
            if Instant::now() >= deadline {
                anyhow::bail!("{}: not {what} in time; {}", self.name, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it still runs. Looks without collecting the exit status: until that is collected,
    /// the id cannot belong to anyone else, and signalling the group stays safe.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        matches!(waitid(Id::Pid(self.group), look), Ok(WaitStatus::StillAlive))
    }

    /// Holds it up (SIGSTOP) until [`Process::resume`], with all its threads.
    ///
    /// # Errors
    /// When it has been ended.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Process::pause`].
    ///
    /// # Errors
    /// When it has been ended.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Held while signalling: once the leader is collected, its id may be another's.
        let live = live();
        anyhow::ensure!(live.contains(&self.group), "{} has been ended", self.name);
        killpg(self.group, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits until it has ended by itself, and says how.
    ///
    /// # Errors
    /// When it goes on, or was ended before.
    pub fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            anyhow::ensure!(Instant::now() < deadline, "{} goes on after {limit:?}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
        // Whoever else is in its group.
        let mut live = live();
        anyhow::ensure!(live.contains(&self.group), "{} was ended before", self.name);
        let _ = killpg(self.group, Signal::SIGKILL);
        live.retain(|group| *group != self.group);
        self.child.wait().with_context(|| format!("cannot collect {}", self.name))
    }

    /// Ends it: SIGTERM, and SIGKILL to what is left after a grace.
    pub fn stop(&mut self) {
        if self.is_running() {
            let _ = killpg(self.group, Signal::SIGTERM);
            // One that is held up would only hear it afterwards.
            let _ = killpg(self.group, Signal::SIGCONT);
            let deadline = Instant::now() + STOP_GRACE;
            while self.is_running() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.kill();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let mut live = live();
        if live.contains(&self.group) {
            // The leader has not been collected yet, so the id is still ours.
            let _ = killpg(self.group, Signal::SIGKILL);
            let _ = self.child.wait();
            live.retain(|group| *group != self.group);
        }
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n");
        format!("the end of {}:\n{tail}", self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Has a file removed when a signal ends us: one that says something of running processes.
pub fn remove_on_signal(file: &Path) {
    PASSING_FILES.lock().unwrap_or_else(PoisonError::into_inner).push(file.to_path_buf());
}

fn live() -> MutexGuard<'static, Vec<Pid>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From the first child on, SIGINT, SIGTERM and SIGHUP end the children before they end us.
fn end_children_on_signal() -> anyhow::Result<()> {
    static INSTALLED: Once = Once::new();
    let mut result = Ok(());
    INSTALLED.call_once(|| result = install_signal_handler());
    result
}

fn install_signal_handler() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let groups = live();
            for group in groups.iter() {
                let _ = killpg(*group, Signal::SIGTERM);
            }
            std::thread::sleep(SIGNAL_GRACE);
            for group in groups.iter() {
                let _ = killpg(*group, Signal::SIGKILL);
            }
            for file in PASSING_FILES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let _ = std::fs::remove_file(file);
            }
            // The convention for a process ended by a signal.
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn exists(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn secret_lines_reach_the_reader_and_not_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo token: s3cret; echo ready on 5; echo complaint >&2; sleep 60";
        let mut process =
            Process::start("probe", shell(script), folder.path(), |line| line.contains("token"))
                .unwrap();
        let limit = Duration::from_secs(10);
        assert_eq!(process.wait_for_line("token: ", limit).unwrap(), "s3cret");
        assert_eq!(process.wait_for_line("ready on ", limit).unwrap(), "5");
        process.stop();
        let log = std::fs::read_to_string(process.log()).unwrap();
        assert!(log.contains("ready on 5") && log.contains("complaint"), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
    }

    #[test]
    fn dropping_ends_the_whole_group_even_if_it_ignores_sigterm() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; sleep 60 & echo child $!; wait; sleep 60";
        let mut process =
            Process::start("stubborn", shell(script), folder.path(), |_| false).unwrap();
        let child: u32 =
            process.wait_for_line("child ", Duration::from_secs(10)).unwrap().parse().unwrap();
        let leader = process.id();
        assert!(exists(leader) && exists(child));
        process.kill();
        assert!(!exists(leader));
        // The orphan is reaped by init, which may take a moment.
        let deadline = Instant::now() + Duration::from_secs(5);
        while exists(child) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn the_end_of_a_process_says_how_it_came() {
        use std::os::unix::process::ExitStatusExt;

        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(10);
        let start =
            |script| Process::start("mortal", shell(script), folder.path(), |_| false).unwrap();
        assert_eq!(start("kill -9 $$").ended(limit).unwrap().signal(), Some(9));
        let mut process = start("exit 3");
        assert_eq!(process.ended(limit).unwrap().code(), Some(3));
        assert!(process.ended(limit).is_err(), "nobody knows any more");
        assert!(start("sleep 60").ended(Duration::from_millis(50)).is_err());
    }

    #[test]
    fn an_early_end_is_reported_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo broken configuration >&2; exit 1";
        let mut process = Process::start("early", shell(script), folder.path(), |_| false).unwrap();
        let problem = process.wait_until("ready", Duration::from_secs(10), || false).unwrap_err();
        assert!(problem.to_string().contains("broken configuration"), "{problem}");
    }
}
