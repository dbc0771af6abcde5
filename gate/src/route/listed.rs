//! Paths that the configuration opens at a price per call.

use wire::ModelName;
use wire::v1::KeyKind;

use crate::refusal::Refusal;

/// A path that costs the same for each call, whatever it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPath {
    /// Method, in capitals.
    pub method: String,
    /// Which paths.
    pub path: PathPattern,
    /// The model of the catalogue whose price per call it costs, and that the key must be allowed.
    pub model: ModelName,
    /// Whose keys may be used there.
    pub keys: OpenTo,
}

/// Whose keys a path is open to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OpenTo {
    /// All.
    #[default]
    Any,
    /// Those of users: what is behind the path belongs to one of them.
    Users,
    /// Those of applications.
    Applications,
}

impl OpenTo {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Any, Self::Users, Self::Applications];

    /// The name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Users => "user",
            Self::Applications => "application",
        }
    }

    /// Whether a key of this kind may be used there.
    pub(crate) fn check(self, kind: KeyKind) -> Result<(), Refusal> {
        match (self, kind) {
            (Self::Users, KeyKind::Application) => Err(Refusal::UserKeyRequired),
            (Self::Applications, KeyKind::User) => Err(Refusal::EndpointNotAllowed),
            _ => Ok(()),
        }
    }
}

/// One path, or all that begin with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    is_prefix: bool,
}

impl PathPattern {
    /// Reads a pattern: a path, or the beginning of one followed by `*`. None where it does not
    /// begin with a slash or is not written plainly.
    #[must_use]
    pub fn read(written: &str) -> Option<Self> {
        let (text, is_prefix) = match written.strip_suffix('*') {
            Some(text) => (text, true),
            None => (written, false),
        };
        let is_path = text.starts_with('/') && !text.contains('*') && is_plain(text.as_bytes());
        is_path.then(|| Self { text: text.to_owned(), is_prefix })
    }

    /// It stands for many paths.
    pub(super) fn is_open_ended(&self) -> bool {
        self.is_prefix
    }

    pub(crate) fn takes(&self, path: &[u8]) -> bool {
        match path.strip_prefix(self.text.as_bytes()) {
            Some(rest) => rest.is_empty() || (self.is_prefix && is_plain(path)),
            None => false,
        }
    }
}

impl ListedPath {
    pub(super) fn takes(&self, method: &[u8], path: &[u8]) -> bool {
        self.method.as_bytes() == method && self.path.takes(path)
    }
}

/// Every server reads it as the same path: nothing is encoded, doubled or relative in it.
fn is_plain(path: &[u8]) -> bool {
    let is_relative = |segment: &[u8]| matches!(segment, b"." | b"..");
    path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~:@".contains(byte))
        && !path.windows(2).any(|pair| pair == b"//")
        && !path.split(|byte| *byte == b'/').any(is_relative)
}
