//! `cargo xtask demo`: the story of a few keys, played against the real thing and checked step by
//! step.

mod money;
mod step;
mod story;

use std::time::Instant;

use crate::stack::{Ports, Stack, StackOptions};
use step::Script;

/// Starts a stack, plays the story, prints every step.
///
/// # Errors
/// When the stack does not start, or names how many steps differed.
pub fn run() -> anyhow::Result<()> {
    let started = Instant::now();
    println!("building and starting: policy server, mock upstream, Envoy with the filter");
    let stack = Stack::start(&StackOptions { ports: Ports::FIXED, ..StackOptions::default() })?;
    println!(
        "started after {:.1} s; gateway {}",
        started.elapsed().as_secs_f64(),
        stack.gateway_url
    );

    let mut script = Script::default();
    let begun = Instant::now();
    story::play(&stack, &mut script)?;
    println!("\n{}; the story took {:.1} s", script.summary(), begun.elapsed().as_secs_f64());
    if script.failed() > 0 {
        anyhow::bail!("{} steps differed; logs in {}", script.failed(), stack.run_folder.display());
    }
    Ok(())
}
