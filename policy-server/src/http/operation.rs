//! What the API's document says of a route beside its path and its permission: what it takes and
//! what it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::form::Form;
use super::query::{Parameter, Parameters};
use super::schema::{Members, Schema};
use super::wait;

/// An object that is shown, by its name in the document.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The name.
    pub name: &'static str,
    /// What it has.
    pub members: fn() -> Members,
}

impl Shape {
    /// The object.
    pub fn schema(&self) -> Schema {
        Schema::from((self.members)()).named(self.name)
    }

    /// The object after a change, with whether it is in force everywhere.
    fn changed(&self) -> Schema {
        let members = (self.members)().and(wait::applied_members());
        Schema::from(members).named(&format!("Changed{}", self.name))
    }

    /// A page of a list.
    fn page(&self) -> Schema {
        page(self.schema()).named(&format!("{}Page", self.name))
    }
}

/// A page of a list.
pub fn page(item: Schema) -> Schema {
    page_members(item).into()
}

/// What every page of a list has.
pub fn page_members(item: Schema) -> Members {
    Members::default()
        .with("data", Schema::some(item))
        .with("next_cursor", Schema::text().or_null())
}

/// What a route takes and answers.
#[derive(Debug, Clone)]
pub struct Operation {
    summary: &'static str,
    query: Vec<Parameter>,
    body: Option<Body>,
    answers: BTreeMap<u16, Answer>,
}

#[derive(Debug, Clone)]
struct Body {
    schema: Schema,
    is_required: bool,
}

#[derive(Debug, Clone, Default)]
struct Answer {
    content: Vec<(&'static str, Schema)>,
    has_tag: bool,
}

impl Operation {
    /// An operation by what it does.
    pub fn new(summary: &'static str) -> Self {
        Self { summary, query: Vec::new(), body: None, answers: BTreeMap::new() }
    }

    /// It reads these parameters.
    pub fn asks<T>(mut self, read: impl FnOnce(&mut Parameters) -> T) -> Self {
        self.query.extend(Parameters::describe(read));
        self
    }

    /// It reads these fields.
    pub fn takes<T>(self, fields: impl FnOnce(&mut Form) -> Option<T>) -> Self {
        let schema = Form::describe(fields).into();
        Self { body: Some(Body { schema, is_required: true }), ..self }
    }

    /// It reads these fields, and nothing where there is no body.
    pub fn may_take<T>(self, fields: impl FnOnce(&mut Form) -> Option<T>) -> Self {
        let schema = Form::describe(fields).into();
        Self { body: Some(Body { schema, is_required: false }), ..self }
    }

    /// It answers 200 with an object.
    pub fn shows(self, shape: &Shape) -> Self {
        self.answers(200, shape.schema())
    }

    /// It answers 201 with an object.
    pub fn makes(self, shape: &Shape) -> Self {
        self.answers(201, shape.schema())
    }

    /// It answers 200 with a page of a list, of which it takes `cursor` and `limit`.
    pub fn pages(self, shape: &Shape) -> Self {
        self.asks(|query| query.page()).lists(shape)
    }

    /// It answers 200 with a page of a list.
    pub fn lists(self, shape: &Shape) -> Self {
        self.answers(200, shape.page())
    }

    /// It takes `wait` and answers 200 with an object and whether its change is in force.
    pub fn applies(self, shape: &Shape, wait: Duration) -> Self {
        self.waits(wait).answers(200, shape.changed())
    }

    /// It takes `wait` and answers 201 with an object and whether its change is in force.
    pub fn makes_and_applies(self, shape: &Shape, wait: Duration) -> Self {
        self.waits(wait).answers(201, shape.changed())
    }

    /// It may answer 200 with an object and whether its change is in force as well: the request had
    /// been carried out before.
    pub fn or_repeats(self, shape: &Shape) -> Self {
        self.answers(200, shape.changed())
    }

    /// It answers with JSON.
    pub fn answers(self, status: u16, schema: Schema) -> Self {
        self.answers_as(status, "application/json", schema)
    }

    /// It answers with something.
    pub fn answers_as(mut self, status: u16, kind: &'static str, schema: Schema) -> Self {
        self.answers.entry(status).or_default().content.push((kind, schema));
        self
    }

    /// Every answer has the tag of the version.
    pub fn tagged(mut self) -> Self {
        for answer in self.answers.values_mut() {
            answer.has_tag = true;
        }
        self
    }

    /// The operation in the document, without its path and errors; adds what it refers to.
    pub fn into_value(self, named: &mut BTreeMap<String, Value>) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("summary".to_owned(), json!(self.summary));
        let query = self.query.into_iter().map(|parameter| {
            let schema = parameter.schema.into_value(named);
            json!({"name": parameter.name, "in": "query", "schema": schema})
        });
        shown.insert("parameters".to_owned(), query.collect());
        if let Some(Body { schema, is_required }) = self.body {
            let content = json!({"application/json": {"schema": schema.into_value(named)}});
            let body = json!({"required": is_required, "content": content});
            shown.insert("requestBody".to_owned(), body);
        }
        let answers = self.answers.into_iter();
        let answers: Map<_, _> = answers
            .map(|(status, answer)| (status.to_string(), answer.into_value(named)))
            .collect();
        shown.insert("responses".to_owned(), answers.into());
        shown
    }

    fn waits(self, default: Duration) -> Self {
        self.asks(|query| query.wait(default))
    }
}

impl Answer {
    fn into_value(self, named: &mut BTreeMap<String, Value>) -> Value {
        let content = self.content.into_iter();
        let content: Map<_, _> = content
            .map(|(kind, schema)| (kind.to_owned(), json!({"schema": schema.into_value(named)})))
            .collect();
        let mut shown = json!({"description": "Done.", "content": content});
        if let (true, Some(members)) = (self.has_tag, shown.as_object_mut()) {
            members.insert("headers".to_owned(), json!({"ETag": tag(true)}));
        }
        shown
    }
}

/// The version of what an answer shows.
pub fn tag(is_always: bool) -> Value {
    json!({
        "required": is_always, "schema": {"type": "string"},
        "description": "The version; what a key was used for is no part of it.",
    })
}
