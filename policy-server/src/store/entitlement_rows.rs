//! Plans, access groups, and what teams and users are restricted to.

use wire::v1::Level;
use wire::{ModelName, PriceMultiplier};

use super::StoreResult;
use crate::entitlement::{GroupName, PlanId, Selection};

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// Its id.
    pub id: PlanId,
    /// Its name for people.
    pub name: String,
    /// Models that it holds.
    pub models: Selection,
    /// What it multiplies every price by, in place of the organisation's multiplier; none: calls
    /// keep that.
    pub price_multiplier: Option<PriceMultiplier>,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// An access group without its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its name, by which it is granted.
    pub name: GroupName,
    /// What it is for, for people.
    pub description: String,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// Plans and who has them. An owner is an organisation or a key, named as budgets name it.
pub trait PlanRows {
    /// One plan.
    fn plan(&mut self, id: &PlanId) -> StoreResult<Option<PlanRow>>;
    /// Plans in the order of their ids, after `after`, at most `limit`.
    fn plans(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<PlanRow>>;
    /// How many there are.
    fn plan_count(&mut self) -> StoreResult<u64>;
    /// Inserts or replaces, and remembers its multiplier for ever.
    fn save_plan(&mut self, plan: &PlanRow) -> StoreResult<()>;
    /// Removes the row; who had it and its multipliers stay.
    fn remove_plan(&mut self, id: &PlanId) -> StoreResult<()>;
    /// The plan that an owner has.
    fn assigned_plan(&mut self, level: Level, owner: &str) -> StoreResult<Option<PlanId>>;
    /// Gives an owner this plan, or none, in place of the one that it has.
    fn assign_plan(&mut self, level: Level, owner: &str, plan: Option<&PlanId>) -> StoreResult<()>;
    /// Somebody who has the plan.
    fn plan_user(&mut self, id: &PlanId) -> StoreResult<Option<(String, String)>>;
    /// Whether the owner ever had a plan that ever had this multiplier.
    fn had_planned_multiplier(
        &mut self,
        level: Level,
        owner: &str,
        multiplier: PriceMultiplier,
    ) -> StoreResult<bool>;
}

/// Access groups.
pub trait GroupRows {
    /// One group.
    fn group(&mut self, name: &GroupName) -> StoreResult<Option<GroupRow>>;
    /// Groups in the order of their names, after `after`, at most `limit`.
    fn groups(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<GroupRow>>;
    /// How many there are.
    fn group_count(&mut self) -> StoreResult<u64>;
    /// Inserts or replaces; its models stay.
    fn save_group(&mut self, group: &GroupRow) -> StoreResult<()>;
    /// Removes it with its list of models; whom it was granted to keeps the grant.
    fn remove_group(&mut self, name: &GroupName) -> StoreResult<()>;
    /// Its models in the order of their names; none where there is no such group.
    fn group_models(&mut self, name: &GroupName) -> StoreResult<Vec<ModelName>>;
    /// The groups of a model in the order of their names.
    fn groups_of(&mut self, model: &ModelName) -> StoreResult<Vec<GroupName>>;
    /// Puts a model into a group.
    fn join_group(&mut self, name: &GroupName, model: &ModelName) -> StoreResult<()>;
    /// Takes a model out of a group.
    fn leave_group(&mut self, name: &GroupName, model: &ModelName) -> StoreResult<()>;
}

/// What teams and users are restricted to. An owner is named as budgets name it.
pub trait MemberModelRows {
    /// The models of a team or user; none: it inherits.
    fn member_models(&mut self, level: Level, owner: &str) -> StoreResult<Option<Selection>>;
    /// Restricts a team or user, or lets it inherit.
    fn save_member_models(
        &mut self,
        level: Level,
        owner: &str,
        models: Option<&Selection>,
        at_unix_ms: u64,
    ) -> StoreResult<()>;
}
