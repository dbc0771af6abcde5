//! Rate limits that several keys share, on the command line.

use clap::Args;
use serde_json::{Map, Value};

use super::super::client::ClientError;
use super::insert;
use super::keys::limits;

/// Rate limits of an organisation or a user.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// A rate limit that its keys share, such as requests/1m=600, or of one model
    /// tokens/1h@gpt-4o=100000; repeatable. The given limits replace all; "none" removes them.
    #[arg(long = "limit-rate", value_name = "UNIT/WINDOW[@MODEL]=MAX")]
    limits: Vec<String>,
}

impl LimitArgs {
    /// Whether none was given.
    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Adds the field `limits` where some were given.
    pub(super) fn add(&self, body: &mut Map<String, Value>) -> Result<(), ClientError> {
        insert(body, "limits", limits(&self.limits)?);
        Ok(())
    }
}
