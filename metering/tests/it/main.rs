//! Answers of every dialect, from files, at every split; what they cost; what reading them holds.

mod answers;
mod cost_table;

mod every_fixture;
mod held_bytes;
mod odd_reports;
mod tool_uses;
