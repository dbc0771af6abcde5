//! Parsers of other languages, each a process that is fed bodies and says what it sees in them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;
use fuzz::agreement::{PATHS, View};
use xtask::node_packages::Node;
use xtask::workspace;

/// Such a process. Ended when dropped.
#[derive(Debug)]
pub(crate) struct OtherParser {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl OtherParser {
    /// Python's own.
    pub(crate) fn python() -> anyhow::Result<Self> {
        let python =
            workspace::on_path("python3").context("needs Python 3 as `python3` on PATH")?;
        Self::start(&python, "views.py")
    }

    /// Node's own.
    pub(crate) fn node() -> anyhow::Result<Self> {
        Self::start(&Node::find()?.binary, "views.js")
    }

    fn start(program: &PathBuf, script: &str) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("parsers").join(script);
        let mut child = Command::new(program)
            .arg(script)
            .arg(serde_json::to_string(PATHS)?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self { child, input, output })
    }

    /// What it sees in a body.
    pub(crate) fn views(&mut self, body: &[u8]) -> anyhow::Result<Vec<View>> {
        self.input.write_all(&u32::try_from(body.len())?.to_be_bytes())?;
        self.input.write_all(body)?;
        self.input.flush()?;
        let mut length = [0; 4];
        self.output.read_exact(&mut length).context("the other parser has gone")?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length))?];
        self.output.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

impl Drop for OtherParser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
