//! One Envoy of a stack: its addresses, and the ways in which it can be made to fail.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::backend::local_url;
use crate::envoy_config::EnvoyConfig;
use crate::envoy_process::{EnvoyCommand, Generation, StartedEnvoy};
use crate::http_client::Client;
use crate::process::Process;

/// A running Envoy with the filter in it.
#[derive(Debug)]
pub struct Gateway {
    /// `http://127.0.0.1:PORT` where clients come in.
    pub url: String,
    /// Envoy's admin interface.
    pub admin_url: String,
    command: EnvoyCommand,
    config: EnvoyConfig,
    run_folder: PathBuf,
    envoy: StartedEnvoy,
    /// Processes that a hot restart has replaced; each ends by itself when it has drained.
    predecessors: Vec<Process>,
}

impl Gateway {
    /// Starts an Envoy and waits until it is ready.
    ///
    /// # Errors
    /// When the configuration is refused, a port is taken or Envoy does not become ready.
    pub fn start(
        command: EnvoyCommand,
        mut config: EnvoyConfig,
        run_folder: &Path,
    ) -> anyhow::Result<Self> {
        let envoy = command.start(&config.render()?, run_folder)?;
        // Whatever is started in its place has the same addresses.
        config.gateway_port = envoy.listener_port("gateway")?;
        config.admin_port = port_of(&envoy.admin_url)?;
        Ok(Self {
            url: local_url(config.gateway_port),
            admin_url: envoy.admin_url.clone(),
            command,
            config,
            run_folder: run_folder.to_owned(),
            envoy,
            predecessors: Vec::new(),
        })
    }

    /// The gateway as a client with this key sees it.
    #[must_use]
    pub fn client(&self, key: &str) -> Client {
        Client::new(&self.url, Some(key))
    }

    /// Envoy's admin interface.
    #[must_use]
    pub fn admin(&self) -> Client {
        Client::new(&self.admin_url, None)
    }

    /// One value of Envoy's statistics; 0 for a counter that nothing has touched.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub fn stat(&self, name: &str) -> anyhow::Result<u64> {
        let text = self.admin().get("/stats")?.success()?.body;
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
            .unwrap_or(0))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.envoy.process.id()
    }

    /// Whether the process still runs; one that is held up does.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.envoy.process.is_running()
    }

    /// Kills Envoy as a crash would: every holder in it is lost.
    pub fn kill(&mut self) {
        self.envoy.process.kill();
    }

    /// Ends Envoy in order.
    pub fn stop(&mut self) {
        self.envoy.process.stop();
    }

    /// Holds all its threads up (SIGSTOP), as a suspended machine would.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.envoy.process.pause()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.envoy.process.resume()
    }

    /// Starts Envoy again on the same ports, after it was ended.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.envoy.process.stop();
        self.envoy = self.command.start(&self.config.render()?, &self.run_folder)?;
        Ok(())
    }

    /// Starts a successor beside the running process, which hands over its listening sockets,
    /// drains for `drain_s` seconds and is ended after `parent_shutdown_s` seconds. The stack must
    /// have been started for hot restarts.
    ///
    /// # Errors
    /// When the successor does not become ready.
    pub fn hot_restart(&mut self, drain_s: u32, parent_shutdown_s: u32) -> anyhow::Result<()> {
        let present = self.command.generation.context("the stack is not made for hot restarts")?;
        let epoch = present.epoch + 1;
        self.command.generation = Some(Generation { epoch, drain_s, parent_shutdown_s });
        let successor = self.command.start(&self.config.render()?, &self.run_folder)?;
        let replaced = std::mem::replace(&mut self.envoy, successor);
        self.predecessors.push(replaced.process);
        Ok(())
    }

    /// How many processes that were replaced by a hot restart still run.
    #[must_use]
    pub fn running_predecessors(&self) -> usize {
        self.predecessors.iter().filter(|process| process.is_running()).count()
    }
}

fn port_of(url: &str) -> anyhow::Result<u16> {
    url.rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .with_context(|| format!("`{url}` names no port"))
}
