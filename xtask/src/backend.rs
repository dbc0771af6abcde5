//! Everything of a stack that stands behind Envoy: the policy server and, unless there is another
//! upstream, the mock one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::binaries::{self, Binaries};
use crate::http_client::Client;
use crate::process::Process;
use crate::stack::StackOptions;
use crate::upstream::Upstream;

/// Longest time for a program to become ready, on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Printed once by a policy server on a new database, before anything else.
const ADMIN_TOKEN_LINE: &str = "admin token: ";

/// A running policy server and its upstream.
pub struct Backend {
    /// The policy server.
    pub server: Process,
    /// The mock upstream, if it is used.
    pub mock: Option<Process>,
    /// Where requests go.
    pub upstream: Upstream,
    /// The admin token, known only when the database was new.
    pub admin_token: Option<String>,
    server_command: ServerCommand,
}

impl Backend {
    /// Builds and starts the parts and waits until each is ready. A new database goes into
    /// `run_folder`, as do the logs.
    ///
    /// # Errors
    /// When a build fails, a port is taken or a part does not become ready.
    pub fn start(options: &StackOptions, run_folder: &Path) -> anyhow::Result<Self> {
        let binaries = binaries::build(options.release)?;
        let (mock, upstream) = match &options.upstream {
            Some(upstream) => (None, upstream.clone()),
            None => {
                let (process, port) = start_mock(&binaries, options.ports.mock, run_folder)?;
                (Some(process), Upstream::local(port))
            }
        };
        let database =
            options.database.clone().unwrap_or_else(|| run_folder.join("tollgate.sqlite"));
        let mut arguments = options.server_arguments.clone();
        let journal = options.journal.then(|| run_folder.join("tollgate.journal"));
        if let Some(journal) = &journal {
            arguments.push(format!("--journal={}", journal.display()));
        }
        let mut server_command = ServerCommand {
            launcher: options.server_launcher.clone(),
            binary: options.server_binary.clone().unwrap_or(binaries.tollgate),
            database,
            journal,
            filter_token: hex::encode(rand::random::<[u8; 32]>()),
            filter_port: options.ports.policy_server,
            admin_port: options.ports.admin,
            arguments,
            environment: options.environment.clone(),
        };
        let (server, admin_token) = server_command.start(run_folder, &[])?;
        Ok(Self { server, mock, upstream, admin_token, server_command })
    }

    /// Starts the policy server again on the same ports and database, after it was ended, with
    /// these further environment variables for this life.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart_server(
        &mut self,
        run_folder: &Path,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        self.server.stop();
        let (server, _) = self.server_command.start(run_folder, environment)?;
        self.server = server;
        Ok(())
    }

    /// The database file.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.server_command.database
    }

    /// The journal, where one is kept.
    #[must_use]
    pub fn journal(&self) -> Option<&Path> {
        self.server_command.journal.as_deref()
    }

    /// Port of the filter API.
    #[must_use]
    pub fn filter_port(&self) -> u16 {
        self.server_command.filter_port
    }

    /// Port of the admin API.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.server_command.admin_port
    }

    /// The token that a filter shows the policy server; for an Envoy's environment.
    #[must_use]
    pub fn filter_token(&self) -> &str {
        &self.server_command.filter_token
    }

    /// The admin API, authorised.
    #[must_use]
    pub fn admin(&self) -> Client {
        Client::new(&local_url(self.admin_port()), self.admin_token.as_deref())
    }
}

/// How to start the policy server, and start it again on the same ports.
struct ServerCommand {
    launcher: Vec<String>,
    binary: PathBuf,
    database: PathBuf,
    journal: Option<PathBuf>,
    filter_token: String,
    filter_port: u16,
    admin_port: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl ServerCommand {
    /// Starts the server; takes over the ports it chose, so that a restart keeps them.
    fn start(
        &mut self,
        run_folder: &Path,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<(Process, Option<String>)> {
        let mut command = match self.launcher.split_first() {
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command
            .arg("serve")
            .arg("--database")
            .arg(&self.database)
            .arg("--filter-listen")
            .arg(format!("127.0.0.1:{}", self.filter_port))
            .arg("--admin-listen")
            .arg(format!("127.0.0.1:{}", self.admin_port))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().copied())
            .env("TOLLGATE_FILTER_TOKEN", &self.filter_token);
        let is_token = |line: &str| line.starts_with(ADMIN_TOKEN_LINE);
        let mut process = Process::start("policy-server", command, run_folder, is_token)?;
        let deadline = Instant::now() + START_LIMIT;
        let (mut token, mut filter, mut admin) = (None, None, None);
        while filter.is_none() || admin.is_none() {
            let line = process.next_line(deadline.saturating_duration_since(Instant::now()))?;
            if let Some(value) = line.strip_prefix(ADMIN_TOKEN_LINE) {
                token = Some(value.trim().to_owned());
            } else if let Some(address) = line.strip_prefix("filter API on ") {
                filter = Some(port_of(address)?);
            } else if let Some(address) = line.strip_prefix("admin API on ") {
                admin = Some(port_of(address)?);
            }
        }
        self.filter_port = filter.unwrap_or(self.filter_port);
        self.admin_port = admin.unwrap_or(self.admin_port);
        let health = Client::new(&local_url(self.filter_port), None);
        process.wait_until("healthy", START_LIMIT, || {
            health.get("/healthz").is_ok_and(|answer| answer.status == 200)
        })?;
        Ok((process, token))
    }
}

fn start_mock(binaries: &Binaries, port: u16, run_folder: &Path) -> anyhow::Result<(Process, u16)> {
    let mut command = Command::new(&binaries.mock_upstream);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    let mut process = Process::start("mock-upstream", command, run_folder, |_| false)?;
    let address = process.wait_for_line("listening on ", START_LIMIT)?;
    let port = port_of(&address)?;
    Ok((process, port))
}

/// `http://127.0.0.1:PORT`.
#[must_use]
pub fn local_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn port_of(address: &str) -> anyhow::Result<u16> {
    address
        .trim()
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .with_context(|| format!("`{address}` is not an address with a port"))
}
