//! What [`super::show_entitlement`] writes, as the API's document has it.

use wire::{ModelName, OrgId, UserId};

use super::operation::{Shape, page_members};
use super::schema::{Members, Schema};
use super::selection_form::Mode;
use super::shapes::{limit, made_and_changed};
use crate::entitlement::{GroupName, Missing, PlanId};

/// A plan.
pub const PLAN: Shape = Shape { name: "Plan", members: plan };

/// A group without its models.
pub const GROUP_ROW: Shape = Shape { name: "GroupRow", members: group_row };

/// A group with its models.
pub const GROUP: Shape = Shape { name: "Group", members: group };

/// An alias.
pub const ALIAS: Shape = Shape { name: "Alias", members: alias };

/// An alias that points at nothing any more.
pub const REMOVED_ALIAS: Shape = Shape { name: "RemovedAlias", members: removed_alias };

/// A team or user with what it is restricted to.
pub const MEMBER_MODELS: Shape = Shape { name: "MemberModels", members: member_models };

/// The catalogue as a key sees it.
pub const KEY_MODELS: Shape = Shape { name: "KeyModels", members: key_models };

/// The id of a plan.
pub fn plan_id() -> Schema {
    Schema::pattern(PlanId::PATTERN)
}

/// What is chosen of the catalogue.
pub fn selection() -> Schema {
    Schema::either(Schema::some(Schema::text()), with_mode()).named("Selection")
}

fn with_mode() -> Schema {
    let selection = Members::default()
        .with("mode", Schema::words(Mode::ALL.map(Mode::as_str)))
        .with("models", Schema::some(Schema::text()))
        .with("groups", Schema::some(Schema::pattern(GroupName::PATTERN)));
    Schema::from(selection).named("SelectionWithMode")
}

fn plan() -> Members {
    Members::default()
        .with("id", plan_id())
        .with("name", Schema::text())
        .with("models", selection())
        .with("price_multiplier", Schema::decimal().or_null())
        .and(made_and_changed())
}

fn group_row() -> Members {
    Members::default()
        .with("id", Schema::pattern(GroupName::PATTERN))
        .with("description", Schema::text())
        .and(made_and_changed())
}

fn group() -> Members {
    group_row().with("models", Schema::some(Schema::id(ModelName::LONGEST)))
}

fn alias() -> Members {
    Members::default()
        .with("id", Schema::id(ModelName::LONGEST))
        .with("model", Schema::id(ModelName::LONGEST))
}

fn removed_alias() -> Members {
    Members::default().with("id", Schema::id(ModelName::LONGEST)).with("model", Schema::null())
}

fn member_models() -> Members {
    Members::default()
        .with("org", Schema::id(OrgId::LONGEST))
        .with("id", Schema::id(UserId::LONGEST))
        .with("models", with_mode())
        .with("limits", Schema::some(limit()))
}

fn key_models() -> Members {
    page_members(Schema::from(key_model()).named("KeyModel"))
        .with("plan", plan_id().or_null())
        .with("price_multiplier", Schema::decimal())
}

pub fn key_model() -> Members {
    let reasons = Schema::words(Missing::ALL.map(Missing::as_str));
    Members::default()
        .with("id", Schema::id(ModelName::LONGEST))
        .with("aliases", Schema::some(Schema::id(ModelName::LONGEST)))
        .with("groups", Schema::some(Schema::pattern(GroupName::PATTERN)))
        .with("allowed", Schema::boolean())
        .with("reasons", Schema::some(reasons))
}
