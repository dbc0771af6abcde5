//! `POST /proxy/v1/holders`: a VM registers at its first request.

use serde::{Deserialize, Serialize};

use crate::{CatalogueVersion, Epoch, HolderId, Nonce, Revision};

/// A VM introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// [`crate::PROTOCOL_VERSION`] of the filter.
    pub protocol: u32,
    /// 128 random bits; repeating them is the same holder.
    pub nonce: Nonce,
    /// Name of the plugin instance in the proxy's configuration, for people.
    pub plugin: String,
    /// Nothing can be told to this VM: it asks for changes only when requests come. Its session is
    /// shorter, since that is how long a change may take to reach it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_push: bool,
    /// Windows of scope `proxy` that count the requests of a key and allow fewer than this are counted
    /// at the server, call by call, for want of a memory that the proxy's workers share.
    #[serde(default, skip_serializing_if = "super::lease::is_zero")]
    pub count_windows_below: u64,
}

/// [`RegisterRequest::count_windows_below`] for every window: more than any can allow.
pub const EVERY_WINDOW: u64 = 1 << 53;

/// The server's answer: who you are and how long you may act on what you know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterReply {
    /// The holder's id, named in every later request.
    pub holder: HolderId,
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision that the holder starts from.
    pub revision: Revision,
    /// How long key state and leases stay usable after the sent time of the last answered
    /// exchange, in milliseconds.
    pub session_ttl_ms: u64,
    /// The newest catalogue.
    pub catalogue_version: CatalogueVersion,
}
