//! Budgets on the command line.

use clap::Args;
use serde_json::{Map, Value};

use super::super::client::ClientError;
use super::insert;

/// A budget of a key or an organisation.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// The most to spend per period, in USD; "none" removes the cap.
    #[arg(long, value_name = "USD")]
    budget: Option<String>,
    #[command(flatten)]
    schedule: ScheduleArgs,
}

impl BudgetArgs {
    /// Adds the field `budget`.
    pub(super) fn add(&self, body: &mut Map<String, Value>) -> Result<(), ClientError> {
        let budget = match self.budget.as_deref() {
            None if self.schedule.is_empty() => return Ok(()),
            None => {
                let message = "when a budget starts afresh needs --budget as well".to_owned();
                return Err(ClientError::Input(message));
            }
            Some("none") => Value::Null,
            Some(usd) => {
                let mut budget = Map::new();
                insert(&mut budget, "usd", Some(usd));
                self.schedule.add(&mut budget)?;
                budget.into()
            }
        };
        body.insert("budget".to_owned(), budget);
        Ok(())
    }
}

/// When a budget starts afresh, and when somebody is told; what is not given stays.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// When the budget starts afresh: none, day, week or month.
    #[arg(long)]
    period: Option<String>,
    /// Where in the period: a day of the month such as 15, a weekday such as friday, a time of day
    /// such as 06:30; "none" for its natural beginning.
    #[arg(long)]
    anchor: Option<String>,
    /// By the clocks of which place, such as Europe/Berlin; "none" for UTC.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Percentages of the cap at which webhooks are told, such as 50,80,100; "" for none.
    #[arg(long, value_name = "PERCENT")]
    alerts: Option<String>,
}

impl ScheduleArgs {
    fn is_empty(&self) -> bool {
        let Self { period, anchor, time_zone, alerts } = self;
        [period, anchor, time_zone, alerts].iter().all(|given| given.is_none())
    }

    /// Adds the fields of a budget.
    pub(super) fn add(&self, budget: &mut Map<String, Value>) -> Result<(), ClientError> {
        let or_null = |text: &String| match text.as_str() {
            "none" => Value::Null,
            text => text.into(),
        };
        insert(budget, "period", self.period.clone());
        insert(budget, "anchor", self.anchor.as_ref().map(or_null));
        insert(budget, "time_zone", self.time_zone.as_ref().map(or_null));
        insert(budget, "alerts", self.alerts.as_deref().map(percents).transpose()?);
        Ok(())
    }
}

/// Numbers separated by commas; the server checks them.
pub(super) fn percents(text: &str) -> Result<Value, ClientError> {
    let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
    let percents = texts.map(|text| text.parse().ok()).collect::<Option<Vec<u64>>>();
    percents.map(Value::from).ok_or_else(|| {
        ClientError::Input(format!("{text}: expected percentages separated by commas"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_numbers() {
        assert_eq!(percents("50, 80,100").unwrap(), serde_json::json!([50, 80, 100]));
        assert_eq!(percents("").unwrap(), serde_json::json!([]));
        assert!(percents("50%").is_err());
    }
}
