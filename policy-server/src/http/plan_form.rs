//! The JSON by which administrators describe plans, access groups and aliases.

use wire::{ModelName, PriceMultiplier};

use super::form::{Form, checked, text, texts};
use super::key_form::shared_limits;
use super::selection_form::{MODELS_IN_LIST, models};
use crate::app::{AdminError, Given, GroupModels, MemberForm, PlanForm, SelectionForm};
use crate::entitlement::PlanId;

/// Reads a plan.
///
/// # Errors
/// When any field cannot be accepted.
pub fn plan_form(body: &[u8]) -> Result<PlanForm, AdminError> {
    let mut form = Form::parse(body)?;
    let plan = PlanForm {
        name: form.given("name", text).value(),
        models: models(&mut form),
        price_multiplier: price_multiplier(&mut form),
    };
    form.finish()?;
    Ok(plan)
}

/// Reads the field `price_multiplier`.
pub fn price_multiplier(form: &mut Form) -> Given<PriceMultiplier> {
    form.given("price_multiplier", checked(|text| PriceMultiplier::from_decimal(&text)))
}

/// Reads the field `plan`.
pub fn plan(form: &mut Form) -> Given<PlanId> {
    form.given("plan", checked(PlanId::new))
}

/// Reads which plan an organisation is to have: `{"plan": "gold"}` or `{"plan": null}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn assignment_form(body: &[u8]) -> Result<Option<PlanId>, AdminError> {
    let mut form = Form::parse(body)?;
    let given = plan(&mut form);
    if !given.is_given() && form.is_right() {
        form.wrong("plan", "is required; null removes the plan");
    }
    form.finish()?;
    Ok(given.value())
}

/// What a team or user is restricted to: `{"models": …, "limits": […]}`, of which one may be left
/// out.
///
/// # Errors
/// When any field cannot be accepted.
pub fn member_form(body: &[u8]) -> Result<MemberForm, AdminError> {
    let mut form = Form::parse(body)?;
    let given = models(&mut form);
    let limits = shared_limits(&mut form);
    if !given.is_given() && !limits.is_given() && form.is_right() {
        form.wrong("models", "is required where there are no limits; null inherits");
    }
    form.finish()?;
    let models = given.is_given().then(|| given.value().unwrap_or(SelectionForm::Inherit));
    Ok(MemberForm { models, limits })
}

/// Reads a whole group: its description and its models.
///
/// # Errors
/// When any field cannot be accepted.
pub fn group_form(body: &[u8]) -> Result<(String, Vec<String>), AdminError> {
    let mut form = Form::parse(body)?;
    let description = form.given("description", text).value().unwrap_or_default();
    let models = names(&mut form, "models").unwrap_or_default();
    form.finish()?;
    Ok((description, models))
}

/// Reads a change of a group: `{"description": …, "add": […], "remove": […]}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn group_change(body: &[u8]) -> Result<(Option<String>, GroupModels), AdminError> {
    let mut form = Form::parse(body)?;
    let description = form.given("description", text).value();
    let add = names(&mut form, "add").unwrap_or_default();
    let remove = names(&mut form, "remove").unwrap_or_default();
    form.finish()?;
    Ok((description, GroupModels::Change { add, remove }))
}

/// Reads the model that an alias is to point at: `{"model": "gpt-4o"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn alias_form(body: &[u8]) -> Result<ModelName, AdminError> {
    let mut form = Form::parse(body)?;
    let model = form.required("model", checked(ModelName::new));
    form.finish()?;
    model.ok_or_else(|| AdminError::Invalid(Vec::new()))
}

fn names(form: &mut Form, field: &str) -> Option<Vec<String>> {
    form.given(field, texts(MODELS_IN_LIST)).value()
}
