//! A whole Tollgate on loopback: policy server, mock upstream and a real Envoy with the real
//! filter.
//!
//! Everything is started by [`Stack::start`], stopped when the value is dropped, and logs into a
//! folder of its own under `target/tollgate`.

use std::path::PathBuf;

use serde_json::Value;

use crate::backend::{Backend, local_url};
use crate::envoy_config::{self, EnvoyConfig};
use crate::envoy_process::StartedEnvoy;
use crate::http_client::Client;
use crate::process::Process;
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

/// What a stack is made of. The default is what most tests want.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Ports.
    pub ports: Ports,
    /// Envoy's worker threads.
    pub concurrency: u32,
    /// SQLite file; `None` for a new one in the run's own folder, which is removed in time.
    pub database: Option<PathBuf>,
    /// Where requests go; `None` starts the mock upstream.
    pub upstream: Option<Upstream>,
    /// Credential that Envoy adds for the upstream.
    pub upstream_key: Option<String>,
    /// Configuration of the filter.
    pub filter_config: Value,
    /// Further arguments of `tollgate serve`.
    pub server_arguments: Vec<String>,
    /// Whether our programs are built with optimisation.
    pub release: bool,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            ports: Ports::FREE,
            concurrency: 2,
            database: None,
            upstream: None,
            upstream_key: None,
            filter_config: EnvoyConfig::default_filter_config(),
            server_arguments: Vec::new(),
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
    // Dropped in this order: the proxy first, so that it does not see the others go.
    envoy: Process,
    backend: Backend,
}

impl Stack {
    /// Builds what is needed, starts everything and waits until each part is ready.
    ///
    /// # Errors
    /// When a tool cannot be had, a build fails, a port is taken or a part does not become ready;
    /// what had been started is stopped.
    pub fn start(options: &StackOptions) -> anyhow::Result<Self> {
        let envoy_binary = envoy_binary::find()?;
        let plugin = plugin_build::build()?;
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
            policy_server_port: backend.filter_port(),
            upstream: backend.upstream.clone(),
            wasm_file: plugin.path,
            filter_config: options.filter_config.clone(),
            credential_file,
        };
        let envoy = StartedEnvoy::start(
            &envoy_binary,
            &config.render()?,
            options.concurrency,
            backend.filter_token(),
            &run_folder,
        )?;
        let gateway_port = envoy.listener_port("gateway")?;
        Ok(Self {
            gateway_url: local_url(gateway_port),
            envoy_admin_url: envoy.admin_url,
            policy_server_url: local_url(backend.filter_port()),
            admin_url: local_url(backend.admin_port()),
            upstream_url: backend.upstream.to_string(),
            admin_token: backend.admin_token.clone(),
            run_folder,
            envoy: envoy.process,
            backend,
        })
    }

    /// The gateway as a client with this key sees it.
    #[must_use]
    pub fn gateway(&self, key: &str) -> Client {
        Client::new(&self.gateway_url, Some(key))
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

    /// Envoy's admin interface.
    #[must_use]
    pub fn envoy_admin(&self) -> Client {
        Client::new(&self.envoy_admin_url, None)
    }

    /// One value of Envoy's statistics; 0 for a counter that nothing has touched.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub fn envoy_stat(&self, name: &str) -> anyhow::Result<u64> {
        let text = self.envoy_admin().get("/stats")?.success()?.body;
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
            .unwrap_or(0))
    }

    /// Process ids by the names `envoy`, `policy_server` and `mock_upstream`.
    #[must_use]
    pub fn process_ids(&self) -> Vec<(&'static str, u32)> {
        let mut ids = vec![("envoy", self.envoy.id()), ("policy_server", self.backend.server.id())];
        ids.extend(self.backend.mock.as_ref().map(|mock| ("mock_upstream", mock.id())));
        ids
    }

    /// The name of a part that has ended by itself, if one has.
    #[must_use]
    pub fn ended_part(&self) -> Option<&'static str> {
        let mut parts = vec![("envoy", &self.envoy), ("policy server", &self.backend.server)];
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
        self.backend.restart_server(&self.run_folder)
    }

    /// Kills Envoy as a crash would: every holder in it is lost.
    pub fn kill_envoy(&mut self) {
        self.envoy.kill();
    }
}
