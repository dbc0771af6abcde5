//! Reading JSON that people write: every problem is named by its path, all of them at once, and a
//! field that nobody reads is a problem too.

use serde_json::{Map, Value};

use crate::app::{AdminError, FieldProblem, Given};

/// The longest text in any field.
pub const LONGEST_TEXT: usize = 256;

/// The fields of one JSON object that nobody has read yet, and what was wrong so far.
#[derive(Debug)]
pub struct Form {
    path: String,
    fields: Map<String, Value>,
    problems: Vec<FieldProblem>,
}

/// A value of a field, or what is wrong with it.
pub type Read<T> = Result<T, String>;

impl Form {
    /// The body of a request.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, AdminError> {
        let problem = |code, message: String| {
            AdminError::Invalid(vec![FieldProblem::with_code("", code, message)])
        };
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self::of("", fields)),
            Ok(_) => Err(problem("invalid_json", "the body must be a JSON object".to_owned())),
            Err(error) => Err(problem("invalid_json", format!("the body is not JSON: {error}"))),
        }
    }

    /// An object at a path.
    pub fn of(path: &str, fields: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), fields, problems: Vec::new() }
    }

    /// Reads a field that may be absent or `null`.
    pub fn given<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Read<T>) -> Given<T> {
        match self.fields.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => match read(value) {
                Ok(value) => Given::Value(value),
                Err(message) => {
                    self.wrong(name, message);
                    Given::Absent
                }
            },
        }
    }

    /// Reads a field that must be there.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Read<T>) -> Option<T> {
        let problems = self.problems.len();
        let given = self.given(name, read);
        if !matches!(given, Given::Value(_)) && self.problems.len() == problems {
            self.wrong(name, "is required");
        }
        given.value()
    }

    /// Reads an object within this one.
    pub fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Given<T> {
        match self.fields.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => match self.within(name, value, read) {
                Some(value) => Given::Value(value),
                None => Given::Absent,
            },
        }
    }

    /// Reads a list of objects, at most `most`.
    pub fn list<T>(
        &mut self,
        name: &str,
        most: usize,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Given<Vec<T>> {
        match self.fields.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(Value::Array(items)) if items.len() <= most => {
                let items = items.into_iter().enumerate();
                let read: Vec<_> = items
                    .filter_map(|(index, item)| {
                        self.within(&format!("{name}[{index}]"), item, &read)
                    })
                    .collect();
                Given::Value(read)
            }
            Some(_) => {
                self.wrong(name, format!("must be a list of at most {most} objects"));
                Given::Absent
            }
        }
    }

    /// Reads a field that is an object, or something shorter that means one.
    pub fn list_or_object<T>(
        &mut self,
        name: &str,
        list: impl FnOnce(Value) -> Read<T>,
        object: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Given<T> {
        match self.fields.get(name) {
            Some(Value::Object(_)) => self.nested(name, object),
            _ => self.given(name, list),
        }
    }

    /// Whether no problem was noted so far.
    pub fn is_right(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes a problem with a field.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let path = self.at(name);
        self.problems.push(FieldProblem::invalid(path, message));
    }

    /// Notes a problem that has a code of its own.
    pub fn refuse(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let path = self.at(name);
        let problem = FieldProblem::with_code(path, code, message);
        self.problems.push(problem);
    }

    /// Whether a problem with a field was noted.
    pub fn is_wrong(&self, name: &str) -> bool {
        let path = self.at(name);
        self.problems.iter().any(|problem| problem.param == path)
    }

    /// Ends reading: whatever field is left over is unknown.
    ///
    /// # Errors
    /// When anything was wrong.
    pub fn finish(mut self) -> Result<(), AdminError> {
        self.note_unknown();
        if self.problems.is_empty() { Ok(()) } else { Err(AdminError::Invalid(self.problems)) }
    }

    fn within<T>(
        &mut self,
        name: &str,
        value: Value,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let Value::Object(fields) = value else {
            self.wrong(name, "must be an object");
            return None;
        };
        let mut inner = Self::of(&self.at(name), fields);
        let found = read(&mut inner);
        inner.note_unknown();
        let clean = inner.problems.is_empty();
        self.problems.append(&mut inner.problems);
        found.filter(|_| clean)
    }

    fn note_unknown(&mut self) {
        for name in std::mem::take(&mut self.fields).keys() {
            self.refuse(name, "unknown_field", "is not a field of this object");
        }
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// A text of bounded length without control characters.
pub fn text(value: Value) -> Read<String> {
    match value {
        Value::String(text)
            if text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control) =>
        {
            Ok(text)
        }
        _ => Err(format!(
            "must be a text of at most {LONGEST_TEXT} bytes without control characters"
        )),
    }
}

/// A value whose constructor checks it.
pub fn checked<T, E: std::fmt::Display>(
    make: impl FnOnce(String) -> Result<T, E>,
) -> impl FnOnce(Value) -> Read<T> {
    move |value| make(text(value)?).map_err(|error| error.to_string())
}

/// A whole number within bounds.
pub fn number(least: u64, most: u64) -> impl Fn(Value) -> Read<u64> {
    move |value| match value.as_u64() {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// True or false.
pub fn flag(value: Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

/// A list of texts, at most `most`.
pub fn texts(most: usize) -> impl Fn(Value) -> Read<Vec<String>> {
    move |value| match value {
        Value::Array(items) if items.len() <= most => items.into_iter().map(text).collect(),
        _ => Err(format!("must be a list of at most {most} texts")),
    }
}

/// One of a few words.
pub fn word<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> impl Fn(Value) -> Read<T> {
    move |value| {
        let found = all.iter().copied().find(|item| value == name(*item));
        found.ok_or_else(|| {
            let words: Vec<_> = all.iter().map(|item| name(*item)).collect();
            format!("must be one of {}", words.join(", "))
        })
    }
}
