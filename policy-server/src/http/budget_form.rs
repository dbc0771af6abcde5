//! The JSON by which administrators describe a budget, on its own or within another object, and
//! money that is put into a wallet.

use metering::period::Period;
use serde_json::Value;
use wire::NanoUsd;

use super::form::{Form, Read, Reader};
use super::reader::{decimal, line, word};
use super::schema::LONGEST_TEXT;
use crate::app::{AdminError, BudgetForm, Given, TopUpForm};

/// A billion USD. Larger caps are a mistake, and sums near the largest amount are never reached.
const LARGEST_CAP: NanoUsd = NanoUsd(1_000_000_000 * 1_000_000_000);

/// Reads a budget: `{"usd": "25.00", "period": "month"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn budget_form(body: &[u8]) -> Result<BudgetForm, AdminError> {
    Form::read(body, cap)
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
    Form::read(body, top_up)
}

/// The fields of a top-up.
pub fn top_up(form: &mut Form) -> Option<TopUpForm> {
    let something = |amount| match amount {
        NanoUsd::ZERO => Err("must be more than nothing".to_owned()),
        amount => Ok(amount),
    };
    let an_id = |id: String| match id {
        id if id.is_empty() => Err(format!("must be a text of 1 to {LONGEST_TEXT} bytes")),
        id => Ok(id),
    };
    let amount = form.required("usd", usd().then(something));
    let note = form.given("note", line()).value().unwrap_or_default();
    let id = form.given("id", line().then(an_id));
    Some(TopUpForm { amount: amount?, note, id: id.value() })
}

/// Reads the fields of a cap.
pub fn cap(form: &mut Form) -> Option<BudgetForm> {
    let cap = form.required("usd", usd());
    let period = form.given("period", word(&Period::ALL, Period::as_str));
    Some(BudgetForm { cap: cap?, period: period.value() })
}

/// An amount of money.
pub fn usd() -> Reader<impl FnOnce(Value) -> Read<NanoUsd>> {
    decimal(|text| {
        let amount = NanoUsd::from_usd(text)
            .map_err(|error| format!("must be USD as a text such as \"25.00\": {error}"))?;
        if amount > LARGEST_CAP {
            return Err(format!("must be at most {}", LARGEST_CAP.to_usd()));
        }
        Ok(amount)
    })
}
