//! The gateway in the place of other products, through a real Envoy: a test for each thing that a
//! client of theirs can see, named after its row in `docs/profiles.md`. Each walks the three products
//! at once; one stack per product serves all of them.

mod access;
mod answers;
mod keys;
mod limits;
mod models;
mod money;
mod page;
mod stage;

pub use stage::{Product, Profile, walk};
