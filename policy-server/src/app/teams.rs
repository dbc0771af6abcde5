//! Teams: made by being described or named, and what their members may make for themselves.

use wire::v1::{Change, Level};
use wire::{OrgId, TeamId};

use super::{AdminError, Changed, Given, Page, Target, Work};
use crate::permissions::Sight;
use crate::store::{SelfService, StoredLimit, TeamRow};

/// Teams of an organisation at most: a list of all that somebody belongs to stays small.
const TEAMS_MOST: u32 = 10_000;

/// What an administrator says about a team. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TeamForm {
    /// Its name for people; absent: its id.
    pub name: Option<String>,
    /// Rate limits that all its keys share; absent or null: none.
    pub limits: Given<Vec<StoredLimit>>,
    /// What its members may make for themselves; absent or null: keys, without further limits.
    pub self_service: Given<SelfService>,
}

impl Work<'_> {
    /// One team.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn team(&mut self, org: &OrgId, id: &TeamId) -> Result<TeamRow, AdminError> {
        let found = self.rows.team(org, id)?;
        found.ok_or_else(|| AdminError::not_found("team", format!("{org}/{id}")))
    }

    /// Teams of an organisation that whoever asks may see, in the order of their ids.
    ///
    /// # Errors
    /// When the store fails.
    pub fn teams(
        &mut self,
        sight: &Sight,
        org: &OrgId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<TeamRow>, AdminError> {
        let only = match sight {
            Sight::Part { teams, .. } => Some(teams.as_slice()),
            _ => None,
        };
        if *sight == Sight::Everything {
            self.org(org)?;
        }
        let found = self.rows.teams(org, only, after, limit.saturating_add(1))?;
        Ok(Page::of(found, limit, |team| team.id.as_str().to_owned()))
    }

    /// Adds a team or replaces what is known of it.
    ///
    /// # Errors
    /// When there is no such organisation, it has too many teams, a limit names a model that is not
    /// known, or the store fails.
    pub fn put_team(
        &mut self,
        org: &OrgId,
        id: TeamId,
        form: TeamForm,
    ) -> Result<Changed<TeamRow>, AdminError> {
        self.org(org)?;
        let known = self.rows.team(org, &id)?;
        if known.is_none() {
            self.check_room_for_team(org)?;
        }
        let mut problems = Vec::new();
        let limits = self.checked_limits(form.limits, &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let now = self.now.unix_ms;
        let team = TeamRow {
            org: org.clone(),
            name: form.name.unwrap_or_else(|| id.as_str().to_owned()),
            limits: limits.value().unwrap_or_default(),
            self_service: form.self_service.value().unwrap_or_default(),
            suspended_unix_ms: known.as_ref().and_then(|known| known.suspended_unix_ms),
            created_unix_ms: known.as_ref().map_or(now, |known| known.created_unix_ms),
            updated_unix_ms: now,
            id,
        };
        self.rows.save_team(&team)?;
        let limits_before = known.map(|known| known.limits).unwrap_or_default();
        let revision = if limits_before == team.limits {
            self.rows.server()?.revision
        } else {
            self.publish(Change::Below { level: Level::Team, owner: format!("{org}/{}", team.id) })?
        };
        Ok(Changed { value: team, revision })
    }

    /// Removes a team that has neither keys nor service accounts.
    ///
    /// # Errors
    /// When there is none, it has keys or service accounts, or the store fails.
    pub fn delete_team(&mut self, org: &OrgId, id: &TeamId) -> Result<TeamRow, AdminError> {
        let team = self.team(org, id)?;
        if self.rows.team_is_used(org, id)? {
            let message =
                format!("the team '{org}/{id}' still has keys or service accounts: end them first");
            return Err(AdminError::conflict("team_not_empty", message));
        }
        self.rows.remove_team(org, id)?;
        Ok(team)
    }

    /// A team comes into being by being named.
    pub(super) fn name_team(&mut self, org: &OrgId, id: &TeamId) -> Result<(), AdminError> {
        if self.rows.team(org, id)?.is_some() {
            return Ok(());
        }
        self.check_room_for_team(org)?;
        let now = self.now.unix_ms;
        self.rows.save_team(&TeamRow {
            org: org.clone(),
            id: id.clone(),
            name: id.as_str().to_owned(),
            limits: Vec::new(),
            self_service: SelfService::default(),
            suspended_unix_ms: None,
            created_unix_ms: now,
            updated_unix_ms: now,
        })?;
        let target = Target::Team(org.clone(), id.clone());
        self.note(self.author.line("team.named", &target, Some(org.clone())))?;
        Ok(())
    }

    fn check_room_for_team(&mut self, org: &OrgId) -> Result<(), AdminError> {
        if self.rows.team_count(org)? < u64::from(TEAMS_MOST) {
            return Ok(());
        }
        let message = format!("an organisation has at most {TEAMS_MOST} teams");
        Err(AdminError::conflict("too_many_teams", message))
    }
}
