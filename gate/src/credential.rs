//! Finds the one credential of a request. Every place where SDKs send one is looked at, so that a
//! second one is never overlooked, and all of them are removed before the request goes on.

use metering::api_key::{ApiKey, Malformed};
use wire::KeyDigest;

use crate::io::Headers;
use crate::profile::Voice;
use crate::route::percent_decoded;

/// Header fields that carry a credential of ours. Each is removed before forwarding.
const KEY_HEADERS: [&[u8]; 4] = [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"];
/// Names under which a credential may stand in a URL. Only the first is accepted, and only where
/// Gemini's clients send it; all of them are removed, since URLs are logged.
const QUERY_KEYS: [&[u8]; 9] = [
    b"key",
    b"access_token",
    b"api_key",
    b"api-key",
    b"apikey",
    b"x-api-key",
    b"x-goog-api-key",
    b"token",
    b"authorization",
];
/// Other header fields by which clients identify themselves, or their accounts at the provider; no
/// provider needs them from a client.
const OTHER_SECRETS: [&[u8]; 2] = [b"cookie", b"proxy-authorization"];
/// What MindProxy's clients say to Tollgate and to nobody else.
const DRY_RUN: &[u8] = b"x-tt-dry-run";
/// Header fields that make some servers read another method than the one that was checked.
const METHOD_OVERRIDES: [&[u8]; 3] =
    [b"x-http-method-override", b"x-http-method", b"x-method-override"];
/// Header fields that choose which account or project at the provider pays, or leave usage out of
/// an answer: neither is the client's to choose.
const ACCOUNT_HEADERS: [&[u8]; 6] = [
    b"openai-organization",
    b"openai-project",
    b"anthropic-workspace-id",
    b"anthropic-user-profile-id",
    b"x-goog-user-project",
    b"x-goog-fieldmask",
];
/// Our own names: what a client sends under them is a lie.
const RESERVED_PREFIX: &[u8] = b"x-tollgate-";

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
    let mut in_url = query(path).filter(|parameter| parameter.is_credential());
    let mut in_headers = headers.iter().filter(|(name, _)| KEY_HEADERS.contains(&name.as_slice()));
    let taken = voice.profile.key_headers(voice.dialect);
    let sent = (in_headers.next(), in_headers.next(), in_url.next(), in_url.next());
    match sent {
        (None, _, None, _) => Err(NoCredential::Missing),
        (None, _, Some(parameter), None)
            if voice.profile.takes_query_key(voice.dialect) && parameter.name == b"key" =>
        {
            let key = percent_decoded(parameter.value).unwrap_or_default();
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

/// Whether a path has a parameter `key`.
#[must_use]
pub fn has_query_key(path: &[u8]) -> bool {
    query(path).any(|parameter| parameter.name == b"key")
}

/// The path without the credentials in its query; none where it has none.
#[must_use]
pub fn path_without_credentials(path: &[u8]) -> Option<Vec<u8>> {
    if !query(path).any(|parameter| parameter.is_credential()) {
        return None;
    }
    let at = path.iter().position(|byte| *byte == b'?')?;
    let mut out = path.get(..at)?.to_vec();
    let kept = query(path).filter(|parameter| !parameter.is_credential());
    for (parameter, join) in kept.zip(std::iter::once(b'?').chain(std::iter::repeat(b'&'))) {
        out.push(join);
        out.extend_from_slice(parameter.written);
    }
    Some(out)
}

/// Names of a request's header fields that must not reach the upstream, each once.
#[must_use]
pub fn private_headers(headers: &Headers) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        headers.iter().map(|(name, _)| name).filter(|name| is_private(name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

fn is_private(name: &[u8]) -> bool {
    KEY_HEADERS.contains(&name)
        || OTHER_SECRETS.contains(&name)
        || METHOD_OVERRIDES.contains(&name)
        || ACCOUNT_HEADERS.contains(&name)
        || name == DRY_RUN
        || name.starts_with(RESERVED_PREFIX)
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

/// One parameter of a query.
struct Parameter<'a> {
    /// As it stands there.
    written: &'a [u8],
    /// Percent-decoded, as an upstream would read it; as written where that cannot be done.
    name: Vec<u8>,
    value: &'a [u8],
}

impl Parameter<'_> {
    fn is_credential(&self) -> bool {
        QUERY_KEYS.iter().any(|known| self.name.eq_ignore_ascii_case(known))
    }
}

fn query(path: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    let at = path.iter().position(|byte| *byte == b'?');
    let query = at.and_then(|at| path.get(at + 1..)).unwrap_or_default();
    query.split(|byte| matches!(byte, b'&' | b';')).map(|written| {
        let at = written.iter().position(|byte| *byte == b'=').unwrap_or(written.len());
        let (name, value) = written.split_at_checked(at).unwrap_or((written, &[]));
        let name = percent_decoded(name).unwrap_or_else(|| name.to_vec());
        Parameter { written, name, value: value.strip_prefix(b"=").unwrap_or(value) }
    })
}

/// The first parameter of a query whose name is none of these.
pub(crate) fn other_parameter(path: &[u8], known: &[&str]) -> Option<String> {
    let is_known = |name: &[u8]| known.iter().any(|known| known.as_bytes() == name);
    query(path)
        .find(|parameter| !parameter.written.is_empty() && !is_known(&parameter.name))
        .map(|parameter| String::from_utf8_lossy(&parameter.name).chars().take(64).collect())
}

/// The first of these parameters that has another value than these.
pub(crate) fn other_value(path: &[u8], names: &[&str], values: &[&str]) -> Option<String> {
    let is_of = |list: &[&str], bytes: &[u8]| list.iter().any(|text| text.as_bytes() == bytes);
    let mut named = query(path).filter(|parameter| is_of(names, &parameter.name));
    let found = named.find(|parameter| !is_of(values, parameter.value))?;
    Some(String::from_utf8_lossy(&found.name).into_owned())
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

    #[test]
    fn every_credential_leaves_the_url() {
        for name in ["key", "api_key", "API-KEY", "apikey", "token", "%74oken", "authorization"] {
            let path = format!("/v1/models?a=b&{name}=x;c&d=");
            let clean = path_without_credentials(path.as_bytes()).unwrap();
            assert_eq!(clean, b"/v1/models?a=b&c&d=", "{name}");
        }
        assert_eq!(path_without_credentials(b"/v1/models?key=x").unwrap(), b"/v1/models");
        assert_eq!(path_without_credentials(b"/m?key=x&alt=sse").unwrap(), b"/m?alt=sse");
        for path in ["/v1/models", "/v1/models?", "/v1/models?monkey=1&keys=2", "/v1/models?a=key"]
        {
            assert_eq!(path_without_credentials(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn parameters_that_are_not_known_are_found() {
        assert_eq!(other_parameter(b"/m?alt=sse&key=1", &["alt", "key"]), None);
        assert_eq!(other_parameter(b"/m?", &["alt"]), None);
        assert_eq!(other_parameter(b"/m", &["alt"]), None);
        assert_eq!(other_parameter(b"/m?alt=sse&fields=x", &["alt"]).unwrap(), "fields");
        assert_eq!(other_parameter(b"/m?%24fields=x", &["alt"]).unwrap(), "$fields");
    }

    #[test]
    fn private_headers_never_pass() {
        for name in ["openai-organization", "x-goog-user-project", "x-goog-fieldmask"] {
            assert!(is_private(name.as_bytes()), "{name}");
        }
        for name in ["authorization", "x-api-key", "cookie", "x-tollgate-org", "x-tollgate-"] {
            assert!(is_private(name.as_bytes()), "{name}");
        }
        assert!(!is_private(b"x-request-id") && !is_private(b"content-type"));
    }
}
