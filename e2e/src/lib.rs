//! What the end-to-end tests share: a stack with an organisation, a model and keys in it.

mod fixture;
mod raw;

pub use fixture::{Fixture, MODEL, chat, streamed_chat};
pub use raw::raw_request;
