//! Query strings of the admin API: every parameter is known, well formed and given once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::app::{AdminError, FieldProblem};

use super::wait::WAIT_MOST_MS;

/// Items on a page where nothing is said.
const LIMIT_DEFAULT: u32 = 50;

/// Items on a page at most: keeps answers small and reads short.
const LIMIT_MOST: u32 = 200;

/// The longest value of a parameter: a cursor with the hexadecimal digits of the longest name.
const LONGEST_VALUE: usize = 576;

/// Parameters that nobody has read yet, and what was wrong so far.
#[derive(Debug)]
pub struct Parameters {
    given: BTreeMap<String, String>,
    problems: Vec<FieldProblem>,
}

impl Parameters {
    /// The parameters of a request.
    pub fn of(pairs: Vec<(String, String)>) -> Self {
        let mut given = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, value) in pairs {
            if value.len() > LONGEST_VALUE {
                let message = format!("is longer than {LONGEST_VALUE} bytes");
                problems.push(FieldProblem::invalid(&name, message));
            }
            if given.insert(name.clone(), value).is_some() {
                problems.push(FieldProblem::invalid(name, "is given more than once"));
            }
        }
        Self { given, problems }
    }

    /// A parameter as text; an empty one counts as absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.given.remove(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is parsed.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.problems.push(FieldProblem::invalid(name, expected));
        }
        parsed
    }

    /// `limit`: items on a page.
    pub fn limit(&mut self) -> u32 {
        let expected = format!("must be a whole number from 1 to {LIMIT_MOST}");
        self.parsed("limit", &expected, |text| {
            let limit = text.parse().ok()?;
            (1..=LIMIT_MOST).contains(&limit).then_some(limit)
        })
        .unwrap_or(LIMIT_DEFAULT)
    }

    /// `cursor` of lists that are ordered by position.
    pub fn position(&mut self) -> Option<i64> {
        let expected = "must be the next_cursor of an earlier page";
        self.parsed("cursor", expected, |text| text.parse().ok())
    }

    /// `wait`: milliseconds to wait until a change is in force everywhere.
    pub fn wait(&mut self, default: Duration) -> Duration {
        let expected = format!("must be milliseconds from 0 to {WAIT_MOST_MS}");
        self.parsed("wait", &expected, |text| {
            let wait_ms = text.parse().ok()?;
            (wait_ms <= WAIT_MOST_MS).then(|| Duration::from_millis(wait_ms))
        })
        .unwrap_or(default)
    }

    /// Refuses a team or a user without its organisation: other organisations may have some of the
    /// same name.
    pub fn needs_org(&mut self, has_org: bool, has_team: bool, has_user: bool) {
        for (name, is_given) in [("team", has_team), ("user", has_user)] {
            if is_given && !has_org {
                self.problems.push(FieldProblem::invalid(name, "is given without its org"));
            }
        }
    }

    /// Ends reading: whatever parameter is left over is unknown.
    ///
    /// # Errors
    /// When anything was wrong.
    pub fn finish(mut self) -> Result<(), AdminError> {
        for name in self.given.into_keys() {
            let message = "is not a parameter here";
            self.problems.push(FieldProblem::with_code(name, "unknown_parameter", message));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(AdminError::Invalid(self.problems)) }
    }
}
