//! What a filter must know about a key to decide on its requests.

use serde::{Deserialize, Serialize};

use crate::{AllowedNetworks, KeyId, ModelName, NanoUsd, OrgId, PriceMultiplier, TeamId, UserId};

/// Everything the filter knows about one key. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPolicy {
    /// The key.
    pub key: KeyId,
    /// The organisation that owns it.
    pub org: OrgId,
    /// Its team, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// The user who owns it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Whether it may be used.
    pub state: KeyState,
    /// Expiry in milliseconds since 1970 UTC; at this instant the key has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_unix_ms: Option<u64>,
    /// The organisation is entitled to no model at all (403 `no_models` when listing).
    #[serde(default)]
    pub org_has_no_models: bool,
    /// Models that the key may call: what key, team and organisation allow together.
    pub models: ModelSet,
    /// Rate limits of every level that apply to the key.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Some level has a cap on money: every call needs a lease.
    pub budgeted: bool,
    /// Output tokens to allow when a request names no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_output_tokens: Option<u64>,
    /// What a call without usage is charged.
    #[serde(default)]
    pub cut_calls: CutCalls,
    /// What its plan multiplies every price by.
    #[serde(
        default,
        rename = "price_multiplier_ppm",
        skip_serializing_if = "PriceMultiplier::is_one"
    )]
    pub price_multiplier: PriceMultiplier,
    /// Who uses it, which decides what paths are open to it.
    #[serde(default, skip_serializing_if = "KeyKind::is_application")]
    pub kind: KeyKind,
    /// The most that one call may set aside; none: what its budgets leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_call: Option<NanoUsd>,
    /// From where it may be used; none: from everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<AllowedNetworks>,
    /// Where the digest is that of a user key: its id. All the rest is said of the key that it was
    /// exchanged for, from which it spends, but for `kind` and for the expiry, which is the earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_key: Option<KeyId>,
    /// Its requests are checked and recorded, and none is refused: what would have refused one is
    /// told beside the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

impl KeyPolicy {
    /// Who owns the budget above this key at a level. Ids of teams and users are unique within
    /// their organisation only, so theirs is named before them.
    #[must_use]
    pub fn owner(&self, level: Level) -> Option<String> {
        match level {
            Level::Key => Some(self.key.as_str().to_owned()),
            Level::User => self.user.as_ref().map(|user| format!("{}/{user}", self.org)),
            Level::Team => self.team.as_ref().map(|team| format!("{}/{team}", self.org)),
            Level::Org | Level::Wallet => Some(self.org.as_str().to_owned()),
        }
    }

    /// Whether [`KeyPolicy::owner`] of a level is this one.
    #[must_use]
    pub fn is_below(&self, level: Level, owner: &str) -> bool {
        let within = |id: Option<&str>| {
            let rest = owner.strip_prefix(self.org.as_str());
            id.is_some() && rest.and_then(|rest| rest.strip_prefix('/')) == id
        };
        match level {
            Level::Key => self.key.as_str() == owner,
            Level::User => within(self.user.as_ref().map(UserId::as_str)),
            Level::Team => within(self.team.as_ref().map(TeamId::as_str)),
            Level::Org | Level::Wallet => self.org.as_str() == owner,
        }
    }
}

/// Who uses a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A program, on nobody's behalf in particular.
    #[default]
    Application,
    /// One user: paths that belong to a user are open to it.
    User,
}

impl KeyKind {
    /// Whether it is the usual kind, which is not written.
    #[must_use]
    pub fn is_application(&self) -> bool {
        *self == Self::Application
    }
}

/// Where a key is in its life. Expiry is separate: it depends on the time of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// May be used.
    Active,
    /// Switched off, can be switched on again.
    Disabled,
    /// Ended for good.
    Revoked,
}

/// A set of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSet {
    /// Every model of the catalogue, also future ones.
    All,
    /// Exactly these; empty means none.
    Only(Vec<ModelName>),
}

impl ModelSet {
    /// Whether the set holds the model (a concrete name, not an alias).
    #[must_use]
    pub fn contains(&self, model: &ModelName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(model),
        }
    }
}

/// What to charge a call that ended without reporting usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutCalls {
    /// Input estimate plus output seen.
    #[default]
    Estimate,
    /// The whole reservation.
    Reservation,
}

/// One rate limit: at most `max` units in any trailing window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// Over how long; calls in flight have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The most units.
    pub max: u64,
    /// Where it is counted.
    pub scope: Scope,
    /// On whose account it is counted.
    pub subject: Subject,
}

/// Whose calls one limit counts together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The level.
    pub level: Level,
    /// Id of the key, team or organisation.
    pub id: String,
    /// Only calls of this model, if named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
}

/// A level of the tenancy at which limits and budgets stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The key itself.
    Key,
    /// The user who owns it.
    User,
    /// Its team.
    Team,
    /// Its organisation.
    Org,
    /// The prepaid money of its organisation.
    Wallet,
}

impl Level {
    /// Every level, the key's own first.
    pub const ALL: [Self; 5] = [Self::Key, Self::User, Self::Team, Self::Org, Self::Wallet];

    /// The word used in errors and APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Org => "org",
            Self::Wallet => "wallet",
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Admitted calls.
    Requests,
    /// Tokens of ended calls plus the reserved tokens of running ones.
    Tokens,
    /// Calls in flight.
    Concurrent,
}

/// Length of a trailing window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Window {
    /// Sixty seconds.
    #[serde(rename = "1m")]
    Minute,
    /// Sixty minutes.
    #[serde(rename = "1h")]
    Hour,
    /// Twenty-four hours.
    #[serde(rename = "1d")]
    Day,
}

impl Window {
    /// Length in milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

/// Over which processes a limit is shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All workers of one proxy process; needs no server and forgets at restart.
    #[default]
    Proxy,
    /// All proxies together.
    Cluster,
}
