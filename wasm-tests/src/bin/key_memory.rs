//! Prints the memory of one VM after so many different keys, known ones and unknown ones.

use anyhow::{Context, Result, ensure};
use wasm_tests::key_memory::{MOST_BYTES, measure, measure_counted};

fn main() -> Result<()> {
    let most = match std::env::args().nth(1) {
        None => 1_000_000,
        Some(text) => text.parse().context("usage: key_memory [KEYS]")?,
    };
    let counts = [0, 10_000.min(most), most];
    println!("{:<8} {:>12} {:>14}", "keys", "seen", "memory, bytes");
    for (seen, bytes) in measure(&counts)? {
        for (count, bytes) in counts.iter().zip(&bytes) {
            println!("{:<8} {count:>12} {bytes:>14}", format!("{seen:?}"));
            ensure!(*bytes <= MOST_BYTES, "more than {MOST_BYTES} bytes");
        }
    }
    let entities = most.clamp(2, 100_000);
    let (each, bytes) = measure_counted(entities)?;
    println!(
        "{:<8} {entities:>12} {bytes:>14}; shared by all workers: {each:.0} for each",
        "Counted"
    );
    Ok(())
}
