//! The JSON by which administrators describe an organisation.

use super::budget_form::budget;
use super::form::Form;
use super::key_form::shared_limits;
use super::plan_form::{plan, price_multiplier};
use super::reader::line;
use super::selection_form::models;
use crate::app::{AdminError, OrgForm};

/// Reads an organisation.
///
/// # Errors
/// When any field cannot be accepted.
pub fn org_form(body: &[u8]) -> Result<OrgForm, AdminError> {
    Form::read(body, org)
}

/// The fields of an organisation.
pub fn org(form: &mut Form) -> Option<OrgForm> {
    Some(OrgForm {
        name: form.given("name", line()).value(),
        models: models(form),
        limits: shared_limits(form),
        budget: budget(form),
        price_multiplier: price_multiplier(form),
        plan: plan(form),
    })
}
