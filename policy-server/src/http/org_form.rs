//! The JSON by which administrators describe an organisation.

use wire::PriceMultiplier;

use super::budget_form::budget;
use super::form::{Form, checked, text, texts};
use crate::app::{AdminError, OrgForm};

/// Models in one list: as many as the catalogue may hold.
pub const MODELS_IN_LIST: usize = 2_000;

/// Reads an organisation.
///
/// # Errors
/// When any field cannot be accepted.
pub fn org_form(body: &[u8]) -> Result<OrgForm, AdminError> {
    let mut form = Form::parse(body)?;
    let org = OrgForm {
        name: form.given("name", text).value(),
        models: form.given("models", texts(MODELS_IN_LIST)),
        budget: budget(&mut form),
        price_multiplier: form
            .given("price_multiplier", checked(|text| PriceMultiplier::from_decimal(&text))),
    };
    form.finish()?;
    Ok(org)
}
