//! The life of one request and of one VM of the filter, as a pure state machine.
//!
//! A driver (the plugin, a test, the simulation) owns one [`Gate`] per VM. For each event it calls
//! [`Gate::handle`] with the time, the shared memory and an [`Input`], then carries out every
//! [`Output`] in order. After request inputs it asks [`Gate::holds`] whether the request must wait.
//!
//! Nothing here calls a host, reads a clock or draws a random number.

mod catalogue;
pub mod config;
pub mod credential;
mod dialect;
mod dry_run;
mod exchange;
pub mod header_filter;
mod host_abilities;
mod id_hash;
mod instant;
mod io;
mod key_cache;
mod link;
mod machine;
mod media_type;
pub mod message;
mod model_list;
pub mod observation;
mod outbox;
mod percent_encoding;
mod policy_calls;
mod pool;
mod profile;
mod rate_headers;
mod refusal;
mod repetition;
mod route;
mod running_calls;
#[cfg(feature = "testing")]
pub mod testing;
mod trace_parent;
mod url_query;
mod usage_page;
mod user_key;
mod windows;

pub use dialect::Dialect;
pub use host_abilities::{HostAbilities, HostKind};
pub use io::{
    Call, CallId, Headers, Input, Now, Output, Reply, SharedMemory, SharedMemoryFailed, StreamId,
};
pub use machine::{Gate, Token};
pub use metering::request::{BodyEdit, apply_edits};
pub use profile::{Profile, Voice};
pub use refusal::Refusal;
