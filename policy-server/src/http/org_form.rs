//! The JSON by which administrators describe an organisation.

use super::budget_form::budget;
use super::form::{Form, text};
use super::key_form::shared_limits;
use super::plan_form::{plan, price_multiplier};
use super::selection_form::models;
use crate::app::{AdminError, OrgForm};

/// Reads an organisation.
///
/// # Errors
/// When any field cannot be accepted.
pub fn org_form(body: &[u8]) -> Result<OrgForm, AdminError> {
    let mut form = Form::parse(body)?;
    let org = OrgForm {
        name: form.given("name", text).value(),
        models: models(&mut form),
        limits: shared_limits(&mut form),
        budget: budget(&mut form),
        price_multiplier: price_multiplier(&mut form),
        plan: plan(&mut form),
    };
    form.finish()?;
    Ok(org)
}
