//! The machine, played by scripts and by random sequences of events.

mod arrays;
mod canned;
mod scripts;
mod sequences;
