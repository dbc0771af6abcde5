//! Whether a VM of the filter has died in an Envoy: by Envoy's own statistics and by its log.

use std::path::Path;

use xtask::gateway::Gateway;

use crate::outputs;

/// Counters that only a dead VM raises: Envoy builds it anew at the next request, or fails to.
const COUNTERS: [&str; 4] = ["vm_reload", "runtime_error", "vm_failed", "crash"];

/// What Envoy logs of a trap; the counters follow only at the next request.
const TRAPS: [&str; 2] = ["Uncaught RuntimeError", "Proxy-Wasm plugin in-VM backtrace"];

/// What the statistics of a running Envoy say of dead VMs.
///
/// # Errors
/// When it does not answer, or shows no VM at all: then its word counts for nothing.
pub fn counted(gateway: &Gateway) -> anyhow::Result<Vec<String>> {
    let stats = gateway.admin().get("/stats")?.success()?.body;
    anyhow::ensure!(stats.contains("wasm.envoy.wasm.runtime.v8.active"), "no VM: {stats}");
    let raised = stats.lines().filter(|line| {
        line.contains("wasm")
            && COUNTERS.iter().any(|word| line.contains(word))
            && !line.ends_with(": 0")
    });
    Ok(raised.map(str::to_owned).collect())
}

/// What the logs of a run say of dead VMs, of every Envoy in it, also those that have ended.
///
/// # Errors
/// When a file cannot be read.
pub fn logged(run_folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in outputs::files(run_folder)? {
        if file.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = std::fs::read(&file)?;
        let text = String::from_utf8_lossy(&text);
        let of_traps = text.lines().filter(|line| TRAPS.iter().any(|trap| line.contains(trap)));
        lines.extend(of_traps.map(str::to_owned));
    }
    Ok(lines)
}
