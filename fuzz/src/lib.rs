//! Everything of Tollgate that reads what others send, as functions of bytes. libFuzzer looks for
//! inputs that break them (`cargo xtask fuzz`); what it found, and a small corpus that reaches the
//! same code, is run by the tests of this crate, which need no instrumentation.
//!
//! A target returns where all is well and panics otherwise. It checks what it can beyond that: that
//! chunks make no difference, that what was read is what another parser reads, that an edited body
//! says what was charged for.

pub mod agreement;
mod input;
mod target;

pub use input::Input;

/// One function of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its folders under `corpus` and `findings`, and on the command line.
    pub name: &'static str,
    /// Runs it. Panics where an input breaks it.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "json", run: target::json::run },
    Target { name: "request_body", run: target::request_body::run },
    Target { name: "answer_stream", run: target::answer::run_stream },
    Target { name: "answer_document", run: target::answer::run_document },
    Target { name: "credentials", run: target::credentials::run },
    Target { name: "configuration", run: target::configuration::run },
    Target { name: "filter_api", run: target::filter_api::run },
    Target { name: "request_life", run: target::request_life::run },
];
