//! API keys as text: which forms exist, which are well formed, and the digest by which a key is
//! known. The secret lives only as long as the borrowed text; nothing here stores or prints it.

mod checksum;
mod mint;

use std::fmt;

use sha2::{Digest as _, Sha256};
use wire::KeyDigest;

pub use mint::{
    NATIVE_ID_LENGTH, NATIVE_PREFIX, USER_PREFIXES, native_key, openai_key, pair_id_of_owner,
    pair_key, user_key,
};

/// Longest key in bytes. Longer ones are refused before anything is computed over them.
pub const LONGEST_KEY: usize = 256;
/// Shortest key in bytes: below this no format has the randomness of a secret.
pub const SHORTEST_KEY: usize = 20;

/// A well-formed API key. Its text is a secret: `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKey<'a> {
    text: &'a str,
}

impl fmt::Debug for ApiKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// The text is not a well-formed API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Too short, too long, or a character that no format has.
    NotAKey,
    /// One half of an `<access_key_id>:<secret>` pair.
    HalfAPair,
    /// A native key or a user key whose checksum is wrong: mistyped or made up.
    BadChecksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAKey => "The API key is malformed.",
            Self::HalfAPair => {
                "The API key is incomplete: send <access_key_id>:<secret> as one token."
            }
            Self::BadChecksum => "The API key is mistyped: its checksum does not match.",
        })
    }
}

impl std::error::Error for Malformed {}

impl<'a> ApiKey<'a> {
    /// Accepts `sk-…` keys, `<access_key_id>:<secret>` pairs, and user keys ([`USER_PREFIXES`]). A
    /// native key ([`NATIVE_PREFIX`]) or a user key must carry a right checksum, so guesses end here
    /// without a look-up.
    ///
    /// # Errors
    /// When the bytes are no well-formed key.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > LONGEST_KEY || !bytes.iter().all(|byte| allowed(*byte)) {
            return Err(Malformed::NotAKey);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotAKey)?;
        if let Some((id, secret)) = text.split_once(':') {
            return Self::pair(text, id, secret);
        }
        let begins_with = |prefix: &str| text.starts_with(prefix);
        let is_of_a_user = USER_PREFIXES.into_iter().any(begins_with);
        if !is_of_a_user && !begins_with("sk-") {
            return Err(if looks_like_half(text) {
                Malformed::HalfAPair
            } else {
                Malformed::NotAKey
            });
        }
        if text.len() < SHORTEST_KEY {
            return Err(Malformed::NotAKey);
        }
        if (is_of_a_user || begins_with(NATIVE_PREFIX)) && !checksum::holds(text) {
            return Err(Malformed::BadChecksum);
        }
        Ok(Self { text })
    }

    fn pair(text: &'a str, id: &str, secret: &str) -> Result<Self, Malformed> {
        if id.is_empty() || secret.is_empty() {
            return Err(Malformed::HalfAPair);
        }
        if secret.contains(':') || text.len() < SHORTEST_KEY {
            return Err(Malformed::NotAKey);
        }
        Ok(Self { text })
    }

    /// SHA-256 of the whole key: how every part of Tollgate names it.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        digest(self.text.as_bytes())
    }
}

/// SHA-256 of any secret text.
#[must_use]
pub fn digest(secret: &[u8]) -> KeyDigest {
    KeyDigest(Sha256::digest(secret).into())
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b':' | b'~' | b'+' | b'/' | b'=')
}

/// The id of a pair (`PMIND…`) or its 64 hexadecimal digits, sent alone.
fn looks_like_half(text: &str) -> bool {
    let is_secret = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_secret || text.starts_with(mint::PAIR_PREFIX)
}

#[cfg(test)]
mod tests {
    use wire::v1::UserKeyForm;

    use super::*;

    #[test]
    fn accepts_every_form() {
        let native = native_key("0123456789ab", &[7; 24]).unwrap();
        let pair = pair_key(&[1; 17], &[2; 32]);
        let [user, privatemind] = [UserKeyForm::Tollgate, UserKeyForm::PrivateMind]
            .map(|form| user_key(form, "0123456789ab", &[7; 24]).unwrap());
        for text in [&native, &pair, &user, &privatemind, "sk-AbCdEfGhIjKlMnOpQrStUv_-"] {
            let key = ApiKey::parse(text.as_bytes()).unwrap();
            assert_eq!(key.digest(), digest(text.as_bytes()));
            assert_eq!(format!("{key:?}"), "ApiKey(redacted)");
        }
    }

    #[test]
    fn refuses_what_is_no_key() {
        let pair = pair_key(&[1; 17], &[2; 32]);
        let (id, secret) = pair.split_once(':').unwrap();
        let with_empty_id = format!(":{secret}");
        let with_empty_secret = format!("{id}:");
        let long = format!("sk-{}", "a".repeat(LONGEST_KEY));
        for (text, why) in [
            ("", Malformed::NotAKey),
            ("sk-", Malformed::NotAKey),
            ("sk-short", Malformed::NotAKey),
            ("hello-world-this-is-no-key", Malformed::NotAKey),
            ("sk-with space in the middle", Malformed::NotAKey),
            ("sk-with-ünicode-in-the-middle", Malformed::NotAKey),
            (&long, Malformed::NotAKey),
            ("a:b:c", Malformed::NotAKey),
            ("aaaaaaaaaaaaaaaa:bbbbbbbbbbbbbbbbb:ccccc", Malformed::NotAKey),
            (id, Malformed::HalfAPair),
            (secret, Malformed::HalfAPair),
            (&with_empty_id, Malformed::HalfAPair),
            (&with_empty_secret, Malformed::HalfAPair),
        ] {
            assert_eq!(ApiKey::parse(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(
            ApiKey::parse(b"sk-\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1"),
            Err(Malformed::NotAKey)
        );
    }

    #[test]
    fn one_changed_character_of_a_checked_key_breaks_its_checksum() {
        let native = native_key("0123456789ab", &[9; 24]).unwrap();
        let user = user_key(UserKeyForm::PrivateMind, "0123456789ab", &[9; 24]).unwrap();
        for (key, prefix) in [(native, NATIVE_PREFIX), (user, "pminduser_")] {
            for index in prefix.len()..key.len() {
                let mut changed = key.clone().into_bytes();
                changed[index] = if changed[index] == b'x' { b'y' } else { b'x' };
                assert_eq!(ApiKey::parse(&changed), Err(Malformed::BadChecksum), "at {index}");
            }
        }
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(
            digest(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
