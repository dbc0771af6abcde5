//! The policy server: the authority over keys, organisations, prices, budgets and the ledger.
//!
//! | question | module |
//! | --- | --- |
//! | What does the server do with a message? | [`app`]: steps over one transaction |
//! | Which models may a key call, and why not another? | [`entitlement`] |
//! | What is remembered, and how? | [`store`] |
//! | Who is alive and has heard of what? | [`live`] |
//! | Which money has been asked back? | [`recalls`] |
//! | In which order are writes made durable? | [`writer`], over an [`engine`] |
//! | When does a budget start afresh, and when is somebody told? | [`schedule`], [`alerts`] |
//! | Who may do what? | [`permissions`]: one table |
//! | Who fails to sign in too often? | [`attempts`] |
//! | Which refusals have a line of the audit? | [`refusals`] |
//! | How does HTTP say it? | [`http`] |
//! | How many connections are there, and how slow may they be? | [`connections`] |
//! | Where do time and randomness come from? | [`clock`] |
//! | Who is told of events, and how? | [`webhooks`] |
//! | How is it started and administered? | [`serve`], [`cli`] |
//! | What becomes of a database that was copied back? | [`restore`] |
//! | How is a lost admin token replaced? | [`admin_token`] |
//!
//! [`build`] puts it together without opening a port, so that tests mount the two routers in their
//! own process and move the clock by hand.

pub mod admin_token;
pub mod alerts;
pub mod app;
pub mod attempts;
mod build;
pub mod cli;
pub mod clock;
pub mod connections;
pub mod engine;
pub mod entitlement;
mod failpoint;
pub mod http;
pub mod live;
pub mod metrics;
pub mod permissions;
pub mod recalls;
pub mod refusals;
pub mod restore;
pub mod schedule;
pub mod serve;
pub mod settings;
pub mod store;
mod time_range;
pub mod traces;
pub mod webhooks;
pub mod writer;

pub use build::{App, StartError, build};
