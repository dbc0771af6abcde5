//! Rows of teams, users, their tokens, and of the audit.

use metering::period::Period;
use serde::{Deserialize, Serialize};
use wire::{KeyDigest, NanoUsd, OrgId, TeamId, UserId};

use super::StoredLimit;
use crate::permissions::Role;

/// A team of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRow {
    /// The organisation.
    pub org: OrgId,
    /// Its id, unique there.
    pub id: TeamId,
    /// Its name for people.
    pub name: String,
    /// Rate limits that all its keys share.
    pub limits: Vec<StoredLimit>,
    /// What its members may make for themselves.
    pub self_service: SelfService,
    /// Since when its keys are stopped, in milliseconds since 1970 UTC.
    pub suspended_unix_ms: Option<u64>,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// What members of a team may make for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfService {
    /// Whether they may make keys.
    pub enabled: bool,
    /// Keys of one user in the team at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_keys_per_user: Option<u64>,
    /// The largest budget of a key; where there is one, every key needs a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ceiling: Option<Ceiling>,
    /// Every key needs an expiry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_expiry: bool,
    /// How many days ahead an expiry may lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_expiry_days: Option<u64>,
}

impl Default for SelfService {
    fn default() -> Self {
        Self {
            enabled: true,
            max_keys_per_user: None,
            budget_ceiling: None,
            require_expiry: false,
            max_expiry_days: None,
        }
    }
}

/// The largest budget that somebody may give himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// The most per period.
    pub cap: NanoUsd,
    /// The shortest period.
    #[serde(with = "period_word")]
    pub period: Period,
}

mod period_word {
    use metering::period::Period;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(period: &Period, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(period.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Period, D::Error> {
        let word = String::deserialize(from)?;
        Period::parse(&word).ok_or_else(|| D::Error::custom("no such period"))
    }
}

/// A user of an organisation: a person, or a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The organisation.
    pub org: OrgId,
    /// The id, unique there.
    pub id: UserId,
    /// The name for people.
    pub name: String,
    /// The role on the platform or in the organisation.
    pub role: Role,
    /// Rate limits that all keys of the user share.
    pub limits: Vec<StoredLimit>,
    /// The team of a service account; none for a person.
    pub service_team: Option<TeamId>,
    /// Since when keys and tokens are stopped, in milliseconds since 1970 UTC.
    pub suspended_unix_ms: Option<u64>,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// A user's place in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipRow {
    /// The organisation.
    pub org: OrgId,
    /// The team.
    pub team: TeamId,
    /// The user.
    pub user: UserId,
    /// The role there.
    pub role: Role,
    /// Since when, in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
}

/// A personal token. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalTokenRow {
    /// Its id.
    pub id: String,
    /// Digest of its text.
    pub digest: KeyDigest,
    /// The organisation of the user.
    pub org: OrgId,
    /// Who signs in by it.
    pub user: UserId,
    /// Its name for people.
    pub name: String,
    /// How its text begins, for people to recognise it.
    pub prefix: String,
    /// Who issued it, as the audit names actors.
    pub issued_by: String,
    /// The id of the token that was signed in with then; none for the admin token.
    pub issued_with: Option<String>,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// When it ends, in milliseconds since 1970 UTC.
    pub expires_unix_ms: u64,
    /// When it was ended for good, in milliseconds since 1970 UTC.
    pub revoked_unix_ms: Option<u64>,
    /// When it was last used, to about a minute, in milliseconds since 1970 UTC.
    pub last_used_unix_ms: Option<u64>,
    /// From where.
    pub last_address: Option<String>,
}

/// How something in the audit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not permitted.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The word in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: u64,
    /// `system`, `admin` (who presents the admin token), or `org/user`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// What kind of thing the target is.
    pub kind: String,
    /// To what.
    pub target: String,
    /// The organisation that the target belongs to.
    pub org: Option<OrgId>,
    /// The money that it moved; none where it moved none.
    pub amount: Option<NanoUsd>,
    /// What was different before, as a JSON object.
    pub before: Option<String>,
    /// What is different after.
    pub after: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of the error, where it did not end well.
    pub code: Option<String>,
    /// The id of the personal token that was signed in with.
    pub token: Option<String>,
}

impl AuditRow {
    /// What was done to money by time or by the server itself, or by an operator beside it.
    #[must_use]
    pub fn of_money(
        at_unix_ms: u64,
        actor: &str,
        action: &str,
        target: String,
        amount: Option<NanoUsd>,
    ) -> Self {
        Self {
            at_unix_ms,
            actor: actor.to_owned(),
            action: action.to_owned(),
            kind: "money".to_owned(),
            target,
            org: None,
            amount,
            before: None,
            after: None,
            address: None,
            outcome: Outcome::Done,
            code: None,
            token: None,
        }
    }
}

/// Which lines of the audit to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSearch {
    /// Only what this actor did.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only what was done to this target.
    pub target: Option<String>,
    /// Only what concerns this organisation.
    pub org: Option<OrgId>,
    /// Only this outcome.
    pub outcome: Option<Outcome>,
    /// Not before this wall time in milliseconds.
    pub since_unix_ms: Option<u64>,
    /// Before this wall time in milliseconds.
    pub until_unix_ms: Option<u64>,
    /// Only lines before this position.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}
