//! The policy server as its clients see it: in process, over its two routers, with a clock that
//! the tests move. What happens before a router exists is tested on the binary itself.

#![allow(clippy::disallowed_methods, reason = "tests measure how long answers take")]

mod admin;
mod aliases;
mod audit;
mod backup;
mod broken_disk;
mod changes;
mod command_line;
mod command_line_people;
mod document;
mod entitlement;
mod entitlement_commands;
mod exhausted;
#[cfg(feature = "failpoints")]
mod failpoints;
mod fences;
mod filter;
mod full_disk;
mod group_commit;
mod interleavings;
mod journal;
mod key_commands;
mod key_fields;
mod key_lists;
mod key_secrets;
mod keys;
mod ledger;
mod levels;
mod lost_sessions;
mod many_holders;
mod model_bounds;
mod parked;
mod people;
mod permission_page;
mod permission_table;
mod permit_runs;
mod permits;
mod personal_tokens;
mod plan_prices;
mod plans;
mod prices;
mod process;
mod recall;
mod removals;
mod requests;
mod restart;
mod restore;
mod self_service;
mod sight;
mod slices;
mod suspension;
mod tables;
mod terms;
mod usage;
mod user_keys;
mod wallets;
mod world;
