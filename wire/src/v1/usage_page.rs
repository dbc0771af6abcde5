//! `POST /proxy/v1/usage`: what a key has used, a page at a time, for `GET /v1/usage` of clients.

use serde::{Deserialize, Serialize};

use crate::{Epoch, HolderId, KeyDigest, Metadata, ModelName, NanoUsd, RequestId, Revision};

/// Asks for calls of the key with this digest, newest first. The filter passes on what the client
/// wrote; what is no date, number or cursor is answered [`UsageAnswer::BadParameter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageRequest {
    /// Who asks.
    pub holder: HolderId,
    /// The epoch that the holder knows.
    pub epoch: Epoch,
    /// SHA-256 of the whole key.
    pub digest: KeyDigest,
    /// Only calls that began at this time or later: a date, or an instant of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only calls that began before this instant, or on this date or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// At most so many calls, 1 to [`UsageRequest::MOST_CALLS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl UsageRequest {
    /// The most calls on a page.
    pub const MOST_CALLS: u32 = 1_000;
}

/// Answer to a [`UsageRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReply {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision up to which the answer is true.
    pub revision: Revision,
    /// The page.
    pub answer: UsageAnswer,
}

impl UsageReply {
    /// The longest reply in bytes: proxies hold the whole of it. A page that would be longer has
    /// fewer calls than were asked for; the longest call alone always fits.
    pub const LONGEST: usize = 64 * 1024;
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageAnswer {
    /// No key has this digest.
    UnknownKey,
    /// A parameter cannot be understood.
    BadParameter(UsageParameter),
    /// Calls of the key.
    Page(UsagePage),
}

/// A parameter of a [`UsageRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageParameter {
    /// `from`.
    From,
    /// `to`.
    To,
    /// `limit`.
    Limit,
    /// `cursor`.
    Cursor,
}

/// Calls of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsagePage {
    /// The calls, newest first.
    pub calls: Vec<UsedCall>,
    /// Where the next page begins; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One ended call as its caller may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedCall {
    /// The call.
    pub request: RequestId,
    /// The concrete model.
    pub model: ModelName,
    /// All input tokens.
    pub input_tokens: u64,
    /// Those of them that came from the provider's cache.
    pub cached_input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// What it was charged.
    pub cost: NanoUsd,
    /// Status that the client saw; 0 when it saw none.
    pub status: u16,
    /// Wall-clock time of its beginning in milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// From its beginning to its end in milliseconds.
    pub duration_ms: u64,
    /// What the caller said of it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}
