//! Memory of a process, as the kernel counts it.

use anyhow::Context;

/// The most memory that a process has had so far, in bytes (`VmHWM`).
///
/// # Errors
/// When there is no such process.
pub fn peak_bytes(id: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("no VmHWM")?.trim().parse::<u64>()? * 1024)
}
