//! Users of an organisation: people, service accounts, and their places in teams.

use wire::v1::{Change, Level};
use wire::{OrgId, TeamId, UserId};

use super::{AdminError, Changed, FieldProblem, Given, Page, Target, Work};
use crate::permissions::{Role, Sight, Standing};
use crate::store::{KeyRow, MembershipRow, Service, StoredLimit, UserRow, UserSearch};

/// Teams of one user at most: every one of his requests reads them all.
pub const TEAMS_OF_USER_MOST: u32 = 256;

/// Service accounts of one team at most; their names are compared with one another.
const SERVICE_ACCOUNTS_MOST: u32 = 1_000;

/// What an administrator says about a user. Everything is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserForm {
    /// The name for people; absent: the id.
    pub name: Option<String>,
    /// The role; absent: member of the organisation.
    pub role: Option<Role>,
    /// Rate limits that all keys of the user share; absent or null: none.
    pub limits: Given<Vec<StoredLimit>>,
}

/// A service account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountForm {
    /// The team that it belongs to.
    pub team: TeamId,
    /// Its name, unique in the team whatever the case of letters.
    pub name: String,
}

/// What became of a member who left a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedMember {
    /// Who it was.
    pub membership: MembershipRow,
    /// How many keys in the team ended with it.
    pub revoked_keys: u64,
}

impl Work<'_> {
    /// One user.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn user(&mut self, org: &OrgId, id: &UserId) -> Result<UserRow, AdminError> {
        let found = self.rows.user(org, id)?;
        found.ok_or_else(|| AdminError::not_found("user", format!("{org}/{id}")))
    }

    /// Users of an organisation that whoever asks may see, in the order of their ids.
    ///
    /// # Errors
    /// When the store fails.
    pub fn users(
        &mut self,
        sight: &Sight,
        org: &OrgId,
        service: bool,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<UserRow>, AdminError> {
        if *sight == Sight::Everything {
            self.org(org)?;
        }
        let (only, service) = match (sight, service) {
            (Sight::Part { teams, .. }, true) => (None, Service::Of(teams.clone())),
            (Sight::Part { user: None, .. }, false) => {
                return Ok(Page { items: Vec::new(), next: None });
            }
            (Sight::Part { user, .. }, false) => (user.clone(), Service::No),
            (_, true) => (None, Service::Yes),
            (_, false) => (None, Service::No),
        };
        let found = self.rows.users(&UserSearch {
            org: org.clone(),
            only,
            service: Some(service),
            after,
            limit: limit.saturating_add(1),
        })?;
        Ok(Page::of(found, limit, |user| user.id.as_str().to_owned()))
    }

    /// Adds a person or replaces what is known of one.
    ///
    /// # Errors
    /// When there is no such organisation, the role is above the giver's or the user's is, it would
    /// be a change of one's own role, the id is a service account's, a limit names a model that is not
    /// known, or the store fails.
    pub fn put_user(
        &mut self,
        by: &Standing,
        org: &OrgId,
        id: UserId,
        form: UserForm,
    ) -> Result<Changed<UserRow>, AdminError> {
        self.org(org)?;
        let known = self.rows.user(org, &id)?;
        let role = form.role.unwrap_or(Role::OrgMember);
        if let Some(known) = &known {
            check_rank(by, known.role)?;
            if known.service_team.is_some() {
                let message = format!("'{org}/{id}' is a service account");
                return Err(AdminError::conflict("is_service_account", message));
            }
            if known.role != role {
                check_other(by, org, &id)?;
            }
        }
        check_rank(by, role)?;
        if known.as_ref().is_some_and(|known| known.role.rank() > role.rank()) {
            self.end_issued_tokens(org, Some(&id))?;
        }
        let mut problems = Vec::new();
        let limits = self.checked_limits(form.limits, &mut problems)?;
        if !problems.is_empty() {
            return Err(AdminError::Invalid(problems));
        }
        let now = self.now.unix_ms;
        let user = UserRow {
            org: org.clone(),
            name: form.name.unwrap_or_else(|| id.as_str().to_owned()),
            role,
            limits: limits.value().unwrap_or_default(),
            service_team: None,
            suspended_unix_ms: known.as_ref().and_then(|known| known.suspended_unix_ms),
            created_unix_ms: known.as_ref().map_or(now, |known| known.created_unix_ms),
            updated_unix_ms: now,
            id,
        };
        self.rows.save_user(&user)?;
        let limits_before = known.map(|known| known.limits).unwrap_or_default();
        let revision = if limits_before == user.limits {
            self.rows.server()?.revision
        } else {
            let owner = format!("{org}/{}", user.id);
            self.publish(Change::Below { level: Level::User, owner })?
        };
        Ok(Changed { value: user, revision })
    }

    /// Makes a service account: it owns keys of a team and never signs in.
    ///
    /// # Errors
    /// When there is no such team, it has an account of that name or too many, no random bytes can
    /// be had, or the store fails.
    pub fn create_service_account(
        &mut self,
        org: &OrgId,
        form: ServiceAccountForm,
    ) -> Result<UserRow, AdminError> {
        self.team(org, &form.team)?;
        let others = self.rows.users(&UserSearch {
            org: org.clone(),
            only: None,
            service: Some(Service::Of(vec![form.team.clone()])),
            after: None,
            limit: SERVICE_ACCOUNTS_MOST,
        })?;
        let name = form.name.to_lowercase();
        if others.iter().any(|other| other.name.to_lowercase() == name) {
            return Err(AdminError::Conflict {
                code: "name_taken",
                message: format!("the team '{}' has a service account of this name", form.team),
                param: Some("name".to_owned()),
            });
        }
        if u32::try_from(others.len()).is_ok_and(|count| count >= SERVICE_ACCOUNTS_MOST) {
            let message = format!("a team has at most {SERVICE_ACCOUNTS_MOST} service accounts");
            return Err(AdminError::conflict("too_many_service_accounts", message));
        }
        let id = self.random_id("svc-", 16)?;
        let id = UserId::new(id).map_err(|error| {
            AdminError::Invalid(vec![FieldProblem::invalid("id", error.to_string())])
        })?;
        let now = self.now.unix_ms;
        let user = UserRow {
            org: org.clone(),
            id,
            name: form.name,
            role: Role::OrgMember,
            limits: Vec::new(),
            service_team: Some(form.team),
            suspended_unix_ms: None,
            created_unix_ms: now,
            updated_unix_ms: now,
        };
        self.rows.save_user(&user)?;
        Ok(user)
    }

    /// Removes a user with all tokens and places in teams, and revokes the user's keys.
    ///
    /// # Errors
    /// When there is none, the user's role is above the remover's, it is the remover, or the store
    /// fails.
    pub fn delete_user(
        &mut self,
        by: &Standing,
        org: &OrgId,
        id: &UserId,
    ) -> Result<Changed<(UserRow, u64)>, AdminError> {
        let user = self.user(org, id)?;
        check_rank(by, user.role)?;
        check_other(by, org, id)?;
        let (ended, revision) = self.end_keys_of(org, id, None)?;
        self.rows.revoke_personal_tokens(org, id, self.now.unix_ms)?;
        self.end_issued_tokens(org, Some(id))?;
        self.rows.remove_user(org, id)?;
        Ok(Changed { value: (user, ended), revision })
    }

    /// Whether somebody may suspend or resume a user.
    ///
    /// # Errors
    /// When there is no such user, the user's role is above the other's, it is the same person, or
    /// the store fails.
    pub fn check_may_suspend(
        &mut self,
        by: &Standing,
        org: &OrgId,
        id: &UserId,
    ) -> Result<(), AdminError> {
        let user = self.user(org, id)?;
        check_rank(by, user.role)?;
        check_other(by, org, id)
    }

    /// Members of a team, in the order of their ids.
    ///
    /// # Errors
    /// When there is no such team, or the store fails.
    pub fn members(
        &mut self,
        org: &OrgId,
        team: &TeamId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<MembershipRow>, AdminError> {
        self.team(org, team)?;
        let found = self.rows.members(org, team, after, limit.saturating_add(1))?;
        Ok(Page::of(found, limit, |member| member.user.as_str().to_owned()))
    }

    /// A user's place in a team.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn membership(
        &mut self,
        org: &OrgId,
        team: &TeamId,
        user: &UserId,
    ) -> Result<MembershipRow, AdminError> {
        let found = self.rows.membership(org, team, user)?;
        found.ok_or_else(|| AdminError::not_found("member", format!("{org}/{team}/{user}")))
    }

    /// Takes a user into a team, or gives him another role there.
    ///
    /// # Errors
    /// When there is no such team or user, it is a service account, the user has too many teams, it
    /// would change one's own role there or that of somebody whose role is above one's own, or the
    /// store fails.
    pub fn put_member(
        &mut self,
        by: &Standing,
        org: &OrgId,
        team: &TeamId,
        user: &UserId,
        role: Role,
    ) -> Result<MembershipRow, AdminError> {
        self.team(org, team)?;
        let row = self.user(org, user)?;
        if row.service_team.is_some() {
            let message = "a service account belongs to the team that it was made for";
            return Err(AdminError::conflict("is_service_account", message));
        }
        let known = self.rows.membership(org, team, user)?;
        if known.as_ref().is_some_and(|known| known.role != role) {
            check_rank(by, row.role)?;
            check_other(by, org, user)?;
        }
        if known.is_none() {
            let teams = self.rows.memberships_of(org, user, TEAMS_OF_USER_MOST)?;
            if u32::try_from(teams.len()).is_ok_and(|count| count >= TEAMS_OF_USER_MOST) {
                let message = format!("a user is in at most {TEAMS_OF_USER_MOST} teams");
                return Err(AdminError::conflict("too_many_teams", message));
            }
        }
        let created_unix_ms = known.map_or(self.now.unix_ms, |known| known.created_unix_ms);
        let membership = MembershipRow {
            org: org.clone(),
            team: team.clone(),
            user: user.clone(),
            role,
            created_unix_ms,
        };
        self.rows.save_membership(&membership)?;
        Ok(membership)
    }

    /// A user leaves a team, and the user's keys there are revoked.
    ///
    /// # Errors
    /// When the user is not in the team or has a role above the remover's, or the store fails.
    pub fn remove_member(
        &mut self,
        by: &Standing,
        org: &OrgId,
        team: &TeamId,
        user: &UserId,
    ) -> Result<Changed<RemovedMember>, AdminError> {
        let membership = self.membership(org, team, user)?;
        if let Some(row) = self.rows.user(org, user)? {
            check_rank(by, row.role)?;
        }
        let (revoked_keys, revision) = self.end_keys_of(org, user, Some(team))?;
        self.rows.remove_membership(org, team, user)?;
        Ok(Changed { value: RemovedMember { membership, revoked_keys }, revision })
    }

    /// A user comes into being by being named.
    pub(super) fn name_user(&mut self, org: &OrgId, id: &UserId) -> Result<(), AdminError> {
        if self.rows.user(org, id)?.is_some() {
            return Ok(());
        }
        let now = self.now.unix_ms;
        self.rows.save_user(&UserRow {
            org: org.clone(),
            id: id.clone(),
            name: id.as_str().to_owned(),
            role: Role::OrgMember,
            limits: Vec::new(),
            service_team: None,
            suspended_unix_ms: None,
            created_unix_ms: now,
            updated_unix_ms: now,
        })?;
        let target = Target::User(org.clone(), id.clone());
        self.note(self.author.line("user.named", &target, Some(org.clone())))?;
        Ok(())
    }

    /// Team and user of a key come into being by being named there.
    pub(super) fn name_owners(&mut self, key: &KeyRow) -> Result<(), AdminError> {
        if let Some(team) = &key.team {
            self.name_team(&key.org, team)?;
        }
        if let Some(user) = &key.user {
            self.name_user(&key.org, user)?;
        }
        Ok(())
    }

    /// Whether a key may belong to this team and user.
    pub(super) fn check_owner(
        &mut self,
        org: &OrgId,
        team: Option<&TeamId>,
        user: Option<&UserId>,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<(), AdminError> {
        let Some(id) = user else { return Ok(()) };
        self.check_not_ending(org, team, id, problems)?;
        let Some(user) = self.rows.user(org, id)? else { return Ok(()) };
        if user.service_team.is_some() && user.service_team.as_ref() != team {
            let message = format!("'{id}' is a service account of another team");
            let code = "service_account_of_another_team";
            problems.push(FieldProblem::with_code("user", code, message));
        }
        if user.suspended_unix_ms.is_some() {
            let message = format!("'{id}' is suspended");
            problems.push(FieldProblem::with_code("user", "user_suspended", message));
        }
        Ok(())
    }

    /// Whether somebody may make keys for this team and user. Whoever does not administer the whole
    /// organisation names only users that there are, in that team: naming others would make them.
    ///
    /// # Errors
    /// When he may not, or the store fails.
    pub fn check_names(
        &mut self,
        by: &Standing,
        org: &OrgId,
        team: Option<&TeamId>,
        user: Option<&UserId>,
    ) -> Result<(), AdminError> {
        if by.role.rank() > 0 {
            return Ok(());
        }
        let (Some(team), Some(user)) = (team, user) else { return Ok(()) };
        let known = self.rows.user(org, user)?;
        let is_service = known.is_some_and(|user| user.service_team.as_ref() == Some(team));
        if is_service || self.rows.membership(org, team, user)?.is_some() {
            return Ok(());
        }
        let message = format!("there is no user '{user}' in the team '{team}'");
        Err(AdminError::field("user", "unknown_user", message))
    }

    /// One service account.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn service_account(&mut self, org: &OrgId, id: &UserId) -> Result<UserRow, AdminError> {
        let found = self.rows.user(org, id)?.filter(|user| user.service_team.is_some());
        found.ok_or_else(|| AdminError::not_found("service account", format!("{org}/{id}")))
    }
}

/// Nobody acts on somebody whose role is above his own, or gives such a role.
pub(super) fn check_rank(by: &Standing, role: Role) -> Result<(), AdminError> {
    if by.role.rank() >= role.rank() {
        return Ok(());
    }
    let message = format!("the role {} is above your own", role.as_str());
    Err(AdminError::forbidden("role_above_own", message))
}

/// Nobody ends himself or changes his own role: an organisation never loses its last owner so.
pub(super) fn check_other(by: &Standing, org: &OrgId, id: &UserId) -> Result<(), AdminError> {
    let is_self = by.user.as_ref().is_some_and(|(of, user)| of == org && user == id);
    if !is_self {
        return Ok(());
    }
    let message = "this cannot be done to oneself: another administrator must";
    Err(AdminError::conflict("own_account", message))
}
