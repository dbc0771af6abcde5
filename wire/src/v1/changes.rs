//! `GET /proxy/v1/changes?holder=…&epoch=…&revision=…&wait_ms=…`: a long poll. Polling with
//! revision r says that everything up to r has been applied.

use serde::{Deserialize, Serialize};

use super::tagged::{MissingMember, needed};
use super::{KeyState, Level};
use crate::{CatalogueVersion, Epoch, KeyDigest, KeyId, Revision};

/// What changed after the revision in the poll. An empty list at the end of the wait is a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesReply {
    /// The server's epoch.
    pub epoch: Epoch,
    /// The revision after these changes.
    pub revision: Revision,
    /// The changes in order.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what", try_from = "Members")]
pub enum Change {
    /// A key was created, changed, rotated or ended: forget what is known under these digests.
    Key {
        /// The key.
        key: KeyId,
        /// Every digest that it has or had.
        digests: Vec<KeyDigest>,
        /// Its state now.
        state: KeyState,
        /// User keys were exchanged for it: forget also whatever else is known of it.
        #[serde(default, skip_serializing_if = "is_false")]
        user_keys: bool,
    },
    /// There is a newer catalogue.
    Catalogue {
        /// Its version.
        version: CatalogueVersion,
    },
    /// Others wait for money or permits of this account: hand back what no running call needs of
    /// every lease below it, and what ends leave over as it comes.
    Recall {
        /// Its level.
        level: Level,
        /// Its owner, as [`super::KeyPolicy::owner`] names it.
        owner: String,
    },
    /// Nothing is left under a cap, because it was lowered or calls cost more than was reserved for
    /// them: calls that run on money of this account end.
    Exhausted {
        /// Its level.
        level: Level,
        /// Its owner, as [`super::KeyPolicy::owner`] names it.
        owner: String,
    },
    /// Something at this owner changed that counts for every key below it: forget what is known of
    /// those keys, and ask again about the ones that have running calls. Money stays where it is.
    Below {
        /// The owner's level.
        level: Level,
        /// The owner, as [`super::KeyPolicy::owner`] names it.
        owner: String,
    },
    /// Something above many keys changed, or the poll was too far behind: forget every key.
    AllKeys,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Key,
    Catalogue,
    Recall,
    Exhausted,
    Below,
    AllKeys,
}

/// The members of every [`Change`].
#[derive(Deserialize)]
struct Members {
    what: What,
    key: Option<KeyId>,
    digests: Option<Vec<KeyDigest>>,
    state: Option<KeyState>,
    #[serde(default)]
    user_keys: bool,
    version: Option<CatalogueVersion>,
    level: Option<Level>,
    owner: Option<String>,
}

impl TryFrom<Members> for Change {
    type Error = MissingMember;

    fn try_from(members: Members) -> Result<Self, MissingMember> {
        let Members { what, key, digests, state, user_keys, version, level, owner } = members;
        let whose = || Ok((needed(level, "level")?, needed(owner, "owner")?));
        Ok(match what {
            What::Key => Self::Key {
                key: needed(key, "key")?,
                digests: needed(digests, "digests")?,
                state: needed(state, "state")?,
                user_keys,
            },
            What::Catalogue => Self::Catalogue { version: needed(version, "version")? },
            What::Recall => whose().map(|(level, owner)| Self::Recall { level, owner })?,
            What::Exhausted => whose().map(|(level, owner)| Self::Exhausted { level, owner })?,
            What::Below => whose().map(|(level, owner)| Self::Below { level, owner })?,
            What::AllKeys => Self::AllKeys,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}
