//! What callers say of their own calls.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is no metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidMetadata {
    /// More pairs than may be.
    TooManyPairs,
    /// A name that is empty or too long.
    Name,
    /// A name that is there already.
    NameTwice,
    /// A value that is too long.
    Value,
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPairs => write!(f, "more than {} pairs", Metadata::MOST_PAIRS),
            Self::Name => write!(f, "a name has 1 to {} bytes", Metadata::LONGEST_NAME),
            Self::NameTwice => f.write_str("a name is there twice"),
            Self::Value => write!(f, "a value has at most {} bytes", Metadata::LONGEST_VALUE),
        }
    }
}

impl std::error::Error for InvalidMetadata {}

/// Names and values that a caller gave to one call, such as the project that it is for. A JSON
/// object of strings, bounded like OpenAI's `metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The most pairs.
    pub const MOST_PAIRS: usize = 16;
    /// The longest name in bytes.
    pub const LONGEST_NAME: usize = 64;
    /// The longest value in bytes.
    pub const LONGEST_VALUE: usize = 512;

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs in the order of their names.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Bytes of names and values together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.pairs().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// When there would be too many, name or value are out of bounds, or the name is there.
    pub fn add(&mut self, name: String, value: String) -> Result<(), InvalidMetadata> {
        if name.is_empty() || name.len() > Self::LONGEST_NAME {
            return Err(InvalidMetadata::Name);
        }
        if value.len() > Self::LONGEST_VALUE {
            return Err(InvalidMetadata::Value);
        }
        if self.0.contains_key(&name) {
            return Err(InvalidMetadata::NameTwice);
        }
        if self.0.len() >= Self::MOST_PAIRS {
            return Err(InvalidMetadata::TooManyPairs);
        }
        self.0.insert(name, value);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut metadata = Metadata::default();
                while let Some((name, value)) = map.next_entry()? {
                    metadata.add(name, value).map_err(A::Error::custom)?;
                }
                Ok(metadata)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_documentation() {
        let read = |json: &str| serde_json::from_str::<Metadata>(json);
        assert!(read("{}").unwrap().is_empty());
        let two = read(r#"{"project":"käse","a":""}"#).unwrap();
        assert_eq!(two.pairs().collect::<Vec<_>>(), [("a", ""), ("project", "käse")]);
        assert_eq!(two.size(), 1 + 7 + 5);
        let pairs = |count: usize| {
            let pairs: Vec<_> = (0..count).map(|n| format!("\"n{n}\":\"v\"")).collect();
            format!("{{{}}}", pairs.join(","))
        };
        assert!(read(&pairs(16)).is_ok());
        assert!(read(&format!(r#"{{"{}":"{}"}}"#, "n".repeat(64), "v".repeat(512))).is_ok());
        for json in [
            pairs(17),
            format!(r#"{{"{}":"v"}}"#, "n".repeat(65)),
            format!(r#"{{"n":"{}"}}"#, "v".repeat(513)),
            r#"{"":"v"}"#.to_owned(),
            r#"{"a":"1","a":"2"}"#.to_owned(),
            r#"{"a":1}"#.to_owned(),
            r#"{"a":null}"#.to_owned(),
            r#"{"a":{"b":"c"}}"#.to_owned(),
            r#"[]"#.to_owned(),
            r#""text""#.to_owned(),
            String::new(),
        ] {
            assert!(read(&json).is_err(), "{json}");
        }
    }
}
