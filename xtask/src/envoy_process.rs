//! An Envoy of ours, from bootstrap text to ready.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::http_client::Client;
use crate::process::Process;

/// Longest time to become ready. Envoy compiles the filter, which takes a second on a quiet machine
/// and several on a loaded one.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How an Envoy is started, except for its configuration.
#[derive(Debug, Clone)]
pub struct EnvoyCommand {
    /// The program.
    pub binary: PathBuf,
    /// Names its process and its files; one name per Envoy of a run.
    pub name: String,
    /// Worker threads.
    pub concurrency: u32,
    /// The token that the filter shows the policy server.
    pub filter_token: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// Where this process stands in a chain of hot restarts; none: it takes no part in any.
    pub generation: Option<Generation>,
}

/// One process in a chain of hot restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Envoy's `--restart-epoch`: 0 is the first.
    pub epoch: u32,
    /// How long the predecessor drains its connections, in seconds.
    pub drain_s: u32,
    /// When the predecessor is told to end, in seconds; above `drain_s`.
    pub parent_shutdown_s: u32,
}

/// An Envoy that answers on its admin interface.
#[derive(Debug)]
pub struct StartedEnvoy {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:PORT` of its admin interface.
    pub admin_url: String,
}

impl EnvoyCommand {
    /// An Envoy that takes part in no hot restart.
    #[must_use]
    pub fn new(binary: PathBuf, name: &str, concurrency: u32, filter_token: &str) -> Self {
        Self {
            binary,
            name: name.to_owned(),
            concurrency,
            filter_token: filter_token.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            generation: None,
        }
    }

    /// Starts Envoy with this bootstrap text and waits until it is ready.
    ///
    /// # Errors
    /// When the configuration is refused or Envoy does not become ready; repeats the end of its
    /// log.
    pub fn start(&self, config: &str, run_folder: &Path) -> anyhow::Result<StartedEnvoy> {
        let name = &self.name;
        let config_file = run_folder.join(format!("{name}.yaml"));
        std::fs::write(&config_file, config)?;
        let address_file = run_folder.join(format!("{name}-admin-address"));
        // An earlier process of this name must not be taken for this one.
        let _ = std::fs::remove_file(&address_file);
        let mut command = Command::new(&self.binary);
        command
            .arg("--config-path")
            .arg(&config_file)
            .arg("--admin-address-path")
            .arg(&address_file)
            .args(["--concurrency", &self.concurrency.to_string()])
            .args(["--log-level", "warn"])
            .args(&self.arguments)
            .env("TOLLGATE_FILTER_TOKEN", &self.filter_token)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.add_generation(&mut command, run_folder)?;
        let mut process = Process::start(name, command, run_folder, |_| false)?;
        let mut admin_url = String::new();
        process.wait_until("ready", START_LIMIT, || {
            let Ok(address) = std::fs::read_to_string(&address_file) else { return false };
            admin_url = format!("http://{}", address.trim());
            Client::new(&admin_url, None).get("/ready").is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(StartedEnvoy { process, admin_url })
    }

    fn add_generation(&self, command: &mut Command, run_folder: &Path) -> anyhow::Result<()> {
        let Some(generation) = self.generation else {
            // Hot restart shares memory between Envoys by number; several run here at once.
            command.arg("--disable-hot-restart");
            return Ok(());
        };
        // The first process takes a free number and writes it down, its successors share it.
        let base_id_file = run_folder.join(format!("{}-base-id", self.name));
        if generation.epoch == 0 {
            command.arg("--use-dynamic-base-id").arg("--base-id-path").arg(&base_id_file);
        } else {
            let base_id = std::fs::read_to_string(&base_id_file)
                .context("the first Envoy has written no base id")?;
            command.args(["--base-id", base_id.trim()]);
        }
        command
            .args(["--restart-epoch", &generation.epoch.to_string()])
            .args(["--drain-time-s", &generation.drain_s.to_string()])
            .args(["--parent-shutdown-time-s", &generation.parent_shutdown_s.to_string()]);
        Ok(())
    }
}

impl StartedEnvoy {
    /// The port that the listener of this name is bound to.
    ///
    /// # Errors
    /// When Envoy does not answer or has no such listener.
    pub fn listener_port(&self, name: &str) -> anyhow::Result<u16> {
        let listeners =
            Client::new(&self.admin_url, None).get("/listeners?format=json")?.success()?.json();
        listeners["listener_statuses"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|listener| listener["name"] == name)
            .and_then(|listener| listener["local_address"]["socket_address"]["port_value"].as_u64())
            .and_then(|port| u16::try_from(port).ok())
            .with_context(|| format!("Envoy has no listener `{name}`"))
    }
}
