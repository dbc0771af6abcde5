//! Identifiers, checked when they are made so that no message carries an empty or endless one.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The text is empty, too long, or holds a character that an id may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    kind: &'static str,
    longest: usize,
    of: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must have 1 to {} characters, each {}", self.kind, self.longest, self.of)
    }
}

impl std::error::Error for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $longest:literal) => {
        id! {
            $(#[$doc])*
            $name, $kind, $longest,
            "a visible ASCII character", |byte: u8| byte.is_ascii_graphic()
        }
    };
    (
        $(#[$doc:meta])* $name:ident, $kind:literal, $longest:literal, $of:literal, $may_hold:expr
    ) => {
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
            /// When the text is empty, longer than [`Self::LONGEST`], or holds a character that this
            /// kind of id may not have.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let fits = !text.is_empty() && text.len() <= $longest;
                if fits && text.bytes().all($may_hold) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { kind: $kind, longest: $longest, of: $of })
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
id! {
    /// Why a request is refused: the code of an error, not its text.
    RefusalCode, "refusal code", 64,
    "a lower-case ASCII letter, a digit or `_`",
    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
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

    #[test]
    fn refusal_codes_hold_what_codes_of_errors_hold() {
        assert!(RefusalCode::new("insufficient_quota").is_ok());
        for text in ["", "a-b", "A", "a b", "{code}", &"k".repeat(65)] {
            assert!(RefusalCode::new(text).is_err(), "{text:?}");
        }
    }
}
