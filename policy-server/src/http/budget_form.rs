//! The JSON by which administrators describe a budget, on its own or within another object, and
//! money that is put into a wallet.

use metering::period::Period;
use serde_json::Value;
use wire::NanoUsd;

use super::form::{Form, LONGEST_TEXT, Read, checked, text, word};
use crate::app::{AdminError, BudgetForm, Given, TopUpForm};

/// A billion USD. Larger caps are a mistake, and sums near the largest amount are never reached.
const LARGEST_CAP: NanoUsd = NanoUsd(1_000_000_000 * 1_000_000_000);

/// Reads a budget: `{"usd": "25.00", "period": "month"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn budget_form(body: &[u8]) -> Result<BudgetForm, AdminError> {
    let mut form = Form::parse(body)?;
    let budget = cap(&mut form);
    form.finish()?;
    budget.ok_or_else(|| AdminError::Invalid(Vec::new()))
}

/// Reads the field `budget`.
pub fn budget(form: &mut Form) -> Given<BudgetForm> {
    form.nested("budget", cap)
}

/// Reads a top-up: `{"usd": "100.00", "note": "invoice 7", "id": "inv-7"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn top_up_form(body: &[u8]) -> Result<TopUpForm, AdminError> {
    let mut form = Form::parse(body)?;
    let amount = form.required("usd", |value| match usd(value)? {
        NanoUsd::ZERO => Err("must be more than nothing".to_owned()),
        amount => Ok(amount),
    });
    let note = form.given("note", text).value().unwrap_or_default();
    let id = form.given("id", |value| match text(value)? {
        id if id.is_empty() => Err(format!("must be a text of 1 to {LONGEST_TEXT} bytes")),
        id => Ok(id),
    });
    form.finish()?;
    let amount = amount.ok_or_else(|| AdminError::Invalid(Vec::new()))?;
    Ok(TopUpForm { amount, note, id: id.value() })
}

/// Reads the fields of a cap.
pub fn cap(form: &mut Form) -> Option<BudgetForm> {
    let cap = form.required("usd", usd);
    let period = form.given("period", word(&Period::ALL, Period::as_str));
    Some(BudgetForm { cap: cap?, period: period.value() })
}

/// An amount of money.
pub fn usd(value: Value) -> Read<NanoUsd> {
    let amount = checked(|text| NanoUsd::from_usd(&text))(value)
        .map_err(|error| format!("must be USD as a text such as \"25.00\": {error}"))?;
    if amount > LARGEST_CAP {
        return Err(format!("must be at most {}", LARGEST_CAP.to_usd()));
    }
    Ok(amount)
}
