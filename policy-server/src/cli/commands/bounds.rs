//! What bounds a call of a model, on the command line, and what it takes.

use clap::Args;
use serde_json::{Map, Value};

use super::{insert, names};

/// What the provider says of a model besides its context.
#[derive(Debug, Args)]
pub struct BoundArgs {
    /// Most tokens of one image in a request; default: a request with one reserves the context.
    #[arg(long, value_name = "TOKENS")]
    image_tokens: Option<u64>,
    /// Most tokens of one recording in a request; default: as for images.
    #[arg(long, value_name = "TOKENS")]
    audio_tokens: Option<u64>,
    /// Most tokens of one document in a request; default: as for images.
    #[arg(long, value_name = "TOKENS")]
    document_tokens: Option<u64>,
    /// Uses of the provider's tools to reserve for where a request does not bound them itself.
    #[arg(long, value_name = "CALLS")]
    max_server_tool_calls: Option<u64>,
    /// Optional members of requests that it takes, by their names in OpenAI's API, separated by
    /// commas; "" for none. Default: they are not checked.
    #[arg(long, value_name = "NAMES")]
    supported_parameters: Option<String>,
}

impl BoundArgs {
    /// Adds the fields of the API that say the same.
    pub fn add(self, body: &mut Map<String, Value>) {
        insert(body, "image_tokens", self.image_tokens);
        insert(body, "audio_tokens", self.audio_tokens);
        insert(body, "document_tokens", self.document_tokens);
        insert(body, "max_server_tool_calls", self.max_server_tool_calls);
        let parameters = self.supported_parameters.as_deref().map(names);
        insert(body, "supported_parameters", parameters);
    }
}
