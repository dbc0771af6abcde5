//! `POST /proxy/v1/admit`: one call-out for a cold request: digest and need in, key and lease out.

use serde::{Deserialize, Serialize};

use super::{Ask, Grant, KeyPolicy, Refusal};
use crate::{Epoch, HolderId, KeyDigest, Revision};

/// Looks a key up by its digest and, where any level has a budget, asks for a lease at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitRequest {
    /// Who asks.
    pub holder: HolderId,
    /// The epoch that the holder knows.
    pub epoch: Epoch,
    /// SHA-256 of the whole key.
    pub digest: KeyDigest,
    /// The holder's own number for the lease, never used twice for another.
    pub n: u64,
    /// What the call needs; absent when only the key is looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// Numbers of leases whose grants never arrived: they are closed unspent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<u64>,
}

/// Answer to an [`AdmitRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmitReply {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision up to which the answer is true.
    pub revision: Revision,
    /// The key.
    pub key: KeyAnswer,
    /// The lease; `not_needed` where nothing was asked or no level has a budget.
    pub lease: LeaseAnswer,
}

/// Whether the digest belongs to a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAnswer {
    /// No key has this digest.
    Unknown,
    /// What the filter must know about it.
    Known(Box<KeyPolicy>),
}

/// Whether there is money for the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseAnswer {
    /// Nothing was asked, the key may not be used, or no level has a budget.
    NotNeeded,
    /// A lease.
    Granted(Grant),
    /// No lease.
    Refused(Refusal),
}
