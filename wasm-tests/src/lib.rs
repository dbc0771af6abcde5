//! A proxy-wasm host on wasmtime that runs the filter exactly as it ships.
//!
//! A [`Host`] is one simulated proxy process: virtual time, shared data, clusters, environment.
//! A [`Vm`] is one worker's instance of the module; several share a host as Envoy's workers do.
//! An [`Exchange`] drives one HTTP stream step by step and tells what the upstream and the client
//! have received. Everything is per instance, nothing sleeps, nothing opens a socket.
//!
//! What this host accepts and a real proxy does not would be a bug of this host. So it follows
//! Envoy's rules to the letter (see `filter_manager`), and records as a [`Violation`] whatever a
//! real proxy bears only by luck.
//!
//! It deliberately does not judge the filter's decisions: that is for the tests.

mod abi;
pub mod answer_memory;
mod callout;
mod error;
mod exchange;
mod faults;
mod filter_manager;
pub mod fuel;
mod fuel_scenarios;
mod gateway;
mod headers;
mod host;
mod host_state;
pub mod key_memory;
mod list_scan;
mod memory;
mod metrics;
mod module;
mod mounted_router;
mod nginx_phases;
mod profile;
pub mod scan;
mod shared_data;
mod status;
mod stream;
mod stream_end;
mod trace;
mod violation;
mod vm;
mod vm_core;
mod vm_state;

pub use callout::{Answer, CallId, CallOut, CallReply, Server};
pub use error::HostError;
pub use exchange::{Exchange, MessageEnd, RequestScript};
pub use faults::{Effect, FaultHandle, Race};
pub use fuel_scenarios::SCENARIOS;
pub use gateway::{FILTER_TOKEN, Gateway, MintedKey, POLICY_CLUSTER};
pub use headers::HeaderMap;
pub use host::Host;
pub use host_state::LogLine;
pub use module::{ARTEFACT_VARIABLE, WasmModule};
pub use mounted_router::{Begun, LongPoll, LongPollRule, Mount, MountedRouter, TimeHook};
pub use profile::{
    Carriage, ENVOY_DEFAULT_BUFFER_LIMIT_BYTES, Ending, HeadersEnd, Profile, Recovery, Support,
};
pub use shared_data::SharedData;
pub use status::Status;
pub use stream::Received;
pub use trace::{Cost, Event, Meter, Phase, Trace, TraceLevel};
pub use violation::{Violation, ViolationKind};
pub use vm::{Vm, VmOptions};
pub use vm_state::PluginNames;

/// The file with the ceilings that the costs of a request must stay under.
pub const CEILINGS_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuel-ceilings.json");
