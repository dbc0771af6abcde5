//! Every number that Tollgate decides, as pure functions: no clock, no randomness, no environment.
//!
//! | question | module |
//! | --- | --- |
//! | Is this text an API key, and what is its digest? | [`api_key`] |
//! | What does a usage cost? | [`price`] |
//! | What could a call cost at most? | [`reservation`] |
//! | What is an ended call charged? | [`charge`] |
//! | Does a budget have room, and what became of granted money? | [`budget`] |
//! | What is left of a lease in its holder's hands? | [`held_lease`] |
//! | How much should a holder ask for? | [`demand`] |
//! | What does a lease get beyond its call? | [`mod@slice`] |
//! | Which period does an instant belong to? | [`period`] |
//! | Does a rate window have room? | [`window`] |
//! | Where are the permits of a window that all proxies share? | [`permits`] |
//! | What does a request ask for? | [`request`] |
//! | What did an answer use? | [`usage`] |
//! | How is JSON read byte by byte? | [`json`] |

pub mod api_key;
pub mod budget;
pub mod charge;
pub mod demand;
pub mod held_lease;
pub mod json;
pub mod period;
pub mod permits;
pub mod price;
pub mod request;
pub mod reservation;
pub mod slice;
mod unseen;
pub mod usage;
pub mod window;
