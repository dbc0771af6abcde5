//! The machine, played by scripts and by random sequences of events.

mod scripts;
mod sequences;
