//! Builds, runs, tests and benches Tollgate: `cargo xtask --help`.
//!
//! The library part lets end-to-end tests start the same [`stack`] that `up` and `demo` start.
//!
//! It knows none of Tollgate's crates: it builds and runs them as any user would, so what it shows
//! is what ships. It installs nothing outside the target directory, except where a system package
//! is the last way to a tool (see [`wasm_toolchain`]).

pub mod backend;
pub mod bench;
pub mod binaries;
pub mod checks;
pub mod demo;
pub mod envoy_binary;
pub mod envoy_config;
pub mod envoy_process;
pub mod fewer_functions;
pub mod fuzz;
pub mod gateway;
pub mod http_client;
pub mod indirect_calls;
pub mod node_packages;
pub mod oci_layout;
pub mod plugin_build;
pub mod process;
pub mod python_env;
pub mod run_command;
pub mod run_folder;
pub mod stack;
pub mod supply_chain;
pub mod system_packages;
pub mod tidy;
pub mod up;
pub mod upstream;
pub mod wasm_toolchain;
pub mod workspace;
