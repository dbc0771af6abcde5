//! What the keys of a team or of a user may call at most.

use wire::OrgId;
use wire::v1::Change;

use super::people::check_rank;
use super::{AdminError, Changed, Given, Member, SelectionForm, Work};
use crate::entitlement::{Scopes, Selection};
use crate::permissions::Standing;
use crate::store::{StoreResult, StoredLimit, TeamRow, UserRow};

/// What a team or user is restricted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberModels {
    /// Its organisation.
    pub org: OrgId,
    /// Which team or user.
    pub member: Member,
    /// Its models; none: it inherits.
    pub models: Option<Selection>,
    /// Rate limits that its keys share.
    pub limits: Vec<StoredLimit>,
}

/// What somebody says about what a team or user may call; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberForm {
    /// Its models.
    pub models: Option<SelectionForm>,
    /// Rate limits that its keys share; null: none.
    pub limits: Given<Vec<StoredLimit>>,
}

impl Work<'_> {
    /// What a team or user is restricted to; they come into being by being named.
    ///
    /// # Errors
    /// When there is no such organisation, or the store fails.
    pub fn member_models(
        &mut self,
        org: &OrgId,
        member: Member,
    ) -> Result<MemberModels, AdminError> {
        self.org(org)?;
        let place = member.budget(org);
        let models = self.rows.member_models(place.level, &place.owner)?;
        let limits = match &member {
            Member::Team(team) => self.rows.team(org, team)?.map(|team| team.limits),
            Member::User(user) => self.rows.user(org, user)?.map(|user| user.limits),
        };
        Ok(MemberModels { org: org.clone(), member, models, limits: limits.unwrap_or_default() })
    }

    /// Restricts a team or user to models of its organisation's catalogue, or lets it inherit, and
    /// limits how often they are called. Plans are not asked: keys may have their own.
    ///
    /// # Errors
    /// When there is no such organisation, a model cannot be chosen or is not known, the user has a role
    /// above that of whoever asks, or the store fails.
    pub fn restrict_member(
        &mut self,
        by: &Standing,
        org: &OrgId,
        member: Member,
        form: MemberForm,
    ) -> Result<Changed<MemberModels>, AdminError> {
        if let Member::User(user) = &member
            && let Some(row) = self.rows.user(org, user)?
        {
            check_rank(by, row.role)?;
        }
        let parent = Scopes::of_org(self.org(org)?.org.models);
        let mut problems = Vec::new();
        let models = match form.models {
            Some(form) => Some(self.selection(form, Some(&parent), &mut problems)?),
            None => None,
        };
        let limits = self.checked_limits(form.limits, &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        match &member {
            Member::Team(team) => self.name_team(org, team)?,
            Member::User(user) => self.name_user(org, user)?,
        }
        let place = member.budget(org);
        if let Some(models) = models {
            let models = models.filter(|models| *models != Selection::All);
            let before = self.rows.member_models(place.level, &place.owner)?;
            if before != models {
                let now = self.now.unix_ms;
                self.rows.save_member_models(place.level, &place.owner, models.as_ref(), now)?;
            }
        }
        if limits.is_given() {
            self.save_member_limits(org, &member, limits.value().unwrap_or_default())?;
        }
        // One message, however many keys it has.
        let revision = self.publish(Change::Below { level: place.level, owner: place.owner })?;
        Ok(Changed { value: self.member_models(org, member)?, revision })
    }

    fn save_member_limits(
        &mut self,
        org: &OrgId,
        member: &Member,
        limits: Vec<StoredLimit>,
    ) -> StoreResult<()> {
        let updated_unix_ms = self.now.unix_ms;
        match member {
            Member::Team(team) => match self.rows.team(org, team)? {
                Some(team) => self.rows.save_team(&TeamRow { limits, updated_unix_ms, ..team }),
                None => Ok(()),
            },
            Member::User(user) => match self.rows.user(org, user)? {
                Some(user) => self.rows.save_user(&UserRow { limits, updated_unix_ms, ..user }),
                None => Ok(()),
            },
        }
    }
}
