//! `tollgate doctor`: looks at a deployment from where the operator sits and says what is wrong and
//! what to do about it. It changes nothing and shows no secret.

mod database;
mod envoy;
mod gateway;
mod report;
mod server;
mod web;

use std::path::PathBuf;

use clap::Args;

use self::report::Checks;
use self::web::Web;

/// `tollgate doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The filter API, to try the filter's token on.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8700")]
    filter_api: String,
    /// A gateway: requests without a key and with a wrong one must be refused by the filter.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// The admin interface of the gateway's Envoy.
    #[arg(long, value_name = "URL")]
    envoy_admin: Option<String>,
    /// The database file, where it is on this machine: checks that it is whole.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// The journal file, where it is on this machine.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is to be printed, and whether something has failed.
#[derive(Debug)]
pub struct Report {
    /// For standard output.
    pub text: String,
    /// Some check has failed; warnings are none.
    pub failed: bool,
}

impl DoctorArgs {
    /// Makes every check that was asked for.
    #[must_use]
    pub fn run(self) -> Report {
        let mut checks = Checks::default();
        let web = Web::new();
        let token = std::env::var("TOLLGATE_FILTER_TOKEN").ok();
        server::check(&web, &self.filter_api, token.as_deref(), &mut checks);
        if let Some(database) = &self.database {
            database::check(database, self.journal.as_deref(), &mut checks);
        }
        if let Some(gateway) = &self.gateway {
            gateway::check(&web, gateway, &mut checks);
        }
        if let Some(admin) = &self.envoy_admin {
            envoy::check(&web, admin, token.as_deref(), &mut checks);
        }
        Report { text: checks.shown(self.json), failed: checks.failed() }
    }
}
