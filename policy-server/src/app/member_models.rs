//! What the keys of a team or of a user may call at most.

use wire::OrgId;
use wire::v1::Change;

use super::people::check_rank;
use super::{AdminError, Changed, Member, SelectionForm, Work};
use crate::entitlement::{Scopes, Selection};
use crate::permissions::Standing;

/// What a team or user is restricted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberModels {
    /// Its organisation.
    pub org: OrgId,
    /// Which team or user.
    pub member: Member,
    /// Its models; none: it inherits.
    pub models: Option<Selection>,
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
        Ok(MemberModels { org: org.clone(), member, models })
    }

    /// Restricts a team or user to models of its organisation's catalogue, or lets it inherit. Plans
    /// are not asked: keys may have their own.
    ///
    /// # Errors
    /// When there is no such organisation, a model cannot be chosen, the user has a role above that of
    /// whoever asks, or the store fails.
    pub fn restrict_member(
        &mut self,
        by: &Standing,
        org: &OrgId,
        member: Member,
        form: SelectionForm,
    ) -> Result<Changed<MemberModels>, AdminError> {
        if let Member::User(user) = &member
            && let Some(row) = self.rows.user(org, user)?
        {
            check_rank(by, row.role)?;
        }
        let parent = Scopes::of_org(self.org(org)?.org.models);
        let mut problems = Vec::new();
        let models = self.selection(form, Some(&parent), &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let models = models.filter(|models| *models != Selection::All);
        match &member {
            Member::Team(team) => self.name_team(org, team)?,
            Member::User(user) => self.name_user(org, user)?,
        }
        let place = member.budget(org);
        let before = self.rows.member_models(place.level, &place.owner)?;
        if before != models {
            let now = self.now.unix_ms;
            self.rows.save_member_models(place.level, &place.owner, models.as_ref(), now)?;
        }
        // One message, however many keys it has.
        let revision = self.publish(Change::Below { level: place.level, owner: place.owner })?;
        Ok(Changed { value: MemberModels { org: org.clone(), member, models }, revision })
    }
}
