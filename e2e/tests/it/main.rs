//! The shipped filter in a real Envoy.

mod bad_input;
mod clock_step;
mod cluster_windows;
mod configuration;
mod disconnects;
mod disk_full;
mod documents;
mod endings;
mod envoy_held_up;
mod envoy_killed;
mod exact_budget;
mod hot_key;
mod hot_restart;
mod ledger;
mod levels;
mod passing;
mod restored;
mod revocation;
mod sdk;
mod second_server;
mod server_killed;
mod server_unreachable;
mod stream_end;
mod trailers;
mod vm_trap;
mod windows;
