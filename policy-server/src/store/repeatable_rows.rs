//! Requests that are known again when they are repeated.

use wire::KeyDigest;

/// A request that was carried out under an Idempotency-Key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatableRow {
    /// Digest of the sender and its Idempotency-Key.
    pub idempotency: KeyDigest,
    /// Digest of what was asked.
    pub request: KeyDigest,
    /// What was answered, in JSON and without secrets.
    pub answer: String,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: u64,
}
