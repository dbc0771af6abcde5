//! Whether a body is read by the upstream as what the filter reads: JSON in UTF-8, as it came.

use crate::io::Headers;

/// A body that is not compressed, and that nobody will take for anything but JSON in UTF-8. A
/// server that also takes forms finds other members in the same bytes (`{"model":"a","x":"&model=b"}`), and so
/// does one that decodes them as the client asks for (UTF-7). Without a type it is taken for JSON.
pub(crate) fn is_plain_json(headers: &Headers) -> bool {
    let mut types = 0;
    headers.iter().all(|(name, value)| match name.as_slice() {
        b"content-encoding" => value.trim_ascii().eq_ignore_ascii_case(b"identity"),
        b"content-type" => {
            types += 1;
            types == 1 && is_json(value)
        }
        _ => true,
    })
}

fn is_json(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = match kind.as_slice() {
        // Where nothing is said of a text, some libraries say that it is one: nobody looks for members
        // in that otherwise than as JSON.
        b"" | b"application/json" | b"text/json" | b"text/plain" => true,
        other => other.starts_with(b"application/") && other.ends_with(b"+json"),
    };
    // Several values joined into one are several values.
    is_json && !value.contains(&b',') && parts.all(is_harmless_parameter)
}

/// Only a character set changes how bytes are read.
fn is_harmless_parameter(parameter: &[u8]) -> bool {
    let Some(at) = parameter.iter().position(|byte| *byte == b'=') else { return true };
    let (name, value) = parameter.split_at_checked(at).unwrap_or((parameter, &[]));
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let bare =
        value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let utf8 = [b"utf-8".as_slice(), b"utf8", b"us-ascii"];
    !name.trim_ascii().eq_ignore_ascii_case(b"charset")
        || utf8.iter().any(|known| bare.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> bool {
        let pair =
            |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        is_plain_json(&fields.iter().map(pair).collect())
    }

    #[test]
    fn json_in_utf_8_is_taken() {
        assert!(of(&[("accept", "text/html")]));
        for kind in [
            "application/json",
            "Application/JSON ; Charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; charset=utf8; profile=x",
            "application/json;",
            "application/vnd.api+json",
            "text/json",
            "text/plain;charset=UTF-8",
            "",
        ] {
            assert!(of(&[("content-type", kind)]), "{kind}");
        }
        assert!(of(&[("content-encoding", " Identity")]));
    }

    #[test]
    fn whatever_else_a_server_may_read_in_it_is_not() {
        for kind in [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain; charset=utf-16",
            "application/xml",
            "application/x-ndjson",
            "application/jsonx",
            "image/svg+json",
            "application/json; charset=utf-7",
            "application/json; charset=utf-16le",
            "application/json; x=y; charset = \"ISO-8859-1\"",
            "application/json, application/x-www-form-urlencoded",
        ] {
            assert!(!of(&[("content-type", kind)]), "{kind}");
        }
        let json = ("content-type", "application/json");
        assert!(!of(&[json, ("content-type", "application/x-www-form-urlencoded")]));
        assert!(!of(&[json, json]));
        for coding in ["gzip", "identity, gzip", "br", "", "x"] {
            assert!(!of(&[("content-encoding", coding)]), "{coding}");
        }
        assert!(!of(&[("content-encoding", "identity"), ("content-encoding", "gzip")]));
    }
}
