//! Parameters of a URL's query.

use crate::percent_encoding::decoded;
use crate::refusal::Refusal;

/// The value of a parameter, percent-decoded; `None` where it is not there. Other parameters are
/// not looked at.
///
/// # Errors
/// When it is there twice, or its value cannot be decoded: `expected` then says what it must be.
pub(crate) fn parameter(
    query: &[u8],
    name: &'static str,
    expected: &'static str,
) -> Result<Option<Vec<u8>>, Refusal> {
    let mut values = query.split(|byte| *byte == b'&').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (written, value) = pair.split_at_checked(at)?;
        let is_it = decoded(written).as_deref() == Some(name.as_bytes());
        is_it.then(|| value.strip_prefix(b"=").unwrap_or(value))
    });
    let Some(value) = values.next() else { return Ok(None) };
    let bad = Refusal::QueryParameter { name, expected };
    match (values.next(), decoded(value)) {
        (None, Some(value)) => Ok(Some(value)),
        _ => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        let of = |query: &str| parameter(query.as_bytes(), "after_id", "an id");
        for (query, value) in [
            ("", None),
            ("&&=&x", None),
            ("AFTER_ID=a", None),
            ("after_id", Some("")),
            ("after_id=", Some("")),
            ("a=1&after_id=a&b", Some("a")),
            ("after%5Fid=a%2Fb%3a", Some("a/b:")),
            ("after_id=a=b+c", Some("a=b+c")),
            ("%zz=1&after_id=a", Some("a")),
        ] {
            let value = value.map(|value| value.as_bytes().to_vec());
            assert_eq!(of(query), Ok(value), "{query}");
        }
        for query in ["after_id=a&after_id=a", "after_id=%", "after_id=%4", "after_id=%zz"] {
            let bad = Refusal::QueryParameter { name: "after_id", expected: "an id" };
            assert_eq!(of(query), Err(bad), "{query}");
        }
    }
}
