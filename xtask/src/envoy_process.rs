//! An Envoy of ours, from bootstrap text to ready.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::http_client::Client;
use crate::process::Process;

/// Longest time to become ready. Envoy compiles the filter, which takes a second on a quiet machine
/// and several on a loaded one.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An Envoy that answers on its admin interface.
pub struct StartedEnvoy {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:PORT` of its admin interface.
    pub admin_url: String,
}

impl StartedEnvoy {
    /// Starts Envoy with this bootstrap text and waits until it is ready.
    ///
    /// # Errors
    /// When the configuration is refused or Envoy does not become ready; repeats the end of its
    /// log.
    pub fn start(
        binary: &Path,
        config: &str,
        concurrency: u32,
        filter_token: &str,
        run_folder: &Path,
    ) -> anyhow::Result<Self> {
        let config_file = run_folder.join("envoy.yaml");
        std::fs::write(&config_file, config)?;
        let address_file = run_folder.join("envoy-admin-address");
        let mut command = Command::new(binary);
        command
            .arg("--config-path")
            .arg(&config_file)
            .arg("--admin-address-path")
            .arg(&address_file)
            .args(["--concurrency", &concurrency.to_string()])
            // Hot restart shares memory between Envoys by number; several run here at once.
            .arg("--disable-hot-restart")
            .args(["--log-level", "warn"])
            .env("TOLLGATE_FILTER_TOKEN", filter_token);
        let mut process = Process::start("envoy", command, run_folder, |_| false)?;
        let mut admin_url = String::new();
        process.wait_until("ready", START_LIMIT, || {
            let Ok(address) = std::fs::read_to_string(&address_file) else { return false };
            admin_url = format!("http://{}", address.trim());
            Client::new(&admin_url, None).get("/ready").is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(Self { process, admin_url })
    }

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
