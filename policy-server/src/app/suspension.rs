//! Stopping every key of an organisation, a team or a user at once, and letting them go on. The
//! keys themselves are not changed: what stops them is looked up above them, on every admission.

use wire::v1::{Change, Level};
use wire::{OrgId, TeamId, UserId};

use super::{AdminError, Changed, Target, Work};
use crate::permissions::{Action, Standing};
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
    /// Money that is out below is recalled and filters forget every key there, so that the next request
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
                if stop && changes {
                    // Its own people's do not sign in while it is suspended.
                    self.end_issued_tokens(id, None)?;
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
                if stop && changes {
                    self.end_issued_tokens(org, Some(id))?;
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
        let BudgetId { level, owner } = what.subject();
        Ok(Changed { value: (), revision: self.publish(Change::Below { level, owner })? })
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

    /// Whether somebody may give a key another team and user: not from under one that is suspended, where
    /// the key would work again, unless he may let all of its keys go on.
    ///
    /// # Errors
    /// When he may not, or the store fails.
    pub(super) fn check_stays_stopped(
        &mut self,
        by: &Standing,
        key: &KeyRow,
        team: Option<&TeamId>,
        user: Option<&UserId>,
    ) -> Result<(), AdminError> {
        let mut left = Vec::new();
        if let Some(stopped) = self.team_of(key)?.filter(|team| team.suspended_unix_ms.is_some())
            && team != Some(&stopped.id)
        {
            let target = Target::Team(key.org.clone(), stopped.id);
            left.push((Action::TeamsWrite, target));
        }
        if let Some(id) = key.user.as_ref().filter(|id| user != Some(*id))
            && let Some(stopped) = self.rows.user(&key.org, id)?
            && stopped.suspended_unix_ms.is_some()
        {
            let is_service = stopped.service_team.is_some();
            let place = (key.org.clone(), stopped.id);
            left.push(match is_service {
                true => (Action::MembersWrite, Target::ServiceAccount(place.0, place.1)),
                false => (Action::UsersWrite, Target::User(place.0, place.1)),
            });
        }
        for (action, target) in left {
            if !self.may(by, action, &target)? {
                let message = format!(
                    "the {} '{}' is suspended, and its keys stay where they are until it is resumed",
                    target.kind(),
                    target.id()
                );
                return Err(AdminError::conflict("owner_suspended", message));
            }
        }
        Ok(())
    }

    /// The team of a key.
    pub(super) fn team_of(&mut self, key: &KeyRow) -> StoreResult<Option<TeamRow>> {
        match &key.team {
            Some(team) => self.rows.team(&key.org, team),
            None => Ok(None),
        }
    }
}
