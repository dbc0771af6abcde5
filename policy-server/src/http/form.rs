//! Reading JSON that people write: every problem is named by its path, all of them at once, and a
//! field that nobody reads is a problem too.
//!
//! The same code says what it would read: run on a form that describes, it finds no field given and
//! leaves their schemas behind. So a function over a form reads all fields before it decides.

use serde_json::{Map, Value};

pub use super::reader::{Read, Reader};
use super::schema::{Members, Schema};
use crate::app::{AdminError, FieldProblem, Given};

/// The fields of one JSON object that nobody has read yet, and what was wrong so far.
#[derive(Debug)]
pub struct Form {
    path: String,
    fields: Map<String, Value>,
    problems: Vec<FieldProblem>,
    /// What was asked for, where nothing is read.
    described: Option<Members>,
}

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// When it is no JSON object, or any field cannot be accepted.
    pub fn read<T>(
        body: &[u8],
        fields: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, AdminError> {
        let mut form = Self::parse(body)?;
        let read = fields(&mut form);
        form.finish()?;
        // What was missing is a problem of the form already.
        read.ok_or_else(|| AdminError::Invalid(Vec::new()))
    }

    /// The same where everything may be left out, the body as well.
    ///
    /// # Errors
    /// As [`Form::read`].
    pub fn read_or_empty<T>(
        body: &[u8],
        fields: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, AdminError> {
        Self::read(if body.is_empty() { b"{}" } else { body }, fields)
    }

    /// What a function would read.
    pub fn describe<T>(fields: impl FnOnce(&mut Self) -> Option<T>) -> Members {
        let mut form = Self { described: Some(Members::default()), ..Self::of("", Map::new()) };
        // There is nothing to make anything of.
        let _ = fields(&mut form);
        form.described.unwrap_or_default()
    }

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
        Self { path: path.to_owned(), fields, problems: Vec::new(), described: None }
    }

    /// Reads a field that may be absent or `null`.
    pub fn given<T>(
        &mut self,
        name: &str,
        reader: Reader<impl FnOnce(Value) -> Read<T>>,
    ) -> Given<T> {
        if let Some(described) = &mut self.described {
            described.add(name, reader.schema().clone().or_null());
            return Given::Absent;
        }
        match self.fields.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => match reader.read(value) {
                Ok(value) => Given::Value(value),
                Err(message) => {
                    self.wrong(name, message);
                    Given::Absent
                }
            },
        }
    }

    /// Reads a field that must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        reader: Reader<impl FnOnce(Value) -> Read<T>>,
    ) -> Option<T> {
        if let Some(described) = &mut self.described {
            described.add(name, reader.schema().clone());
            described.require(name);
            return None;
        }
        let problems = self.problems.len();
        let given = self.given(name, reader);
        if !matches!(given, Given::Value(_)) && self.problems.len() == problems {
            self.wrong(name, "is required");
        }
        given.value()
    }

    /// Says that a field which may be `null` must be there, unless something is wrong already.
    pub fn must_be_given<T>(&mut self, name: &str, given: &Given<T>, message: &str) {
        if let Some(described) = &mut self.described {
            described.require(name);
        } else if !given.is_given() && self.problems.is_empty() {
            self.wrong(name, message);
        }
    }

    /// Reads an object within this one.
    pub fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Given<T> {
        if let Some(described) = &mut self.described {
            described.add(name, Schema::from(Self::describe(read)).or_null());
            return Given::Absent;
        }
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
        if let Some(described) = &mut self.described {
            let item = Schema::from(Self::describe(read));
            described.add(name, Schema::list(item, most).or_null());
            return Given::Absent;
        }
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
        list: Reader<impl FnOnce(Value) -> Read<T>>,
        object: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Given<T> {
        if let Some(described) = &mut self.described {
            let schema = Schema::either(list.schema().clone(), Self::describe(object).into());
            described.add(name, schema.or_null());
            return Given::Absent;
        }
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
