//! The machine, played by scripts and by random sequences of events.

mod arrays;
mod body_parts;
mod canned;
mod configuration_page;
mod examples;
mod host_sequences;
mod observed;
mod queue;
mod reload;
mod running_calls;
mod scripts;
mod sequences;
mod shadow;
mod signs_of_life;
