//! The mock upstream over real sockets: what its clients see, and whether its count agrees.

mod answers;
mod dialects;
mod faults;
mod server;
