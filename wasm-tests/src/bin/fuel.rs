//! Prints what requests cost in wasm fuel, host calls and VM entries, and compares with the
//! ceilings. `--write` makes new ceilings from what is measured now.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wasm_tests::fuel::{CostTable, measure};
use wasm_tests::{CEILINGS_FILE, SCENARIOS};
use wasm_tests::{answer_memory, scan};

fn main() -> Result<ExitCode> {
    let write = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--write") => true,
        Some(other) => bail!("unknown argument {other}; usage: fuel [--write]"),
    };
    let path = Path::new(CEILINGS_FILE);
    let table = measure(SCENARIOS)?;
    if write {
        std::fs::write(path, table.as_ceilings().to_json()?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading {}; `--write` makes it", path.display()))?;
    let ceilings = CostTable::from_json(&text)?;
    print!("{}", table.render(&ceilings));
    let excesses = table.excesses(&ceilings);
    for excess in &excesses {
        let (scenario, phase) = (&excess.scenario, &excess.phase);
        println!("above: {scenario} / {phase}: {:?}, {:?}", excess.measured, excess.ceiling);
    }
    let unused = table.unused(&ceilings);
    for ceiling in &unused {
        println!("not measured any more: {ceiling}");
    }
    let scanned = scan::measure_all()?;
    println!("\n{}", scan::render(&scanned));
    let dear: Vec<_> = scanned.iter().filter(|scanned| !scanned.is_within()).collect();
    for scanned in &dear {
        println!("above: {scanned:?}");
    }
    let mut needed = Vec::new();
    for form in answer_memory::FORMS {
        for bytes in [10_000, 100_000_000] {
            needed.push(form.measure(bytes)?);
        }
    }
    println!("{}", answer_memory::render(&needed));
    let fine = dear.is_empty() && excesses.is_empty() && unused.is_empty();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
