//! Finds the one credential of a request. Every place where SDKs send one is looked at, so that a
//! second one is never overlooked, and all of them are removed before the request goes on.

use metering::api_key::{ApiKey, Malformed};
use wire::KeyDigest;

use crate::io::Headers;
use crate::percent_encoding::decoded;
use crate::profile::Voice;
use crate::url_query;

/// Header fields that carry a credential of ours. Each is removed before forwarding.
pub(crate) const KEY_HEADERS: [&[u8]; 4] =
    [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"];

/// Why there is no usable credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCredential {
    /// None was sent.
    Missing,
    /// More than one was sent.
    SeveralSent,
    /// `Authorization` is not of the form `Bearer <key>`.
    NotBearer,
    /// It was sent in the URL, where it would be logged.
    InUrl,
    /// It is no well-formed key.
    Malformed(Malformed),
}

/// The digest of the one well-formed credential of a request, sent where the API and the profile have
/// it: elsewhere it does not count, but is one too many beside another. The same key as `api-key` and
/// as `Authorization` is one.
///
/// # Errors
/// When there is none, more than one, or one that is malformed.
pub fn find(headers: &Headers, voice: impl Into<Voice>) -> Result<KeyDigest, NoCredential> {
    let voice = voice.into();
    let path = headers.iter().find(|(name, _)| name == b":path");
    let path = path.map(|(_, path)| path.as_slice()).unwrap_or_default();
    let mut in_url = url_query::parameters(path).filter(url_query::Parameter::is_credential);
    let mut in_headers = headers.iter().filter(|(name, _)| KEY_HEADERS.contains(&name.as_slice()));
    let taken = voice.profile.key_headers(voice.dialect);
    let sent = (in_headers.next(), in_headers.next(), in_url.next(), in_url.next());
    match sent {
        (None, _, None, _) => Err(NoCredential::Missing),
        (None, _, Some(parameter), None)
            if voice.profile.takes_query_key(voice.dialect) && parameter.name == b"key" =>
        {
            let key = decoded(parameter.value).unwrap_or_default();
            ApiKey::parse(&key).map(|key| key.digest()).map_err(NoCredential::Malformed)
        }
        (None, _, Some(_), None) => Err(NoCredential::InUrl),
        (Some((name, _)), None, None, _) if !taken.contains(&name.as_slice()) => {
            Err(NoCredential::Missing)
        }
        (Some((name, value)), None, None, _) => {
            let key = if name == b"authorization" { bearer(value)? } else { trim(value) };
            ApiKey::parse(key).map(|key| key.digest()).map_err(NoCredential::Malformed)
        }
        (Some(first), Some(second), None, _) if in_headers.next().is_none() => {
            let key = said_twice(first, second).ok_or(NoCredential::SeveralSent)?;
            ApiKey::parse(key).map(|key| key.digest()).map_err(NoCredential::Malformed)
        }
        _ => Err(NoCredential::SeveralSent),
    }
}

/// The one key that two header fields repeat: OpenAI's SDKs before their second major send a key for
/// Azure as `api-key` and as `Authorization` too.
fn said_twice<'a>(
    first: &'a (Vec<u8>, Vec<u8>),
    second: &'a (Vec<u8>, Vec<u8>),
) -> Option<&'a [u8]> {
    let value = |name: &[u8]| {
        [first, second].into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    };
    let (authorization, key) = (value(b"authorization")?, trim(value(b"api-key")?));
    bearer(authorization).ok().filter(|bearer| *bearer == key)
}

fn bearer(value: &[u8]) -> Result<&[u8], NoCredential> {
    let (scheme, key) = value
        .iter()
        .position(|byte| *byte == b' ')
        .and_then(|at| value.split_at_checked(at))
        .ok_or(NoCredential::NotBearer)?;
    if scheme.eq_ignore_ascii_case(b"bearer") {
        Ok(trim(key))
    } else {
        Err(NoCredential::NotBearer)
    }
}

fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::profile::Profile;

    const KEY: &str = "sk-AbCdEfGhIjKlMnOpQrStUv";

    fn headers(pairs: &[(&str, &[u8])]) -> Headers {
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
    }

    fn bearer_header() -> Vec<u8> {
        format!("Bearer {KEY}").into_bytes()
    }

    #[test]
    fn each_place_is_read() {
        let digest = metering::api_key::digest(KEY.as_bytes());
        let bearer = bearer_header();
        assert_eq!(find(&headers(&[("authorization", &bearer)]), Dialect::OpenAi), Ok(digest));
        assert_eq!(
            find(
                &headers(&[("authorization", b"bearer  sk-AbCdEfGhIjKlMnOpQrStUv ")]),
                Dialect::OpenAi
            ),
            Ok(digest)
        );
        for name in ["x-api-key", "api-key", "x-goog-api-key"] {
            assert_eq!(
                find(&headers(&[(name, KEY.as_bytes())]), Dialect::OpenAi),
                Ok(digest),
                "{name}"
            );
        }
    }

    #[test]
    fn each_profile_has_its_places() {
        let taken = |profile, dialect| -> Vec<&str> {
            let key = KEY.as_bytes();
            let bearer = bearer_header();
            let sent: [(&str, &[u8]); 5] = [
                ("authorization", &bearer),
                ("x-api-key", key),
                ("api-key", key),
                ("x-goog-api-key", key),
                (":path", b"/v1beta/models?key=sk-AbCdEfGhIjKlMnOpQrStUv"),
            ];
            let is_taken =
                |pair: &(&str, &[u8])| find(&headers(&[*pair]), Voice { dialect, profile }).is_ok();
            sent.iter().filter(|pair| is_taken(pair)).map(|(name, _)| *name).collect()
        };
        for profile in [Profile::PrivateMind, Profile::DeltaLlm] {
            for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
                assert_eq!(taken(profile, dialect), ["authorization"]);
            }
        }
        let mindproxy = |dialect| taken(Profile::MindProxy, dialect);
        assert_eq!(mindproxy(Dialect::OpenAi), ["authorization"]);
        assert_eq!(mindproxy(Dialect::Anthropic), ["authorization", "x-api-key"]);
        assert_eq!(mindproxy(Dialect::Gemini), ["authorization", "x-goog-api-key", ":path"]);
        assert_eq!(taken(Profile::Native, Dialect::Gemini).len(), 5);
        // What does not count is still one too many.
        let bearer = bearer_header();
        let two = headers(&[("authorization", &bearer), ("x-api-key", KEY.as_bytes())]);
        let voice = Voice { dialect: Dialect::OpenAi, profile: Profile::PrivateMind };
        assert_eq!(find(&two, voice), Err(NoCredential::SeveralSent));
    }

    #[test]
    fn anything_but_exactly_one_is_refused() {
        let bearer = bearer_header();
        let key = KEY.as_bytes();
        for (pairs, why) in [
            (vec![], NoCredential::Missing),
            (
                vec![("authorization", &bearer[..]), ("authorization", &bearer)],
                NoCredential::SeveralSent,
            ),
            (vec![("authorization", &bearer), ("x-api-key", key)], NoCredential::SeveralSent),
            (vec![("x-api-key", key), (":path", b"/v1/models?key=abc")], NoCredential::SeveralSent),
            (
                vec![("x-api-key", key), (":path", b"/v1/models?a=1&%6bey=abc")],
                NoCredential::SeveralSent,
            ),
            (vec![(":path", b"/v1/models?key=abc")], NoCredential::InUrl),
            (vec![(":path", b"/v1/models?key=abc&key=def")], NoCredential::SeveralSent),
            (vec![("authorization", b"")], NoCredential::NotBearer),
            (vec![("authorization", b"Bearer")], NoCredential::NotBearer),
            (vec![("authorization", key)], NoCredential::NotBearer),
            (vec![("authorization", b"Basic dXNlcjpwYXNz")], NoCredential::NotBearer),
            (vec![("authorization", b"Bearer ")], NoCredential::Malformed(Malformed::NotAKey)),
            (
                vec![("authorization", b"Bearer \xff\xfe")],
                NoCredential::Malformed(Malformed::NotAKey),
            ),
            (vec![("authorization", b"\xff")], NoCredential::NotBearer),
            (
                vec![("x-api-key", b"PMIND000000000000000000000000000")],
                NoCredential::Malformed(Malformed::HalfAPair),
            ),
        ] {
            assert_eq!(find(&headers(&pairs), Dialect::OpenAi), Err(why), "{pairs:?}");
        }
    }

    #[test]
    fn one_key_in_both_forms_that_azure_knows_is_one() {
        let digest = metering::api_key::digest(KEY.as_bytes());
        let (bearer, key) = (bearer_header(), KEY.as_bytes());
        let azure = [("api-key", key), ("authorization", &bearer[..])];
        assert_eq!(find(&headers(&azure), Dialect::OpenAi), Ok(digest));
        let other = b"Bearer sk-AbCdEfGhIjKlMnOpQrStUw";
        for pairs in [
            vec![("api-key", key), ("authorization", &other[..])],
            vec![("api-key", key), ("authorization", key)],
            vec![("api-key", key), ("api-key", key)],
            vec![("api-key", key), ("x-api-key", key)],
            vec![("api-key", key), ("authorization", &bearer), ("api-key", key)],
            vec![("api-key", key), ("authorization", &bearer), (":path", b"/v1/models?key=abc")],
        ] {
            assert_eq!(
                find(&headers(&pairs), Dialect::OpenAi),
                Err(NoCredential::SeveralSent),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn a_key_in_the_url_is_taken_where_gemini_is_spoken() {
        let digest = metering::api_key::digest(KEY.as_bytes());
        let of = |path: String| find(&headers(&[(":path", path.as_bytes())]), Dialect::Gemini);
        assert_eq!(of(format!("/v1beta/models?key={KEY}")), Ok(digest));
        assert_eq!(
            of(format!("/v1beta/models?alt=sse&%6bey={}", KEY.replace('-', "%2D"))),
            Ok(digest)
        );
        assert_eq!(of(format!("/v1beta/models?access_token={KEY}")), Err(NoCredential::InUrl));
        assert_eq!(
            of(format!("/v1beta/models?key={KEY}&key={KEY}")),
            Err(NoCredential::SeveralSent)
        );
        assert_eq!(
            of("/v1beta/models?key=%zz".to_owned()),
            Err(NoCredential::Malformed(Malformed::NotAKey))
        );
        assert_eq!(of("/v1beta/models?alt=sse".to_owned()), Err(NoCredential::Missing));
    }
}
