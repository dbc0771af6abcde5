//! The policy server with the places at which tests kill it.

use std::process::ExitCode;

fn main() -> ExitCode {
    policy_server::cli::main()
}
