//! `POST /proxy/v1/leases`: money to spend locally.

use serde::{Deserialize, Serialize};

use super::key::{Level, Limit};
use super::tagged::{MissingMember, needed};
use crate::{
    CatalogueVersion, Epoch, HolderId, KeyId, LeaseId, ModelName, NanoUsd, PriceMultiplier,
    Revision,
};

/// What one call could use at most. It names tokens, not money: the server prices it with the same
/// arithmetic as the filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The concrete model.
    pub model: ModelName,
    /// The catalogue whose prices apply.
    pub catalogue_version: CatalogueVersion,
    /// Bound on input tokens.
    pub input_tokens: u64,
    /// Wanted bound on output tokens of one answer.
    pub output_tokens: u64,
    /// The bound is the client's own, so it may not be lowered to what the budgets can pay.
    pub output_is_clients: bool,
    /// Answers that may be produced (`n` times prompts), at least 1.
    pub choices: u64,
    /// Bound on uses of tools that the provider runs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub server_tool_calls: u64,
    /// What the key's policy multiplies prices by, as the holder knows it. Where the key is looked
    /// up together with the ask it is not known yet, and the one of the policy that is answered
    /// holds.
    #[serde(
        default,
        rename = "price_multiplier_ppm",
        skip_serializing_if = "PriceMultiplier::is_one"
    )]
    pub price_multiplier: PriceMultiplier,
}

/// Asks for the lease number `n` of this holder. Repeating (holder, n) answers the same lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Who asks.
    pub holder: HolderId,
    /// The epoch that the holder knows.
    pub epoch: Epoch,
    /// The key that will spend.
    pub key: KeyId,
    /// The holder's own number for this lease, never used twice for another.
    pub n: u64,
    /// What the call needs. Where the holder asks ahead of any call, the last call of the key.
    pub ask: Ask,
    /// Money beyond the call, for those that will follow: the demand of two report intervals. The
    /// server gives as much of it as others leave.
    #[serde(default, skip_serializing_if = "is_no_money")]
    pub want: NanoUsd,
    /// Permits of the key's windows of scope `cluster` beyond the one that the call needs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub want_permits: u64,
    /// Numbers of leases whose grants never arrived: they are closed unspent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<u64>,
}

/// Answer to a [`LeaseRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReply {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision up to which the answer is true.
    pub revision: Revision,
    /// The lease, or why there is none.
    pub answer: super::LeaseAnswer,
}

/// A lease: money that counts against every budget above the key until it is spent or handed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseId,
    /// The holder's number for it.
    pub n: u64,
    /// Its whole amount.
    pub amount: NanoUsd,
    /// The bound on output tokens of the call that it pays for; at most what was asked.
    pub output_tokens: u64,
    /// Little is left to grant: nothing of it is to be kept for later calls, and what calls leave
    /// over is to be handed back at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scarce: bool,
    /// Calls that it permits in every window of scope `cluster` above the key; 0 where there is
    /// no such window.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub permits: u64,
}

/// Why no lease was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason", try_from = "Members")]
pub enum Refusal {
    /// Spent and parked money leave too little at this level: 402.
    BudgetExceeded {
        /// The tightest level.
        level: Level,
        /// What the call could cost.
        need: NanoUsd,
        /// What is left under the cap, counting only spent and parked money.
        left: NanoUsd,
    },
    /// The money is there but leased to others right now: try again.
    Contended {
        /// A time after which trying again makes sense, in milliseconds.
        retry_after_ms: u64,
    },
    /// A window of scope `cluster` has no permit left: 429.
    WindowFull {
        /// The tightest one.
        limit: Limit,
        /// When its next permit returns, in milliseconds.
        retry_after_ms: u64,
    },
    /// The call could cost more than one call of the key may: 402. Waiting does not help.
    CallTooExpensive {
        /// What the call could cost at least.
        need: NanoUsd,
        /// The most that one call may set aside.
        most: NanoUsd,
    },
    /// The key may not be used (any more); look it up again.
    KeyNotUsable,
    /// The catalogue version or the model in the ask is not known (any more).
    UnknownPrice,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    BudgetExceeded,
    Contended,
    WindowFull,
    CallTooExpensive,
    KeyNotUsable,
    UnknownPrice,
}

/// The members of every [`Refusal`].
#[derive(Deserialize)]
struct Members {
    reason: Reason,
    level: Option<Level>,
    need: Option<NanoUsd>,
    left: Option<NanoUsd>,
    retry_after_ms: Option<u64>,
    limit: Option<Limit>,
    most: Option<NanoUsd>,
}

impl TryFrom<Members> for Refusal {
    type Error = MissingMember;

    fn try_from(members: Members) -> Result<Self, MissingMember> {
        let Members { reason, level, need, left, retry_after_ms, limit, most } = members;
        let retry_after_ms = || needed(retry_after_ms, "retry_after_ms");
        let need = || needed(need, "need");
        Ok(match reason {
            Reason::BudgetExceeded => Self::BudgetExceeded {
                level: needed(level, "level")?,
                need: need()?,
                left: needed(left, "left")?,
            },
            Reason::Contended => Self::Contended { retry_after_ms: retry_after_ms()? },
            Reason::WindowFull => Self::WindowFull {
                limit: needed(limit, "limit")?,
                retry_after_ms: retry_after_ms()?,
            },
            Reason::CallTooExpensive => {
                Self::CallTooExpensive { need: need()?, most: needed(most, "most")? }
            }
            Reason::KeyNotUsable => Self::KeyNotUsable,
            Reason::UnknownPrice => Self::UnknownPrice,
        })
    }
}

/// Amounts that say nothing are not written.
pub(super) fn is_no_money(amount: &NanoUsd) -> bool {
    *amount == NanoUsd::ZERO
}

/// Members that say nothing are not written.
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}
