//! What a request says about itself: that it is to be carried out once, or only on the version that
//! its sender has seen.

use wire::{KeyDigest, KeyId};

use super::{AdminError, Work};
use crate::store::RepeatableRow;

/// How long a request is known again: longer than any client repeats one.
const KNOWN_MS: u64 = 24 * 60 * 60 * 1_000;

/// The versions that the sender has seen and will change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever version there is.
    Any,
    /// One of these tags.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// Whether a change of what has this tag is meant; nothing is there where there is none.
    #[must_use]
    pub fn takes(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Any => tag.is_some(),
            Self::OneOf(tags) => tag.is_some_and(|tag| tags.iter().any(|seen| seen == tag)),
        }
    }
}

/// By what a repeated request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Digest of the sender and the sender's own word for the request.
    pub key: KeyDigest,
    /// Digest of what it asks for.
    pub request: KeyDigest,
}

impl Work<'_> {
    /// What the same request was answered before, if it was carried out within a day.
    ///
    /// # Errors
    /// When another request had the same word, or the store fails.
    pub fn answered_before(&mut self, once: &Idempotency) -> Result<Option<String>, AdminError> {
        let known_since = self.known_since();
        let before = self.rows.repeatable(&once.key)?;
        match before.filter(|before| before.at_unix_ms >= known_since) {
            None => Ok(None),
            Some(before) if before.request == once.request => Ok(Some(before.answer)),
            Some(_) => Err(AdminError::Conflict {
                code: "idempotency_key_reused",
                message: "another request had this Idempotency-Key".to_owned(),
                param: None,
            }),
        }
    }

    /// Since when requests are known again, in milliseconds since 1970 UTC.
    pub(super) fn known_since(&self) -> u64 {
        self.now.unix_ms.saturating_sub(KNOWN_MS)
    }

    /// Remembers, within the same transaction, that a request is carried out, and what to answer until
    /// its own answer is kept.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remember_request(
        &mut self,
        once: &Idempotency,
        answer: String,
    ) -> Result<(), AdminError> {
        let Idempotency { key: idempotency, request } = *once;
        let at_unix_ms = self.now.unix_ms;
        let row = RepeatableRow { idempotency, request, answer, at_unix_ms };
        Ok(self.rows.save_repeatable(&row)?)
    }

    /// Keeps the answer of a request that is remembered: without secrets.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep_answer(&mut self, once: &Idempotency, answer: String) -> Result<(), AdminError> {
        Ok(self.rows.save_answer(&once.key, &answer)?)
    }

    /// Whether the key is in a version that the sender has seen.
    ///
    /// # Errors
    /// When it is not, there is no such key, or the store fails.
    pub fn expect_key(&mut self, id: &KeyId, seen: Option<&IfMatch>) -> Result<(), AdminError> {
        let Some(seen) = seen else { return Ok(()) };
        let version = self.stored_key(id)?.version.to_string();
        if seen.takes(Some(&version)) {
            return Ok(());
        }
        Err(AdminError::OtherVersion { what: "key", id: id.as_str().to_owned() })
    }
}
