//! `simulate --seed 7 [--verbose]` replays one world; `simulate --seeds 0..1000` searches many.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use clap::Parser;
use simulation::{Mutation, Outcome, Tally};

/// Lines before the end that are printed for a failing seed.
const LAST_LINES: usize = 60;

/// Runs filters and server in virtual time and checks what must always hold.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Run this seed.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, as `from..until`.
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Break something on purpose, as `StoppedClock`.
    #[arg(long, value_parser = mutation)]
    mutation: Option<Mutation>,
    /// Print every event of the run.
    #[arg(long)]
    verbose: bool,
    /// Do not stop at the first seed that fails: print one line for each.
    #[arg(long)]
    keep_going: bool,
}

fn mutation(name: &str) -> Result<Mutation, String> {
    let known = Mutation::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name);
    known.ok_or_else(|| format!("none of {:?}", Mutation::ALL))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, until) = text.split_once("..").ok_or("is not of the form from..until")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    Ok(number(from)?..number(until)?)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let seeds = match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds,
        (None, None) => 0..0,
    };
    let (tally, failed) = search(seeds.clone(), arguments.mutation, arguments.keep_going)?;
    println!("{} seeds: {tally:?}", seeds.end.saturating_sub(seeds.start));
    if arguments.keep_going {
        for outcome in failed.values() {
            println!("{} # {:?}", outcome.replay_command(), outcome.violation);
        }
        return Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(outcome) = failed.values().next() {
        return show(outcome.seed, arguments.mutation, arguments.verbose)
            .map(|()| ExitCode::FAILURE);
    }
    if arguments.verbose && seeds.end.saturating_sub(seeds.start) == 1 {
        show(seeds.start, arguments.mutation, true)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What all runs together met, and those that failed, by seed.
type Found = (Tally, BTreeMap<u64, Outcome>);

/// Runs the seeds on every core, until one fails or to the end.
fn search(
    seeds: Range<u64>,
    mutation: Option<Mutation>,
    keeps_going: bool,
) -> anyhow::Result<Found> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Found> = Mutex::default();
    std::thread::scope(|scope| {
        let search = || -> anyhow::Result<()> {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return Ok(());
                }
                let outcome = simulation::run(seed, mutation, false)
                    .with_context(|| format!("seed {seed} cannot be run"))?;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.0.add(&outcome.tally);
                if outcome.violation.is_some() {
                    found.1.insert(seed, outcome);
                    if !keeps_going {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(search)).collect();
        for thread in threads {
            match thread.join() {
                Ok(done) => done?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        anyhow::Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs a seed again and prints its events.
fn show(seed: u64, mutation: Option<Mutation>, all: bool) -> anyhow::Result<()> {
    let outcome = simulation::run(seed, mutation, true)?;
    let skipped = if all { 0 } else { outcome.log.len().saturating_sub(LAST_LINES) };
    for line in outcome.log.iter().skip(skipped) {
        println!("{line}");
    }
    if let Some(violation) = &outcome.violation {
        println!("seed {seed}: {violation}");
        println!("{}", outcome.replay_command());
    }
    Ok(())
}
