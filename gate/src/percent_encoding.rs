//! Percent-encoding (RFC 3986, 2.1).

/// The bytes that percent-encoding stands for; none where it is broken.
pub(crate) fn decoded(written: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((byte, tail)) = rest.split_first() {
        if *byte != b'%' {
            out.push(*byte);
            rest = tail;
            continue;
        }
        let [high, low, after @ ..] = tail else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        out.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
        rest = after;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_once_and_what_is_broken_is_nothing() {
        for (written, expected) in [
            ("", Some(&b""[..])),
            ("a+b", Some(b"a+b")),
            ("%41%6a%6A", Some(b"Ajj")),
            ("%2541", Some(b"%41")),
            ("%ff%00", Some(b"\xff\0")),
            ("%", None),
            ("a%4", None),
            ("%4g", None),
            ("%+1", None),
        ] {
            assert_eq!(decoded(written.as_bytes()).as_deref(), expected, "{written}");
        }
    }
}
