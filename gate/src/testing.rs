//! Text scripts for the machine.
