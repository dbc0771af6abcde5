//! Checks and how they are shown.

use serde_json::{Value, json};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but somebody should look at it.
    Warn,
    /// It does not work, or is unsafe.
    Fail,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug)]
struct Check {
    name: &'static str,
    state: State,
    says: String,
    /// What to do; empty where nothing is to be done.
    advice: &'static str,
}

/// All of them, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    /// All is well.
    pub fn ok(&mut self, name: &'static str, says: impl Into<String>) {
        self.0.push(Check { name, state: State::Ok, says: says.into(), advice: "" });
    }

    /// Something should be looked at.
    pub fn warn(&mut self, name: &'static str, says: impl Into<String>, advice: &'static str) {
        self.0.push(Check { name, state: State::Warn, says: says.into(), advice });
    }

    /// Something is wrong.
    pub fn fail(&mut self, name: &'static str, says: impl Into<String>, advice: &'static str) {
        self.0.push(Check { name, state: State::Fail, says: says.into(), advice });
    }

    /// Fine, or to be looked at.
    pub fn ok_if(
        &mut self,
        good: bool,
        name: &'static str,
        says: impl Into<String>,
        advice: &'static str,
    ) {
        if good { self.ok(name, says) } else { self.warn(name, says, advice) }
    }

    /// Whether some check has failed.
    pub fn failed(&self) -> bool {
        self.0.iter().any(|check| check.state == State::Fail)
    }

    /// What is printed.
    pub fn shown(&self, as_json: bool) -> String {
        if as_json {
            let checks = self.0.iter().map(|check| {
                json!({
                    "check": check.name,
                    "state": check.state.as_str(),
                    "says": check.says,
                    "advice": Some(check.advice).filter(|advice| !advice.is_empty()),
                })
            });
            let all = json!({
                "ok": !self.failed(),
                "checks": checks.collect::<Value>(),
            });
            return serde_json::to_string_pretty(&all).unwrap_or_default();
        }
        let lines = self.0.iter().map(|check| {
            let advice = if check.advice.is_empty() {
                String::new()
            } else {
                format!("\n      → {}", check.advice)
            };
            format!("{:4}  {}: {}{advice}", check.state.as_str(), check.name, check.says)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[cfg(test)]
    pub fn states(&self) -> Vec<(&'static str, State)> {
        self.0.iter().map(|check| (check.name, check.state)).collect()
    }
}
