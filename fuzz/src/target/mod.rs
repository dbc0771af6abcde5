//! The targets.

pub(crate) mod answer;
pub(crate) mod configuration;
pub(crate) mod credentials;
pub(crate) mod filter_api;
pub(crate) mod json;
mod policy_server;
pub(crate) mod request_body;
pub(crate) mod request_life;
