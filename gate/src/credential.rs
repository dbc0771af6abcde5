//! Finds the one credential of a request. Every place where SDKs send one is looked at, so that a
//! second one is never overlooked, and all of them are removed before the request goes on.

use metering::api_key::{ApiKey, Malformed};
use wire::KeyDigest;

use crate::io::Headers;

/// Header fields that carry a credential of ours. Each is removed before forwarding.
const KEY_HEADERS: [&[u8]; 4] = [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"];
/// Names under which a credential may stand in a URL. None is accepted there: URLs are logged.
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
/// Other header fields by which clients identify themselves; no provider needs them from a client.
const OTHER_SECRETS: [&[u8]; 2] = [b"cookie", b"proxy-authorization"];
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

/// The digest of the one well-formed credential of a request.
///
/// # Errors
/// When there is none, more than one, or one that is malformed.
pub fn find(headers: &Headers) -> Result<KeyDigest, NoCredential> {
    let in_url = headers
        .iter()
        .filter(|(name, _)| name == b":path")
        .map(|(_, path)| keys_in_query(path))
        .sum::<usize>();
    let mut in_headers = headers.iter().filter(|(name, _)| KEY_HEADERS.contains(&name.as_slice()));
    match (in_headers.next(), in_headers.next(), in_url) {
        (None, _, 0) => Err(NoCredential::Missing),
        (None, _, 1) => Err(NoCredential::InUrl),
        (Some((name, value)), None, 0) => {
            let key = if name == b"authorization" { bearer(value)? } else { trim(value) };
            ApiKey::parse(key).map(|key| key.digest()).map_err(NoCredential::Malformed)
        }
        _ => Err(NoCredential::SeveralSent),
    }
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

/// How many `key=` parameters a path has. Names are compared after percent-decoding would leave
/// them alone: an encoded `k` is counted too, since an upstream would decode it.
fn keys_in_query(path: &[u8]) -> usize {
    let Some(at) = path.iter().position(|byte| *byte == b'?') else { return 0 };
    let query = path.get(at + 1..).unwrap_or_default();
    query
        .split(|byte| matches!(byte, b'&' | b';'))
        .filter(|pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            let name = percent_decoded(name);
            QUERY_KEYS.iter().any(|known| name.eq_ignore_ascii_case(known))
        })
        .count()
}

fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, tail)) = rest.split_first() {
        let decoded = match (byte, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                digit(high)
                    .zip(digit(low))
                    .and_then(|(high, low)| Some((u8::try_from(high << 4 | low).ok()?, after)))
            }
            _ => None,
        };
        let (byte, after) = decoded.unwrap_or((*byte, tail));
        out.push(byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(find(&headers(&[("authorization", &bearer)])), Ok(digest));
        assert_eq!(
            find(&headers(&[("authorization", b"bearer  sk-AbCdEfGhIjKlMnOpQrStUv ")])),
            Ok(digest)
        );
        for name in ["x-api-key", "api-key", "x-goog-api-key"] {
            assert_eq!(find(&headers(&[(name, KEY.as_bytes())])), Ok(digest), "{name}");
        }
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
            assert_eq!(find(&headers(&pairs)), Err(why), "{pairs:?}");
        }
    }

    #[test]
    fn every_name_of_a_credential_in_a_url_is_noticed() {
        for name in ["key", "api_key", "API-KEY", "apikey", "token", "%74oken", "authorization"] {
            assert_eq!(keys_in_query(format!("/v1/models?a=b&{name}=x").as_bytes()), 1, "{name}");
        }
    }

    #[test]
    fn other_parameters_are_no_credentials() {
        for path in ["/v1/models", "/v1/models?", "/v1/models?monkey=1&keys=2", "/v1/models?a=key"]
        {
            assert_eq!(keys_in_query(path.as_bytes()), 0, "{path}");
        }
    }

    #[test]
    fn private_headers_never_pass() {
        for name in ["authorization", "x-api-key", "cookie", "x-tollgate-org", "x-tollgate-"] {
            assert!(is_private(name.as_bytes()), "{name}");
        }
        assert!(!is_private(b"x-request-id") && !is_private(b"content-type"));
    }
}
