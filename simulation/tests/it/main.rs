//! The simulation as a test: many seeds without a violation, and a checker that has teeth.

mod seeds;
mod teeth;
mod usable;
