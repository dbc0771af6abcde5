//! A model that a path names.

use std::ops::Range;

use crate::percent_encoding;

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
    /// no model is called: empty, with bytes that are not visible ASCII, or with an empty or relative
    /// segment. A slash in a name comes percent-encoded: a server that decodes it before it
    /// resolves `..` would serve another path than the one that was checked.
    pub(super) fn read(written: &[u8], begin: usize) -> Option<Self> {
        let name = percent_encoding::decoded(written)?;
        let is_name = !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(byte))
            && !name.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b".."));
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
