//! What the filter costs in a real Envoy with one worker, against no filter, against Envoy's own
//! filters for the same task, and against a filter that does nothing.
//!
//! All variants stand in one Envoy on listeners of their own and are loaded in turn, round after
//! round, in an order that moves; each round's figures are set against the same round without a
//! filter. Load, mock upstream and policy server share the machine with Envoy, so requests per
//! second say less than Envoy's own processor time.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use super::filter_report::{Report, Round};
use super::load::{self, Shot};
use super::process_cpu;
use crate::backend::{Backend, local_url};
use crate::envoy_config::EnvoyConfig;
use crate::envoy_process::{EnvoyCommand, StartedEnvoy};
use crate::http_client::Client;
use crate::stack::StackOptions;
use crate::{envoy_binary, plugin_build, run_folder, workspace};

const BOOTSTRAP: &str = include_str!("filter.envoy.yaml");
const LISTENER: &str = include_str!("filter.listener.yaml");
const IDLE_FILTER: &str = include_str!("idle_filter.wat");

/// Enough connections to keep one worker busy.
const CONNECTIONS: usize = 8;

/// The key that the variants without Tollgate are sent.
const NATIVE_KEY: &str = "bench-key-0123456789abcdef";

const MODEL: &str = "bench-model";

/// How much is measured.
#[derive(Debug, clap::Args)]
pub struct FilterArguments {
    /// Rounds; the figures are medians over them.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=200))]
    rounds: u16,
    /// Requests per variant and round.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(8..=1_000_000))]
    requests: u32,
}

impl Default for FilterArguments {
    fn default() -> Self {
        Self { rounds: 9, requests: 2_000 }
    }
}

/// One way of guarding the upstream.
struct Variant {
    name: &'static str,
    shot: Shot,
}

/// Measures all variants and prints the table.
///
/// # Errors
/// When a part does not start, or any answer is not 200.
pub fn run(arguments: &FilterArguments) -> anyhow::Result<()> {
    let run_folder = run_folder::create()?;
    let options = StackOptions { release: true, ..StackOptions::default() };
    let backend = Backend::start(&options, &run_folder)?;
    let config = bootstrap(&backend, &run_folder)?;
    let binary = envoy_binary::find()?;
    let envoy = EnvoyCommand::new(binary, "envoy", 1, backend.filter_token())
        .start(&config, &run_folder)?;
    guards_refuse_strangers(&envoy)?;
    let variants = variants(&backend, &envoy)?;

    let each = usize::try_from(arguments.requests)? / CONNECTIONS;
    let mut report = Report::new(variants.iter().map(|variant| variant.name).collect());
    for variant in &variants {
        // Warms the connections, the caches and the compiler of the wasm machine.
        load::run(&variant.shot, CONNECTIONS, each.div_ceil(4))
            .with_context(|| format!("warming up `{}`", variant.name))?;
    }
    for round in 0..usize::from(arguments.rounds) {
        for turn in 0..variants.len() {
            let index = (round + turn) % variants.len();
            let Some(variant) = variants.get(index) else { continue };
            let before = process_cpu::used(envoy.process.id())?;
            let measured = load::run(&variant.shot, CONNECTIONS, each)
                .with_context(|| format!("loading `{}`", variant.name))?;
            let cpu = process_cpu::used(envoy.process.id())?.saturating_sub(before);
            report.add(index, Round::new(&measured, cpu));
        }
    }
    print!("{}", report.table());
    let file = workspace::work_dir()?.join("bench-filter.json");
    std::fs::write(&file, format!("{:#}\n", report.json()))?;
    println!("{} rounds of {} requests; {}", arguments.rounds, each * CONNECTIONS, file.display());
    Ok(())
}

/// A guard that lets everyone pass would be measured as a cheap one.
fn guards_refuse_strangers(envoy: &StartedEnvoy) -> anyhow::Result<()> {
    for listener in ["native", "tollgate"] {
        let url = local_url(envoy.listener_port(listener)?);
        let stranger = Client::new(&url, Some("sk-0123456789abcdef0123456789abcdef"));
        let status = stranger.post("/v1/chat/completions", &json!({}))?.status;
        anyhow::ensure!(status == 401, "`{listener}` answered {status} to an unknown key");
    }
    Ok(())
}

fn variants(backend: &Backend, envoy: &StartedEnvoy) -> anyhow::Result<Vec<Variant>> {
    let body = json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a terse assistant. ".repeat(8)},
            {"role": "user", "content": "Summarise the following in one sentence. ".repeat(10)},
        ],
        "temperature": 0.2,
        "max_tokens": 16,
    })
    .to_string();
    let keys = Keys::make(backend)?;
    let shots = [
        ("no filter", "no_filter", NATIVE_KEY),
        ("api_key_auth + local_ratelimit", "native", NATIVE_KEY),
        ("filter that does nothing", "idle", NATIVE_KEY),
        ("Tollgate, one call-out", "tollgate", keys.budgeted.as_str()),
        ("Tollgate, no call-out", "tollgate", keys.unlimited.as_str()),
    ];
    shots
        .into_iter()
        .map(|(name, listener, key)| {
            let port = envoy.listener_port(listener)?;
            Ok(Variant { name, shot: Shot::post(port, "/v1/chat/completions", key, &body) })
        })
        .collect()
}

/// Keys of the policy server, by what a request with them costs.
struct Keys {
    /// Has a budget: money is reserved for each call.
    budgeted: String,
    /// Has nothing to ask the server about once it is known.
    unlimited: String,
}

impl Keys {
    fn make(backend: &Backend) -> anyhow::Result<Self> {
        let admin = backend.admin();
        let org = json!({"name": "Bench", "models": ["*"]});
        admin.put("/admin/v1/orgs/bench", &org)?.success()?;
        let model = json!({
            "input_usd_per_mtok": "0.15",
            "output_usd_per_mtok": "0.60",
            "context_length": 128_000,
            "max_output_tokens": 16_384,
        });
        admin.put(&format!("/admin/v1/models/{MODEL}"), &model)?.success()?;
        let make = |body: serde_json::Value| {
            let made = admin.post("/admin/v1/keys", &body)?.success()?.json();
            made["key"].as_str().map(str::to_owned).context("a new key has no secret")
        };
        Ok(Self {
            budgeted: make(json!({
                "org": "bench",
                "name": "budgeted",
                "budget": {"usd": "1000000.00", "period": "none"},
            }))?,
            unlimited: make(json!({"org": "bench", "name": "unlimited"}))?,
        })
    }
}

fn bootstrap(backend: &Backend, run_folder: &Path) -> anyhow::Result<String> {
    let idle = write_idle_filter(run_folder)?;
    let plugin = plugin_build::build()?;
    let listeners = [
        ("no_filter", String::new()),
        ("native", native_filters()),
        ("idle", wasm_filter("idle", &idle, "{}")),
        ("tollgate", tollgate_filter(&plugin.path)),
    ];
    Ok(with_listeners(&listeners, backend.upstream.port, backend.filter_port()))
}

/// Writes the module that does nothing; its path.
pub(super) fn write_idle_filter(run_folder: &Path) -> anyhow::Result<PathBuf> {
    let idle = run_folder.join("idle.wasm");
    std::fs::write(&idle, wat::parse_str(IDLE_FILTER)?)?;
    Ok(idle)
}

/// Envoy's bootstrap with one listener: without a filter, or with the module in a file.
pub(super) fn bootstrap_of(name: &str, module: Option<&Path>) -> String {
    let filters = match (name, module) {
        (_, None) => String::new(),
        ("tollgate", Some(file)) => tollgate_filter(file),
        (name, Some(file)) => wasm_filter(name, file, "{}"),
    };
    with_listeners(&[(name, filters)], NOBODY, NOBODY)
}

/// A port at which nobody listens.
const NOBODY: u16 = 1;

fn with_listeners(listeners: &[(&str, String)], upstream: u16, policy_server: u16) -> String {
    let listeners: Vec<String> = listeners
        .iter()
        .map(|(name, filters)| {
            LISTENER.replace("{{name}}", name).replace("{{filters}}", filters.trim_end())
        })
        .collect();
    BOOTSTRAP
        .replace("{{listeners}}", &listeners.join("\n"))
        .replace("{{upstream_port}}", &upstream.to_string())
        .replace("{{policy_server_port}}", &policy_server.to_string())
}

fn tollgate_filter(file: &Path) -> String {
    wasm_filter("tollgate", file, &EnvoyConfig::default_filter_config().to_string())
}

/// What Envoy itself offers for the task: static keys and a token bucket per worker, without
/// budgets.
fn native_filters() -> String {
    format!(
        r#"          - name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
              credentials:
              - {{key: {NATIVE_KEY}, client: bench}}
              key_sources:
              - header: Authorization
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: bench
              token_bucket: {{max_tokens: 100000000, tokens_per_fill: 100000000, fill_interval: 60s}}
              filter_enabled: {{default_value: {{numerator: 100}}}}
              filter_enforced: {{default_value: {{numerator: 100}}}}
"#
    )
}

fn wasm_filter(name: &str, file: &Path, config: &str) -> String {
    format!(
        r#"          - name: {name}
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: {name}
                failure_policy: FAIL_RELOAD
                allow_on_headers_stop_iteration: true
                configuration:
                  "@type": type.googleapis.com/google.protobuf.StringValue
                  value: '{config}'
                vm_config:
                  vm_id: {name}
                  runtime: envoy.wasm.runtime.v8
                  environment_variables: {{host_env_keys: [TOLLGATE_FILTER_TOKEN]}}
                  code: {{local: {{filename: '{}'}}}}
"#,
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_filter_is_a_module_with_the_callbacks_of_a_request() {
        let module = wat::parse_str(IDLE_FILTER).unwrap();
        assert!(module.starts_with(b"\0asm"));
        let name = b"proxy_on_request_headers";
        assert!(module.windows(name.len()).any(|window| window == name));
    }
}
