//! `cargo xtask`: see `cargo xtask --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::bench::BenchArguments;
use xtask::fuzz::FuzzArguments;
use xtask::up::UpArguments;

/// Builds, runs, tests and benches Tollgate.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, play the story of a key and check every step.
    Demo,
    /// Run the whole stack until Ctrl-C.
    Up(UpArguments),
    /// Run every check and test that continuous integration runs.
    Test,
    /// Measure, as ratios taken side by side in one run.
    Bench(BenchArguments),
    /// Look for inputs that break what reads requests, answers and messages: `fuzz [TARGET] [MINUTES]`.
    Fuzz(FuzzArguments),
    /// Build the filter: target/tollgate/tollgate.wasm.
    BuildPlugin,
    /// Build the filter as an OCI image layout for registries: target/tollgate/oci.
    Oci,
    /// Check the workspace's own rules: dependency edges, file sizes, banned words.
    Tidy,
    /// Check licences, banned crates and sources of dependencies.
    Licences,
    /// Look for known vulnerabilities in dependencies; needs the network.
    Advisories,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo => xtask::demo::run(),
        Command::Up(arguments) => xtask::up::run(&arguments),
        Command::Test => xtask::checks::run(),
        Command::Bench(arguments) => xtask::bench::run(&arguments),
        Command::Fuzz(arguments) => xtask::fuzz::run_all(&arguments),
        Command::BuildPlugin => {
            let plugin = xtask::plugin_build::build()?;
            println!("{}  {} bytes  sha256 {}", plugin.path.display(), plugin.bytes, plugin.sha256);
            Ok(())
        }
        Command::Oci => xtask::oci_layout::run(),
        Command::Tidy => xtask::tidy::run(),
        Command::Licences => xtask::supply_chain::licences_and_sources(),
        Command::Advisories => xtask::supply_chain::advisories(),
    }
}
