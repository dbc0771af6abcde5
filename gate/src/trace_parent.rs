//! The trace that a request belongs to, as W3C Trace Context writes it. It is only passed on to the
//! policy server, with the calls that are made for the request; whether the server traces is its own
//! matter. What a client sends there is checked to be nothing else.

/// `00-{trace id}-{parent id}-{flags}`, in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent([u8; Self::LENGTH]);

impl TraceParent {
    const LENGTH: usize = 55;

    /// Reads a header's value; nothing where it is not exactly of version 00, or its ids are zero.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = value.try_into().ok()?;
        let mut parts = bytes.split(|byte| *byte == b'-');
        let mut next = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            let is_hex = part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then_some(part)
        };
        let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
        let (version, trace, parent) = (next(2)?, next(32)?, next(16)?);
        next(2)?;
        (version == b"00" && !is_zero(trace) && !is_zero(parent)).then_some(Self(bytes))
    }

    /// The header's value.
    pub(crate) fn to_text(self) -> String {
        self.0.iter().map(|byte| char::from(*byte)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_whole_context_of_version_00_is_passed_on() {
        let read = |text: &str| TraceParent::read(text.as_bytes()).map(TraceParent::to_text);
        assert_eq!(read(GOOD).as_deref(), Some(GOOD));
        for bad in [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "01", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace("-01", "\r\nx"),
            GOOD.replace("4bf9", "4b-9"),
            format!("{GOOD}-"),
            "-".repeat(55),
        ] {
            assert_eq!(read(&bad), None, "{bad:?}");
        }
    }
}
