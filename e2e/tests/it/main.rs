//! The shipped filter in a real Envoy.

mod bad_input;
mod configuration;
mod documents;
mod endings;
mod ledger;
mod passing;
mod revocation;
mod sdk;
mod stream_end;
mod trailers;
mod windows;
