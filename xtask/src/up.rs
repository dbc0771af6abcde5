//! `cargo xtask up`: the whole stack on its documented ports, until Ctrl-C.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::envoy_config::EnvoyConfig;
use crate::stack::{Ports, Stack, StackOptions};
use crate::upstream::Upstream;
use crate::{process, run_folder, workspace};

/// How often the parts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Names of the filter's profiles.
const PROFILES: [&str; 4] = ["native", "privatemind", "mindproxy", "deltallm"];

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct UpArguments {
    /// Forward to this upstream, http(s)://host[:port][/base], instead of the mock one.
    #[arg(long, value_name = "URL")]
    upstream: Option<Upstream>,
    /// Envoy's worker threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
    /// SQLite database, sqlite:PATH or PATH, kept between runs [default: a new one for this run].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Which product's API surface the gateway shows (docs/profiles.md).
    #[arg(long, default_value = "native", value_parser = PROFILES)]
    profile: String,
    /// Environment variable that holds the upstream's key; Envoy adds it to allowed requests.
    #[arg(long, value_name = "NAME")]
    upstream_key_env: Option<String>,
}

impl UpArguments {
    fn options(&self) -> anyhow::Result<StackOptions> {
        let upstream_key = match &self.upstream_key_env {
            None => None,
            Some(name) => Some(std::env::var(name).with_context(|| {
                format!("--upstream-key-env names {name}, which is not set in the environment")
            })?),
        };
        Ok(StackOptions {
            ports: Ports::FIXED,
            concurrency: self.concurrency,
            database: self.database.as_deref().map(sqlite_path).transpose()?,
            upstream: self.upstream.clone(),
            upstream_key,
            filter_config: EnvoyConfig::filter_config_of_profile(&self.profile),
            ..StackOptions::default()
        })
    }
}

/// Runs the stack until a signal ends it or one of its parts ends by itself.
///
/// # Errors
/// When the stack does not start, or a part ends.
pub fn run(arguments: &UpArguments) -> anyhow::Result<()> {
    let stack = Stack::start(&arguments.options()?)?;
    let file = write_stack_file(&stack)?;
    println!("gateway        {}/v1/chat/completions", stack.gateway_url);
    println!("admin API      {}/admin/v1   console: {}/console", stack.admin_url, stack.admin_url);
    match &stack.admin_token {
        Some(token) => println!("admin token    {token}"),
        None => println!("admin token    as printed when the database was made"),
    }
    println!("filter API     {}", stack.policy_server_url);
    println!("Envoy admin    {}", stack.envoy_admin_url);
    println!("upstream       {}", stack.upstream_url);
    println!("logs           {}", stack.run_folder.display());
    println!("all of it in   {}", file.display());
    println!("Ctrl-C stops everything");
    loop {
        if let Some(part) = stack.ended_part() {
            let _ = std::fs::remove_file(&file);
            anyhow::bail!("the {part} ended by itself; see {}", stack.run_folder.display());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Writes `target/tollgate/stack.json`, for its owner only since it holds the admin token.
fn write_stack_file(stack: &Stack) -> anyhow::Result<PathBuf> {
    let pids: serde_json::Map<_, _> = stack
        .process_ids()
        .into_iter()
        .map(|(name, id)| (name.to_owned(), json!(id)))
        .chain([("xtask".to_owned(), json!(std::process::id()))])
        .collect();
    let text = json!({
        "gateway": stack.gateway_url,
        "envoy_admin": stack.envoy_admin_url,
        "policy_server": stack.policy_server_url,
        "admin": stack.admin_url,
        "admin_token": stack.admin_token,
        "upstream": stack.upstream_url,
        "pids": pids,
    });
    let path = workspace::work_dir()?.join("stack.json");
    process::remove_on_signal(&path);
    run_folder::write_private(&path, &format!("{text:#}\n"))?;
    Ok(path)
}

fn sqlite_path(text: &str) -> anyhow::Result<PathBuf> {
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    let path = path.strip_prefix("//").unwrap_or(path);
    anyhow::ensure!(
        !path.is_empty() && !path.contains("://"),
        "the database `{text}` is not available; give sqlite:PATH or a path"
    );
    // The server runs in another folder than the caller's shell may be in.
    Ok(std::path::absolute(Path::new(path))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_sqlite_files() {
        assert_eq!(sqlite_path("sqlite:/a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(sqlite_path("sqlite:///a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(sqlite_path("/a/b").unwrap(), PathBuf::from("/a/b"));
        assert!(sqlite_path("postgres://h/d").is_err());
        assert!(sqlite_path("sqlite:").is_err());
    }
}
