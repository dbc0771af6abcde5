//! `cargo xtask bench`: figures as ratios between variants that are measured side by side in one
//! run, since the machine's own speed moves more than what is measured.

mod exhaustion;
mod filter;
mod filter_report;
mod fuel;
mod keys;
mod load;
mod memory;
pub mod process_cpu;
mod startup;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Instructions and host calls per request in the wasm machine; the same on every run.
    Fuel {
        /// Passed on to the measuring program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Memory of one VM after 0, 10,000 and a million different keys.
    Memory {
        /// Passed on to the measuring program: how many keys.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Start of a real Envoy until it is ready: without a filter, with one that does nothing, Tollgate.
    Load(startup::StartupArguments),
    /// Create, resolve, list, search and revoke among a million keys, set against a thousand.
    Keys {
        /// Passed on to the measuring program: `--many`, `--few`, `--rounds`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Attempts to use up memory, connections or time, on a real Envoy and server, and what other users feel.
    Exhaustion(exhaustion::ExhaustionArguments),
    /// Real Envoy, one worker: no filter, native filters, a filter that does nothing, Tollgate.
    Filter(filter::FilterArguments),
}

/// Runs one benchmark, or all of them.
///
/// # Errors
/// When a part does not start or answers wrongly.
pub fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    match &arguments.what {
        Some(What::Fuel { arguments }) => fuel::run(arguments),
        Some(What::Memory { arguments }) => memory::run(arguments),
        Some(What::Load(arguments)) => startup::run(arguments),
        Some(What::Keys { arguments }) => keys::run(arguments),
        Some(What::Exhaustion(arguments)) => exhaustion::run(arguments),
        Some(What::Filter(arguments)) => filter::run(arguments),
        None => {
            fuel::run(&[])?;
            filter::run(&filter::FilterArguments::default())
        }
    }
}
