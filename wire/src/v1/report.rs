//! `POST /proxy/v1/reports`: what was spent, and one record for each ended call.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::lease::is_zero;

use crate::{
    CatalogueVersion, Epoch, HolderId, KeyId, LeaseId, Metadata, ModelName, NanoUsd,
    PriceMultiplier, RefusalCode, RequestId, Revision,
};

/// A batch of reports. Repeating, reordering or losing one changes nothing: `spent` only grows and
/// records are unique by (holder, sequence).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// Who reports.
    pub holder: HolderId,
    /// The epoch that the holder knows.
    pub epoch: Epoch,
    /// State of leases.
    #[serde(default)]
    pub leases: Vec<LeaseReport>,
    /// Ended calls.
    #[serde(default)]
    pub records: Vec<CallRecord>,
    /// Numbers of leases whose grants never arrived: they are closed unspent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<u64>,
}

/// Cumulative state of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReport {
    /// The lease.
    pub lease: LeaseId,
    /// Sum of the charges of ended calls; the larger of two reports wins.
    pub spent: NanoUsd,
    /// Spent plus running reservations; what lies above it is handed back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<NanoUsd>,
    /// No call will draw on it any more: what was not spent is handed back.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// Permits used so far; the larger of two reports wins. With a floor, or when it is final,
    /// those that were not used are handed back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub permits_used: u64,
    /// How long before this report was sent the last of them was used, in milliseconds: all of
    /// them return one window after that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub permit_age_ms: u64,
}

/// One ended call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Number of the record, unique for the holder.
    pub sequence: u64,
    /// The call, by an id that its filter made and no other call has: it is recorded once, whatever
    /// holder reports it.
    pub request: RequestId,
    /// The key that made it.
    pub key: KeyId,
    /// The lease that paid for it; none where no level has a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// The concrete model.
    pub model: ModelName,
    /// The catalogue under which it was admitted and priced.
    pub catalogue_version: CatalogueVersion,
    /// What its prices were multiplied by, as the key's policy said when it was admitted.
    #[serde(
        default,
        rename = "price_multiplier_ppm",
        skip_serializing_if = "PriceMultiplier::is_one"
    )]
    pub price_multiplier: PriceMultiplier,
    /// What it used.
    pub usage: Usage,
    /// What it was charged.
    pub cost: NanoUsd,
    /// How the charge was found.
    pub basis: Basis,
    /// What had been reserved for it.
    pub reserved: NanoUsd,
    /// Status that the client saw; 0 when it saw none.
    pub status: u16,
    /// The client asked for a stream.
    pub streamed: bool,
    /// How it ended.
    pub ending: Ending,
    /// Wall-clock time of admission in milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// From admission to end in milliseconds.
    pub duration_ms: u64,
    /// What the caller said of it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// From where the call came, where the filter knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The user key that it was made with, where that was exchanged for `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_key: Option<KeyId>,
    /// The refusal that the call would have met, had its key or its path not been in shadow mode.
    /// Such a call has no lease and is charged to no budget; its cost is what it really cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_refuse: Option<RefusalCode>,
}

/// Tokens of one call in the semantics of OpenAI's chat completions, whatever the dialect: every
/// other kind of input is part of `input_tokens`, every other kind of output of `output_tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens.
    pub input_tokens: u64,
    /// Those of them that the provider read from its cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Those that it wrote to its cache for minutes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Those that it wrote to its cache for an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_1h_tokens: u64,
    /// Those that were audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audio_input_tokens: u64,
    /// Those that were images.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Those of them that were reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// Those that were audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audio_output_tokens: u64,
    /// Those that were images.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_output_tokens: u64,
    /// Uses of tools that the provider runs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub server_tool_calls: u64,
}

/// How a charge was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The upstream reported usage.
    Measured,
    /// It did not; input estimate plus output seen, or the reservation.
    Estimated,
    /// Nothing was produced; nothing is charged.
    Refunded,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The answer came to its end.
    Complete,
    /// The upstream answered with an error status.
    UpstreamError,
    /// The answer broke off, by client, upstream or filter.
    Cut,
    /// The upstream never answered.
    NoAnswer,
}

/// Answer to a [`ReportRequest`]: everything in it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportReply {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision up to which the answer is true.
    pub revision: Revision,
    /// Records whose cost the server computes differently; each is alarmed there.
    #[serde(default)]
    pub differing: Vec<u64>,
}
