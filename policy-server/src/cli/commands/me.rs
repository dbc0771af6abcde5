//! `tollgate me …`: with a personal token in TOLLGATE_ADMIN_TOKEN.

use clap::Subcommand;

use super::super::client::{Client, ClientError, segment};
use super::keys::{KEY_COLUMNS, KeyFields};
use super::people::{TOKEN_COLUMNS, create_token, list, rotate_token};
use super::tenancy::ChangeArgs;
use super::{Output, PageArgs};

/// `tollgate me …`
#[derive(Debug, Subcommand)]
pub enum MeCommand {
    /// Show who one is and what one may do.
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// List own tokens, newest first.
    Tokens {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Issue a token for oneself; it is shown this once.
    CreateToken {
        /// Its name.
        #[arg(long)]
        name: Option<String>,
        /// When it ends, as 2027-06-01T00:00:00Z; default: in 90 days.
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Replace one by a new one, which is shown this once.
    RotateToken {
        /// Its id.
        token: String,
        /// For how many seconds both work; default: the old one ends at once.
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// End one for good.
    RevokeToken {
        /// Its id.
        token: String,
        #[command(flatten)]
        output: Output,
    },
    /// List own keys, newest first.
    Keys {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show an own key and what it has spent.
    ShowKey {
        /// Its id.
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key of one's own in the team that --team names; its secret is shown this once.
    CreateKey {
        #[command(flatten)]
        fields: Box<KeyFields>,
        #[command(flatten)]
        output: Output,
    },
    /// Give an own key a new secret.
    RotateKey(OwnKey),
    /// Switch an own key off; an administrator can switch it on again.
    DisableKey(OwnKey),
    /// End an own key for good.
    RevokeKey(OwnKey),
    /// Delete an own key; its history stays.
    DeleteKey(OwnKey),
    /// Leave a team; own keys there end.
    Leave {
        /// The team.
        team: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// One of one's own keys.
#[derive(Debug, clap::Args)]
pub struct OwnKey {
    /// Its id.
    id: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl OwnKey {
    fn send(&self, client: &Client, method: &str, rest: &str) -> Result<String, ClientError> {
        let path = format!("me/keys/{}{rest}", segment(&self.id));
        self.change.send(client, method, &path, None)
    }
}

impl MeCommand {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        match self {
            Self::Show { output } => Ok(output.object(&client.send("GET", "me", &[], None)?)),
            Self::Tokens { page, output } => {
                list(client, "me/tokens", &page, &output, TOKEN_COLUMNS)
            }
            Self::CreateToken { name, expires_at, output } => {
                create_token(client, "me/tokens", name, expires_at, &output)
            }
            Self::RotateToken { token, overlap, output } => {
                rotate_token(client, "me/tokens", &token, overlap, &output)
            }
            Self::RevokeToken { token, output } => {
                let path = format!("me/tokens/{}/revoke", segment(&token));
                Ok(output.object(&client.send("POST", &path, &[], None)?))
            }
            Self::Keys { page, output } => list(client, "me/keys", &page, &output, KEY_COLUMNS),
            Self::ShowKey { id, output } => {
                let path = format!("me/keys/{}", segment(&id));
                Ok(output.object(&client.send("GET", &path, &[], None)?))
            }
            Self::CreateKey { fields, output } => {
                let body = fields.body()?.into();
                Ok(output.object(&client.send("POST", "me/keys", &[], Some(&body))?))
            }
            Self::RotateKey(key) => key.send(client, "POST", "/rotate"),
            Self::DisableKey(key) => key.send(client, "POST", "/disable"),
            Self::RevokeKey(key) => key.send(client, "POST", "/revoke"),
            Self::DeleteKey(key) => key.send(client, "DELETE", ""),
            Self::Leave { team, change } => {
                change.send(client, "DELETE", &format!("me/teams/{}", segment(&team)), None)
            }
        }
    }
}
