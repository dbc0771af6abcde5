//! How single values of forms are read, each with the JSON schema of what is taken: one is stated
//! beside the other, so that the API's document says what the code does.

use serde_json::Value;

use super::schema::{LONGEST_TEXT, Schema};

/// A value of a field, or what is wrong with it.
pub type Read<T> = Result<T, String>;

/// How a value is read, and what can be.
#[derive(Debug, Clone)]
pub struct Reader<F> {
    schema: Schema,
    read: F,
}

impl<F> Reader<F> {
    /// Reads by a function what this schema takes.
    pub fn new(schema: Schema, read: F) -> Self {
        Self { schema, read }
    }

    /// The same by a narrower schema.
    pub fn of(self, schema: Schema) -> Self {
        Self { schema, ..self }
    }

    /// The schema of what is taken. Some of it may be refused nevertheless, for what a schema
    /// cannot say.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads a value.
    pub fn read<T>(self, value: Value) -> Read<T>
    where
        F: FnOnce(Value) -> Read<T>,
    {
        (self.read)(value)
    }

    /// Goes on with what was read.
    pub fn then<T, U>(
        self,
        next: impl FnOnce(T) -> Read<U>,
    ) -> Reader<impl FnOnce(Value) -> Read<U>>
    where
        F: FnOnce(Value) -> Read<T>,
    {
        let Self { schema, read } = self;
        Reader { schema, read: move |value| next(read(value)?) }
    }
}

/// A text of bounded length without control characters.
pub fn line() -> Reader<impl FnOnce(Value) -> Read<String>> {
    Reader::new(Schema::line(LONGEST_TEXT), read_line)
}

/// A value whose constructor checks it.
pub fn checked<T, E: std::fmt::Display>(
    make: impl FnOnce(String) -> Result<T, E>,
) -> Reader<impl FnOnce(Value) -> Read<T>> {
    line().then(|text| make(text).map_err(|error| error.to_string()))
}

/// An id whose constructor checks it: visible ASCII, at most so long.
pub fn id<T, E: std::fmt::Display>(
    longest: usize,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Reader<impl FnOnce(Value) -> Read<T>> {
    checked(make).of(Schema::id(longest))
}

/// A decimal number as a text, such as an amount of money.
pub fn decimal<T, E: std::fmt::Display>(
    make: impl FnOnce(&str) -> Result<T, E>,
) -> Reader<impl FnOnce(Value) -> Read<T>> {
    checked(move |text| make(&text)).of(Schema::decimal())
}

/// A whole number within bounds.
pub fn number(least: u64, most: u64) -> Reader<impl FnOnce(Value) -> Read<u64>> {
    Reader::new(Schema::whole(least, most), move |value: Value| match value.as_u64() {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    })
}

/// True or false.
pub fn boolean() -> Reader<impl FnOnce(Value) -> Read<bool>> {
    Reader::new(Schema::boolean(), |value: Value| {
        value.as_bool().ok_or_else(|| "must be true or false".to_owned())
    })
}

/// A list of texts, at most `most`.
pub fn texts(most: usize) -> Reader<impl FnOnce(Value) -> Read<Vec<String>>> {
    let schema = Schema::list(Schema::line(LONGEST_TEXT), most);
    Reader::new(schema, move |value| match value {
        Value::Array(items) if items.len() <= most => items.into_iter().map(read_line).collect(),
        _ => Err(format!("must be a list of at most {most} texts")),
    })
}

/// One of a few words.
pub fn word<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Reader<impl FnOnce(Value) -> Read<T>> {
    let schema = Schema::words(all.iter().map(|item| name(*item)));
    Reader::new(schema, move |value: Value| {
        let found = all.iter().copied().find(|item| value == name(*item));
        found.ok_or_else(|| {
            let words: Vec<_> = all.iter().map(|item| name(*item)).collect();
            format!("must be one of {}", words.join(", "))
        })
    })
}

fn read_line(value: Value) -> Read<String> {
    match value {
        Value::String(text) if text.len() <= LONGEST_TEXT && !text.chars().any(is_unseen) => {
            Ok(text)
        }
        _ => Err(format!(
            "must be a text of at most {LONGEST_TEXT} bytes without control characters"
        )),
    }
}

/// Characters that change how what stands beside them is shown instead of being seen: control
/// characters, ends of lines, and those that turn the direction of text against its alphabet, by which
/// a name can pass for another one (Unicode Technical Report 36, section 3.2).
pub fn is_unseen(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
