//! The JSON by which administrators describe a budget, on its own or within another object, and
//! money that is put into a wallet.

use metering::period::Period;
use serde_json::Value;
use wire::NanoUsd;

use super::form::{Form, LONGEST_TEXT, Read, checked, text, word};
use crate::alerts::Alerts;
use crate::app::{AdjustmentForm, AdminError, BudgetForm, Given, TopUpForm};
use crate::schedule::{Anchor, Zone};

/// A billion USD. Larger caps are a mistake, and sums near the largest amount are never reached.
const LARGEST_CAP: NanoUsd = NanoUsd(1_000_000_000 * 1_000_000_000);

/// Reads a budget: `{"usd": "25.00", "period": "month", "anchor": "15", "time_zone":
/// "Europe/Berlin", "alerts": [80, 100]}`.
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
    let id = entry_id(&mut form);
    form.finish()?;
    let amount = amount.ok_or_else(|| AdminError::Invalid(Vec::new()))?;
    Ok(TopUpForm { amount, note, id })
}

/// Reads a correction: `{"usd": "-5.00", "note": "payment taken back", "id": "chargeback-7"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn adjustment_form(body: &[u8]) -> Result<AdjustmentForm, AdminError> {
    let mut form = Form::parse(body)?;
    let amount = form.required("usd", |value| {
        let (takes, value) = match value.as_str().and_then(|text| text.strip_prefix('-')) {
            Some(amount) => (true, Value::from(amount)),
            None => (false, value),
        };
        match usd(value)? {
            NanoUsd::ZERO => Err("must not be nothing".to_owned()),
            amount => Ok((amount, takes)),
        }
    });
    let note = form.required("note", |value| match text(value)? {
        note if note.trim().is_empty() => Err("must say why".to_owned()),
        note => Ok(note),
    });
    let id = entry_id(&mut form);
    form.finish()?;
    match (amount, note) {
        (Some((amount, takes)), Some(note)) => Ok(AdjustmentForm { amount, takes, note, id }),
        _ => Err(AdminError::Invalid(Vec::new())),
    }
}

/// Reads what can be set of a wallet: `{"alerts": [80, 100]}`.
///
/// # Errors
/// When the field cannot be accepted.
pub fn wallet_form(body: &[u8]) -> Result<Alerts, AdminError> {
    let mut form = Form::parse(body)?;
    let given = form.given("alerts", alerts);
    if !given.is_given() && form.is_right() {
        form.wrong("alerts", "is required; null removes them");
    }
    form.finish()?;
    Ok(given.value().unwrap_or_default())
}

fn entry_id(form: &mut Form) -> Option<String> {
    let id = form.given("id", |value| match text(value)? {
        id if id.is_empty() => Err(format!("must be a text of 1 to {LONGEST_TEXT} bytes")),
        id => Ok(id),
    });
    id.value()
}

/// Reads the fields of a cap.
pub fn cap(form: &mut Form) -> Option<BudgetForm> {
    let cap = form.required("usd", usd);
    let period = period(form);
    let anchor = form.given("anchor", anchor);
    let time_zone = form.given("time_zone", time_zone);
    let alerts = form.given("alerts", alerts);
    Some(BudgetForm { cap: cap?, period, anchor, time_zone, alerts })
}

/// Reads how often a budget starts afresh.
pub fn period(form: &mut Form) -> Option<Period> {
    form.given("period", word(&Period::ALL, Period::as_str)).value()
}

fn anchor(value: Value) -> Read<(Period, Anchor)> {
    let wrong = "must be a day of the month from \"1\" to \"31\", a weekday such as \"friday\", or \
                 a time of day such as \"06:30\"";
    Anchor::parse(&text(value)?).ok_or_else(|| wrong.to_owned())
}

fn time_zone(value: Value) -> Read<Zone> {
    let wrong = "must be the name of a time zone such as \"Europe/Berlin\"";
    Zone::parse(&text(value)?).ok_or_else(|| wrong.to_owned())
}

fn alerts(value: Value) -> Read<Alerts> {
    let most = Alerts::MOST;
    let thresholds = match value {
        Value::Array(items) => items.iter().map(Value::as_u64).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let alerts = thresholds.and_then(|thresholds| Alerts::new(&thresholds));
    alerts.ok_or_else(|| format!("must be a list of at most {most} whole numbers from 1 to 100"))
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
