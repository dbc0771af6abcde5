//! A whole Tollgate on loopback: policy server, mock upstream and a real Envoy with the real
//! filter.
//!
//! Everything is started by [`Stack::start`], stopped when the value is dropped, and logs into a
//! folder of its own under `target/tollgate`.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;

use crate::backend::{Backend, local_url};
use crate::envoy_config::{self, AccessLog, EnvoyConfig};
use crate::envoy_process::{EnvoyCommand, Generation};
use crate::gateway::Gateway;
use crate::http_client::Client;
use crate::upstream::Upstream;
use crate::{envoy_binary, plugin_build, run_folder};

/// Which TCP ports a stack listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The gateway.
    pub gateway: u16,
    /// Envoy's admin interface.
    pub envoy_admin: u16,
    /// The policy server's filter API.
    pub policy_server: u16,
    /// The mock upstream.
    pub mock: u16,
    /// The policy server's admin API.
    pub admin: u16,
}

impl Ports {
    /// The documented ports of `up` and `demo`.
    pub const FIXED: Self =
        Self { gateway: 10_000, envoy_admin: 9901, policy_server: 8700, mock: 8701, admin: 8702 };

    /// Free ports, so that several stacks can run at once.
    pub const FREE: Self = Self { gateway: 0, envoy_admin: 0, policy_server: 0, mock: 0, admin: 0 };
}

/// The first process of a chain of hot restarts; nobody is there for it to replace.
const FIRST_GENERATION: Generation = Generation { epoch: 0, drain_s: 1, parent_shutdown_s: 2 };

/// File of [`StackOptions::further_access_log`] in the run's folder.
const FURTHER_ACCESS_LOG: &str = "further-access.log";

/// What a stack is made of. The default is what most tests want.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Ports.
    pub ports: Ports,
    /// Worker threads of each Envoy.
    pub concurrency: u32,
    /// How many Envoys share the policy server; further ones than the first take free ports.
    pub gateways: usize,
    /// Whether the Envoys can be replaced by hot restarts.
    pub hot_restart: bool,
    /// The port at which the Envoys reach the filter API; `None` for the policy server's own. For
    /// something in between that passes it on.
    pub filter_api_port: Option<u16>,
    /// The filter; `None` builds the one that ships.
    pub wasm_file: Option<PathBuf>,
    /// Further arguments of the Envoys.
    pub envoy_arguments: Vec<String>,
    /// Further environment variables of the policy server and the Envoys.
    pub environment: Vec<(String, String)>,
    /// SQLite file; `None` for a new one in the run's own folder, which is removed in time.
    pub database: Option<PathBuf>,
    /// Where requests go; `None` starts the mock upstream.
    pub upstream: Option<Upstream>,
    /// Credential that Envoy adds for the upstream.
    pub upstream_key: Option<String>,
    /// Configuration of the filter.
    pub filter_config: Value,
    /// Format of a further access log of each Envoy, see [`Stack::further_access_log`].
    pub further_access_log: Option<String>,
    /// Further arguments of `tollgate serve`.
    pub server_arguments: Vec<String>,
    /// The policy server; `None` builds the one that ships.
    pub server_binary: Option<PathBuf>,
    /// A command, given the policy server's own behind it, that becomes the policy server in the
    /// end; empty for none.
    pub server_launcher: Vec<String>,
    /// Whether the policy server keeps a journal, in the run's own folder.
    pub journal: bool,
    /// Whether our programs are built with optimisation.
    pub release: bool,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            ports: Ports::FREE,
            concurrency: 2,
            gateways: 1,
            hot_restart: false,
            filter_api_port: None,
            wasm_file: None,
            envoy_arguments: Vec::new(),
            environment: Vec::new(),
            database: None,
            upstream: None,
            upstream_key: None,
            filter_config: EnvoyConfig::default_filter_config(),
            further_access_log: None,
            server_arguments: Vec::new(),
            server_binary: None,
            server_launcher: Vec::new(),
            journal: false,
            release: false,
        }
    }
}

/// A running stack.
pub struct Stack {
    /// `http://127.0.0.1:PORT` of the gateway.
    pub gateway_url: String,
    /// Envoy's admin interface.
    pub envoy_admin_url: String,
    /// The policy server's filter API.
    pub policy_server_url: String,
    /// The policy server's admin API.
    pub admin_url: String,
    /// Where requests go: the mock upstream, unless another was given.
    pub upstream_url: String,
    /// The admin token, known only when the database was new.
    pub admin_token: Option<String>,
    /// Logs and configurations of this run.
    pub run_folder: PathBuf,
    // Dropped in this order: the proxies first, so that they do not see the others go.
    gateways: Vec<Gateway>,
    backend: Backend,
}

impl Stack {
    /// Builds what is needed, starts everything and waits until each part is ready.
    ///
    /// # Errors
    /// When a tool cannot be had, a build fails, a port is taken or a part does not become ready;
    /// what had been started is stopped.
    pub fn start(options: &StackOptions) -> anyhow::Result<Self> {
        anyhow::ensure!(options.gateways > 0, "a stack has at least one gateway");
        let envoy_binary = envoy_binary::find()?;
        let wasm_file = match &options.wasm_file {
            Some(file) => file.clone(),
            None => plugin_build::build()?.path,
        };
        let run_folder = run_folder::create()?;

        let backend = Backend::start(options, &run_folder)?;
        let credential_file = options
            .upstream_key
            .as_ref()
            .map(|key| {
                let file = run_folder.join("upstream-key.yaml");
                run_folder::write_private(&file, &envoy_config::credential_secret(key)?)?;
                anyhow::Ok(file)
            })
            .transpose()?;
        let config = EnvoyConfig {
            gateway_port: options.ports.gateway,
            admin_port: options.ports.envoy_admin,
            policy_server_port: options.filter_api_port.unwrap_or(backend.filter_port()),
            upstream: backend.upstream.clone(),
            wasm_file,
            filter_config: options.filter_config.clone(),
            credential_file,
            further_access_log: options.further_access_log.as_ref().map(|format| AccessLog {
                file: run_folder.join(FURTHER_ACCESS_LOG),
                format: format.clone(),
            }),
        };
        let command = EnvoyCommand {
            arguments: options.envoy_arguments.clone(),
            environment: options.environment.clone(),
            generation: options.hot_restart.then_some(FIRST_GENERATION),
            ..EnvoyCommand::new(envoy_binary, "envoy", options.concurrency, backend.filter_token())
        };
        let first = Gateway::start(command.clone(), config.clone(), &run_folder)?;
        let (gateway_url, envoy_admin_url) = (first.url.clone(), first.admin_url.clone());
        let mut gateways = vec![first];
        for number in 2..=options.gateways {
            let command = EnvoyCommand { name: format!("envoy-{number}"), ..command.clone() };
            let config = EnvoyConfig { gateway_port: 0, admin_port: 0, ..config.clone() };
            gateways.push(Gateway::start(command, config, &run_folder)?);
        }
        Ok(Self {
            gateway_url,
            envoy_admin_url,
            policy_server_url: local_url(backend.filter_port()),
            admin_url: local_url(backend.admin_port()),
            upstream_url: backend.upstream.to_string(),
            admin_token: backend.admin_token.clone(),
            run_folder,
            gateways,
            backend,
        })
    }

    /// The file of [`StackOptions::further_access_log`].
    #[must_use]
    pub fn further_access_log(&self) -> PathBuf {
        self.run_folder.join(FURTHER_ACCESS_LOG)
    }

    /// The token that filters show the policy server; for the environment of a further proxy.
    #[must_use]
    pub fn filter_token(&self) -> &str {
        self.backend.filter_token()
    }

    /// The first gateway as a client with this key sees it.
    #[must_use]
    pub fn gateway(&self, key: &str) -> Client {
        Client::new(&self.gateway_url, Some(key))
    }

    /// The Envoys.
    #[must_use]
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// The Envoys, to be killed and restarted.
    pub fn gateways_mut(&mut self) -> &mut [Gateway] {
        &mut self.gateways
    }

    /// The admin API, authorised.
    #[must_use]
    pub fn admin(&self) -> Client {
        Client::new(&self.admin_url, self.admin_token.as_deref())
    }

    /// The mock upstream's own interface (`/_mock/…`).
    #[must_use]
    pub fn mock(&self) -> Client {
        Client::new(&self.upstream_url, None)
    }

    /// The first Envoy's admin interface.
    #[must_use]
    pub fn envoy_admin(&self) -> Client {
        Client::new(&self.envoy_admin_url, None)
    }

    /// One value of the first Envoy's statistics; 0 for a counter that nothing has touched.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub fn envoy_stat(&self, name: &str) -> anyhow::Result<u64> {
        self.gateways.first().map_or(Ok(0), |gateway| gateway.stat(name))
    }

    /// Process ids by the names `envoy` (once for each), `policy_server` and `mock_upstream`.
    #[must_use]
    pub fn process_ids(&self) -> Vec<(&'static str, u32)> {
        let mut ids: Vec<_> = self.gateways.iter().map(|gateway| ("envoy", gateway.id())).collect();
        ids.push(("policy_server", self.backend.server.id()));
        ids.extend(self.backend.mock.as_ref().map(|mock| ("mock_upstream", mock.id())));
        ids
    }

    /// The name of a part that has ended by itself, if one has.
    #[must_use]
    pub fn ended_part(&self) -> Option<&'static str> {
        if !self.gateways.iter().all(Gateway::is_running) {
            return Some("envoy");
        }
        let mut parts = vec![("policy server", &self.backend.server)];
        parts.extend(self.backend.mock.as_ref().map(|mock| ("mock upstream", mock)));
        parts.into_iter().find(|(_, part)| !part.is_running()).map(|(name, _)| name)
    }

    /// Kills the policy server as a crash would.
    pub fn kill_server(&mut self) {
        self.backend.server.kill();
    }

    /// Ends the policy server in order.
    pub fn stop_server(&mut self) {
        self.backend.server.stop();
    }

    /// Starts the policy server again on the same ports and database, after it was ended.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart_server(&mut self) -> anyhow::Result<()> {
        self.restart_server_with(&[])
    }

    /// As [`Stack::restart_server`], with further environment variables for this life.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart_server_with(&mut self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        self.backend.restart_server(&self.run_folder, environment)
    }

    /// Waits until the policy server has ended by itself, and says how.
    ///
    /// # Errors
    /// When it goes on, or was ended by us.
    pub fn server_ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.backend.server.ended(limit)
    }

    /// The policy server's process id.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.backend.server.id()
    }

    /// The policy server's database file.
    #[must_use]
    pub fn database(&self) -> &Path {
        self.backend.database()
    }

    /// The policy server's journal, where one is kept.
    #[must_use]
    pub fn journal(&self) -> Option<&Path> {
        self.backend.journal()
    }
}
