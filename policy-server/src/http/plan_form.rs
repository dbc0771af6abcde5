//! The JSON by which administrators describe plans, access groups and aliases.

use wire::{ModelName, PriceMultiplier};

use super::form::Form;
use super::key_form::shared_limits;
use super::reader::{checked, decimal, id, line, texts};
use super::schema::Schema;
use super::selection_form::{MODELS_IN_LIST, models};
use crate::app::{AdminError, Given, GroupModels, MemberForm, PlanForm, SelectionForm};
use crate::entitlement::PlanId;

/// Reads a plan.
///
/// # Errors
/// When any field cannot be accepted.
pub fn plan_form(body: &[u8]) -> Result<PlanForm, AdminError> {
    Form::read(body, whole_plan)
}

/// The fields of a plan.
pub fn whole_plan(form: &mut Form) -> Option<PlanForm> {
    Some(PlanForm {
        name: form.given("name", line()).value(),
        models: models(form),
        price_multiplier: price_multiplier(form),
    })
}

/// Reads the field `price_multiplier`.
pub fn price_multiplier(form: &mut Form) -> Given<PriceMultiplier> {
    form.given("price_multiplier", decimal(PriceMultiplier::from_decimal))
}

/// Reads the field `plan`.
pub fn plan(form: &mut Form) -> Given<PlanId> {
    form.given("plan", checked(PlanId::new).of(Schema::pattern(PlanId::PATTERN)))
}

/// Reads which plan an organisation is to have: `{"plan": "gold"}` or `{"plan": null}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn assignment_form(body: &[u8]) -> Result<Option<PlanId>, AdminError> {
    Form::read(body, assignment)
}

/// The fields of an assignment.
pub fn assignment(form: &mut Form) -> Option<Option<PlanId>> {
    let given = plan(form);
    form.must_be_given("plan", &given, "is required; null removes the plan");
    Some(given.value())
}

/// What a team or user is restricted to: `{"models": …, "limits": […]}`, of which one may be left
/// out.
///
/// # Errors
/// When any field cannot be accepted.
pub fn member_form(body: &[u8]) -> Result<MemberForm, AdminError> {
    Form::read(body, member)
}

/// The fields of a restriction.
pub fn member(form: &mut Form) -> Option<MemberForm> {
    let given = models(form);
    let limits = shared_limits(form);
    if !given.is_given() && !limits.is_given() && form.is_right() {
        form.wrong("models", "is required where there are no limits; null inherits");
    }
    let models = given.is_given().then(|| given.value().unwrap_or(SelectionForm::Inherit));
    Some(MemberForm { models, limits })
}

/// Reads a whole group: its description and its models.
///
/// # Errors
/// When any field cannot be accepted.
pub fn group_form(body: &[u8]) -> Result<(String, Vec<String>), AdminError> {
    Form::read(body, group)
}

/// The fields of a group.
pub fn group(form: &mut Form) -> Option<(String, Vec<String>)> {
    let description = form.given("description", line()).value().unwrap_or_default();
    Some((description, names(form, "models").unwrap_or_default()))
}

/// Reads a change of a group: `{"description": …, "add": […], "remove": […]}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn group_change(body: &[u8]) -> Result<(Option<String>, GroupModels), AdminError> {
    Form::read(body, changed_group)
}

/// The fields of a change of a group.
pub fn changed_group(form: &mut Form) -> Option<(Option<String>, GroupModels)> {
    let description = form.given("description", line()).value();
    let add = names(form, "add").unwrap_or_default();
    let remove = names(form, "remove").unwrap_or_default();
    Some((description, GroupModels::Change { add, remove }))
}

/// Reads the model that an alias is to point at: `{"model": "gpt-4o"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn alias_form(body: &[u8]) -> Result<ModelName, AdminError> {
    Form::read(body, alias)
}

/// The fields of an alias.
pub fn alias(form: &mut Form) -> Option<ModelName> {
    form.required("model", id(ModelName::LONGEST, ModelName::new))
}

fn names(form: &mut Form, field: &str) -> Option<Vec<String>> {
    form.given(field, texts(MODELS_IN_LIST)).value()
}
