//! The policy server and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    policy_server::cli::main()
}
