//! Rows of the request log and of the sums that are kept of it.

use wire::v1::CallRecord;
use wire::{HolderId, ModelName, NanoUsd, OrgId, RefusalCode, TeamId, UserId};

use super::StoreResult;
use crate::permissions::Sight;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// One line of the request log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Who reported it.
    pub holder: HolderId,
    /// What it reported.
    pub call: CallRecord,
    /// Organisation of the key at that time; none when the key is not known.
    pub org: Option<OrgId>,
    /// Team of the key at that time.
    pub team: Option<TeamId>,
    /// User of the key at that time.
    pub user: Option<UserId>,
    /// The cost that the server computes, where it differs from the one charged.
    pub recomputed: Option<NanoUsd>,
    /// Arrival in milliseconds since 1970 UTC.
    pub recorded_unix_ms: u64,
}

/// Where a record stands in the order of lists: by the beginning of the call, then by its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordPlace {
    /// Beginning of the call in milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// Position in the log.
    pub position: i64,
}

/// Where keys belonged when they made their calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// This organisation.
    pub org: Option<String>,
    /// This team of the organisation.
    pub team: Option<String>,
    /// This user of the organisation.
    pub user: Option<String>,
}

impl Whose {
    /// Whether what a row says is among it.
    #[must_use]
    pub fn holds(&self, org: &str, team: &str, user: &str) -> bool {
        let fits = |wanted: &Option<String>, has| wanted.as_deref().is_none_or(|w| w == has);
        fits(&self.org, org) && fits(&self.team, team) && fits(&self.user, user)
    }

    /// What both this and another place hold; none where they have nothing in common.
    fn and(&self, other: &Self) -> Option<Self> {
        let both = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => Some(one.clone().or_else(|| other.clone())),
        };
        Some(Self {
            org: both(&self.org, &other.org)?,
            team: both(&self.team, &other.team)?,
            user: both(&self.user, &other.user)?,
        })
    }

    /// What somebody sees of it, as places that together hold all of that: each can be walked along
    /// an index. Some may overlap.
    #[must_use]
    pub fn seen_by(&self, sight: &Sight) -> Vec<Self> {
        let of = |org: &OrgId, team: Option<&TeamId>, user: Option<&UserId>| Self {
            org: Some(org.as_str().to_owned()),
            team: team.map(|team| team.as_str().to_owned()),
            user: user.map(|user| user.as_str().to_owned()),
        };
        let seen: Vec<Self> = match sight {
            Sight::Everything => vec![Self::default()],
            Sight::Org(org) => vec![of(org, None, None)],
            Sight::Part { org, teams, user } => {
                let teams = teams.iter().map(|team| of(org, Some(team), None));
                teams.chain(user.as_ref().map(|user| of(org, None, Some(user)))).collect()
            }
        };
        seen.iter().filter_map(|seen| self.and(seen)).collect()
    }
}

/// What is found at a place of the log: a record, or why its row cannot be read. The others are read
/// all the same.
pub type FoundRecord = (RecordPlace, StoreResult<RecordRow>);

/// Of the calls that shadow mode let pass, those that would have been refused …
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WouldRefuse {
    /// … for whatever reason.
    Any,
    /// … with this code.
    Code(RefusalCode),
}

impl WouldRefuse {
    /// The word in the API for all of them. It is no error's code.
    pub const ANY: &'static str = "any";

    /// From the word in the API; none where it can be no code.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            Self::ANY => Some(Self::Any),
            code => RefusalCode::new(code).ok().map(Self::Code),
        }
    }
}

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordSearch {
    /// Only the call with this request id.
    pub request: Option<String>,
    /// Only calls of this key.
    pub key: Option<String>,
    /// Only calls of keys that belonged here.
    pub whose: Whose,
    /// Only calls of this concrete model.
    pub model: Option<ModelName>,
    /// Only calls with this status.
    pub status: Option<u16>,
    /// Only calls that shadow mode let pass, for whatever reason or for one.
    pub would_refuse: Option<WouldRefuse>,
    /// Only calls that began at this time or later, in milliseconds since 1970 UTC.
    pub from_unix_ms: Option<u64>,
    /// Only calls that began before this time.
    pub to_unix_ms: Option<u64>,
    /// Only records behind this place.
    pub after: Option<RecordPlace>,
    /// At most so many.
    pub limit: u32,
}

/// The request log.
pub trait RecordRows {
    /// Whether this call is recorded, by whatever holder, or the holder's record with its number is
    /// there.
    fn has_record(&mut self, holder: &HolderId, call: &CallRecord) -> StoreResult<bool>;
    /// Appends a record.
    fn add_record(&mut self, record: &RecordRow) -> StoreResult<()>;
    /// Records that match, the call that began last first.
    fn records(&mut self, search: &RecordSearch) -> StoreResult<Vec<FoundRecord>>;
    /// Whether the oldest record arrived before this time.
    fn has_records_before(&mut self, unix_ms: u64) -> StoreResult<bool>;
    /// Removes the oldest records as far as they arrived before this time, at most `limit`. Answers
    /// how many those were.
    fn remove_records_before(&mut self, unix_ms: u64, limit: u32) -> StoreResult<u64>;
}

/// One row of the sums: what was used on a day by one key with one model, in the place where the key
/// was then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageDay {
    /// Days since 1970 UTC on which the calls began.
    pub day: u64,
    /// The key.
    pub key: String,
    /// The concrete model.
    pub model: String,
    /// The organisation; empty when the key is not known.
    pub org: String,
    /// The team; empty where there is none.
    pub team: String,
    /// The user; empty where there is none.
    pub user: String,
}

impl UsageDay {
    /// Where a record counts.
    #[must_use]
    pub fn of(record: &RecordRow) -> Self {
        let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
        Self {
            day: record.call.started_unix_ms / DAY_MS,
            key: record.call.key.as_str().to_owned(),
            model: record.call.model.as_str().to_owned(),
            org: text(record.org.as_ref().map(OrgId::as_str)),
            team: text(record.team.as_ref().map(TeamId::as_str)),
            user: text(record.user.as_ref().map(UserId::as_str)),
        }
    }
}

/// Sums over calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageSums {
    /// Calls.
    pub requests: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Those of them that were cached.
    pub cached_input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// What they cost.
    pub cost: NanoUsd,
    /// Calls among them that would have been refused but for shadow mode.
    pub would_refuse: u64,
}

impl UsageSums {
    /// The sums of one call.
    #[must_use]
    pub fn of(call: &CallRecord) -> Self {
        Self {
            requests: 1,
            input_tokens: call.usage.input_tokens,
            cached_input_tokens: call.usage.cached_input_tokens,
            output_tokens: call.usage.output_tokens,
            cost: call.cost,
            would_refuse: call.would_refuse.is_some().into(),
        }
    }

    /// These and others together. A sum that does not fit stays the largest number.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost: self.cost.saturating_add(other.cost),
            would_refuse: self.would_refuse.saturating_add(other.would_refuse),
        }
    }
}

/// By what sums are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageGroup {
    /// By key.
    Key,
    /// By user.
    User,
    /// By team.
    Team,
    /// By organisation.
    Org,
    /// By concrete model.
    Model,
    /// By day.
    Day,
}

impl UsageGroup {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Key, Self::User, Self::Team, Self::Org, Self::Model, Self::Day];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Org => "org",
            Self::Model => "model",
            Self::Day => "day",
        }
    }

    /// The group in which a row counts.
    #[must_use]
    pub fn of(self, row: &UsageDay) -> UsageOwner {
        match self {
            Self::Key => UsageOwner::Id(row.key.clone()),
            Self::User => UsageOwner::Member(row.org.clone(), row.user.clone()),
            Self::Team => UsageOwner::Member(row.org.clone(), row.team.clone()),
            Self::Org => UsageOwner::Id(row.org.clone()),
            Self::Model => UsageOwner::Id(row.model.clone()),
            Self::Day => UsageOwner::Day(row.day),
        }
    }
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageOwner {
    /// A day since 1970 UTC.
    Day(u64),
    /// A key, an organisation or a model.
    Id(String),
    /// A team or user of an organisation.
    Member(String, String),
}

/// Which sums to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSearch {
    /// The first day.
    pub from_day: u64,
    /// The last day.
    pub to_day: u64,
    /// Only this key.
    pub key: Option<String>,
    /// Only calls of keys that belonged here.
    pub whose: Whose,
    /// Only this model.
    pub model: Option<String>,
    /// How to group.
    pub group: UsageGroup,
    /// Only groups behind this one.
    pub after: Option<UsageOwner>,
    /// At most so many groups.
    pub limit: u32,
}

impl UsageSearch {
    /// Whether rows come in the order of their groups.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.group == UsageGroup::Day || !self.is_filtered()
    }

    /// Whether it is about a part of all calls.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        // A team or user is one of an organisation only.
        self.key.is_some() || self.whose.org.is_some() || self.model.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(org: &str, team: &str, user: &str) -> Whose {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Whose { org: text(org), team: text(team), user: text(user) }
    }

    #[test]
    fn what_somebody_sees_of_a_filter_is_what_both_hold() {
        let acme = OrgId::new("acme").unwrap();
        let team = |name: &str| TeamId::new(name).unwrap();
        let part = Sight::Part {
            org: acme.clone(),
            teams: vec![team("a"), team("b")],
            user: Some(UserId::new("dev").unwrap()),
        };
        let nothing = Sight::Part { org: acme.clone(), teams: vec![], user: None };
        let org = Sight::Org(acme);
        for (asked, sight, seen) in [
            (whose("", "", ""), &Sight::Everything, vec![whose("", "", "")]),
            (whose("beta", "a", ""), &Sight::Everything, vec![whose("beta", "a", "")]),
            (whose("", "", ""), &org, vec![whose("acme", "", "")]),
            (whose("acme", "a", "u"), &org, vec![whose("acme", "a", "u")]),
            (whose("beta", "", ""), &org, vec![]),
            (
                whose("", "", ""),
                &part,
                vec![whose("acme", "a", ""), whose("acme", "b", ""), whose("acme", "", "dev")],
            ),
            (
                whose("acme", "a", ""),
                &part,
                vec![whose("acme", "a", ""), whose("acme", "a", "dev")],
            ),
            (whose("acme", "c", ""), &part, vec![whose("acme", "c", "dev")]),
            (whose("acme", "c", "u"), &part, vec![]),
            (whose("beta", "a", ""), &part, vec![]),
            (whose("", "", ""), &nothing, vec![]),
        ] {
            assert_eq!(asked.seen_by(sight), seen, "{asked:?} {sight:?}");
        }
        assert!(whose("acme", "", "dev").holds("acme", "c", "dev"));
        assert!(!whose("acme", "a", "").holds("acme", "", "dev"));
        assert!(!whose("acme", "", "").holds("", "", ""));
    }
}
