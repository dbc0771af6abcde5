//! What the headers of a request say of how it may be carried out: `If-Match` (RFC 9110, section
//! 13.1.1) and `Idempotency-Key`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use metering::api_key::digest;

use super::answer::AdminProblem;
use crate::app::{Idempotency, IfMatch};

/// Versions that one request may name.
const VERSIONS_MOST: usize = 16;

/// The longest Idempotency-Key in bytes: clients send UUIDs.
const LONGEST_IDEMPOTENCY_KEY: usize = 255;

/// The header by which a request is known again.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of a tag. What something was used for stands in its answers but is no part of its
/// version: a change is refused because of another change, never because of use.
pub fn etag(tag: &str) -> HeaderValue {
    // Letters and digits between quotes are always a header value.
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The versions that a change is meant for; none: whatever there is.
///
/// # Errors
/// When the header is not a list of tags.
pub fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, AdminProblem> {
    let wrong = || {
        let message = "If-Match must be the ETag of an earlier answer, or *";
        AdminProblem::new(StatusCode::BAD_REQUEST, "invalid_header", message, Some("If-Match"))
    };
    let mut versions = Vec::new();
    let mut values = headers.get_all(header::IF_MATCH).into_iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    for value in values {
        let text = value.to_str().map_err(|_| wrong())?;
        if text.trim() == "*" {
            return Ok(Some(IfMatch::Any));
        }
        for tag in text.split(',').map(str::trim) {
            let is_weak = tag.starts_with("W/");
            let quoted = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"');
            let opaque = quoted.and_then(|tag| tag.strip_suffix('"'));
            let opaque = opaque.filter(|tag| !tag.contains('"')).ok_or_else(wrong)?;
            // A weak tag matches nothing, which is no mistake.
            versions.extend((!is_weak).then(|| opaque.to_owned()));
        }
    }
    if versions.len() > VERSIONS_MOST { Err(wrong()) } else { Ok(Some(IfMatch::OneOf(versions))) }
}

/// By what the request is known again where it is repeated by the same `sender`. `route` and `body`
/// are what it asks for.
///
/// # Errors
/// When the header is no word of its sender.
pub fn idempotency(
    headers: &HeaderMap,
    sender: &str,
    route: &str,
    body: &[u8],
) -> Result<Option<Idempotency>, AdminProblem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(word) = values.next().map(HeaderValue::as_bytes) else { return Ok(None) };
    let is_word = (1..=LONGEST_IDEMPOTENCY_KEY).contains(&word.len())
        && word.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if !is_word || values.next().is_some() {
        let message = format!(
            "Idempotency-Key must be given once, with 1 to {LONGEST_IDEMPOTENCY_KEY} visible \
             characters"
        );
        let (status, name) = (StatusCode::BAD_REQUEST, Some("Idempotency-Key"));
        return Err(AdminProblem::new(status, "invalid_header", message, name));
    }
    let request = [route.as_bytes(), b"\n", body].concat();
    // Nobody is answered with the key of another sender who happened to choose the same word.
    let word = [sender.as_bytes(), b"\n", word].concat();
    Ok(Some(Idempotency { key: digest(&word), request: digest(&request) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn tags_are_versions_and_weak_ones_match_nothing() {
        let read = |values: &[&'static str]| if_match(&headers(&header::IF_MATCH, values));
        let some = |tags: &[&str]| {
            Some(IfMatch::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect()))
        };
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&["*"]).unwrap(), Some(IfMatch::Any));
        assert_eq!(read(&["\"7\""]).unwrap(), some(&["7"]));
        assert_eq!(read(&["\"7\" , \"9\"", "\"11\""]).unwrap(), some(&["7", "9", "11"]));
        assert_eq!(read(&["W/\"7\", \"abc\""]).unwrap(), some(&["abc"]));
        for wrong in ["W/W/\"7\"", "\"7\"8\"", "7", "\"7", "", "\"7\",", "7\""] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
        assert_eq!(etag("7"), "\"7\"");
    }

    #[test]
    fn a_request_is_known_by_its_word_and_what_it_asks() {
        let read = |values: &[&'static str], body: &[u8]| {
            idempotency(&headers(&IDEMPOTENCY_KEY, values), "admin", "/keys", body)
        };
        assert_eq!(read(&[], b"").unwrap(), None);
        let one = read(&["a"], b"{}").unwrap().unwrap();
        assert_eq!(read(&["a"], b"{}").unwrap(), Some(one));
        let other = read(&["a"], b"{ }").unwrap().unwrap();
        assert!(other.key == one.key && other.request != one.request);
        let elses = headers(&IDEMPOTENCY_KEY, &["a"]);
        let elses = idempotency(&elses, "acme/ada", "/keys", b"{}").unwrap().unwrap();
        assert_ne!(elses.key, one.key, "the word of another sender");
        assert!(read(&[""], b"").is_err() && read(&["a", "b"], b"").is_err());
    }
}
