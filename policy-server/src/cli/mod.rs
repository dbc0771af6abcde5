//! The command line: `tollgate serve`, and the admin API as commands.

mod client;
mod commands;
#[cfg(test)]
mod configuration_page;
mod doctor;
mod download;
mod memory_image;
mod offline;
mod table;
mod webhooks;

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use tracing_subscriber::EnvFilter;

use self::client::{Client, ClientError};
use self::commands::{
    AliasCommand, AuditCommand, BudgetCommand, ExportArgs, GroupCommand, KeyCommand, MeCommand,
    ModelCommand, OrgCommand, PlanCommand, RequestCommand, ServiceAccountCommand, SettingsCommand,
    StatusArgs, TeamCommand, TokenCommand, UsageArgs, UserCommand, WalletCommand, WebhookCommand,
};
use self::doctor::DoctorArgs;
use self::offline::{AdminTokenCommand, BackupArgs, RestoreArgs};
use self::webhooks::WebhookArgs;
use crate::http::document;
use crate::live::SessionTimes;
use crate::serve::serve;
use crate::settings::{FilterToken, KeepRequests, Listen, Settings, UserKeyLifetime};

/// A wrong command or setting, as clap itself answers.
const EXIT_USAGE: u8 = 2;

/// The key that was tested may not call.
const EXIT_MAY_NOT_CALL: u8 = 3;

/// Tollgate's policy server and its administration.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; filters authenticate by TOLLGATE_FILTER_TOKEN.
    Serve(ServeArgs),
    /// Copy a database, also while the server runs.
    Backup(BackupArgs),
    /// Make a database that was copied back safe to serve from.
    Restore(RestoreArgs),
    /// The token of the platform's administrator; the server must not run.
    #[command(subcommand)]
    AdminToken(AdminTokenCommand),
    /// Print what the admin API takes and answers, as an OpenAPI document.
    Openapi,
    /// Organisations.
    #[command(subcommand, alias = "org")]
    Orgs(OrgCommand),
    /// Models and prices.
    #[command(subcommand, alias = "model")]
    Models(ModelCommand),
    /// Aliases that point at the current best model.
    #[command(subcommand, alias = "alias")]
    Aliases(AliasCommand),
    /// Access groups: labels of models, granted together.
    #[command(subcommand, alias = "group")]
    Groups(GroupCommand),
    /// Plans: models and a multiple of their prices.
    #[command(subcommand, alias = "plan")]
    Plans(PlanCommand),
    /// API keys.
    #[command(subcommand, alias = "key")]
    Keys(KeyCommand),
    /// Budgets of all levels.
    #[command(subcommand, alias = "budget")]
    Budgets(BudgetCommand),
    /// The request log.
    #[command(subcommand, visible_alias = "records", aliases = ["request", "record"])]
    Requests(RequestCommand),
    /// Sums of use, by key, user, team, organisation, model or day.
    Usage(UsageArgs),
    /// Teams, their members, and what their keys share: a budget, limits, models.
    #[command(subcommand, alias = "team")]
    Teams(TeamCommand),
    /// People, and what their keys share: a budget, models.
    #[command(subcommand, alias = "user")]
    Users(UserCommand),
    /// Owners of a team's keys that never sign in.
    #[command(subcommand, alias = "service-account")]
    ServiceAccounts(ServiceAccountCommand),
    /// Personal tokens, by which people and scripts sign in.
    #[command(subcommand, alias = "token")]
    Tokens(TokenCommand),
    /// Whoever signs in: own tokens and own keys.
    #[command(subcommand)]
    Me(MeCommand),
    /// Who did what, and who tried.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Settings of the server.
    #[command(subcommand, alias = "setting")]
    Settings(SettingsCommand),
    /// Prepaid money of organisations.
    #[command(subcommand, alias = "wallet")]
    Wallets(WalletCommand),
    /// Whom organisations want told of events.
    #[command(subcommand, alias = "webhook")]
    Webhooks(WebhookCommand),
    /// Write keys and models as the configuration of filters without a server.
    Export(ExportArgs),
    /// Check a deployment from here: the server, its database, a gateway, its Envoy.
    Doctor(DoctorArgs),
    /// Counts of the server: live proxies, open leases, and what went wrong.
    Status(StatusArgs),
    /// Print a script by which a shell completes commands and options.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Database file; made at the first start.
    #[arg(long, env = "TOLLGATE_DATABASE", default_value = "tollgate.sqlite")]
    database: PathBuf,
    /// Journal file, meant for another disk; made where absent. With it and a backup nothing that
    /// was answered is lost with the database's disk.
    #[arg(long, env = "TOLLGATE_JOURNAL")]
    journal: Option<PathBuf>,
    /// Address of the filter API.
    #[arg(long, env = "TOLLGATE_FILTER_LISTEN", default_value = "127.0.0.1:8700")]
    filter_listen: SocketAddr,
    /// Address of the admin API.
    #[arg(long, env = "TOLLGATE_ADMIN_LISTEN", default_value = "127.0.0.1:8702")]
    admin_listen: SocketAddr,
    /// Address of `/metrics` for Prometheus, which needs no token; without it there is none.
    #[arg(long, env = "TOLLGATE_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// Collector of traces, as http://127.0.0.1:4318: spans of requests whose trace is kept go there
    /// (OTLP over HTTP, JSON).
    #[arg(long, env = "TOLLGATE_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    otlp_endpoint: Option<String>,
    /// Allow addresses that other machines can reach.
    #[arg(long)]
    listen_anywhere: bool,
    /// How long a filter that is cut off may go on, in milliseconds.
    #[arg(long, default_value_t = SessionTimes::default().ttl_ms,
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    session_ttl_ms: u64,
    /// The same for a filter in a proxy without timers, which hears of a change only when it asks: how
    /// long a revoked key may still be used there, in milliseconds.
    #[arg(long, default_value_t = SessionTimes::default().pull_ttl_ms,
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pull_session_ttl_ms: u64,
    /// For how many days the request log is kept, and leases that have ended. Sums by day are kept for ever.
    #[arg(long, env = "TOLLGATE_KEEP_REQUESTS_DAYS", default_value_t = KeepRequests::default().days,
          value_parser = clap::value_parser!(u32)
              .range(i64::from(KeepRequests::SHORTEST_DAYS)..=i64::from(KeepRequests::LONGEST_DAYS)))]
    keep_requests_days: u32,
    #[command(flatten)]
    webhooks: WebhookArgs,
    /// How long user keys live that keys are exchanged for, in seconds.
    #[arg(long, env = "TOLLGATE_USER_KEY_LIFETIME_S",
          default_value_t = UserKeyLifetime::default().seconds,
          value_parser = clap::value_parser!(u32)
              .range(i64::from(UserKeyLifetime::SHORTEST_S)..=i64::from(UserKeyLifetime::LONGEST_S)))]
    user_key_lifetime_s: u32,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => run_server(args),
        Command::Backup(args) => finish(args.run()),
        Command::Restore(args) => finish(args.run()),
        Command::AdminToken(command) => finish(command.run()),
        Command::Openapi => finish(Ok::<_, Infallible>(document().to_owned())),
        Command::Orgs(command) => administer(|client| command.run(client)),
        Command::Models(command) => administer(|client| command.run(client)),
        Command::Aliases(command) => administer(|client| command.run(client)),
        Command::Groups(command) => administer(|client| command.run(client)),
        Command::Plans(command) => administer(|client| command.run(client)),
        Command::Keys(command) => administer(|client| command.run(client)),
        Command::Requests(command) => administer(|client| command.run(client)),
        Command::Usage(args) => administer(|client| args.run(client)),
        Command::Budgets(command) => administer(|client| command.run(client)),
        Command::Teams(command) => administer(|client| command.run(client)),
        Command::Users(command) => administer(|client| command.run(client)),
        Command::ServiceAccounts(command) => administer(|client| command.run(client)),
        Command::Tokens(command) => administer(|client| command.run(client)),
        Command::Me(command) => administer(|client| command.run(client)),
        Command::Audit(command) => administer(|client| command.run(client)),
        Command::Settings(command) => administer(|client| command.run(client)),
        Command::Wallets(command) => administer(|client| command.run(client)),
        Command::Webhooks(command) => administer(|client| command.run(client)),
        Command::Export(args) => administer(|client| args.run(client)),
        Command::Doctor(args) => {
            let report = args.run();
            let _ = writeln!(std::io::stdout(), "{}", report.text);
            if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Command::Status(args) => administer(|client| args.run(client)),
        Command::Completion { shell } => {
            let _ = std::io::stdout().write_all(&completion(shell));
            ExitCode::SUCCESS
        }
    }
}

fn completion(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tollgate", &mut script);
    script
}

fn administer(run: impl FnOnce(&Client) -> Result<String, ClientError>) -> ExitCode {
    match Client::from_environment().and_then(|client| run(&client)) {
        Err(error @ ClientError::MayNotCall { .. }) => {
            if let ClientError::MayNotCall { report, .. } = &error {
                let _ = writeln!(std::io::stdout(), "{report}");
            }
            complain(&error, ExitCode::from(EXIT_MAY_NOT_CALL))
        }
        outcome => finish(outcome),
    }
}

fn finish(outcome: Result<String, impl std::error::Error>) -> ExitCode {
    match outcome {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            // A closed pipe (`tollgate keys list | head`) is no failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, ExitCode::FAILURE),
    }
}

fn run_server(args: ServeArgs) -> ExitCode {
    let usage = ExitCode::from(EXIT_USAGE);
    if let Err(error) = memory_image::withhold() {
        return complain(&error, ExitCode::FAILURE);
    }
    let token = std::env::var("TOLLGATE_FILTER_TOKEN").ok();
    let previous = std::env::var("TOLLGATE_FILTER_TOKEN_PREVIOUS").ok();
    let filter_token =
        FilterToken::new(token.as_deref()).and_then(|token| token.replacing(previous.as_deref()));
    let filter_token = match filter_token {
        Ok(token) => token,
        Err(error) => return complain(&error, usage),
    };
    let collector = args.otlp_endpoint;
    let listen = Listen {
        filter: args.filter_listen,
        admin: args.admin_listen,
        metrics: args.metrics_listen,
        anywhere: args.listen_anywhere,
    };
    if let Err(error) = listen.check() {
        return complain(&error, usage);
    }
    let settings = Settings {
        database: args.database,
        journal: args.journal,
        filter_token,
        session: SessionTimes {
            ttl_ms: args.session_ttl_ms,
            pull_ttl_ms: args.pull_session_ttl_ms,
            ..SessionTimes::default()
        },
        keep_requests: KeepRequests { days: args.keep_requests_days },
        webhooks: args.webhooks.settings(),
        user_key_lifetime: UserKeyLifetime { seconds: args.user_key_lifetime_s },
    };
    let filter = EnvFilter::try_from_env("TOLLGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written, as on a full disk, is lost. The library's complaint of it
        // goes to standard error as well, and panics there.
        .log_internal_errors(false)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, ExitCode::FAILURE),
    };
    let served = runtime.block_on(serve(settings, listen, collector.as_deref()));
    // A webhook that is being waited for keeps nobody: what it answers is not noted any more.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, ExitCode::FAILURE),
    }
}

/// TLS to the collector is a proxy's, as everywhere.
fn collector(text: &str) -> Result<String, String> {
    match text.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("must begin with http://".to_owned()),
    }
}

fn complain(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tollgate: {error}");
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that does something, with the words by which it is called.
    fn leaves(command: &clap::Command, words: &str, all: &mut Vec<(String, clap::Command)>) {
        let inner: Vec<_> =
            command.get_subcommands().filter(|one| one.get_name() != "help").collect();
        if inner.is_empty() {
            all.push((words.to_owned(), command.clone()));
        }
        for one in inner {
            leaves(one, format!("{words} {}", one.get_name()).trim_start(), all);
        }
    }

    #[test]
    fn every_command_that_asks_the_server_takes_json() {
        Cli::command().debug_assert();
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        assert!(all.len() > 90, "{}", all.len());
        // They ask no server, or answer in a form of its own.
        const OTHERS: [&str; 8] = [
            "admin-token rotate",
            "backup",
            "completion",
            "export",
            "openapi",
            "requests export",
            "restore",
            "serve",
        ];
        let takes_json = |command: &clap::Command| {
            command.get_arguments().any(|argument| argument.get_long() == Some("json"))
        };
        let without = all.iter().filter(|(_, command)| !takes_json(command));
        let mut without: Vec<&str> = without.map(|(words, _)| words.as_str()).collect();
        without.sort_unstable();
        assert_eq!(without, OTHERS);
    }

    #[test]
    fn every_group_of_commands_has_its_singular() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let singular = match name {
                "aliases" => "alias",
                _ => name.strip_suffix('s').unwrap_or(name),
            };
            let has_one = command.get_all_aliases().any(|alias| alias == singular);
            let is_group = command.get_subcommands().next().is_some();
            assert_eq!(has_one, is_group && singular != name, "{name}");
        }
    }

    #[test]
    fn completion_names_every_command_and_its_options() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completion(shell)).unwrap();
            for word in all.iter().flat_map(|(words, _)| words.split(' ')) {
                assert!(script.contains(word), "{shell}: {word}");
            }
            for option in ["limit-rate", "if-version", "listen-anywhere"] {
                assert!(script.contains(option), "{shell}: {option}");
            }
        }
    }
}
