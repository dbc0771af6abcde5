//! New keys from random bytes that the caller draws.

use std::fmt::Write as _;

use wire::v1::UserKeyForm;

use super::checksum;

/// How every native key begins. `sk-` keeps SDKs and secret scanners happy, `tg` says whose it is.
pub const NATIVE_PREFIX: &str = "sk-tg-";
/// Length of the public id inside a native key.
pub const NATIVE_ID_LENGTH: usize = 12;
/// How every user key begins, in each of its forms.
pub const USER_PREFIXES: [&str; 2] = ["tgu_", "pminduser_"];
/// How the access key id of a pair begins.
pub(super) const PAIR_PREFIX: &str = "PMIND";

/// 32 letters and digits without look-alikes (Crockford's base 32).
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A native key: `sk-tg-<id>-<secret><checksum>`. The secret is 24 random bytes (192 bits) as 48
/// hexadecimal digits. `None` when the id is not [`NATIVE_ID_LENGTH`] letters and digits.
#[must_use]
pub fn native_key(id: &str, random: &[u8; 24]) -> Option<String> {
    checked(NATIVE_PREFIX, id, '-', random)
}

/// A user key: `tgu_<id>_<secret><checksum>`, or the same behind `pminduser_` for clients of
/// PrivateMind. Id, secret and checksum are those of a native key.
#[must_use]
pub fn user_key(form: UserKeyForm, id: &str, random: &[u8; 24]) -> Option<String> {
    let [tollgate, privatemind] = USER_PREFIXES;
    let prefix = match form {
        UserKeyForm::Tollgate => tollgate,
        UserKeyForm::PrivateMind => privatemind,
    };
    checked(prefix, id, '_', random)
}

fn checked(prefix: &str, id: &str, between: char, random: &[u8; 24]) -> Option<String> {
    let id_fits =
        id.len() == NATIVE_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    id_fits.then(|| {
        let mut key = format!("{prefix}{id}{between}{}", hex(random));
        key.extend(checksum::of(&key).map(char::from));
        key
    })
}

/// A pair `<access_key_id>:<secret>`: the id is `PMIND` and 27 base-32 characters made of 17 bytes
/// (135 bits used), the secret 32 random bytes as 64 hexadecimal digits.
#[must_use]
pub fn pair_key(id: &[u8; 17], secret: &[u8; 32]) -> String {
    let mut key = String::from(PAIR_PREFIX);
    let bit = |index: usize| id.get(index / 8).is_some_and(|byte| byte >> (7 - index % 8) & 1 == 1);
    for position in 0..27 {
        let value =
            (0..5).fold(0, |value, offset| value << 1 | usize::from(bit(position * 5 + offset)));
        key.push(BASE32.get(value).copied().map_or('0', char::from));
    }
    key.push(':');
    key.push_str(&hex(secret));
    key
}

/// The id of a pair that names its owner: 9 random bytes, then the first 8 of the SHA-256 of the
/// owner's name. So whoever knows the owners can tell whose a key is, and nobody else can.
#[must_use]
pub fn pair_id_of_owner(random: &[u8; 9], owner: &str) -> [u8; 17] {
    let mut id = [0; 17];
    let owner = super::digest(owner.as_bytes()).0;
    for (byte, from) in id.iter_mut().zip(random.iter().chain(owner.iter())) {
        *byte = *from;
    }
    id
}

/// A key as other providers make them: `sk-` and 48 letters and digits of base 62 (285 bits; a byte
/// is a little more often one of the first eight digits, which costs less than one of them).
#[must_use]
pub fn openai_key(random: &[u8; 48]) -> String {
    let mut key = String::from("sk-");
    let digit = |byte: &u8| checksum::BASE62.get(usize::from(byte % 62)).copied();
    key.extend(random.iter().map(|byte| digit(byte).map_or('0', char::from)));
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_stated_shapes() {
        let native = native_key("AbCdEf012345", &[0xab; 24]).unwrap();
        assert_eq!(native.len(), 6 + 12 + 1 + 48 + 6);
        assert!(native_key("short", &[0; 24]).is_none());
        let pair = pair_key(&[0xff; 17], &[0; 32]);
        let (id, secret) = pair.split_once(':').unwrap();
        assert_eq!((id.len(), secret.len()), (32, 64));
        assert!(id.starts_with("PMIND"));
        assert_ne!(pair_key(&[1; 17], &[0; 32]), pair);
        let user = user_key(UserKeyForm::Tollgate, "AbCdEf012345", &[0xab; 24]).unwrap();
        assert!(user.starts_with("tgu_AbCdEf012345_abab") && user.len() == 4 + 12 + 1 + 48 + 6);
        let user = user_key(UserKeyForm::PrivateMind, "AbCdEf012345", &[0xab; 24]).unwrap();
        assert!(user.starts_with("pminduser_AbCdEf012345_abab"));
        let openai = openai_key(&[61; 48]);
        assert_eq!(openai, format!("sk-{}", "z".repeat(48)));
    }

    #[test]
    fn the_id_of_a_pair_ends_with_its_owner() {
        let id = |random, owner| {
            let pair = pair_key(&pair_id_of_owner(&[random; 9], owner), &[0; 32]);
            pair.split_once(':').unwrap().0.to_owned()
        };
        // 72 random bits fill fourteen characters and two bits of the next
        let tail = |id: &str| id[20..].to_owned();
        assert_eq!(tail(&id(1, "acme/ada")), tail(&id(2, "acme/ada")));
        assert_ne!(id(1, "acme/ada"), id(2, "acme/ada"));
        assert_ne!(tail(&id(1, "acme/ada")), tail(&id(1, "acme/bob")));
    }
}
