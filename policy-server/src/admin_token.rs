//! `tollgate admin-token rotate`: another token in the place of one that is lost or was seen. Beside the
//! server and not by its API: whoever has stolen the token must not be able to take the server over.

use std::path::Path;

use crate::app::{AdminError, SecretText};
use crate::clock::{Entropy, NoEntropy, Now};
use crate::engine::Engine;
use crate::live::SessionTimes;
use crate::store::sqlite::{OpenError, Sqlite};

/// Why the token was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A file could not be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No random bytes could be had.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The database failed.
    #[error("the database could not be changed: {0}")]
    Change(#[from] AdminError),
}

/// Replaces the admin token of a database that no server uses, and of its journal.
///
/// # Errors
/// When a file is absent or in use, a journal is kept and not named, or the database fails; then the
/// old token still holds.
pub fn rotate_admin_token(
    database: &Path,
    journal: Option<&Path>,
    mut entropy: Box<dyn Entropy>,
    now: Now,
) -> Result<SecretText, RotateError> {
    let mut seed = [0; 32];
    entropy.fill(&mut seed)?;
    let store = Sqlite::open_beside(database, journal, seed)?;
    let (mut engine, made) = Engine::start(store, entropy, SessionTimes::default(), now)?;
    match made {
        Some(token) => Ok(token),
        None => Ok(engine.run(now, |work| work.rotate_admin_token())?),
    }
}
