//! Names of plans and access groups.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The longest name of either kind, in bytes.
const LONGEST: usize = 64;

/// The text is no name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName(&'static str);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidName {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $wrong:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What fits, as a regular expression (ECMA-262, as JSON schemas have them).
            pub const PATTERN: &str = $pattern;

            /// Checks the text.
            ///
            /// # Errors
            /// When it is no such name.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                let fits: fn(&[u8]) -> bool = $fits;
                let right = (1..=LONGEST).contains(&text.len()) && fits(text.as_bytes());
                if right { Ok(Self(text)) } else { Err(InvalidName($wrong)) }
            }

            /// The name as text.
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

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

name! {
    /// An access group: a label of models.
    GroupName,
    "^[a-z0-9][a-z0-9._-]{0,63}$",
    "must be 1 to 64 lower-case letters, digits, '.', '_' or '-', the first a letter or digit",
    |bytes| {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        bytes.first().is_some_and(plain)
            && bytes.iter().all(|byte| plain(byte) || b"._-".contains(byte))
    }
}
name! {
    /// A plan. It stands in paths and commands, so it needs no quoting there.
    PlanId,
    "^[A-Za-z0-9._-]{1,64}$",
    "must be 1 to 64 letters, digits, '-', '_' or '.'",
    |bytes| bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_lower_case_labels_of_bounded_length() {
        let longest = "a".repeat(64);
        for right in ["a", "0", "small-models", "eu.region_1", "a--", longest.as_str()] {
            assert_eq!(GroupName::new(right).map(|name| name.to_string()), Ok(right.to_owned()));
        }
        let too_long = "a".repeat(65);
        for wrong in ["", "A", "-a", ".a", "_a", "a b", "ä", "a/b", "a\n", too_long.as_str()] {
            assert!(GroupName::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plans_need_no_quoting() {
        assert!(PlanId::new("Gold_2.1-eu").is_ok());
        for wrong in ["", "a b", "a/b", "ä", "*", &"p".repeat(65)] {
            assert!(PlanId::new(wrong).is_err(), "{wrong}");
        }
    }
}
