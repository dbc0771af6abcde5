//! Query strings of the admin API: every parameter is known, well formed and given once. As with
//! forms, the code that reads them says what it would read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::app::{AdminError, FieldProblem};

use super::reader::is_unseen;
use super::schema::Schema;
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
    /// What was asked for, where nothing is read.
    described: Option<Vec<Parameter>>,
}

/// A parameter, for the API's document.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub schema: Schema,
}

impl Parameters {
    /// What a function would read.
    pub fn describe<T>(read: impl FnOnce(&mut Self) -> T) -> Vec<Parameter> {
        let mut query = Self { described: Some(Vec::new()), ..Self::of(Vec::new()) };
        // There is nothing to make anything of.
        let _ = read(&mut query);
        query.described.unwrap_or_default()
    }

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
        Self { given, problems, described: None }
    }

    /// A parameter as text without control characters; an empty one counts as absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let text =
            self.take(name, Schema::line(LONGEST_VALUE)).filter(|value| !value.is_empty())?;
        let is_line = !text.chars().any(is_unseen);
        self.noted(name, "must have no control characters", is_line.then_some(text))
    }

    /// A parameter that is parsed; an empty one counts as absent.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.take(name, Schema::line(LONGEST_VALUE).said(expected))?;
        if text.is_empty() { None } else { self.noted(name, expected, parse(&text)) }
    }

    /// A parameter that is parsed, of which a schema can say more. It is left out or right.
    pub fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        schema: Schema,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.take(name, schema.said(expected))?;
        self.noted(name, expected, parse(&text))
    }

    /// One of a few words.
    pub fn word<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let words: Vec<_> = all.iter().map(|item| as_str(*item)).collect();
        let expected = format!("must be one of {}", words.join(", "));
        self.typed(name, &expected, Schema::words(words), |text| {
            all.iter().copied().find(|item| as_str(*item) == text)
        })
    }

    /// An id whose constructor checks it.
    pub fn id<T, E>(
        &mut self,
        name: &str,
        longest: usize,
        make: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        self.typed(name, "must be an id", Schema::id(longest), |text| make(text.to_owned()).ok())
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let expected = "must be true or false";
        self.typed(name, expected, Schema::boolean(), |text| text.parse().ok())
    }

    /// A whole number within bounds, in digits.
    pub fn number(&mut self, name: &str, expected: &str, least: u64, most: u64) -> Option<u64> {
        self.typed(name, expected, Schema::whole(least, most), within(least, most))
    }

    /// `limit`: items on a page.
    pub fn limit(&mut self) -> u32 {
        let expected = format!("must be a whole number from 1 to {LIMIT_MOST}");
        let (least, most) = (1, LIMIT_MOST.into());
        let schema = Schema::whole(least, most).or_else(LIMIT_DEFAULT.into());
        let limit = self.typed("limit", &expected, schema, within(least, most));
        limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT)
    }

    /// `cursor` and `limit` of lists in the order of their ids.
    pub fn page(&mut self) -> (Option<String>, u32) {
        (self.text("cursor"), self.limit())
    }

    /// `cursor` of lists that are ordered by position.
    pub fn position(&mut self) -> Option<i64> {
        let expected = "must be the next_cursor of an earlier page";
        self.parsed("cursor", expected, |text| i64::try_from(digits(text)?).ok())
    }

    /// `wait`: milliseconds to wait until a change is in force everywhere.
    pub fn wait(&mut self, default: Duration) -> Duration {
        let expected = format!("must be milliseconds from 0 to {WAIT_MOST_MS}");
        let default_ms = u64::try_from(default.as_millis()).unwrap_or(WAIT_MOST_MS);
        let schema = Schema::whole(0, WAIT_MOST_MS).or_else(default_ms.into());
        let wait_ms = self.typed("wait", &expected, schema, within(0, WAIT_MOST_MS));
        wait_ms.map_or(default, Duration::from_millis)
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

    /// Notes a problem where nothing could be made of the parameter.
    fn noted<T>(&mut self, name: &str, expected: &str, parsed: Option<T>) -> Option<T> {
        if parsed.is_none() {
            self.problems.push(FieldProblem::invalid(name, expected));
        }
        parsed
    }

    fn take(&mut self, name: &str, schema: Schema) -> Option<String> {
        if let Some(described) = &mut self.described {
            described.push(Parameter { name: name.to_owned(), schema });
        }
        self.given.remove(name)
    }
}

fn within(least: u64, most: u64) -> impl FnOnce(&str) -> Option<u64> {
    move |text| digits(text).filter(|number| (least..=most).contains(number))
}

/// A number in digits alone: `parse` would take `+7` as well.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
