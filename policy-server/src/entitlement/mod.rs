//! Which models a key may call, and why not another: the organisation's catalogue, the plan, the
//! team, the user and the key must all allow it. Pure; whoever loads the rows asks here.

mod names;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use wire::ModelName;
use wire::v1::ModelSet;

pub use names::{GroupName, InvalidName, PlanId};

/// Groups of one selection, and groups of one model: each is looked up when a key is.
pub const GROUPS_MOST: usize = 100;

/// What one level allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub enum Selection {
    /// Every model that the level above allows, also future ones.
    All,
    /// Only what is chosen.
    Chosen(Chosen),
}

/// Models by name, and groups with whatever models are in them now. Empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Concrete names.
    pub models: Vec<ModelName>,
    /// Groups.
    pub groups: Vec<GroupName>,
}

/// The form in the store. `all` and `only` are the words of [`ModelSet`], as which selections were
/// stored before there were groups.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    All,
    Only(Vec<ModelName>),
    Chosen { models: Vec<ModelName>, groups: Vec<GroupName> },
}

impl From<Stored> for Selection {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::All => Self::All,
            Stored::Only(models) => Self::Chosen(Chosen { models, groups: Vec::new() }),
            Stored::Chosen { models, groups } => Self::Chosen(Chosen { models, groups }),
        }
    }
}

impl From<Selection> for Stored {
    fn from(selection: Selection) -> Self {
        match selection {
            Selection::All => Self::All,
            Selection::Chosen(Chosen { models, groups }) if groups.is_empty() => Self::Only(models),
            Selection::Chosen(Chosen { models, groups }) => Self::Chosen { models, groups },
        }
    }
}

impl Selection {
    /// Allows no model at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Chosen(Chosen::default())
    }

    /// Whether a model that is in these groups is allowed.
    #[must_use]
    pub fn allows(&self, model: &ModelName, groups: &[GroupName]) -> bool {
        match self {
            Self::All => true,
            Self::Chosen(chosen) => {
                chosen.models.contains(model)
                    || chosen.groups.iter().any(|group| groups.contains(group))
            }
        }
    }

    fn chosen(&self) -> Option<&Chosen> {
        match self {
            Self::All => None,
            Self::Chosen(chosen) => Some(chosen),
        }
    }
}

impl Chosen {
    /// Every model that is chosen, each once, those named first.
    fn models<'a>(&'a self, members: &'a Members) -> impl Iterator<Item = &'a ModelName> {
        let mut seen = HashSet::new();
        let of_groups = self.groups.iter().filter_map(|group| members.get(group)).flatten();
        self.models.iter().chain(of_groups).filter(move |model| seen.insert(*model))
    }
}

/// The models of groups.
pub type Members = BTreeMap<GroupName, Vec<ModelName>>;

/// Why a model is missing from what a key may call, in the order in which a request is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// It was withdrawn.
    Removed,
    /// It has no price, and is not marked as free.
    NoPrice,
    /// The organisation's catalogue does not hold it.
    NotInCatalogue,
    /// The plan does not hold it.
    NotInPlan,
    /// The key's team is restricted to others.
    Team,
    /// The key's user is restricted to others.
    User,
    /// The key is restricted to others.
    Key,
}

impl Missing {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Removed,
        Self::NoPrice,
        Self::NotInCatalogue,
        Self::NotInPlan,
        Self::Team,
        Self::User,
        Self::Key,
    ];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::NoPrice => "no_price",
            Self::NotInCatalogue => "not_in_catalogue",
            Self::NotInPlan => "not_in_plan",
            Self::Team => "team",
            Self::User => "user",
            Self::Key => "key",
        }
    }
}

/// A model, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Its concrete name.
    pub model: &'a ModelName,
    /// The groups that it is in.
    pub groups: &'a [GroupName],
    /// It was withdrawn.
    pub removed: bool,
    /// It has a price.
    pub priced: bool,
}

/// What each level above a key, and the key itself, allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// The organisation's catalogue.
    pub org: Selection,
    /// The plan: the key's own, else the organisation's.
    pub plan: Selection,
    /// The key's team.
    pub team: Selection,
    /// The user who owns the key.
    pub user: Selection,
    /// The key.
    pub key: Selection,
}

impl Scopes {
    /// Scopes that restrict nothing below the organisation.
    #[must_use]
    pub fn of_org(org: Selection) -> Self {
        let all = || Selection::All;
        Self { org, plan: all(), team: all(), user: all(), key: all() }
    }

    /// The same without what stands below the plan: what the organisation is entitled to.
    #[must_use]
    pub fn above_members(&self) -> Self {
        Self { plan: self.plan.clone(), ..Self::of_org(self.org.clone()) }
    }

    /// Every reason why the key may not call a model, in the order in which they are checked. None:
    /// it may.
    #[must_use]
    pub fn missing(&self, offer: &Offer<'_>) -> Vec<Missing> {
        let of_model =
            [(offer.removed, Missing::Removed), (!offer.priced, Missing::NoPrice)].into_iter();
        let of_model = of_model.filter_map(|(holds, reason)| holds.then_some(reason));
        of_model.chain(self.refused_by(offer.model, offer.groups)).collect()
    }

    /// The levels that do not allow a model which is in these groups.
    pub fn refused_by<'a>(
        &'a self,
        model: &'a ModelName,
        groups: &'a [GroupName],
    ) -> impl Iterator<Item = Missing> + 'a {
        let refusing = move |(reason, selection): (Missing, &Selection)| {
            (!selection.allows(model, groups)).then_some(reason)
        };
        self.levels().into_iter().filter_map(refusing)
    }

    /// Groups that some level names: their members must be known to [`Scopes::models`].
    #[must_use]
    pub fn groups(&self) -> BTreeSet<&GroupName> {
        let chosen = self.levels().into_iter().filter_map(|(_, selection)| selection.chosen());
        chosen.flat_map(|chosen| &chosen.groups).collect()
    }

    /// The models that every level allows, whatever their price and whether or not they were
    /// withdrawn: filters know that from their catalogue. A group that is not in `members` has none.
    #[must_use]
    pub fn models(&self, members: &Members) -> ModelSet {
        let narrow = self.levels().into_iter().filter_map(|(_, selection)| selection.chosen());
        let narrow: Vec<_> = narrow.collect();
        let Some((first, others)) = narrow.split_first() else { return ModelSet::All };
        let sets: Vec<HashSet<&ModelName>> =
            others.iter().map(|chosen| chosen.models(members).collect()).collect();
        let common =
            first.models(members).filter(|model| sets.iter().all(|set| set.contains(model)));
        ModelSet::Only(common.cloned().collect())
    }

    fn levels(&self) -> [(Missing, &Selection); 5] {
        [
            (Missing::NotInCatalogue, &self.org),
            (Missing::NotInPlan, &self.plan),
            (Missing::Team, &self.team),
            (Missing::User, &self.user),
            (Missing::Key, &self.key),
        ]
    }
}

#[cfg(test)]
mod tests;
