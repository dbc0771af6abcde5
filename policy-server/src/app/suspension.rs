//! Stopping every key of an organisation, a team or a user at once, and letting them go on. The
//! keys themselves are not changed: what stops them is looked up above them, on every admission.

use wire::v1::{Change, Level};
use wire::{OrgId, Revision, TeamId, UserId};

use super::{AdminError, Changed, Work};
use crate::store::{BudgetId, KeyRow, OrgRow, StoreResult, TeamRow, UserRow};

/// What can be suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspendable {
    /// An organisation.
    Org(OrgId),
    /// A team.
    Team(OrgId, TeamId),
    /// A user or service account.
    User(OrgId, UserId),
}

impl Suspendable {
    /// Its level and how filters name it.
    fn subject(&self) -> BudgetId {
        let (level, owner) = match self {
            Self::Org(org) => (Level::Org, org.as_str().to_owned()),
            Self::Team(org, team) => (Level::Team, format!("{org}/{team}")),
            Self::User(org, user) => (Level::User, format!("{org}/{user}")),
        };
        BudgetId { level, owner }
    }
}

impl Work<'_> {
    /// Suspends or resumes. Repeating it changes nothing but waits again.
    ///
    /// Money that is out below is recalled and filters forget every key, so that the next request
    /// of each asks the server anew; calls that run are looked up as well, and end.
    ///
    /// # Errors
    /// When there is no such thing, or the store fails.
    pub fn suspend(&mut self, what: &Suspendable, stop: bool) -> Result<Changed<()>, AdminError> {
        let since = stop.then_some(self.now.unix_ms);
        let now = self.now.unix_ms;
        let changed = match what {
            Suspendable::Org(id) => {
                let org = self.org(id)?.org;
                let changes = org.suspended_unix_ms.is_some() != stop;
                if changes {
                    let row = OrgRow { suspended_unix_ms: since, updated_unix_ms: now, ..org };
                    self.rows.save_org(&row)?;
                }
                changes
            }
            Suspendable::Team(org, id) => {
                let team = self.team(org, id)?;
                let changes = team.suspended_unix_ms.is_some() != stop;
                if changes {
                    let row = TeamRow { suspended_unix_ms: since, updated_unix_ms: now, ..team };
                    self.rows.save_team(&row)?;
                }
                changes
            }
            Suspendable::User(org, id) => {
                let user = self.user(org, id)?;
                let changes = user.suspended_unix_ms.is_some() != stop;
                if changes {
                    let row = UserRow { suspended_unix_ms: since, updated_unix_ms: now, ..user };
                    self.rows.save_user(&row)?;
                }
                changes
            }
        };
        if !changed {
            // Already so, but perhaps not yet everywhere: wait for whatever came last.
            return Ok(Changed { value: (), revision: self.rows.server()?.revision });
        }
        if stop {
            self.recall(&what.subject())?;
        }
        Ok(Changed { value: (), revision: self.forget_all_keys()? })
    }

    /// Lets every filter forget every key.
    pub(super) fn forget_all_keys(&mut self) -> Result<Revision, AdminError> {
        Ok(self.publish(Change::AllKeys)?)
    }

    /// The lowest level above the key that is suspended.
    pub(super) fn suspended_above(&mut self, key: &KeyRow) -> StoreResult<Option<Level>> {
        if let Some(id) = &key.user
            && let Some(user) = self.rows.user(&key.org, id)?
            && user.suspended_unix_ms.is_some()
        {
            return Ok(Some(Level::User));
        }
        if self.team_of(key)?.is_some_and(|team| team.suspended_unix_ms.is_some()) {
            return Ok(Some(Level::Team));
        }
        let org = self.rows.org(&key.org)?;
        let suspended = org.is_some_and(|org| org.suspended_unix_ms.is_some());
        Ok(suspended.then_some(Level::Org))
    }

    /// The team of a key.
    pub(super) fn team_of(&mut self, key: &KeyRow) -> StoreResult<Option<TeamRow>> {
        match &key.team {
            Some(team) => self.rows.team(&key.org, team),
            None => Ok(None),
        }
    }
}
