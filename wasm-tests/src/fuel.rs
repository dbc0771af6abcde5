//! What a request costs, by phase, and the ceilings that it must stay under.
//!
//! Fuel, host calls and VM entries are deterministic where CPU time is not: the same artefact and
//! the same scenario give the same figures on every machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::trace::{Cost, Meter, Phase};

/// The rows of the table, in the order of a request, and the callbacks that each sums up.
const ROWS: &[(&str, &[Phase])] = &[
    ("request_headers", &[Phase::ContextCreate, Phase::RequestHeaders]),
    ("request_body", &[Phase::RequestBody]),
    ("request_trailers", &[Phase::RequestTrailers]),
    ("call_reply", &[Phase::CallReply]),
    ("response_headers", &[Phase::ResponseHeaders]),
    ("response_body", &[Phase::ResponseBody]),
    ("response_trailers", &[Phase::ResponseTrailers]),
    ("done", &[Phase::Log, Phase::Done, Phase::Delete]),
    ("tick", &[Phase::Tick]),
];

/// A ceiling on fuel leaves this much room in percent above what was measured when it was
/// written: another compiler release moves a few instructions, a new loop moves many.
const FUEL_HEADROOM_PERCENT: u64 = 10;

/// Ceilings on fuel are whole multiples of this.
const FUEL_STEP: u64 = 1_000;

/// A named script that is measured.
pub struct Scenario {
    /// Its name in the table and in the ceiling file.
    pub name: &'static str,
    /// Prepares a host, resets its meter, plays the measured part, and gives the meter back.
    pub measure: fn() -> Result<Meter>,
}

/// A cost, as it is measured and as a ceiling says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseCost {
    /// Wasm fuel: about one unit per instruction.
    pub fuel: u64,
    /// Host calls.
    pub host_calls: u64,
    /// Entries into the VM, allocations for returned data included.
    pub vm_entries: u64,
}

impl From<Cost> for PhaseCost {
    fn from(cost: Cost) -> Self {
        Self { fuel: cost.fuel, host_calls: cost.host_calls, vm_entries: cost.vm_entries }
    }
}

/// Costs by scenario and phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CostTable {
    /// Scenario, then phase, then cost. Phases that cost nothing are absent.
    pub scenarios: BTreeMap<String, BTreeMap<String, PhaseCost>>,
}

/// A cost above its ceiling, or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Which scenario.
    pub scenario: String,
    /// Which phase.
    pub phase: String,
    /// What was measured.
    pub measured: PhaseCost,
    /// What is allowed; none if the file says nothing of this phase.
    pub ceiling: Option<PhaseCost>,
}

/// Runs all scenarios, each twice: a scenario that does not repeat itself is an error.
pub fn measure(scenarios: &[Scenario]) -> Result<CostTable> {
    let mut table = CostTable::default();
    for scenario in scenarios {
        let run = || (scenario.measure)().with_context(|| format!("scenario {}", scenario.name));
        let meter = run()?;
        ensure!(meter == run()?, "scenario {} does not repeat itself", scenario.name);
        table.scenarios.insert(scenario.name.to_owned(), rows_of(&meter));
    }
    Ok(table)
}

fn rows_of(meter: &Meter) -> BTreeMap<String, PhaseCost> {
    let rows = ROWS.iter().map(|(name, phases)| (*name, meter.of_all(phases)));
    let present = rows.filter(|(_, cost)| cost.callbacks > 0);
    present.map(|(name, cost)| (name.to_owned(), PhaseCost::from(cost))).collect()
}

impl CostTable {
    /// Reads a ceiling file.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("reading ceilings")
    }

    /// Writes a ceiling file.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Ceilings for what was measured: fuel with headroom, the counts exactly.
    pub fn as_ceilings(&self) -> Self {
        let mut ceilings = self.clone();
        for phases in ceilings.scenarios.values_mut() {
            for cost in phases.values_mut() {
                let roomy = cost.fuel + cost.fuel * FUEL_HEADROOM_PERCENT / 100;
                cost.fuel = roomy.div_ceil(FUEL_STEP) * FUEL_STEP;
            }
        }
        ceilings
    }

    /// Everything that is above its ceiling or has none.
    pub fn excesses(&self, ceilings: &Self) -> Vec<Excess> {
        let mut found = Vec::new();
        for (scenario, phases) in &self.scenarios {
            for (phase, measured) in phases {
                let ceiling = ceilings.scenarios.get(scenario).and_then(|p| p.get(phase)).copied();
                let within = ceiling.is_some_and(|ceiling| {
                    measured.fuel <= ceiling.fuel
                        && measured.host_calls <= ceiling.host_calls
                        && measured.vm_entries <= ceiling.vm_entries
                });
                if !within {
                    found.push(Excess {
                        scenario: scenario.clone(),
                        phase: phase.clone(),
                        measured: *measured,
                        ceiling,
                    });
                }
            }
        }
        found
    }

    /// Scenarios and phases that have a ceiling but were not measured: a ceiling that holds
    /// nothing.
    pub fn unused(&self, ceilings: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (scenario, phases) in &ceilings.scenarios {
            for phase in phases.keys() {
                let measured = self.scenarios.get(scenario).and_then(|known| known.get(phase));
                if measured.is_none() {
                    found.push(format!("{scenario} / {phase}"));
                }
            }
        }
        found
    }

    /// A table for a reader, with the ceiling on fuel beside each figure.
    pub fn render(&self, ceilings: &Self) -> String {
        let mut out = String::new();
        for (scenario, phases) in &self.scenarios {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{scenario}");
            let _ = writeln!(
                out,
                "  {:<18} {:>10} {:>10} {:>11} {:>11}",
                "phase", "fuel", "ceiling", "host calls", "VM entries"
            );
            let mut sum = PhaseCost::default();
            let known = |row: &&(&str, &[Phase])| phases.contains_key(row.0);
            for (phase, _) in ROWS.iter().filter(known) {
                let cost = phases.get(*phase).copied().unwrap_or_default();
                let ceiling = ceilings.scenarios.get(scenario).and_then(|p| p.get(*phase));
                let ceiling = ceiling.map_or("none".to_owned(), |c| c.fuel.to_string());
                let _ = writeln!(
                    out,
                    "  {phase:<18} {:>10} {ceiling:>10} {:>11} {:>11}",
                    cost.fuel, cost.host_calls, cost.vm_entries
                );
                sum.fuel += cost.fuel;
                sum.host_calls += cost.host_calls;
                sum.vm_entries += cost.vm_entries;
            }
            let _ = writeln!(
                out,
                "  {:<18} {:>10} {:>10} {:>11} {:>11}\n",
                "total", sum.fuel, "", sum.host_calls, sum.vm_entries
            );
        }
        out
    }
}
