//! `POST /proxy/v1/exchange`: a key is exchanged for a user key, for `POST /v1/auth/exchange` of
//! clients.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, HolderId, KeyDigest, Revision};

/// Asks for a user key of the key with this digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRequest {
    /// Who asks.
    pub holder: HolderId,
    /// The epoch that the holder knows.
    pub epoch: Epoch,
    /// SHA-256 of the whole key.
    pub digest: KeyDigest,
    /// How the user key is to look.
    #[serde(default, skip_serializing_if = "UserKeyForm::is_tollgate")]
    pub form: UserKeyForm,
}

/// How user keys look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserKeyForm {
    /// `tgu_…`.
    #[default]
    Tollgate,
    /// `pminduser_…`, as clients of PrivateMind know them.
    PrivateMind,
}

impl UserKeyForm {
    /// Whether it is the usual form, which is not written.
    #[must_use]
    pub fn is_tollgate(&self) -> bool {
        *self == Self::Tollgate
    }
}

/// Answer to an [`ExchangeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeReply {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision up to which the answer is true.
    pub revision: Revision,
    /// The user key.
    pub answer: ExchangeAnswer,
}

/// What became of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeAnswer {
    /// There is no such key, it may not be used, or it is of a user already.
    KeyNotUsable,
    /// The key was exchanged as often as it may be within an hour.
    TooMany {
        /// How often that is.
        most: u64,
        /// When it may be again, in milliseconds.
        retry_after_ms: u64,
    },
    /// A new user key.
    UserKey {
        /// Its whole text, told this once.
        secret: UserKeySecret,
        /// Its end in milliseconds since 1970 UTC, in whole seconds.
        expires_at_unix_ms: u64,
    },
}

/// The text of a user key. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserKeySecret(String);

impl UserKeySecret {
    /// Keeps a secret from being printed by accident.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKeySecret(redacted)")
    }
}
