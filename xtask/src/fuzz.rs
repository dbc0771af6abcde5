//! `cargo xtask fuzz`: libFuzzer on the targets of the crate `fuzz`, whatever they are: each has a
//! folder of its name under `fuzz/corpus`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::run_command::{output, run, run_for};
use crate::workspace;

/// What makes LLVM count which code an input reaches, and which comparisons it nearly passes: what
/// libFuzzer needs to choose inputs. The stable compiler knows these flags.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Longest input in bytes: longer ones take longer and reach nothing that a short one does not.
const LONGEST_INPUT: usize = 1024;
/// Longest time for one input in seconds; all of them together take milliseconds.
const LONGEST_RUN: u64 = 10;
/// Most memory in MiB.
const MOST_MEMORY: u64 = 2048;
/// So much longer than it was told may a run take until it is ended, with its corpus read first.
const GRACE: Duration = Duration::from_secs(120);

/// What to fuzz.
#[derive(Debug, clap::Args)]
pub struct FuzzArguments {
    /// One target; all of them, one after the other, where none is named.
    target: Option<String>,
    /// Minutes for each target.
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Afterwards, keep in `fuzz/corpus` the fewest inputs that reach all code reached so far.
    #[arg(long)]
    merge: bool,
}

/// What became of one target.
#[derive(Debug)]
struct Outcome {
    target: String,
    executions: String,
    findings: Vec<PathBuf>,
    problem: Option<anyhow::Error>,
}

/// Builds the fuzzer and runs it. What breaks a target is copied to `fuzz/findings`, where every
/// test run tries it again.
///
/// # Errors
/// When it cannot be built, or something was found.
pub fn run_all(arguments: &FuzzArguments) -> anyhow::Result<()> {
    let known = targets()?;
    let chosen = match &arguments.target {
        Some(name) => {
            anyhow::ensure!(known.contains(name), "no target `{name}`; there are {known:?}");
            vec![name.clone()]
        }
        None => known,
    };
    let program = build()?;
    let mut outcomes = Vec::new();
    for target in chosen {
        println!("==> {target}, {} min", arguments.minutes);
        let outcome = fuzz(&program, &target, arguments.minutes)?;
        if arguments.merge && outcome.problem.is_none() {
            merge(&program, &target)?;
        }
        outcomes.push(outcome);
    }
    println!("\n{:<24} {:>16}  findings", "target", "executions");
    for outcome in &outcomes {
        println!("{:<24} {:>16}  {}", outcome.target, outcome.executions, outcome.findings.len());
        for finding in &outcome.findings {
            println!("  {}", finding.display());
        }
        if let Some(problem) = &outcome.problem {
            println!("  {problem:#}");
        }
    }
    let is_clean = |one: &Outcome| one.findings.is_empty() && one.problem.is_none();
    anyhow::ensure!(outcomes.iter().all(is_clean), "something was found");
    Ok(())
}

fn folder(kind: &str) -> PathBuf {
    workspace::root().join("fuzz").join(kind)
}

fn targets() -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder("corpus")).context("no folder fuzz/corpus")?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Its own target directory: the flags differ from those of every other build.
fn build() -> anyhow::Result<PathBuf> {
    let compilers = ["c++", "g++", "clang++"];
    anyhow::ensure!(
        std::env::var_os("CXX").is_some()
            || compilers.iter().any(|name| workspace::on_path(name).is_some()),
        "libFuzzer needs a C++ compiler (Debian: `apt-get install g++`)"
    );
    let version = output(Command::new("rustc").arg("-vV"), "rustc -vV")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say for which machine it is")?;
    let directory = workspace::target_dir().join("fuzz");
    let mut command = Command::new(workspace::cargo());
    command
        .current_dir(workspace::root())
        .args(["build", "--package", "fuzz", "--bin", "fuzz", "--features", "libfuzzer"])
        .args(["--profile", "fuzz", "--locked"])
        // Named, so that the flags are not for build scripts too.
        .args(["--target", host, "--target-dir"])
        .arg(&directory)
        .env("RUSTFLAGS", COVERAGE.join(" "));
    run(&mut command, "building the fuzzer")?;
    Ok(directory.join(host).join("fuzz/fuzz"))
}

fn made(path: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

/// Where a target's own inputs grow, under the target directory.
fn working(kind: &str, target: &str) -> anyhow::Result<PathBuf> {
    made(workspace::target_dir().join("fuzz").join(kind).join(target))
}

fn command(program: &Path, target: &str) -> Command {
    let mut command = Command::new(program);
    command.env("TOLLGATE_FUZZ_TARGET", target).args([
        format!("-max_len={LONGEST_INPUT}"),
        format!("-timeout={LONGEST_RUN}"),
        format!("-rss_limit_mb={MOST_MEMORY}"),
    ]);
    let dictionary = folder("dictionaries").join(format!("{target}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command
}

fn fuzz(program: &Path, target: &str, minutes: u64) -> anyhow::Result<Outcome> {
    let seconds = minutes.saturating_mul(60);
    let artifacts = working("artifacts", target)?;
    let log = workspace::target_dir().join("fuzz").join(format!("{target}.log"));
    let mut command = command(program, target);
    command
        .arg(working("corpus", target)?)
        .arg(folder("corpus").join(target))
        .arg(made(folder("findings").join(target))?)
        .args([format!("-max_total_time={seconds}"), "-print_final_stats=1".to_owned()])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .stderr(Stdio::from(std::fs::File::create(&log)?));
    let limit = Duration::from_secs(seconds).saturating_add(GRACE);
    let problem = run_for(&mut command, &format!("fuzzing {target}"), limit).err();
    let problem = problem.map(|problem| problem.context(format!("see {}", log.display())));
    Ok(Outcome {
        target: target.to_owned(),
        executions: executions(&log)?,
        findings: keep(&artifacts, &folder("findings").join(target))?,
        problem,
    })
}

fn executions(log: &Path) -> anyhow::Result<String> {
    let mut text = Vec::new();
    std::fs::File::open(log)?.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let count = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Ok(count.unwrap_or("?").trim().to_owned())
}

/// Moves what broke a target to where tests find it.
fn keep(artifacts: &Path, findings: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(artifacts)?.flatten() {
        let bytes = std::fs::read(entry.path())?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let file = findings.join(digest.get(..16).unwrap_or(&digest));
        std::fs::write(&file, bytes)?;
        std::fs::remove_file(entry.path())?;
        kept.push(file);
    }
    Ok(kept)
}

/// Whole files only, and only for code that they reach: how often it is reached matters to the
/// search, and would make thousands of files.
fn merge(program: &Path, target: &str) -> anyhow::Result<()> {
    let smallest = workspace::target_dir().join("fuzz/merged").join(target);
    if smallest.exists() {
        std::fs::remove_dir_all(&smallest)?;
    }
    let corpus = folder("corpus").join(target);
    let mut command = command(program, target);
    command
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .arg(made(smallest.clone())?)
        .arg(&corpus)
        .arg(working("corpus", target)?)
        .stderr(Stdio::null());
    run_for(&mut command, &format!("merging the corpus of {target}"), GRACE)?;
    for entry in std::fs::read_dir(&corpus)?.flatten() {
        std::fs::remove_file(entry.path())?;
    }
    for entry in std::fs::read_dir(&smallest)?.flatten() {
        std::fs::copy(entry.path(), corpus.join(entry.file_name()))?;
    }
    Ok(())
}
