//! The targets.

pub(crate) mod answer;
pub(crate) mod configuration;
pub(crate) mod credentials;
pub(crate) mod filter_api;
pub(crate) mod json;
pub(crate) mod request_body;
