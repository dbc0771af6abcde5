//! The JSON by which administrators describe a budget, on its own or within another object, and
//! money that is put into a wallet.

use metering::period::Period;
use serde_json::Value;
use wire::NanoUsd;

use super::form::{Form, Read, Reader};
use super::reader::{checked, decimal, line, word};
use super::schema::{LONGEST_TEXT, Schema};
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
    let amount = form.required("usd", usd().then(something));
    let note = form.given("note", line()).value().unwrap_or_default();
    let id = entry_id(form);
    Some(TopUpForm { amount: amount?, note, id })
}

/// Reads a correction: `{"usd": "-5.00", "note": "payment taken back", "id": "chargeback-7"}`.
///
/// # Errors
/// When any field cannot be accepted.
pub fn adjustment_form(body: &[u8]) -> Result<AdjustmentForm, AdminError> {
    Form::read(body, adjustment)
}

/// The fields of a correction.
pub fn adjustment(form: &mut Form) -> Option<AdjustmentForm> {
    let signed = |text: String| {
        let (takes, size) = match text.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, text.as_str()),
        };
        match amount(size)? {
            NanoUsd::ZERO => Err("must not be nothing".to_owned()),
            amount => Ok((amount, takes)),
        }
    };
    let a_reason = |note: String| match note {
        note if note.trim().is_empty() => Err("must say why".to_owned()),
        note => Ok(note),
    };
    let amount = form.required("usd", line().of(Schema::signed_decimal()).then(signed));
    let note = form.required("note", line().then(a_reason));
    let id = entry_id(form);
    let (amount, takes) = amount?;
    Some(AdjustmentForm { amount, takes, note: note?, id })
}

/// Reads what can be set of a wallet: `{"alerts": [80, 100]}`.
///
/// # Errors
/// When the field cannot be accepted.
pub fn wallet_form(body: &[u8]) -> Result<Alerts, AdminError> {
    Form::read(body, wallet)
}

/// The fields of a wallet.
pub fn wallet(form: &mut Form) -> Option<Alerts> {
    let given = form.given("alerts", alerts());
    form.must_be_given("alerts", &given, "is required; null removes them");
    Some(given.value().unwrap_or_default())
}

fn entry_id(form: &mut Form) -> Option<String> {
    let an_id = |id: String| match id {
        id if id.is_empty() => Err(format!("must be a text of 1 to {LONGEST_TEXT} bytes")),
        id => Ok(id),
    };
    form.given("id", line().then(an_id)).value()
}

/// Reads the fields of a cap.
pub fn cap(form: &mut Form) -> Option<BudgetForm> {
    let cap = form.required("usd", usd());
    let period = period(form);
    let anchor = form.given("anchor", anchor());
    let time_zone = form.given("time_zone", time_zone());
    let alerts = form.given("alerts", alerts());
    Some(BudgetForm { cap: cap?, period, anchor, time_zone, alerts })
}

/// Reads how often a budget starts afresh.
pub fn period(form: &mut Form) -> Option<Period> {
    form.given("period", word(&Period::ALL, Period::as_str)).value()
}

fn anchor() -> Reader<impl FnOnce(Value) -> Read<(Period, Anchor)>> {
    let wrong = "must be a day of the month from \"1\" to \"31\", a weekday such as \"friday\", or \
                 a time of day such as \"06:30\"";
    checked(move |text| Anchor::parse(&text).ok_or(wrong)).of(Schema::pattern(Anchor::PATTERN))
}

fn time_zone() -> Reader<impl FnOnce(Value) -> Read<Zone>> {
    let wrong = "must be the name of a time zone such as \"Europe/Berlin\"";
    checked(move |text| Zone::parse(&text).ok_or(wrong)).of(Schema::pattern(Zone::PATTERN))
}

fn alerts() -> Reader<impl FnOnce(Value) -> Read<Alerts>> {
    let most = Alerts::MOST;
    Reader::new(Schema::list(Schema::whole(1, 100), most), move |value| {
        let thresholds = match value {
            // As many as the document says, also where some are there twice.
            Value::Array(items) if items.len() <= most => {
                items.iter().map(Value::as_u64).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let alerts = thresholds.and_then(|thresholds| Alerts::new(&thresholds));
        let wrong = || format!("must be a list of at most {most} whole numbers from 1 to 100");
        alerts.ok_or_else(wrong)
    })
}

/// An amount of money.
pub fn usd() -> Reader<impl FnOnce(Value) -> Read<NanoUsd>> {
    decimal(amount)
}

fn amount(text: &str) -> Read<NanoUsd> {
    let amount = NanoUsd::from_usd(text)
        .map_err(|error| format!("must be USD as a text such as \"25.00\": {error}"))?;
    if amount > LARGEST_CAP {
        return Err(format!("must be at most {}", LARGEST_CAP.to_usd()));
    }
    Ok(amount)
}
