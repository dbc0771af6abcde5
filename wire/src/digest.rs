//! Fixed-size binary values that travel as lower-case hexadecimal.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The text is not hexadecimal of the expected length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseHexError;

impl fmt::Display for ParseHexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not lower-case hexadecimal of the expected length")
    }
}

impl std::error::Error for ParseHexError {}

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// Parses lower-case hexadecimal of exactly the right length.
            ///
            /// # Errors
            /// When the text has another length or another character.
            pub fn from_hex(text: &str) -> Result<Self, ParseHexError> {
                decode(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::from_hex(&text).map_err(D::Error::custom)
            }
        }
    };
}

hex_bytes! {
    /// SHA-256 of a whole API key. Not a secret by itself (keys carry at least 128 random bits),
    /// and the only form in which a key is stored or sent to the server.
    KeyDigest, 32
}
hex_bytes! {
    /// 128 random bits by which one VM registers; repeating the nonce is the same holder.
    Nonce, 16
}

fn decode<const SIZE: usize>(text: &str) -> Result<[u8; SIZE], ParseHexError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != SIZE || !rest.is_empty() {
        return Err(ParseHexError);
    }
    let mut bytes = [0; SIZE];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Result<u8, ParseHexError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseHexError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_rejects_what_is_not_exact() {
        let nonce = Nonce([0xab; 16]);
        assert_eq!(Nonce::from_hex(&nonce.to_string()), Ok(nonce));
        for text in ["", "ab", &"AB".repeat(16), &"ab".repeat(17), &"zz".repeat(16)] {
            assert_eq!(Nonce::from_hex(text), Err(ParseHexError), "{text}");
        }
    }
}
