//! The JSON by which administrators describe an organisation, and budgets of any level.

use metering::period::Period;
use serde_json::Value;
use wire::NanoUsd;

use super::form::{Form, Read, checked, text, texts, word};
use crate::app::{AdminError, BudgetForm, Given, OrgForm};

/// Models in one list: as many as the catalogue may hold.
pub const MODELS_IN_LIST: usize = 2_000;

/// A billion USD. Larger caps are a mistake, and sums near the largest amount are never reached.
const LARGEST_CAP: NanoUsd = NanoUsd(1_000_000_000 * 1_000_000_000);

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
    };
    form.finish()?;
    Ok(org)
}

/// Reads the field `budget`: `{"usd": "25.00", "period": "month"}`.
pub fn budget(form: &mut Form) -> Given<BudgetForm> {
    form.nested("budget", |form| {
        let cap = form.required("usd", usd);
        let period = form.given("period", word(&Period::ALL, Period::as_str));
        Some(BudgetForm { cap: cap?, period: period.value() })
    })
}

fn usd(value: Value) -> Read<NanoUsd> {
    let amount = checked(|text| NanoUsd::from_usd(&text))(value)
        .map_err(|error| format!("must be USD as a text such as \"25.00\": {error}"))?;
    if amount > LARGEST_CAP {
        return Err(format!("must be at most {}", LARGEST_CAP.to_usd()));
    }
    Ok(amount)
}
