//! Python virtual environments under `target/tools`, each with pinned packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::run_command::{run_for, twice};
use crate::{system_packages, workspace};

/// Longest time for one installation: Envoy is about 40 MB to fetch.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// A virtual environment whose packages are installed.
#[derive(Debug, Clone)]
pub struct PythonEnv {
    folder: PathBuf,
}

impl PythonEnv {
    /// The environment `target/tools/NAME` with exactly these requirements, made at first use and
    /// made anew when they change.
    ///
    /// # Errors
    /// When there is no Python with `venv`, or a package cannot be had: one message that says
    /// which.
    pub fn with(name: &str, requirements: &[&str]) -> anyhow::Result<Self> {
        let arguments = requirements.iter().map(|requirement| (*requirement).to_owned()).collect();
        Self::installed(name, &requirements.join("\n"), arguments)
    }

    /// The same with what a requirements file asks for.
    ///
    /// # Errors
    /// As [`PythonEnv::with`], and when the file cannot be read.
    pub fn from_file(name: &str, file: &Path) -> anyhow::Result<Self> {
        let wanted = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::installed(name, &wanted, vec!["-r".to_owned(), file.display().to_string()])
    }

    fn installed(name: &str, wanted: &str, arguments: Vec<String>) -> anyhow::Result<Self> {
        let _one_at_a_time = workspace::lock(&format!("python-{name}"))?;
        let folder = workspace::tools_dir()?.join(name);
        let env = Self { folder };
        let marker = env.folder.join("tollgate-requirements.txt");
        if std::fs::read_to_string(&marker).is_ok_and(|present| present == wanted)
            && workspace::is_executable(&env.python())
        {
            return Ok(env);
        }
        eprintln!("installing {} into {}", arguments.join(" "), env.folder.display());
        env.create()?;
        twice(|| {
            let mut install = Command::new(env.python());
            install
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                // Most of what is installed is never imported.
                .args(["--no-input", "--no-compile"])
                .args(&arguments)
                .stdout(Stdio::null());
            run_for(&mut install, &format!("pip install {}", arguments.join(" ")), INSTALL_LIMIT)
        })?;
        std::fs::write(&marker, wanted)
            .with_context(|| format!("cannot write {}", marker.display()))?;
        Ok(env)
    }

    fn create(&self) -> anyhow::Result<()> {
        let Err(first) = self.try_create() else { return Ok(()) };
        // Debian splits `venv` from the interpreter.
        if system_packages::available() && system_packages::install(&["python3-venv"]).is_ok() {
            return self.try_create();
        }
        Err(first
            .context("needs Python 3 with `venv` (Debian: `apt-get install python3 python3-venv`)"))
    }

    fn try_create(&self) -> anyhow::Result<()> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(&self.folder).stdout(Stdio::null());
        run_for(&mut command, "python3 -m venv", INSTALL_LIMIT)
    }

    /// The environment's interpreter.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// A file inside the environment's `site-packages`, whichever Python made it.
    #[must_use]
    pub fn site_file(&self, relative: &str) -> Option<PathBuf> {
        let versions = std::fs::read_dir(self.folder.join("lib")).ok()?;
        versions
            .flatten()
            .map(|version| version.path().join("site-packages").join(relative))
            .find(|file| file.is_file())
    }

    /// An executable that a package brought.
    #[must_use]
    pub fn executable(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join("bin").join(name)).filter(|file| workspace::is_executable(file))
    }
}
