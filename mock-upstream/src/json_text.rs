//! JSON written with its members in the order in which the APIs send them, so that answers look as
//! theirs do byte for byte.

/// A JSON object being written. Values are given as JSON text where they are not plain.
#[derive(Debug, Clone, Default)]
pub struct Object(String);

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose value is JSON text.
    #[must_use]
    pub fn raw(mut self, name: &str, json: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&text(name));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, &text(value))
    }

    /// Adds a whole number.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Self {
        self.raw(name, &value.to_string())
    }

    /// Adds `null`.
    #[must_use]
    pub fn null(self, name: &str) -> Self {
        self.raw(name, "null")
    }

    /// Adds a member if there is a value for it.
    #[must_use]
    pub fn maybe(self, name: &str, json: Option<&str>) -> Self {
        match json {
            Some(json) => self.raw(name, json),
            None => self,
        }
    }

    /// The object's text.
    #[must_use]
    pub fn end(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// A string as JSON.
#[must_use]
pub fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// An array of JSON texts.
#[must_use]
pub fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let inner = Object::new().null("z").number("a", 7).end();
        let whole = Object::new()
            .text("q\"", "x\ny")
            .raw("list", &list([inner, "true".to_owned()]))
            .maybe("absent", None)
            .end();
        assert_eq!(whole, r#"{"q\"":"x\ny","list":[{"z":null,"a":7},true]}"#);
        assert_eq!(Object::new().end(), "{}");
    }
}
