//! Processor time that a process has used, all of its threads together.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// Unit of `/proc/PID/stat`: Linux shows user space a hundred ticks a second whatever the kernel
/// uses.
const TICK: Duration = Duration::from_millis(10);

/// Processor time used so far by the threads that live now: in nanoseconds where the kernel keeps
/// them (`schedstat`), else in ticks of 10 ms.
///
/// # Errors
/// When there is no such process, or no `/proc`.
pub fn used(process: u32) -> anyhow::Result<Duration> {
    let folder = Path::new("/proc").join(process.to_string());
    match exact(&folder) {
        Some(used) if !used.is_zero() => Ok(used),
        _ => ticks(&folder).with_context(|| format!("no processor time of process {process}")),
    }
}

fn exact(folder: &Path) -> Option<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(folder.join("task")).ok()?.flatten() {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

fn ticks(folder: &Path) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(folder.join("stat"))?;
    // The name in parentheses may hold spaces; `utime` and `stime` are fields 14 and 15.
    let fields = text.rsplit_once(')').context("an unknown form of stat")?.1;
    let ticks: u32 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().context("an unknown form of stat"))
        .sum::<anyhow::Result<u32>>()?;
    Ok(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn work_shows_in_both_ways_of_reading() {
        let own = std::process::id();
        let folder = Path::new("/proc/self");
        let (before, ticks_before) = (used(own).unwrap(), ticks(folder).unwrap());
        let until = Instant::now() + Duration::from_millis(300);
        let mut x = 1_u64;
        while Instant::now() < until {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(used(own).unwrap() >= before + Duration::from_millis(50));
        assert!(ticks(folder).unwrap() >= ticks_before + Duration::from_millis(50));
    }
}
