//! The query of a request's URL: credentials that leave it, and parameters that do not pass.

use crate::percent_encoding::decoded;

/// Names under which a credential may stand in a URL, with or without the `$` that Google's servers
/// take before them. Only the first is accepted, and only where Gemini's clients send it; all of them
/// are removed, since URLs are logged.
const CREDENTIALS: [&[u8]; 11] = [
    b"key",
    b"access_token",
    b"api_key",
    b"api-key",
    b"apikey",
    b"bearer_token",
    b"oauth_token",
    b"x-api-key",
    b"x-goog-api-key",
    b"token",
    b"authorization",
];

/// What Google's clients ask for by `alt` or `$alt`, those made from its API descriptions with
/// `;enum-encoding=int` behind it: usage is read from each.
const GOOGLE_FORMS: [&[u8]; 4] =
    [b"json", b"sse", b"json;enum-encoding=int", b"sse;enum-encoding=int"];
/// Parameters of Google's that change nothing of what is read.
const GOOGLE_HARMLESS: [&[u8]; 3] = [b"key", b"prettyPrint", b"$prettyPrint"];
/// Longest name that is repeated in an error, in characters.
const LONGEST_SHOWN: usize = 64;

/// One parameter of a query.
pub(crate) struct Parameter<'a> {
    /// As it stands there.
    written: &'a [u8],
    /// What stands before it, behind the first one. Some servers take a semicolon for a separator,
    /// others for a part of the value.
    separator: u8,
    /// Percent-decoded, as an upstream would read it; as written where that cannot be done.
    pub(crate) name: Vec<u8>,
    /// As written.
    pub(crate) value: &'a [u8],
}

impl<'a> Parameter<'a> {
    fn read(written: &'a [u8], separator: u8) -> Self {
        let at = written.iter().position(|byte| *byte == b'=').unwrap_or(written.len());
        let (name, value) = written.split_at_checked(at).unwrap_or((written, &[]));
        let name = decoded(name).unwrap_or_else(|| name.to_vec());
        Self { written, separator, name, value: value.strip_prefix(b"=").unwrap_or(value) }
    }

    pub(crate) fn is_credential(&self) -> bool {
        // A second question mark comes of an address that had one already (`/v1?` and `?key=`).
        let marks = self.name.iter().take_while(|byte| **byte == b'?').count();
        let name = self.name.get(marks..).unwrap_or_default();
        let name = name.strip_prefix(b"$").unwrap_or(name);
        CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    fn is_google_form(&self) -> bool {
        let value = decoded(self.value).unwrap_or_default();
        matches!(self.name.as_slice(), b"alt" | b"$alt") && GOOGLE_FORMS.contains(&value.as_slice())
    }
}

/// The parameters of a path's query, by every separator that some server knows.
pub(crate) fn parameters(path: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    let query = query(path);
    let mut begin: usize = 0;
    query.split(|byte| matches!(byte, b'&' | b';')).map(move |written| {
        let before = begin.checked_sub(1).and_then(|before| query.get(before));
        begin = begin.saturating_add(written.len()).saturating_add(1);
        Parameter::read(written, before.copied().unwrap_or(b'&'))
    })
}

fn query(path: &[u8]) -> &[u8] {
    let at = path.iter().position(|byte| *byte == b'?');
    at.and_then(|at| path.get(at + 1..)).unwrap_or_default()
}

/// Whether a path has a parameter `key`.
pub(crate) fn has_key(path: &[u8]) -> bool {
    parameters(path).any(|parameter| parameter.name == b"key")
}

/// The path without the credentials in its query; none where it has none.
pub(crate) fn without_credentials(path: &[u8]) -> Option<Vec<u8>> {
    if !parameters(path).any(|parameter| parameter.is_credential()) {
        return None;
    }
    let at = path.iter().position(|byte| *byte == b'?')?;
    let mut out = path.get(..at)?.to_vec();
    let kept = parameters(path).filter(|parameter| !parameter.is_credential());
    for (place, parameter) in kept.enumerate() {
        out.push(if place == 0 { b'?' } else { parameter.separator });
        out.extend_from_slice(parameter.written);
    }
    Some(out)
}

/// The first parameter that Google's servers might take for more than the form of the answer.
pub(crate) fn beyond_google(path: &[u8]) -> Option<String> {
    let pairs = query(path).split(|byte| *byte == b'&');
    let others = pairs.filter(|pair| !Parameter::read(pair, b'&').is_google_form());
    let single = others.flat_map(|pair| pair.split(|byte| *byte == b';'));
    single
        .filter(|written| !written.is_empty())
        .map(|written| Parameter::read(written, b'&').name)
        .find(|name| !GOOGLE_HARMLESS.contains(&name.as_slice()))
        .map(|name| String::from_utf8_lossy(&name).chars().take(LONGEST_SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_credential_leaves_the_url() {
        for name in [
            "key",
            "$key",
            "?key",
            "%3F?$key",
            "api_key",
            "API-KEY",
            "apikey",
            "token",
            "%74oken",
            "oauth_token",
            "authorization",
        ] {
            let path = format!("/v1/models?a=b&{name}=x;c&d=");
            let clean = without_credentials(path.as_bytes()).unwrap();
            assert_eq!(clean, b"/v1/models?a=b;c&d=", "{name}");
        }
        let clean = without_credentials(b"/m?$alt=json;enum-encoding=int&key=x&a=b").unwrap();
        assert_eq!(clean, b"/m?$alt=json;enum-encoding=int&a=b");
        let clean = without_credentials(b"/m?key=x;$alt=json;enum-encoding=int").unwrap();
        assert_eq!(clean, b"/m?$alt=json;enum-encoding=int");
        assert_eq!(without_credentials(b"/v1/models?key=x").unwrap(), b"/v1/models");
        assert_eq!(without_credentials(b"/m?key=x&alt=sse").unwrap(), b"/m?alt=sse");
        for path in ["/v1/models", "/v1/models?", "/v1/models?monkey=1&keys=2", "/v1/models?a=key"]
        {
            assert_eq!(without_credentials(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn what_google_might_take_for_more_is_found() {
        for (query, stray) in [
            ("", None),
            ("?", None),
            ("?alt=sse&key=1", None),
            ("?$alt=json;enum-encoding=int", None),
            ("?%24alt=json%3Benum-encoding%3Dint&prettyPrint=false", None),
            ("?alt=sse&$alt=s%73e", None),
            ("?alt=sse&$alt=sse;enum-encoding=int", None),
            ("?alt=proto", Some("alt")),
            ("?$alt=json;enum-encoding=name", Some("$alt")),
            ("?alt=json;fields=x", Some("alt")),
            ("?alt=sse&alt=", Some("alt")),
            ("?alt", Some("alt")),
            ("?ALT=sse", Some("ALT")),
            ("?enum-encoding=int", Some("enum-encoding")),
            ("?key=1;fields=x", Some("fields")),
            ("?alt=sse&fields=x", Some("fields")),
            ("?%24fields=x", Some("$fields")),
            ("?callback=f", Some("callback")),
        ] {
            let found = beyond_google(format!("/m{query}").as_bytes());
            assert_eq!(found.as_deref(), stray, "{query}");
        }
        let long = beyond_google(format!("/m?{}=1", "x".repeat(200)).as_bytes());
        assert_eq!(long.map(|name| name.len()), Some(LONGEST_SHOWN));
    }
}
