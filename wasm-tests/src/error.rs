//! What can go wrong while a script runs.

use thiserror::Error;

/// Why the host could not do a step. A step that fails for any of these reasons is a finding.
#[derive(Debug, Error)]
pub enum HostError {
    /// The module needs something that this proxy does not offer, or is no proxy-wasm module.
    #[error("the module does not load: {0}")]
    Load(String),
    /// The filter refused its configuration.
    #[error("on_configure answered false; last log lines: {0:?}")]
    ConfigurationRefused(Vec<String>),
    /// The filter refused to start.
    #[error("on_vm_start answered false; last log lines: {0:?}")]
    StartRefused(Vec<String>),
    /// The guest trapped. The VM is dead from now on.
    #[error("trap in {phase}: {message}; last log lines: {logs:?}")]
    Trapped {
        /// The callback in which it happened.
        phase: &'static str,
        /// The runtime's description.
        message: String,
        /// The last lines that the guest logged; a panic message is usually among them.
        logs: Vec<String>,
    },
    /// The VM trapped earlier or was killed.
    #[error("the VM is dead: {0}")]
    DeadVm(String),
    /// No such stream: it never was, or its record was dropped.
    #[error("no stream with context id {0}")]
    UnknownStream(u32),
    /// No such pending call-out.
    #[error("no pending call-out {0}")]
    UnknownCall(u64),
    /// Replies lead to ever more calls without time passing.
    #[error("call-outs do not settle: {0} rounds without an end")]
    Unsettled(usize),
    /// A step that makes no sense for the stream's state.
    #[error("script error: {0}")]
    Script(String),
}
