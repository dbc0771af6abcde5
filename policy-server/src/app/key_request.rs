//! What a request says about itself: that it is to be carried out once, or only on the version that
//! its sender has seen.

use wire::{KeyDigest, KeyId};

use super::{AdminError, Changed, CreatedKey, ImportedSecret, KeyForm, KeyView, Work};
use crate::permissions::Standing;
use crate::store::KeyCreation;

/// How long a request is known again: longer than any client repeats one.
pub(super) const KNOWN_MS: u64 = 24 * 60 * 60 * 1_000;

/// The versions that the sender has seen and will change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever version there is.
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

/// By what a repeated request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Digest of the sender's own word for the request.
    pub key: KeyDigest,
    /// Digest of what it asks for.
    pub request: KeyDigest,
}

/// What a request that may be repeated came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// It was carried out now.
    Now(Changed<T>),
    /// It had been before: the key as it is by now, whose secret was told then.
    Before(Box<Changed<KeyView>>),
}

impl Work<'_> {
    /// Makes a key, or finds the one that the same request made before.
    ///
    /// # Errors
    /// As [`Work::create_key`]; also when another request had the same word.
    pub fn create_key_once(
        &mut self,
        form: KeyForm,
        idempotency: Option<Idempotency>,
    ) -> Result<Once<CreatedKey>, AdminError> {
        self.once(idempotency, |work| work.create_key(form), |created| &created.view)
    }

    /// Makes a key of whoever asks, or finds the one that the same request made before.
    ///
    /// # Errors
    /// As [`Work::create_own_key`]; also when another request had the same word.
    pub fn create_own_key_once(
        &mut self,
        by: &Standing,
        form: KeyForm,
        idempotency: Option<Idempotency>,
    ) -> Result<Once<CreatedKey>, AdminError> {
        self.once(idempotency, |work| work.create_own_key(by, form), |created| &created.view)
    }

    /// Adds a key whose secret was made elsewhere, or finds the one that the same request added
    /// before.
    ///
    /// # Errors
    /// As [`Work::import_key`]; also when another request had the same word.
    pub fn import_key_once(
        &mut self,
        form: KeyForm,
        secret: ImportedSecret,
        idempotency: Option<Idempotency>,
    ) -> Result<Once<KeyView>, AdminError> {
        self.once(idempotency, |work| work.import_key(form, secret), |view| view)
    }

    /// Whether the key is in a version that the sender has seen.
    ///
    /// # Errors
    /// When it is not, there is no such key, or the store fails.
    pub fn expect_key(&mut self, id: &KeyId, seen: Option<&IfMatch>) -> Result<(), AdminError> {
        let Some(seen) = seen else { return Ok(()) };
        let key = self.stored_key(id)?;
        match seen {
            IfMatch::OneOf(versions) if !versions.contains(&key.version) => {
                Err(AdminError::OtherVersion { what: "key", id: id.as_str().to_owned() })
            }
            IfMatch::Any | IfMatch::OneOf(_) => Ok(()),
        }
    }

    fn once<T>(
        &mut self,
        idempotency: Option<Idempotency>,
        make: impl FnOnce(&mut Self) -> Result<Changed<T>, AdminError>,
        view: impl FnOnce(&T) -> &KeyView,
    ) -> Result<Once<T>, AdminError> {
        let Some(Idempotency { key: idempotency, request }) = idempotency else {
            return make(self).map(Once::Now);
        };
        let before = self.rows.key_creation(&idempotency)?;
        let known_since = self.now.unix_ms.saturating_sub(KNOWN_MS);
        if let Some(before) = before.filter(|before| before.at_unix_ms >= known_since) {
            if before.request != request {
                return Err(AdminError::Conflict {
                    code: "idempotency_key_reused",
                    message: "another request had this Idempotency-Key".to_owned(),
                    param: None,
                });
            }
            let revision = self.rows.server()?.revision;
            let value = self.key(&before.key)?;
            return Ok(Once::Before(Box::new(Changed { value, revision })));
        }
        let made = make(self)?;
        self.rows.save_key_creation(&KeyCreation {
            idempotency,
            request,
            key: view(&made.value).key.id.clone(),
            at_unix_ms: self.now.unix_ms,
        })?;
        Ok(Once::Now(made))
    }
}
