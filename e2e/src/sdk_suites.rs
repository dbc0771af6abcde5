//! The suites of official SDKs under `e2e/sdk`: where they run, and how a run goes.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use xtask::node_packages::Node;
use xtask::python_env::PythonEnv;

/// Longest time for one half of a suite, while all of them share a small machine.
const LIMIT: Duration = Duration::from_secs(150);

/// Lines that a suite may be ahead of us; it says two when all is well.
const WAITING_LINES: usize = 64;

/// Sets of Python packages by the name of their environment, and which suites run with each.
const PYTHON: [(&str, &str, &[&str]); 3] = [
    ("sdk-python-current", "current.txt", &["openai", "anthropic", "gemini"]),
    ("sdk-python-previous", "previous.txt", &["openai", "anthropic", "gemini"]),
    ("sdk-python-anthropic-1", "anthropic-1.txt", &["anthropic"]),
];

/// The same for Node.
const NODE: [(&str, &str, &[&str]); 2] = [
    ("sdk-node-current", "current", &["openai", "anthropic"]),
    ("sdk-node-previous", "previous", &["openai", "anthropic"]),
];

/// One SDK in one version.
#[derive(Debug)]
pub struct Suite {
    /// For messages.
    pub name: String,
    program: PathBuf,
    script: PathBuf,
    packages: Option<PathBuf>,
}

/// Every suite, its packages installed.
///
/// # Errors
/// When something cannot be installed.
pub fn all() -> anyhow::Result<Vec<Suite>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    // A registry answers slowly; all of them are asked at once.
    std::thread::scope(|scope| {
        let python = PYTHON.map(|(env, file, suites)| {
            let folder = folder.join("python");
            scope.spawn(move || python_suites(&folder, env, file, suites))
        });
        let node = {
            let folder = folder.join("node");
            scope.spawn(move || node_suites(&folder))
        };
        let mut all = Vec::new();
        for thread in python.into_iter().chain([node]) {
            all.extend(thread.join().map_err(|_| anyhow::anyhow!("an installation panicked"))??);
        }
        Ok(all)
    })
}

fn python_suites(
    folder: &Path,
    env: &str,
    file: &str,
    suites: &[&str],
) -> anyhow::Result<Vec<Suite>> {
    let program = PythonEnv::from_file(env, &folder.join(file))?.python();
    Ok(suites
        .iter()
        .map(|suite| Suite {
            name: format!("{env} {suite}"),
            program: program.clone(),
            script: folder.join(format!("{suite}_suite.py")),
            packages: None,
        })
        .collect())
}

fn node_suites(folder: &Path) -> anyhow::Result<Vec<Suite>> {
    let node = Node::find()?;
    let mut all = Vec::new();
    for (env, manifests, suites) in NODE {
        let packages = node.packages(env, &folder.join(manifests))?;
        all.extend(suites.iter().map(|suite| Suite {
            name: format!("{env} {suite}"),
            program: node.binary.clone(),
            script: folder.join(format!("{suite}_suite.js")),
            packages: Some(packages.clone()),
        }));
    }
    Ok(all)
}

/// A suite that runs. Ended when dropped.
#[derive(Debug)]
pub struct RunningSuite {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    complaints: std::thread::JoinHandle<String>,
}

impl Suite {
    /// Starts it with these variables added to the environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, variables: &[(String, String)]) -> anyhow::Result<RunningSuite> {
        let mut command = Command::new(&self.program);
        command
            .arg(&self.script)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(packages) = &self.packages {
            command.env("PACKAGES", packages);
        }
        // What a developer has set up for real providers is not for us.
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        let mut child =
            command.spawn().with_context(|| format!("cannot start the suite {}", self.name))?;
        let (sender, lines) = sync_channel(WAITING_LINES);
        let stdout = child.stdout.take().context("no standard output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody reads any more: the suite is being ended.
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().context("no standard error")?;
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Ok(RunningSuite { name: self.name.clone(), child, stdin, lines, complaints })
    }
}

/// Variables that the SDKs read by themselves.
const FOREIGN_VARIABLES: [&str; 10] = [
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GENAI_USE_VERTEXAI",
];

impl RunningSuite {
    /// Waits until everything that needs a policy server is done.
    ///
    /// # Errors
    /// When a check fails or time is up; says what the suite said.
    pub fn served(mut self) -> anyhow::Result<Self> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "served" => return Ok(self),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    return Err(self.failed("not done in time"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed("failed")),
            }
        }
    }

    /// Lets it go on without a policy server; waits for its end. Returns how many checks it made.
    ///
    /// # Errors
    /// When a check fails or time is up; says what the suite said.
    pub fn finish(mut self) -> anyhow::Result<u32> {
        if let Some(mut stdin) = self.stdin.take() {
            stdin.write_all(b"\n").context("the suite has gone")?;
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let checks = line.strip_suffix(" checks passed").map(str::parse);
                    if let Some(Ok(checks)) = checks {
                        let _ = self.child.wait();
                        return Ok(checks);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    return Err(self.failed("not done in time"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed("failed")),
            }
        }
    }

    fn failed(&mut self, how: &str) -> anyhow::Error {
        let _ = self.child.wait();
        let empty = std::thread::spawn(String::new);
        let complaints = std::mem::replace(&mut self.complaints, empty);
        let complaints = complaints.join().unwrap_or_default();
        anyhow::anyhow!("{} {how}:\n{complaints}", self.name)
    }
}

impl Drop for RunningSuite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
