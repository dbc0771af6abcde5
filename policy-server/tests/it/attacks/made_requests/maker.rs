//! Requests as the API's document would have them, more or less.

use serde_json::{Map, Value, json};

use crate::attacks::hostile_text::{escaped, hostile};
use crate::attacks::welch::Numbers;

/// Names that requests have, beside the ids of what was made.
const NAMES: [&str; 10] =
    ["acme", "beta", "search", "ada", "bob", "gpt-4o-mini", "fast", "plan-1", "group.1", "*"];

/// Whole numbers, at what bounds there are in Rust, in JSON and in SQLite.
const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "2",
    "100",
    "-1",
    "-0",
    "1.0",
    "1.5",
    "1e3",
    "1e400",
    "4294967296",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
];

/// Amounts of money and instants, at their bounds.
const TEXTS: [&str; 26] = [
    "",
    " ",
    "0",
    "0.000000001",
    "0.0000000001",
    "1",
    "25.00",
    "007.50",
    "-1",
    "-0.5",
    "1e3",
    ".5",
    "5.",
    "9223372036.854775807",
    "9223372036.854775808",
    "18446744073.709551615",
    "18446744073.709551616",
    "99999999999999999999999999",
    "1970-01-01T00:00:00Z",
    "2026-11-20T12:00:01Z",
    "2027-06-01T00:00:00+14:00",
    "2027-02-29T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "10000-01-01T00:00:00Z",
    "30d",
    "9999y",
];

/// What requests are made of.
pub struct Maker {
    pub numbers: Numbers,
    /// Ids that answers have told, each with the list that it is in; the latest last.
    pub ids: Vec<(String, String)>,
    /// In a hundred, values of this request that are unlike what the document says.
    pub odd: usize,
}

impl Maker {
    pub fn below(&mut self, bound: usize) -> usize {
        (self.numbers.next() >> 16) as usize % bound
    }

    pub fn per_cent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn name(&mut self) -> String {
        if !self.ids.is_empty() && self.per_cent(40) {
            let at = self.below(self.ids.len());
            return self.ids[at].1.clone();
        }
        self.one_of(&NAMES).to_owned()
    }

    fn text(&mut self) -> String {
        match self.below(8) {
            0 => self.one_of(&hostile()),
            1 | 2 => self.name(),
            3 => "ü".repeat(self.below(300)),
            _ => self.one_of(&TEXTS).to_owned(),
        }
    }

    /// A number of JSON, as its text would be read.
    fn number(&mut self) -> Value {
        serde_json::from_str(self.one_of(&NUMBERS)).unwrap_or(json!(7))
    }

    /// What a schema takes, mostly.
    pub fn value(&mut self, schema: &Value) -> Value {
        if self.per_cent(self.odd / 8) {
            return self.anything();
        }
        if let Some(either) = schema["anyOf"].as_array() {
            let one = self.one_of(either);
            return self.value(&one);
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.one_of(words);
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        let kind = if self.per_cent(85) { kinds[0].clone() } else { self.one_of(&kinds) };
        match kind.as_str() {
            Some("object") => Value::Object(self.object(schema)),
            Some("array") => {
                let most = schema["maxItems"].as_u64().unwrap_or(8) as usize;
                let length = if self.per_cent(self.odd / 8) {
                    (most + self.below(2)).min(600)
                } else {
                    self.below(4)
                };
                (0..length).map(|_| self.value(&schema["items"])).collect()
            }
            Some("integer") => {
                let least = schema["minimum"].as_u64().unwrap_or(0);
                let most = schema["maximum"].as_u64().unwrap_or(1 << 40);
                let bounds = if self.per_cent(self.odd) { 6 } else { 2 };
                match self.below(bounds) {
                    0 => json!(least.saturating_add(self.below(50) as u64).min(most)),
                    1 if most < 1 << 40 => {
                        json!(least + self.numbers.next() % (most - least).max(1))
                    }
                    1 => json!(least),
                    2 => json!(most),
                    3 => json!(most.saturating_add(1)),
                    4 => json!(least.saturating_sub(1)),
                    _ => self.number(),
                }
            }
            Some("boolean") => json!(self.per_cent(50)),
            Some("string") => json!(self.fitting(schema)),
            _ => Value::Null,
        }
    }

    /// A text that looks like what a schema takes.
    fn fitting(&mut self, schema: &Value) -> String {
        let pattern = schema["pattern"].as_str().unwrap_or_default();
        if self.per_cent(self.odd) {
            return self.text();
        }
        if pattern.contains("[0-9]+(") {
            let sign = if pattern.starts_with("^-?") && self.per_cent(40) { "-" } else { "" };
            return format!("{sign}{}.{:02}", self.below(3_000), self.below(100));
        }
        if schema["format"] == "date-time" {
            return format!("20{}-0{}-11T10:00:00Z", 27 + self.below(20), 1 + self.below(9));
        }
        match pattern {
            "^[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?$" => self
                .one_of(&["10.0.0.0/8", "::1", "::ffff:1.2.3.4/96", "1.2.3.4/33", "fe80::/10"])
                .to_owned(),
            "^[1-9][0-9]{0,3}(d|mo|y)$" => format!("{}mo", 1 + self.below(200)),
            "^[A-Za-z0-9_+/-]{1,64}$" => {
                self.one_of(&["Europe/Berlin", "UTC", "Asia/Kathmandu", "Nowhere"]).to_owned()
            }
            _ if pattern.contains("[Dd][Aa][Yy]") => {
                self.one_of(&["31", "1", "0", "32", "23:59", "24:00", "friday"]).to_owned()
            }
            _ if pattern.contains("{64}") => format!("{:064x}", self.numbers.next()),
            _ if pattern.starts_with("^[^") => format!("name {}", self.below(50)),
            _ => self.name(),
        }
    }

    pub fn object(&mut self, schema: &Value) -> Map<String, Value> {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut made = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let must = required.iter().any(|needed| needed == name.as_str());
            if self.per_cent(if must { 100 - self.odd / 8 } else { 25 }) {
                made.insert(name.clone(), self.value(schema));
            }
        }
        if self.per_cent(self.odd / 8) {
            let name = self.text();
            made.insert(name, self.anything());
        }
        made
    }

    fn anything(&mut self) -> Value {
        match self.below(7) {
            0 => Value::Null,
            1 => json!(self.per_cent(50)),
            2 => self.number(),
            3 => json!(self.text()),
            4 => json!([self.text()]),
            5 => json!({"usd": self.text(), "mode": "restrict"}),
            _ => json!({}),
        }
    }

    /// The text of a body, at times not what was meant.
    pub fn written(&mut self, value: &Value) -> Vec<u8> {
        let mut text = value.to_string().into_bytes();
        if !self.per_cent(self.odd / 2) {
            return text;
        }
        let at = self.below(text.len());
        match self.below(6) {
            0 => text.truncate(at),
            1 => text[at] = self.numbers.next() as u8,
            2 => {
                let again = text.split_off(at);
                text.extend_from_slice(&again);
                text.extend_from_slice(&again);
            }
            3 => text.extend(b"[".repeat(500)),
            4 => {
                let number = self.one_of(&NUMBERS).as_bytes();
                text.splice(at..at, number.iter().copied());
            }
            // A member twice: the last one counts.
            _ => {
                text.pop();
                text.extend_from_slice(b",\"name\":\"twice\",\"name\":1}");
            }
        }
        text
    }

    /// A path of the document below `/admin/v1/`, with names of what may be there.
    pub fn path(&mut self, template: &str) -> String {
        let parts: Vec<_> = template.split('/').skip(3).collect();
        let mut path = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let list = at.checked_sub(1).and_then(|before| parts.get(before)).copied();
            let latest = || {
                let of_list = self.ids.iter().rev().find(|known| Some(known.0.as_str()) == list);
                of_list.map(|known| known.1.clone()).unwrap_or_default()
            };
            let usual = match (*part, list) {
                ("{org}", _) => "acme".to_owned(),
                ("{team}", _) => "search".to_owned(),
                ("{user}", _) => "ada".to_owned(),
                ("{id}", Some("models")) => "gpt-4o-mini".to_owned(),
                ("{id}", Some("aliases")) => "fast".to_owned(),
                ("{id}", Some("plans")) => "plan-1".to_owned(),
                ("{id}", Some("groups")) => "group.1".to_owned(),
                (part, _) if part.starts_with('{') => latest(),
                (part, _) => {
                    path.push(part.to_owned());
                    continue;
                }
            };
            let name = if usual.is_empty() || self.per_cent(15) { self.name() } else { usual };
            path.push(escaped(&name));
        }
        path.join("/")
    }

    pub fn query(&mut self, operation: &Value) -> String {
        let mut pairs = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] != "query" {
                continue;
            }
            if parameter["name"] == "wait" {
                // One filter is registered, and never hears of anything.
                let wait = if self.per_cent(self.odd) { self.text() } else { "0".to_owned() };
                let wait: String = wait.chars().take(3).collect();
                pairs.push(format!("wait={}", escaped(&wait)));
                continue;
            }
            if !self.per_cent(15) {
                continue;
            }
            let value = match self.value(&parameter["schema"]) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            // The document's bounds are of the text, which its escapes make longer.
            let value: String = value.chars().take(20).collect();
            pairs.push(format!("{}={}", parameter["name"].as_str().unwrap(), escaped(&value)));
        }
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    pub fn learns(&mut self, path: &str, answer: &Value) {
        let list = path.split('/').rfind(|part| part.ends_with('s')).unwrap_or_default();
        self.ids.extend(answer["id"].as_str().map(|id| (list.to_owned(), id.to_owned())));
        let most = 16;
        self.ids.drain(..self.ids.len().saturating_sub(most));
    }
}
