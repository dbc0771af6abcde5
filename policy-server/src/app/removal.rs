//! The end of the keys of somebody who is deleted or leaves a team. However many they are, they are dead
//! at once: beyond a few it is the owner that is looked up, and the sweeper brings the rows of the keys
//! in line afterwards.

use serde_json::json;
use wire::v1::{Change, Level};
use wire::{OrgId, Revision, TeamId, UserId};

use super::audit::Author;
use super::keys::key_budget;
use super::{AdminError, FieldProblem, FilterError, Target, Work};
use crate::store::{AuditRow, BudgetId, KeyLife, KeyRow, KeyStatus, RemovalRow, StoreResult};

/// Keys that are ended, and told to filters one by one, within the change that ends their owner.
const ENDED_AT_ONCE: u32 = 64;

/// Keys whose rows are changed in one job of the sweeper, so that requests never wait for long.
const ENDED_PER_SWEEP: u32 = 256;

impl Work<'_> {
    /// Revokes the keys of a user, of one team where one is given. Answers how many they were.
    pub(super) fn end_keys_of(
        &mut self,
        org: &OrgId,
        user: &UserId,
        team: Option<&TeamId>,
    ) -> Result<(u64, Revision), AdminError> {
        let count = self.rows.count_of_user(org, user, team)?;
        if count <= u64::from(ENDED_AT_ONCE) {
            let mut revision = self.rows.server()?.revision;
            let author = self.author.clone();
            for key in self.rows.keys_of_user(org, user, team, ENDED_AT_ONCE)? {
                // Before the change itself, by which a filter forgets what it knows of the key.
                self.recall(&key_budget(&key.id))?;
                let key = self.end_removed(key, &author)?;
                revision = self.publish_key(&key)?;
            }
            return Ok((count, revision));
        }
        self.rows.add_removal(&RemovalRow {
            org: org.clone(),
            user: user.clone(),
            team: team.cloned(),
            author: self.author.name.clone(),
            address: self.author.address.clone(),
            token: self.author.token.clone(),
        })?;
        let owner = BudgetId { level: Level::User, owner: format!("{org}/{user}") };
        self.recall(&owner)?;
        let revision = self.publish(Change::Below { level: owner.level, owner: owner.owner })?;
        Ok((count, revision))
    }

    /// Whether the key is to end because its owner went. Where it is looked up it has.
    pub(super) fn is_ending(&mut self, key: &KeyRow) -> StoreResult<bool> {
        match &key.user {
            Some(user) => self.rows.is_removed(&key.org, user, key.team.as_ref()),
            None => Ok(false),
        }
    }

    /// No key comes to an owner whose keys are being ended: it would end with them.
    pub(super) fn check_not_ending(
        &mut self,
        org: &OrgId,
        team: Option<&TeamId>,
        user: &UserId,
        problems: &mut Vec<FieldProblem>,
    ) -> StoreResult<()> {
        if self.rows.is_removed(org, user, team)? {
            let message = format!("keys of '{user}' are being ended: try again in a moment");
            problems.push(FieldProblem::with_code("user", "user_being_removed", message));
        }
        Ok(())
    }

    /// Whether keys of removed owners are to be ended.
    pub(super) fn has_removals(&mut self) -> StoreResult<bool> {
        Ok(self.rows.oldest_removal()?.is_some())
    }

    /// Ends some of them. Answers whether there may be more. Filters heard of it when the owner was
    /// removed.
    pub(super) fn end_removed_keys(&mut self) -> Result<bool, FilterError> {
        let Some((position, removal)) = self.rows.oldest_removal()? else { return Ok(false) };
        let RemovalRow { org, user, team, author, address, token } = removal;
        let keys = self.rows.keys_of_user(&org, &user, team.as_ref(), ENDED_PER_SWEEP)?;
        let full = u32::try_from(keys.len()).is_ok_and(|found| found >= ENDED_PER_SWEEP);
        let author = Author { name: author, address, token };
        for key in keys {
            self.end_removed(key, &author)?;
        }
        if !full {
            self.rows.forget_removal(position)?;
        }
        Ok(true)
    }

    fn end_removed(&mut self, key: KeyRow, author: &Author) -> StoreResult<KeyRow> {
        let before = json!({"status": KeyStatus::of(&key, self.now.unix_ms).as_str()}).to_string();
        let after = json!({"status": KeyLife::Revoked.as_str()}).to_string();
        let key = KeyRow {
            life: KeyLife::Revoked,
            updated_unix_ms: self.now.unix_ms,
            version: key.version.saturating_add(1),
            ..key
        };
        if self.rows.assigned_plan(Level::Key, key.id.as_str())?.is_some() {
            self.rows.assign_plan(Level::Key, key.id.as_str(), None)?;
        }
        self.save_row(&key)?;
        let target = Target::Key(key.id.clone());
        let place = Some(key.org.clone());
        let line = author.line("key.revoke_by_removal", &target, place);
        self.note(AuditRow { before: Some(before), after: Some(after), ..line })?;
        Ok(key)
    }
}
