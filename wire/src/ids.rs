//! Identifiers, checked when they are made so that no message carries an empty or endless one.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The text is empty, too long, or holds a character that an id may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    kind: &'static str,
    longest: usize,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} must have 1 to {} characters, each a visible ASCII character",
            self.kind, self.longest
        )
    }
}

impl std::error::Error for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The longest id in bytes.
            pub const LONGEST: usize = $longest;

            /// Checks the text and makes an id of it.
            ///
            /// # Errors
            /// When the text is empty, longer than [`Self::LONGEST`] or not visible ASCII.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let fits = !text.is_empty() && text.len() <= $longest;
                if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { kind: $kind, longest: $longest })
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

id! {
    /// An API key's public id, never its secret.
    KeyId, "key id", 64
}
id! {
    /// An organisation.
    OrgId, "organisation id", 64
}
id! {
    /// A team of an organisation.
    TeamId, "team id", 64
}
id! {
    /// A user of an organisation.
    UserId, "user id", 64
}
id! {
    /// A lease, unique over the life of a database.
    LeaseId, "lease id", 64
}
id! {
    /// One registered VM.
    HolderId, "holder id", 64
}
id! {
    /// One call through the gateway.
    RequestId, "request id", 64
}
id! {
    /// A model's name or alias as clients write it.
    ModelName, "model name", 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_visible_ascii_of_bounded_length() {
        assert!(KeyId::new("key_01").is_ok());
        assert!(ModelName::new("models/gemini-2.5-pro:free").is_ok());
        for text in ["", " ", "a b", "ä", "a\n", &"k".repeat(65)] {
            assert!(KeyId::new(text).is_err(), "{text:?}");
        }
    }
}
