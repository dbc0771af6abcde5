//! What the end-to-end tests share: a stack with an organisation, a model and keys in it,
//! load on it, and both books of what the calls cost.

pub mod audit;
pub mod disk;
pub mod fault_proxy;
mod fixture;
pub mod load;
pub mod models;
pub mod operations;
pub mod outputs;
pub mod process_memory;
mod raw;
pub mod sdk_suites;
pub mod streaming;
mod vm_watch;

pub use fixture::{Fixture, MODEL, chat, chat_as, faulty_chat, streamed_chat, wait_within};
pub use raw::{RawAnswer, raw_request};
pub mod wall_clock;
