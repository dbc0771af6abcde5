//! Options of `tollgate serve` that are about webhooks.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::webhooks::WebhookSettings;

/// How webhooks are reached.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// File with the secret that webhooks' secrets are derived from; made when it is needed first.
    /// Default: the database's name and ".secret".
    #[arg(long, env = "TOLLGATE_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Proxy that speaks TLS for the server; webhooks with https can only be reached by it.
    #[arg(long, env = "TOLLGATE_WEBHOOKS_EGRESS", value_name = "ADDRESS")]
    webhooks_egress: Option<SocketAddr>,
    /// Allow webhooks with plain http, and at private addresses, for tests and closed networks.
    #[arg(long)]
    webhooks_allow_private: bool,
}

impl WebhookArgs {
    /// The same for the server.
    pub fn settings(self) -> WebhookSettings {
        WebhookSettings {
            secret_file: self.secret_file,
            allow_private: self.webhooks_allow_private,
            egress: self.webhooks_egress,
        }
    }
}
