//! How values become columns and columns values again. A column that cannot be read is an error
//! that names it, never a default.

use metering::budget::Standing;
use rusqlite::types::Type;
use rusqlite::{Error as SqlError, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::NanoUsd;
use wire::PriceMultiplier;

use crate::alerts::Alerts;
use crate::permissions::Role;
use crate::schedule::Schedule;
use crate::store::{HolderState, KeyFormat, KeyLife, KeyStatus, Outcome, StoreError, StoreResult};

/// SQLite's integers have 63 bits. A number that does not fit is stored as the largest that does:
/// for money this errs against the spender, and no accepted cap comes near it.
pub fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn money(value: NanoUsd) -> i64 {
    integer(value.0)
}

/// The JSON text of a value.
pub fn json<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// The word of an enumeration that serde writes as a string.
pub fn word<T: Serialize>(value: &T) -> StoreResult<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(StoreError::Unreadable(format!("{other} is no word"))),
        Err(error) => Err(StoreError::Unreadable(error.to_string())),
    }
}

/// Columns of one row, read by name.
pub struct Columns<'r, 's>(pub &'r Row<'s>);

impl Columns<'_, '_> {
    pub fn text(&self, name: &'static str) -> Result<String, SqlError> {
        self.0.get(name)
    }

    pub fn number(&self, name: &'static str) -> Result<u64, SqlError> {
        let value: i64 = self.0.get(name)?;
        u64::try_from(value).map_err(|_| unreadable(name, "a negative number"))
    }

    pub fn optional_number(&self, name: &'static str) -> Result<Option<u64>, SqlError> {
        let value: Option<i64> = self.0.get(name)?;
        value
            .map(|value| u64::try_from(value).map_err(|_| unreadable(name, "a negative number")))
            .transpose()
    }

    pub fn money(&self, name: &'static str) -> Result<NanoUsd, SqlError> {
        self.number(name).map(NanoUsd)
    }

    pub fn flag(&self, name: &'static str) -> Result<bool, SqlError> {
        self.0.get(name)
    }

    pub fn bytes<const SIZE: usize>(&self, name: &'static str) -> Result<[u8; SIZE], SqlError> {
        self.0.get(name)
    }

    pub fn optional_bytes<const SIZE: usize>(
        &self,
        name: &'static str,
    ) -> Result<Option<[u8; SIZE]>, SqlError> {
        self.0.get(name)
    }

    /// A value whose constructor checks it.
    pub fn checked<T, E: std::fmt::Display>(
        &self,
        name: &'static str,
        make: impl FnOnce(String) -> Result<T, E>,
    ) -> Result<T, SqlError> {
        make(self.text(name)?).map_err(|error| unreadable(name, &error.to_string()))
    }

    /// As [`Columns::checked`], where the column may be NULL.
    pub fn optional<T, E: std::fmt::Display>(
        &self,
        name: &'static str,
        make: impl FnOnce(String) -> Result<T, E>,
    ) -> Result<Option<T>, SqlError> {
        let text: Option<String> = self.0.get(name)?;
        text.map(|text| make(text).map_err(|error| unreadable(name, &error.to_string())))
            .transpose()
    }

    /// A value stored as JSON.
    pub fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, SqlError> {
        self.checked(name, |text| serde_json::from_str(&text))
    }

    /// As [`Columns::json`], where the column may be NULL.
    pub fn optional_json<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, SqlError> {
        self.optional(name, |text| serde_json::from_str(&text))
    }

    /// An enumeration stored as serde's word for it.
    pub fn word<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, SqlError> {
        self.checked(name, |text| serde_json::from_value(serde_json::Value::String(text)))
    }

    pub fn multiplier(&self, name: &'static str) -> Result<PriceMultiplier, SqlError> {
        PriceMultiplier::from_ppm(self.number(name)?)
            .map_err(|error| unreadable(name, &error.to_string()))
    }

    pub fn schedule(&self, name: &'static str) -> Result<Schedule, SqlError> {
        self.checked(name, |text| Schedule::parse(&text).ok_or("no such period"))
    }

    pub fn alerts(&self, name: &'static str) -> Result<Alerts, SqlError> {
        self.checked(name, |text| {
            let thresholds: Option<Vec<u64>> = serde_json::from_str(&text).ok();
            let alerts = thresholds.and_then(|thresholds| Alerts::new(&thresholds));
            alerts.ok_or("no thresholds of a budget")
        })
    }

    pub fn role(&self, name: &'static str) -> Result<Role, SqlError> {
        self.checked(name, |text| Role::parse(&text).ok_or("no such role"))
    }

    pub fn outcome(&self, name: &'static str) -> Result<Outcome, SqlError> {
        self.checked(name, |text| {
            let mut all = Outcome::ALL.into_iter();
            all.find(|outcome| outcome.as_str() == text).ok_or("no such outcome")
        })
    }

    pub fn life(&self, name: &'static str) -> Result<KeyLife, SqlError> {
        self.checked(name, |text| {
            let found = KeyLife::ALL.into_iter().find(|life| life.as_str() == text);
            found.ok_or("no such state of a key")
        })
    }

    pub fn status(&self, name: &'static str) -> Result<KeyStatus, SqlError> {
        self.checked(name, |text| KeyStatus::parse(&text).ok_or("no such status of a key"))
    }

    pub fn format(&self, name: &'static str) -> Result<KeyFormat, SqlError> {
        self.checked(name, |text| {
            let mut all = KeyFormat::ALL.into_iter();
            all.find(|format| format.as_str() == text).ok_or("no such format of a key")
        })
    }

    pub fn standing(&self, name: &'static str) -> Result<Standing, SqlError> {
        self.checked(name, |text| match text.as_str() {
            "open" => Ok(Standing::Open),
            "parked" => Ok(Standing::Parked),
            "closed" => Ok(Standing::Closed),
            _ => Err("no such standing of a lease"),
        })
    }

    pub fn holder_state(&self, name: &'static str) -> Result<HolderState, SqlError> {
        self.checked(name, |text| match text.as_str() {
            "live" => Ok(HolderState::Live),
            "lapsed" => Ok(HolderState::Lapsed),
            _ => Err("no such state of a holder"),
        })
    }
}

pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Open => "open",
        Standing::Parked => "parked",
        Standing::Closed => "closed",
    }
}

pub fn holder_state(state: HolderState) -> &'static str {
    match state {
        HolderState::Live => "live",
        HolderState::Lapsed => "lapsed",
    }
}

fn unreadable(column: &'static str, why: &str) -> SqlError {
    let why = format!("column {column}: {why}");
    SqlError::FromSqlConversionFailure(0, Type::Text, why.into())
}
