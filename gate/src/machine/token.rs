//! The filter's own credential at the policy server.

use std::fmt;

/// The filter's own bearer token. Its text is a secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Shortest token that is accepted: 128 bits even as hexadecimal.
    pub const SHORTEST: usize = 32;

    /// Takes a token from the environment.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.len() >= Self::SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_shown() {
        assert!(Token::new("short").is_none());
        assert!(Token::new(&" ".repeat(40)).is_none());
        let token = Token::new(&"t".repeat(32)).unwrap();
        assert_eq!(format!("{token:?}"), "Token(redacted)");
    }
}
