//! The simulation as a test: many seeds without a violation, and a checker that has teeth.

mod news;
mod quiet;
mod seeds;
mod shares;
mod teeth;
mod usable;
