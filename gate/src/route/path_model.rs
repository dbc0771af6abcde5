//! A model that a path names.

use std::ops::Range;

/// A model in a path. Azure calls it a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathModel {
    /// Its name, percent-decoded.
    pub(crate) name: String,
    /// Where it stands in the path.
    span: Range<usize>,
}

impl PathModel {
    /// Reads a name as written, whose first byte has the offset `begin` in the path. None for what
    /// no model is called: empty, or with bytes that are not visible ASCII.
    pub(super) fn read(written: &[u8], begin: usize) -> Option<Self> {
        let name = percent_decoded(written)?;
        let is_name = !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(byte));
        let name = String::from_utf8(name).ok().filter(|_| is_name)?;
        Some(Self { name, span: begin..begin + written.len() })
    }

    /// The path with another model in its place.
    pub(crate) fn replaced(&self, path: &[u8], model: &str) -> String {
        let part = |range: Range<usize>| {
            String::from_utf8_lossy(path.get(range).unwrap_or_default()).into_owned()
        };
        let mut out = part(0..self.span.start);
        for byte in model.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out + &part(self.span.end..path.len())
    }
}

/// The bytes that percent-encoding stands for; none where it is broken.
pub(crate) fn percent_decoded(written: &[u8]) -> Option<Vec<u8>> {
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
