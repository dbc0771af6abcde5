//! What attempts to use up memory, connections or time do to Envoy, to the policy server and to other
//! users, on the shipped configuration.
//!
//! Each attack runs a few times. Envoy says what it has allocated, and the kernel what it occupies, which is
//! more: the allocator keeps what it gets back. Memory is flat where nothing stays allocated. Attackers,
//! upstream and the other users share the machine with what is attacked, so a ratio of latencies says at
//! least as much of the machine as of the gateway. So the same attack runs once more on the same Envoy with
//! a filter that does nothing: only the difference is the filter's.

mod attacks;
mod others;
mod upstream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use self::attacks::{Attack, Tally, Target};
use self::others::Seen;
use super::filter::write_idle_filter;
use super::load::Shot;
use crate::http_client::Client;
use crate::stack::{Stack, StackOptions};
use crate::upstream::Upstream;

/// How much is tried.
#[derive(Debug, clap::Args)]
pub struct ExhaustionArguments {
    /// Seconds of each round of an attack.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=60))]
    seconds: u64,
    /// Rounds of each attack.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Connections that the attacks hold which hold many.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    held: u16,
    /// Calls that the attacker's key may have running at once, in each Envoy; 0 for no limit of its own.
    #[arg(long, default_value_t = 0)]
    concurrent: u32,
    /// Leaves out the same attack on an Envoy whose filter does nothing. That one holds every stream, with
    /// two files for each in Envoy and two here: 10,000 of them need a limit of more than 20,000 files.
    #[arg(long)]
    without_control: bool,
    /// Only attacks whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Builds the policy server with optimisation.
    #[arg(long)]
    release: bool,
}

/// What one attack did.
struct Outcome {
    before: Memory,
    most_mib: u64,
    /// Behind each round.
    after: Vec<Memory>,
    server_mib: (u64, u64),
    quiet: Seen,
    during: Seen,
    /// The same on an Envoy whose filter does nothing.
    control: Option<(Seen, Seen)>,
    tally: Tally,
}

/// Memory of Envoy in MiB.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    /// What the kernel counts.
    resident: u64,
    /// What its allocator has given out, as its admin interface says.
    allocated: u64,
    /// What is resident beside the allocator's: above all the memory of the VMs, which they never give back.
    beside: u64,
}

/// Runs the attacks and prints what they did.
///
/// # Errors
/// When a part does not start, one needs more memory than it may, or another user's request fails.
pub fn run(arguments: &ExhaustionArguments) -> anyhow::Result<()> {
    let upstream = Upstream::local(upstream::start()?);
    let options = StackOptions {
        upstream: Some(upstream),
        release: arguments.release,
        ..StackOptions::default()
    };
    let stack = Stack::start(&options)?;
    let idle = write_idle_filter(&stack.run_folder)?;
    let passive = Stack::start(&StackOptions { wasm_file: Some(idle), ..options })?;
    let (key, others_key) = keys(&stack, arguments.concurrent)?;
    let held = usize::from(arguments.held);
    let aim = |stack: &Stack| {
        let port = stack.gateway_url.rsplit(':').next().context("a gateway without port")?;
        let target = Target { port: port.parse()?, key: key.clone(), held };
        let plain = attacks::body_of(upstream::PLAIN, false);
        let shot = Shot::post(target.port, "/v1/chat/completions", &others_key, &plain);
        // The first requests warm the workers' caches.
        let _ = quietly(&shot, Duration::from_secs(1));
        anyhow::Ok((target, shot))
    };
    let (guarded, control) = (aim(&stack)?, aim(&passive)?);
    let time = Duration::from_secs(arguments.seconds);

    println!(
        "{:<24} {:>31} {:>10} {:>9} {:>14} {:>22} {:>22} answers",
        "attack",
        "Envoy before/most/rounds, MiB",
        "allocated",
        "VMs etc.",
        "server, MiB",
        "others' p99, ms: ratio",
        "without the filter"
    );
    let mut problems = Vec::new();
    for attack in attacks::ALL.iter().filter(|attack| attack.name.contains(&arguments.only)) {
        let control = Some(&control).filter(|_| !arguments.without_control);
        let outcome = endure(&stack, attack, &guarded, control, (time, arguments.rounds))?;
        println!("{}", line(attack.name, &outcome));
        problems.extend(problems_of(attack, held, &outcome));
    }
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

/// Keys of the attacker, who may have so many calls running, and of the others.
fn keys(stack: &Stack, concurrent: u32) -> anyhow::Result<(String, String)> {
    let admin = stack.admin();
    let org = json!({"name": "Exhaustion", "models": ["*"]});
    admin.put("/admin/v1/orgs/exhaustion", &org)?.success()?;
    for model in upstream::MODELS {
        let model_card = json!({
            "input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.60",
            "context_length": 128_000, "max_output_tokens": 16_384,
        });
        admin.put(&format!("/admin/v1/models/{model}"), &model_card)?.success()?;
    }
    let make = |name: &str, concurrent: u32| {
        let limits: Vec<_> = (concurrent > 0)
            .then(|| json!({"unit": "concurrent", "max": concurrent, "scope": "proxy"}))
            .into_iter()
            .collect();
        let key = json!({
            "org": "exhaustion", "name": name, "limits": limits,
            "budget": {"usd": "1000000.00", "period": "none"},
        });
        let made = admin.post("/admin/v1/keys", &key)?.success()?.json();
        made["key"].as_str().map(str::to_owned).context("a new key has no secret")
    };
    Ok((make("attacker", concurrent)?, make("other", 0)?))
}

fn quietly(shot: &Shot, time: Duration) -> Seen {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| others::run(shot, &stop));
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        others.join().unwrap_or_default()
    })
}

fn endure(
    stack: &Stack,
    attack: &Attack,
    (target, shot): &(Target, Shot),
    control: Option<&(Target, Shot)>,
    (time, rounds): (Duration, u8),
) -> anyhow::Result<Outcome> {
    let ids: BTreeMap<_, _> = stack.process_ids().into_iter().collect();
    let envoy = *ids.get("envoy").context("no Envoy")?;
    let server = *ids.get("policy_server").context("no server")?;
    let quiet = quietly(shot, time);
    let memory = || memory_of(stack, envoy);
    let (before, server_before) = (memory()?, resident_mib(server)?);
    let stop = AtomicBool::new(false);
    let (during, rounds, most_mib) = std::thread::scope(|scope| {
        let others = scope.spawn(|| others::run(shot, &stop));
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !stop.load(Ordering::Relaxed) {
                most = most.max(resident_mib(envoy).unwrap_or_default());
                std::thread::sleep(Duration::from_millis(100));
            }
            most
        });
        let rounds: Vec<_> = (0..rounds)
            .map(|_| {
                let tally = (attack.run)(target, Instant::now() + time);
                // What was held is let go.
                std::thread::sleep(Duration::from_secs(1));
                (tally, memory())
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        (others.join().unwrap_or_default(), rounds, watch.join().unwrap_or_default())
    });
    let control = control.map(|control| bear(attack, control, time));
    let mut tally = Tally::new();
    let mut after = Vec::new();
    for (part, memory) in rounds {
        after.push(memory?);
        for (outcome, count) in part {
            *tally.entry(outcome).or_default() += count;
        }
    }
    Ok(Outcome {
        before,
        most_mib,
        after,
        server_mib: (server_before, resident_mib(server)?),
        quiet,
        during,
        control,
        tally,
    })
}

/// What others see before an attack and during one round of it.
fn bear(attack: &Attack, (target, shot): &(Target, Shot), time: Duration) -> (Seen, Seen) {
    let quiet = quietly(shot, time);
    let stop = AtomicBool::new(false);
    let during = std::thread::scope(|scope| {
        let others = scope.spawn(|| others::run(shot, &stop));
        (attack.run)(target, Instant::now() + time);
        stop.store(true, Ordering::Relaxed);
        others.join().unwrap_or_default()
    });
    // What was held is let go before the next attack.
    std::thread::sleep(Duration::from_secs(1));
    (quiet, during)
}

fn line(name: &str, outcome: &Outcome) -> String {
    let answers: Vec<_> =
        outcome.tally.iter().map(|(outcome, count)| format!("{count} × {outcome}")).collect();
    let joined = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("/");
    let resident = outcome.after.iter().map(|memory| memory.resident);
    let resident: Vec<u64> =
        [outcome.before.resident, outcome.most_mib].into_iter().chain(resident).collect();
    let memory = joined(&resident);
    let behind = outcome.after.last().copied().unwrap_or_default();
    let allocated = joined(&[outcome.before.allocated, behind.allocated]);
    let beside = joined(&[outcome.before.beside, behind.beside]);
    let server = format!("{}/{}", outcome.server_mib.0, outcome.server_mib.1);
    let others = change(&outcome.quiet, &outcome.during);
    let control = outcome.control.as_ref().map(|(quiet, during)| change(quiet, during));
    let control = control.unwrap_or_default();
    let answers = answers.join(", ");
    format!(
        "{name:<24} {memory:>31} {allocated:>10} {beside:>9} {server:>14} {others:>22} {control:>22} {answers}"
    )
}

fn change(quiet: &Seen, during: &Seen) -> String {
    let ms = |seen: &Seen| seen.p99().as_secs_f64() * 1e3;
    let (quiet, during) = (ms(quiet), ms(during));
    format!("{quiet:.1} to {during:.1}: {:.1}", during / quiet.max(0.001))
}

/// What may stay allocated behind all rounds, in MiB: connections to the upstream that wait for their
/// next request, and statistics of what was seen for the first time.
const KEPT_MIB: u64 = 8;
/// What may stay beside that, in MiB: each of the two workers' VMs keeps the room for the longest body that
/// it has changed, and for the changed one.
const KEPT_BESIDE_MIB: u64 = 48;

fn problems_of(attack: &Attack, held: usize, outcome: &Outcome) -> Vec<String> {
    let name = attack.name;
    let mut problems = Vec::new();
    let more = outcome.most_mib.saturating_sub(outcome.before.resident);
    let most = attack.most_mib_with(held);
    if more > most {
        problems.push(format!("{name}: Envoy needs {more} MiB more, at most {most}"));
    }
    let behind = outcome.after.last().copied().unwrap_or_default();
    let kept = behind.allocated.saturating_sub(outcome.before.allocated);
    if kept > KEPT_MIB {
        problems.push(format!("{name}: {kept} MiB stay allocated"));
    }
    let kept = behind.beside.saturating_sub(outcome.before.beside);
    if kept > KEPT_BESIDE_MIB {
        problems.push(format!("{name}: VMs keep {kept} MiB"));
    }
    if let (failed @ 1.., why) = &outcome.during.failed {
        let why = why.as_deref().unwrap_or_default();
        problems.push(format!("{name}: {failed} requests of others failed: {why}"));
    }
    problems
}

fn memory_of(stack: &Stack, envoy: u32) -> anyhow::Result<Memory> {
    let said = Client::new(&stack.envoy_admin_url, None).get("/memory")?.success()?.json();
    let mib = |name: &str| {
        let bytes = said[name].as_str().with_context(|| format!("Envoy does not say {name}"))?;
        anyhow::Ok(bytes.parse::<u64>()? >> 20)
    };
    let resident = resident_mib(envoy)?;
    let beside = resident.saturating_sub(mib("total_physical_bytes")?);
    Ok(Memory { resident, allocated: mib("allocated")?, beside })
}

/// Memory that a process has in use, in MiB.
fn resident_mib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kib.parse::<u64>()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_failures_of_others_are_problems() {
        let attack = attacks::ALL.first().unwrap();
        let memory = |resident, allocated| Memory { resident, allocated, beside: 40 };
        let outcome = |most_mib, allocated, failed| Outcome {
            before: memory(100, 50),
            most_mib,
            after: vec![memory(105, 70), memory(110, allocated)],
            server_mib: (20, 20),
            quiet: Seen::default(),
            during: Seen { latencies: Vec::new(), failed: (failed, None) },
            control: None,
            tally: Tally::new(),
        };
        assert!(problems_of(attack, 0, &outcome(100 + attack.most_mib, 58, 0)).is_empty());
        assert_eq!(problems_of(attack, 0, &outcome(101 + attack.most_mib, 58, 0)).len(), 1);
        assert_eq!(problems_of(attack, 0, &outcome(110, 59, 0)).len(), 1);
        assert_eq!(problems_of(attack, 0, &outcome(110, 58, 1)).len(), 1);
        let mut keeps = outcome(110, 58, 0);
        keeps.after.push(Memory { beside: 41 + KEPT_BESIDE_MIB, ..Memory::default() });
        assert_eq!(problems_of(attack, 0, &keeps).len(), 1);
        let holds = Attack { held_kib: 512, ..*attack };
        assert!(problems_of(&holds, 20, &outcome(110 + attack.most_mib, 58, 0)).is_empty());
        assert_eq!(problems_of(&holds, 20, &outcome(111 + attack.most_mib, 58, 0)).len(), 1);
    }
}
