//! Rows of owners whose keys are being ended.

use wire::{OrgId, TeamId, UserId};

use super::StoreResult;

/// An owner who was removed, or left a team, and whose keys are not all ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalRow {
    /// The organisation.
    pub org: OrgId,
    /// Whose keys.
    pub user: UserId,
    /// Only those in this team.
    pub team: Option<TeamId>,
    /// Who removed the owner, as the audit names actors.
    pub author: String,
    /// From where.
    pub address: Option<String>,
    /// By which personal token.
    pub token: Option<String>,
}

/// Owners whose keys are being ended.
pub trait RemovalRows {
    /// Appends one.
    fn add_removal(&mut self, removal: &RemovalRow) -> StoreResult<()>;
    /// The one that waits for longest, and its position.
    fn oldest_removal(&mut self) -> StoreResult<Option<(i64, RemovalRow)>>;
    /// Whether keys of this user in this team are being ended.
    fn is_removed(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
    ) -> StoreResult<bool>;
    /// All of its keys have ended.
    fn forget_removal(&mut self, position: i64) -> StoreResult<()>;
}
