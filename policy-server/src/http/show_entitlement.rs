//! Plans, groups, aliases and what is chosen of them, as the JSON of the admin API.

use serde_json::{Map, Value, json};
use wire::PriceMultiplier;

use super::selection_form::Mode;
use super::show::{instant, limit, object, page};
use crate::app::{AliasView, GroupView, KeyModel, KeyModels, Member, MemberModels};
use crate::entitlement::{Missing, Selection};
use crate::store::{GroupRow, PlanRow};

/// What an organisation, a plan or a key chooses: a list, as long as no groups are named.
pub fn selection(selection: &Selection) -> Value {
    match selection {
        Selection::All => json!(["*"]),
        Selection::Chosen(chosen) if chosen.groups.is_empty() => json!(chosen.models),
        Selection::Chosen(_) => with_mode(Some(selection)),
    }
}

/// The same with the mode said; none: it inherits.
fn with_mode(selection: Option<&Selection>) -> Value {
    match selection {
        Some(Selection::Chosen(chosen)) => json!({
            "mode": Mode::Restrict.as_str(), "models": chosen.models, "groups": chosen.groups,
        }),
        None | Some(Selection::All) => {
            json!({"mode": Mode::Inherit.as_str(), "models": [], "groups": []})
        }
    }
}

/// A plan.
pub fn plan(plan: &PlanRow) -> Map<String, Value> {
    object(json!({
        "id": plan.id,
        "name": plan.name,
        "models": selection(&plan.models),
        "price_multiplier": plan.price_multiplier.map(PriceMultiplier::to_decimal),
        "created_at": instant(plan.created_unix_ms),
        "updated_at": instant(plan.updated_unix_ms),
    }))
}

/// A group without its models.
pub fn group_row(group: &GroupRow) -> Map<String, Value> {
    object(json!({
        "id": group.name,
        "description": group.description,
        "created_at": instant(group.created_unix_ms),
        "updated_at": instant(group.updated_unix_ms),
    }))
}

/// A group with its models.
pub fn group(view: &GroupView) -> Map<String, Value> {
    let mut shown = group_row(&view.group);
    shown.insert("models".to_owned(), json!(view.models));
    shown
}

/// An alias.
pub fn alias(view: &AliasView) -> Map<String, Value> {
    object(json!({"id": view.alias, "model": view.model}))
}

/// A team or user with what it is restricted to.
pub fn member_models(view: &MemberModels) -> Map<String, Value> {
    let id = match &view.member {
        Member::Team(team) => team.as_str(),
        Member::User(user) => user.as_str(),
    };
    object(json!({
        "org": view.org,
        "id": id,
        "models": with_mode(view.models.as_ref()),
        "limits": view.limits.iter().map(limit).collect::<Vec<_>>(),
    }))
}

/// The catalogue as a key sees it, a page.
pub fn key_models(view: &KeyModels) -> Value {
    let mut shown = object(page(&view.page, key_model));
    shown.insert("plan".to_owned(), json!(view.plan));
    shown.insert("price_multiplier".to_owned(), json!(view.price_multiplier.to_decimal()));
    Value::Object(shown)
}

pub fn key_model(item: &KeyModel) -> Map<String, Value> {
    let model = &item.model.model;
    object(json!({
        "id": model.name,
        "aliases": model.aliases,
        "groups": item.groups,
        "allowed": item.missing.is_empty(),
        "reasons": item.missing.iter().map(|reason| Missing::as_str(*reason)).collect::<Vec<_>>(),
    }))
}
