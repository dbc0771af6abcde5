//! How long Envoy takes from its start to ready, with the filter and without: what is between is
//! mostly the compilation of the module, which a proxy waits for at each start.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{filter, process_cpu};
use crate::envoy_process::EnvoyCommand;
use crate::{envoy_binary, plugin_build, run_folder};

/// What the module should add at most.
const MOST: Duration = Duration::from_millis(300);

/// How much is measured.
#[derive(Debug, clap::Args)]
pub struct StartupArguments {
    /// Rounds; the figures are medians over them.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=200))]
    rounds: u16,
    /// Worker threads of each Envoy. One compilation serves all of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
}

/// Starts Envoys in turn and prints the medians.
///
/// # Errors
/// When one does not start.
pub fn run(arguments: &StartupArguments) -> anyhow::Result<()> {
    let run_folder = run_folder::create()?;
    let plugin = plugin_build::build()?;
    let binary = envoy_binary::find()?;
    let idle = filter::write_idle_filter(&run_folder)?;
    // The filter calls nobody before its first request: the ports need no one behind them.
    let variants = [
        ("no filter", filter::bootstrap_of("no_filter", None)),
        ("filter that does nothing", filter::bootstrap_of("idle", Some(&idle))),
        ("Tollgate", filter::bootstrap_of("tollgate", Some(&plugin.path))),
    ];
    let mut taken = [const { Vec::new() }; 3];
    let mut worked = [const { Vec::new() }; 3];
    for round in 0..usize::from(arguments.rounds) {
        for turn in 0..variants.len() {
            let index = (round + turn) % variants.len();
            let (Some((name, config)), Some(times), Some(cpu)) =
                (variants.get(index), taken.get_mut(index), worked.get_mut(index))
            else {
                continue;
            };
            let name = format!("start-{}-{round}", name.replace(' ', "-"));
            let command =
                EnvoyCommand::new(binary.clone(), &name, arguments.concurrency, FILTER_TOKEN);
            let (time, used) = time_to_ready(&command, config, &run_folder)?;
            times.push(time);
            cpu.push(used);
        }
    }
    let medians = taken.map(median);
    let worked = worked.map(median);
    println!(
        "{:<26} {:>10} {:>10} {:>18}",
        "variant", "ready, ms", "more, ms", "processor, ms more"
    );
    let [base, _, tollgate] = medians;
    let [base_cpu, ..] = worked;
    for ((name, _), (median, cpu)) in variants.iter().zip(medians.into_iter().zip(worked)) {
        let more = median.saturating_sub(base).as_millis();
        let cpu = cpu.saturating_sub(base_cpu).as_millis();
        println!("{name:<26} {:>10} {more:>10} {cpu:>18}", median.as_millis());
    }
    println!("{} rounds, module of {} bytes", arguments.rounds, plugin.bytes);
    let more = tollgate.saturating_sub(base);
    let kept = if more <= MOST { "within" } else { "NOT within" };
    println!(
        "the module adds {} ms, {kept} the {} that are aimed at",
        more.as_millis(),
        MOST.as_millis()
    );
    Ok(())
}

/// Guards nothing: nobody is behind the port at which it would be shown.
const FILTER_TOKEN: &str = "bench-startup-token-0123456789abcdef";

/// Time until it is ready, and what its process has worked by then.
fn time_to_ready(
    command: &EnvoyCommand,
    config: &str,
    run_folder: &Path,
) -> anyhow::Result<(Duration, Duration)> {
    let begun = Instant::now();
    let started = command.start(config, run_folder)?;
    let taken = begun.elapsed();
    let used = process_cpu::used(started.process.id())?;
    Ok((taken, used))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_times_is_taken() {
        let millis =
            |times: &[u64]| median(times.iter().map(|ms| Duration::from_millis(*ms)).collect());
        assert_eq!(millis(&[9, 1, 5]), Duration::from_millis(5));
        assert_eq!(millis(&[]), Duration::ZERO);
    }
}
