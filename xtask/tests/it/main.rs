//! What `cargo xtask` starts and writes, with the real programs.

mod reference_config;
mod running_stack;
