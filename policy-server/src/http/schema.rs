//! JSON schemas (draft 2020-12, as OpenAPI 3.1 takes them) of what the API reads and shows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The longest text in any field that says nothing else, in bytes.
pub const LONGEST_TEXT: usize = 256;

/// The schema of a value, and of what it refers to by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    value: Value,
    named: BTreeMap<String, Value>,
}

impl Schema {
    /// A schema that refers to nothing.
    pub fn of(value: Value) -> Self {
        Self { value, named: BTreeMap::new() }
    }

    /// Any value: nothing is known of it.
    pub fn anything() -> Self {
        Self::of(json!({}))
    }

    /// A text without control characters. Lengths are of bytes in UTF-8 where they are checked; a
    /// schema can count characters only.
    pub fn line(longest: usize) -> Self {
        let pattern = r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$";
        Self::of(json!({"type": "string", "maxLength": longest, "pattern": pattern}))
    }

    /// Any text.
    pub fn text() -> Self {
        Self::of(json!({"type": "string"}))
    }

    /// A text of a form.
    pub fn pattern(pattern: &str) -> Self {
        Self::of(json!({"type": "string", "pattern": pattern}))
    }

    /// An id: visible ASCII.
    pub fn id(longest: usize) -> Self {
        Self::pattern(&format!("^[!-~]{{1,{longest}}}$"))
    }

    /// A decimal number as a text, such as an amount of money.
    pub fn decimal() -> Self {
        Self::of(json!({
            "type": "string", "maxLength": LONGEST_TEXT, "pattern": r"^[0-9]+(\.[0-9]+)?$",
            "examples": ["25.00"],
        }))
    }

    /// The same, which may be less than nothing.
    pub fn signed_decimal() -> Self {
        Self::of(json!({
            "type": "string", "maxLength": LONGEST_TEXT, "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
            "examples": ["-5.00"],
        }))
    }

    /// One of a few words.
    pub fn words(words: impl IntoIterator<Item = &'static str>) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        Self::of(json!({"type": "string", "enum": words}))
    }

    /// A whole number, both bounds included.
    pub fn whole(least: u64, most: u64) -> Self {
        Self::of(json!({"type": "integer", "minimum": least, "maximum": most}))
    }

    /// A whole number that counts something.
    pub fn count() -> Self {
        Self::of(json!({"type": "integer", "minimum": 0}))
    }

    /// True or false.
    pub fn boolean() -> Self {
        Self::of(json!({"type": "boolean"}))
    }

    /// Nothing.
    pub fn null() -> Self {
        Self::of(json!({"type": "null"}))
    }

    /// An instant of RFC 3339.
    pub fn instant() -> Self {
        Self::of(json!({"type": "string", "format": "date-time"}))
    }

    /// A list of at most so many.
    pub fn list(item: Self, most: usize) -> Self {
        let Self { value, named } = item;
        Self { value: json!({"type": "array", "items": value, "maxItems": most}), named }
    }

    /// A list of which something else bounds the length.
    pub fn some(item: Self) -> Self {
        let Self { value, named } = item;
        Self { value: json!({"type": "array", "items": value}), named }
    }

    /// An object whose members have any name.
    pub fn map(member: Self) -> Self {
        let Self { value, named } = member;
        Self { value: json!({"type": "object", "additionalProperties": value}), named }
    }

    /// What one of two schemas takes.
    pub fn either(one: Self, other: Self) -> Self {
        let mut named = one.named;
        named.extend(other.named);
        Self { value: json!({"anyOf": [one.value, other.value]}), named }
    }

    /// The same, or `null`.
    pub fn or_null(self) -> Self {
        let Self { mut value, named } = self;
        let kind = value.get("type").and_then(Value::as_str).map(str::to_owned);
        match (kind, value.as_object_mut()) {
            (Some(kind), Some(members)) => {
                members.insert("type".to_owned(), json!([kind, "null"]));
                if let Some(Value::Array(words)) = members.get_mut("enum") {
                    words.push(Value::Null);
                }
            }
            (None, Some(members)) if members.is_empty() => {}
            _ => value = json!({"anyOf": [value, {"type": "null"}]}),
        }
        Self { value, named }
    }

    /// The same with a name of its own in the document.
    pub fn named(self, name: &str) -> Self {
        let Self { value, mut named } = self;
        named.insert(name.to_owned(), value);
        Self { value: json!({"$ref": format!("#/components/schemas/{name}")}), named }
    }

    /// The same with a word for people.
    pub fn said(self, description: &str) -> Self {
        self.with("description", description.into())
    }

    /// The same with what holds where nothing is said.
    pub fn or_else(self, default: Value) -> Self {
        self.with("default", default)
    }

    fn with(mut self, name: &str, member: Value) -> Self {
        if let Some(members) = self.value.as_object_mut() {
            members.insert(name.to_owned(), member);
        }
        self
    }

    /// The schema; adds what it refers to to the document's.
    pub fn into_value(self, named: &mut BTreeMap<String, Value>) -> Value {
        named.extend(self.named);
        self.value
    }
}

/// Members of an object, in which there are no others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Members {
    members: BTreeMap<String, Schema>,
    required: Vec<String>,
}

impl Members {
    /// Adds one that is always there.
    pub fn with(mut self, name: &str, schema: Schema) -> Self {
        self.add(name, schema);
        self.require(name);
        self
    }

    /// Adds one that may be absent.
    pub fn maybe(mut self, name: &str, schema: Schema) -> Self {
        self.add(name, schema);
        self
    }

    /// Adds those of another object.
    pub fn and(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        self.required.extend(other.required);
        self
    }

    /// The same members, each of which may be absent.
    pub fn all_optional(self) -> Self {
        Self { required: Vec::new(), ..self }
    }

    /// Adds one that may be absent.
    pub fn add(&mut self, name: &str, schema: Schema) {
        self.members.insert(name.to_owned(), schema);
    }

    /// Says that one of them is always there.
    pub fn require(&mut self, name: &str) {
        self.required.push(name.to_owned());
    }
}

impl From<Members> for Schema {
    fn from(object: Members) -> Self {
        let mut named = BTreeMap::new();
        let properties: Map<_, _> = object
            .members
            .into_iter()
            .map(|(name, schema)| (name, schema.into_value(&mut named)))
            .collect();
        let mut value = json!({
            "type": "object", "properties": properties, "additionalProperties": false,
        });
        if let (false, Some(members)) = (object.required.is_empty(), value.as_object_mut()) {
            members.insert("required".to_owned(), json!(object.required));
        }
        Self { value, named }
    }
}
