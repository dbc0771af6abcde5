//! Secrets of keys: minted, replaced, and known by their digests from elsewhere. A secret leaves this
//! module once, in the answer to its making, and is stored as a digest only.

use std::fmt;

use metering::api_key;
use wire::KeyDigest;
use wire::KeyId;
use wire::v1::Level;

use super::keys::ID_PREFIX;
use super::{AdminError, Changed, CreatedKey, FieldProblem, FilterError, KeyForm, KeyView, Work};
use crate::store::{KeyFormat, KeyRow, StoreResult};

/// Secrets that end in one job of the sweeper, so that requests never wait for long.
const ENDED_PER_SWEEP: u32 = 256;

/// A secret on its way to whom it was made for. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
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

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// A secret that was made elsewhere, by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedSecret {
    /// SHA-256 of the whole key, as clients send it.
    pub digest: KeyDigest,
    /// How it begins, for people to recognise it.
    pub prefix: String,
}

pub(super) struct Minted {
    pub(super) prefix: String,
    pub(super) secret: SecretText,
}

impl Work<'_> {
    /// Gives the key a new secret. The old one is unknown from now on, or when its grace is over:
    /// until then both are good. One that has been in its grace ends at once, so that a key has two
    /// secrets at most. User keys end with the secret that they were exchanged with.
    ///
    /// # Errors
    /// When there is no such key, it has ended, no random bytes can be had, or the store fails.
    pub fn rotate_key(
        &mut self,
        id: &KeyId,
        grace_ms: u64,
    ) -> Result<Changed<CreatedKey>, AdminError> {
        let mut key = self.living_key(id)?;
        let minted = self.mint(key.format, &key)?;
        key.prefix = minted.prefix;
        let digest = api_key::digest(minted.secret.expose().as_bytes());
        let until = (grace_ms > 0).then(|| self.now.unix_ms.saturating_add(grace_ms));
        if let (Some(_), Some(replaced)) = (until, self.rows.digests(&key.id, 1)?.first()) {
            // The one before it has no grace any more.
            self.rows.end_user_keys_of_others(&key.id, replaced, self.now.unix_ms)?;
        }
        self.rows.replace_digest(&key.id, &digest, until)?;
        self.rows.end_user_keys(&key.id, until.unwrap_or(self.now.unix_ms))?;
        let changed = self.save_changed(key)?;
        Ok(Changed {
            value: CreatedKey { view: changed.value, secret: minted.secret },
            revision: changed.revision,
        })
    }

    /// Adds a key whose secret was made elsewhere and is not told. A rotation gives it one of the form
    /// that is said here.
    ///
    /// # Errors
    /// When a field cannot be accepted, a key has or had this secret, or the store fails.
    pub fn import_key(
        &mut self,
        form: KeyForm,
        secret: ImportedSecret,
    ) -> Result<Changed<KeyView>, AdminError> {
        if api_key::digest(secret.prefix.as_bytes()) == secret.digest {
            // Said of the digest: an error text must not repeat what is the secret itself.
            let message = "is the digest of the prefix; the prefix must not be the whole secret";
            let problem = FieldProblem::invalid("sha256", message);
            return Err(AdminError::Invalid(vec![problem]));
        }
        let is_taken = self.rows.is_digest_taken(&secret.digest)?;
        if is_taken || self.rows.user_key(&secret.digest)?.is_some() {
            return Err(AdminError::Conflict {
                code: "digest_taken",
                message: "a key has, or had, this secret".to_owned(),
                param: Some("sha256".to_owned()),
            });
        }
        let mut key = self.new_key(form)?;
        key.prefix = secret.prefix;
        self.add_key(key, &secret.digest)
    }

    /// Whether the grace of some replaced secret is over.
    pub(super) fn has_ended_secrets(&mut self) -> StoreResult<bool> {
        Ok(!self.rows.ended_digests(self.now.unix_ms, 1)?.is_empty())
    }

    /// Ends replaced secrets whose grace is over and tells the filters, a bounded number per call.
    /// Answers whether there may be more.
    pub(super) fn end_replaced_secrets(&mut self) -> Result<bool, FilterError> {
        let ended = self.rows.ended_digests(self.now.unix_ms, ENDED_PER_SWEEP)?;
        let full = u32::try_from(ended.len()).is_ok_and(|found| found >= ENDED_PER_SWEEP);
        for (digest, id) in ended {
            self.rows.end_digest(&digest)?;
            if let Some(key) = self.rows.key(&id)? {
                self.publish_key(&key)?;
                tracing::info!(key = %id, "a replaced secret has ended");
            }
        }
        Ok(full)
    }

    /// A new secret of this form for a key.
    pub(super) fn mint(&mut self, format: KeyFormat, key: &KeyRow) -> Result<Minted, AdminError> {
        match format {
            KeyFormat::Native => {
                let public_id = key.id.as_str().trim_start_matches(ID_PREFIX);
                let secret = api_key::native_key(public_id, &self.random()?).ok_or_else(|| {
                    let message = "does not fit the form of a key";
                    AdminError::Invalid(vec![FieldProblem::invalid("id", message)])
                })?;
                Ok(Minted {
                    prefix: format!("{}{public_id}", api_key::NATIVE_PREFIX),
                    secret: SecretText::new(secret),
                })
            }
            KeyFormat::Pair => {
                let id = api_key::pair_id_of_owner(&self.random()?, &owner(key));
                let secret = api_key::pair_key(&id, &self.random()?);
                let prefix = secret.split_once(':').map_or("", |(id, _)| id).to_owned();
                Ok(Minted { prefix, secret: SecretText::new(secret) })
            }
            KeyFormat::OpenAi => {
                let secret = api_key::openai_key(&self.random()?);
                let prefix = secret.chars().take(OPENAI_PREFIX_LENGTH).collect();
                Ok(Minted { prefix, secret: SecretText::new(secret) })
            }
        }
    }
}

/// `sk-` and eight of its 48 characters: tells keys apart and leaves 238 unknown bits.
const OPENAI_PREFIX_LENGTH: usize = 11;

/// Whom the id of a pair names: the user, or the organisation where no user owns the key.
fn owner(key: &KeyRow) -> String {
    key.owner(Level::User).unwrap_or_else(|| key.org.as_str().to_owned())
}
