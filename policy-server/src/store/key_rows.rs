//! Keys as the application sees them, the same for every store.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use wire::v1::{CutCalls, KeyKind, KeyState, Level, Scope, Unit, Window};
use wire::{AllowedNetworks, KeyId, ModelName, NanoUsd, OrgId, Revision, TeamId, UserId};

use crate::entitlement::Selection;
use crate::permissions::Sight;

/// What an operator has made of a key. Expiry is separate: it depends on the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLife {
    /// May be used.
    Active,
    /// Switched off, can be switched on again.
    Disabled,
    /// Ended for good.
    Revoked,
    /// Ended and gone from lists unless asked for; its history stays.
    Deleted,
}

impl KeyLife {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Active, Self::Disabled, Self::Revoked, Self::Deleted];

    /// The word in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
        }
    }

    /// What a filter is told.
    #[must_use]
    pub fn state(self) -> KeyState {
        match self {
            Self::Active => KeyState::Active,
            Self::Disabled => KeyState::Disabled,
            Self::Revoked | Self::Deleted => KeyState::Revoked,
        }
    }
}

/// A key's state as people see it: its life, and whether its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyStatus {
    /// May be used.
    Active,
    /// Its time is over.
    Expired,
    /// Switched off.
    Disabled,
    /// Ended for good.
    Revoked,
    /// Deleted.
    Deleted,
}

impl KeyStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Expired, Self::Disabled, Self::Revoked, Self::Deleted];

    /// The word in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
        }
    }

    /// The status of a word, or `None` when there is no such status.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The status of a key at a wall time.
    #[must_use]
    pub fn of(key: &KeyRow, now_unix_ms: u64) -> Self {
        match key.life {
            KeyLife::Active if key.expires_at_unix_ms.is_some_and(|at| at <= now_unix_ms) => {
                Self::Expired
            }
            KeyLife::Active => Self::Active,
            KeyLife::Disabled => Self::Disabled,
            KeyLife::Revoked => Self::Revoked,
            KeyLife::Deleted => Self::Deleted,
        }
    }
}

/// The textual form of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// `sk-tg-…`.
    #[default]
    Native,
    /// PrivateMind's `<access_key_id>:<secret>`.
    Pair,
    /// `sk-` and letters and digits, as other providers make them.
    OpenAi,
}

impl KeyFormat {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Native, Self::Pair, Self::OpenAi];

    /// The word in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "tollgate",
            Self::Pair => "privatemind",
            Self::OpenAi => "openai",
        }
    }
}

/// One rate limit of a key, a user, a team or an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLimit {
    /// What is counted.
    pub unit: Unit,
    /// Over how long; calls in flight have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The most units.
    pub max: u64,
    /// Where it is counted.
    pub scope: Scope,
    /// The only model whose calls it counts, by its concrete name; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
}

impl StoredLimit {
    /// Whether both count the same calls: then one of them is too much.
    #[must_use]
    pub fn counts_the_same(&self, other: &Self) -> bool {
        let what = |limit: &Self| (limit.unit, limit.window);
        what(self) == what(other) && self.model == other.model
    }
}

/// A key. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// The organisation that owns it.
    pub org: OrgId,
    /// Its team, if it has one.
    pub team: Option<TeamId>,
    /// The user who owns it, if one does.
    pub user: Option<UserId>,
    /// Its name for people.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// Whatever else people wish to remember.
    pub notes: String,
    /// Words to find it by, each once.
    pub tags: Vec<String>,
    /// Who uses it.
    pub kind: KeyKind,
    /// How its secret begins, for people to recognise it.
    pub prefix: String,
    /// Form of its secret.
    pub format: KeyFormat,
    /// What an operator has made of it.
    pub life: KeyLife,
    /// Expiry in milliseconds since 1970 UTC.
    pub expires_at_unix_ms: Option<u64>,
    /// Models that it may call of those that everything above it allows; none: all of them.
    pub models: Option<Selection>,
    /// Its rate limits.
    pub limits: Vec<StoredLimit>,
    /// The most that one call may set aside; none: what its budgets leave.
    pub max_call: Option<NanoUsd>,
    /// From where it may be used; none: from everywhere.
    pub allowed_ips: Option<AllowedNetworks>,
    /// Output tokens to allow where a request names no limit.
    pub default_max_output_tokens: Option<u64>,
    /// What a call without usage is charged.
    pub cut_calls: CutCalls,
    /// Its calls are checked and recorded, and none is refused.
    pub shadow: bool,
    /// It came under another team or user, and what it held before was recalled, by this revision;
    /// zero: never.
    pub moved_revision: Revision,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
    /// Grows with every change by an administrator; what it was used for is no change.
    pub version: u64,
    /// What it was used for. Saving the key leaves it as it is; see [`super::KeyRows::save_usage`].
    pub usage: KeyUsage,
}

/// What a key was used for in all its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Ended calls.
    pub requests: u64,
    /// Their input tokens.
    pub input_tokens: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// What they were charged.
    pub spent: NanoUsd,
    /// Admission of the latest, in milliseconds since 1970 UTC; 0: there was none.
    pub last_used_unix_ms: u64,
    /// From where the latest came whose filter knew.
    pub last_address: Option<IpAddr>,
}

impl KeyRow {
    /// Whose budget stands above the key at a level, as [`wire::v1::KeyPolicy::owner`] names it.
    #[must_use]
    pub fn owner(&self, level: Level) -> Option<String> {
        match level {
            Level::Key => Some(self.id.as_str().to_owned()),
            Level::User => self.user.as_ref().map(|user| format!("{}/{user}", self.org)),
            Level::Team => self.team.as_ref().map(|team| format!("{}/{team}", self.org)),
            Level::Org | Level::Wallet => Some(self.org.as_str().to_owned()),
        }
    }
}

/// In which order to list keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// By name, whatever the case of its ASCII letters.
    Name,
    /// The next to expire first, those that never do last.
    Expiry,
    /// The latest used first.
    LastUse,
    /// What has spent most first.
    Spend,
}

impl KeyOrder {
    /// Every order.
    pub const ALL: [Self; 6] =
        [Self::Newest, Self::Oldest, Self::Name, Self::Expiry, Self::LastUse, Self::Spend];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Name => "name",
            Self::Expiry => "expires",
            Self::LastUse => "last_used",
            Self::Spend => "spend",
        }
    }

    /// The order of a word, or `None` when there is no such order.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == word)
    }

    /// Whether it is the order in which keys were made, forwards or backwards.
    #[must_use]
    pub fn is_by_age(self) -> bool {
        matches!(self, Self::Newest | Self::Oldest)
    }
}

/// What a list is ordered by, of one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// Nothing but its place.
    Place,
    /// Its name.
    Name(String),
    /// A time or an amount.
    Number(i64),
}

/// Where a list stands: behind this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCursor {
    /// What the key is ordered by.
    pub value: SortValue,
    /// Its place among all keys, in the order in which they were made.
    pub place: i64,
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySearch {
    /// Text within id, name, description, prefix, organisation, team, user or a tag, whatever the case of
    /// its ASCII letters.
    pub text: Option<String>,
    /// Only keys of this organisation.
    pub org: Option<OrgId>,
    /// Only keys of the team of this name.
    pub team: Option<TeamId>,
    /// Only keys of the user of this name.
    pub user: Option<UserId>,
    /// Only keys with this tag.
    pub tag: Option<String>,
    /// Only keys in this state; none: all but deleted ones.
    pub status: Option<KeyStatus>,
    /// Wall time by which keys have expired, in milliseconds.
    pub now_unix_ms: u64,
    /// Only keys that whoever asks may see.
    pub sight: Sight,
    /// In which order. Those that are not by age need an organisation, and neither a text nor
    /// deleted keys: no index has them.
    pub order: KeyOrder,
    /// Only keys behind this one.
    pub after: Option<KeyCursor>,
    /// At most so many.
    pub limit: u32,
}

/// A secret of a key, by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The key.
    pub key: KeyId,
    /// It has not been replaced, or not ended yet.
    pub is_valid: bool,
    /// When it ends although it is valid, in milliseconds since 1970 UTC: it was replaced.
    pub valid_until_unix_ms: Option<u64>,
}
