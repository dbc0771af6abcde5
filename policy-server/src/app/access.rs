//! Who asks, to whom what is asked for belongs, and whether the table lets him.

use wire::v1::Level;
use wire::{KeyId, ModelName, OrgId, TeamId, UserId};

use super::{AdminError, Given, KeyForm, Member, TokenStatus, Work};
use crate::entitlement::{GroupName, PlanId};
use crate::permissions::{
    Action, Reach, Role, Scope, Sight, Standing, Verdict, decide, decide_list, reach,
};
use crate::store::{BudgetId, PersonalTokenRow, StoreResult};

use super::people::TEAMS_OF_USER_MOST;

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Who presents the admin token.
    AdminToken,
    /// Who presents a personal token.
    Person {
        /// The organisation.
        org: OrgId,
        /// The user.
        user: UserId,
        /// The token's id.
        token: String,
    },
}

impl Actor {
    /// The name in the audit.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::AdminToken => "admin".to_owned(),
            Self::Person { org, user, .. } => format!("{org}/{user}"),
        }
    }
}

/// What came of signing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who it is.
    pub actor: Actor,
    /// The personal token, where it was one.
    pub token: Option<PersonalTokenRow>,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The server itself.
    Server,
    /// Whoever asks.
    Me,
    /// A model.
    Model(ModelName),
    /// An alias of some model.
    Alias(ModelName),
    /// A label of models.
    Group(GroupName),
    /// A plan.
    Plan(PlanId),
    /// An organisation.
    Org(OrgId),
    /// A team.
    Team(OrgId, TeamId),
    /// A user.
    User(OrgId, UserId),
    /// A service account.
    ServiceAccount(OrgId, UserId),
    /// A user's place in a team.
    Member(OrgId, TeamId, UserId),
    /// A personal token of a user.
    Token(OrgId, UserId, String),
    /// A key.
    Key(KeyId),
    /// Where a key is to be made.
    Place {
        /// The organisation.
        org: OrgId,
        /// The team.
        team: Option<TeamId>,
        /// The user.
        user: Option<UserId>,
    },
    /// A budget.
    Budget(BudgetId),
    /// What a team or user is restricted to.
    Models(OrgId, Member),
    /// A webhook.
    Webhook(OrgId, String),
}

impl Target {
    /// What kind of thing it is, for the audit.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Me => "me",
            Self::Model(_) => "model",
            Self::Alias(_) => "alias",
            Self::Group(_) => "group",
            Self::Plan(_) => "plan",
            Self::Org(_) => "organisation",
            Self::Team(..) => "team",
            Self::User(..) => "user",
            Self::ServiceAccount(..) => "service account",
            Self::Member(..) => "member",
            Self::Token(..) => "token",
            Self::Key(_) | Self::Place { .. } => "key",
            Self::Budget(id) if id.level == Level::Wallet => "wallet",
            Self::Budget(_) => "budget",
            Self::Webhook(..) => "webhook",
            Self::Models(_, Member::Team(_)) => "models of a team",
            Self::Models(_, Member::User(_)) => "models of a user",
        }
    }

    /// Its id, for the audit.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Server | Self::Me => String::new(),
            Self::Model(name) | Self::Alias(name) => name.as_str().to_owned(),
            Self::Group(name) => name.as_str().to_owned(),
            Self::Plan(id) => id.as_str().to_owned(),
            Self::Org(org) => org.as_str().to_owned(),
            Self::Team(org, team) => format!("{org}/{team}"),
            Self::User(org, user) | Self::ServiceAccount(org, user) => format!("{org}/{user}"),
            Self::Member(org, team, user) => format!("{org}/{team}/{user}"),
            Self::Token(_, _, id) => id.clone(),
            Self::Key(id) => id.as_str().to_owned(),
            Self::Place { org, team: Some(team), .. } => format!("{org}/{team}"),
            Self::Place { org, .. } => org.as_str().to_owned(),
            Self::Budget(id) => format!("{} {}", id.level.as_str(), id.owner),
            Self::Models(org, member) => member.budget(org).owner,
            Self::Webhook(org, id) => format!("{org}/{id}"),
        }
    }

    fn not_found(&self) -> AdminError {
        match self {
            Self::Place { org, .. } => AdminError::not_found("organisation", org.as_str()),
            Self::Budget(id) => AdminError::not_found(self.kind(), id.owner.as_str()),
            other => AdminError::not_found(other.kind(), other.id()),
        }
    }

    /// Whether everybody knows that it is there: then only what may be done to it is refused.
    fn is_known_to(&self, standing: &Standing) -> bool {
        match self {
            Self::Server | Self::Me | Self::Model(_) => true,
            Self::Alias(_) | Self::Group(_) | Self::Plan(_) => true,
            Self::Place { org, .. } => standing.user.as_ref().is_some_and(|user| user.0 == *org),
            _ => false,
        }
    }
}

impl Work<'_> {
    /// Who presents a token.
    ///
    /// # Errors
    /// When it admits nobody (any more), or the store fails.
    pub fn sign_in(&mut self, text: &[u8]) -> Result<SignedIn, AdminError> {
        if self.is_admin_token(text)? {
            return Ok(SignedIn { actor: Actor::AdminToken, token: None });
        }
        let digest = metering::api_key::digest(text);
        let Some(token) = self.rows.personal_token_by_digest(&digest)? else {
            return Err(unknown());
        };
        self.standing_of(&token)?;
        let (org, user) = (token.org.clone(), token.user.clone());
        let actor = Actor::Person { org, user, token: token.id.clone() };
        Ok(SignedIn { actor, token: Some(token) })
    }

    /// What somebody who has signed in may do now: roles can have changed since.
    ///
    /// # Errors
    /// When the token has ended, its user or organisation is suspended or gone, or the store fails.
    pub fn standing(&mut self, actor: &Actor) -> Result<Standing, AdminError> {
        match actor {
            Actor::AdminToken => Ok(Standing::admin_token()),
            Actor::Person { token, .. } => match self.rows.personal_token(token)? {
                Some(token) => self.standing_of(&token),
                None => Err(unknown()),
            },
        }
    }

    fn standing_of(&mut self, token: &PersonalTokenRow) -> Result<Standing, AdminError> {
        let ended = |code, message: &str| {
            Err(AdminError::SignIn {
                code,
                message: format!("the token {}… {message}", token.prefix),
            })
        };
        match TokenStatus::of(token, self.now.unix_ms) {
            TokenStatus::Active => {}
            TokenStatus::Expired => return ended("token_expired", "has expired"),
            TokenStatus::Revoked => return ended("token_revoked", "was revoked"),
        }
        let Some(org) = self.rows.org(&token.org)? else { return Err(unknown()) };
        let Some(user) = self.rows.user(&token.org, &token.user)? else { return Err(unknown()) };
        if org.suspended_unix_ms.is_some() {
            return ended("org_suspended", "belongs to an organisation that is suspended");
        }
        if user.suspended_unix_ms.is_some() {
            return ended("user_suspended", "belongs to a user who is suspended");
        }
        let teams = self.rows.memberships_of(&token.org, &token.user, TEAMS_OF_USER_MOST)?;
        Ok(Standing {
            user: Some((token.org.clone(), token.user.clone())),
            role: user.role,
            teams: teams.into_iter().map(|member| (member.team, member.role)).collect(),
        })
    }

    /// The one way to a permission: whether somebody may do this to that, as the table says.
    ///
    /// # Errors
    /// When he may not: as if the target were not there where he may not see it either. When there
    /// is no such target, the token has ended, or the store fails.
    pub fn authorise(
        &mut self,
        actor: &Actor,
        action: Action,
        target: &Target,
    ) -> Result<Standing, AdminError> {
        let standing = self.standing(actor)?;
        self.permit(&standing, action, target)?;
        Ok(standing)
    }

    /// The same for whoever has been found to have this standing.
    ///
    /// # Errors
    /// As [`Work::authorise`].
    pub fn permit(
        &mut self,
        standing: &Standing,
        action: Action,
        target: &Target,
    ) -> Result<(), AdminError> {
        let scope = self.scope(standing, target)?;
        match decide(standing, action, &scope) {
            Verdict::Allowed => Ok(()),
            Verdict::Hidden if !target.is_known_to(standing) => Err(target.not_found()),
            Verdict::Forbidden | Verdict::Hidden => Err(forbidden(standing, action)),
        }
    }

    /// What of a list somebody may see now, of one organisation where that is asked for.
    ///
    /// # Errors
    /// When no role of his has the action, or the organisation is another's; when the token has
    /// ended, or the store fails.
    pub fn authorise_list(
        &mut self,
        actor: &Actor,
        action: Action,
        org: Option<&OrgId>,
    ) -> Result<(Standing, Sight), AdminError> {
        let standing = self.standing(actor)?;
        match decide_list(&standing, action, org) {
            Ok(sight) => Ok((standing, sight)),
            Err(Verdict::Hidden) => {
                Err(AdminError::not_found("organisation", org.map_or("", OrgId::as_str)))
            }
            Err(_) => Err(forbidden(&standing, action)),
        }
    }

    /// Whether somebody may do this as well.
    ///
    /// # Errors
    /// When the store fails.
    pub fn may(
        &mut self,
        standing: &Standing,
        action: Action,
        target: &Target,
    ) -> Result<bool, AdminError> {
        match self.permit(standing, action, target) {
            Ok(()) => Ok(true),
            Err(AdminError::Forbidden { .. } | AdminError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The organisation that a target belongs to, for the audit.
    ///
    /// # Errors
    /// When the store fails.
    pub fn org_of(&mut self, target: &Target) -> Result<Option<OrgId>, AdminError> {
        match self.scope(&Standing::admin_token(), target) {
            Ok(scope) => Ok(scope.org),
            Err(AdminError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody who may change a key may also give it to this team and user, and these terms.
    ///
    /// # Errors
    /// When he may not, or the store fails.
    pub fn permit_move(
        &mut self,
        by: &Standing,
        id: &KeyId,
        form: &KeyForm,
    ) -> Result<(), AdminError> {
        let key = self.stored_key(id)?;
        self.permit_terms(by, &key.org, form)?;
        if !form.team.is_given() && !form.user.is_given() {
            return Ok(());
        }
        let team = form.team.clone().or_current(key.team.clone());
        let user = form.user.clone().or_current(key.user.clone());
        self.check_names(by, &key.org, team.as_ref(), user.as_ref())?;
        self.check_stays_stopped(by, &key, team.as_ref(), user.as_ref())?;
        self.permit(by, Action::KeysWrite, &Target::Place { org: key.org, team, user })
    }

    /// Whether somebody who may make or change a key may also give it a plan, which decides what its
    /// calls cost, or put it into shadow mode, where no budget above it and no wallet stops it. Both
    /// are for whoever may change the organisation; anybody may end shadow mode.
    ///
    /// # Errors
    /// When he may not, or the store fails.
    pub fn permit_terms(
        &mut self,
        by: &Standing,
        org: &OrgId,
        form: &KeyForm,
    ) -> Result<(), AdminError> {
        let gives_terms = form.plan.is_given() || form.shadow == Given::Value(true);
        if gives_terms && !self.may(by, Action::OrgsWrite, &Target::Org(org.clone()))? {
            return Err(forbidden(by, Action::OrgsWrite));
        }
        Ok(())
    }

    /// To whom a target belongs.
    fn scope(&mut self, standing: &Standing, target: &Target) -> Result<Scope, AdminError> {
        let of_user =
            |org: &OrgId, user: &UserId| Scope { user: Some(user.clone()), ..Scope::org(org) };
        let of_team =
            |org: &OrgId, team: &TeamId| Scope { team: Some(team.clone()), ..Scope::org(org) };
        Ok(match target {
            Target::Server | Target::Model(_) => Scope::default(),
            Target::Alias(_) | Target::Group(_) | Target::Plan(_) => Scope::default(),
            Target::Me => match &standing.user {
                Some((org, user)) => of_user(org, user),
                None => Scope::default(),
            },
            Target::Org(org) | Target::Webhook(org, _) => Scope::org(org),
            Target::Team(org, team) | Target::Models(org, Member::Team(team)) => of_team(org, team),
            Target::User(org, user)
            | Target::Models(org, Member::User(user))
            | Target::Token(org, user, _) => of_user(org, user),
            Target::ServiceAccount(org, user) => {
                let team = self.rows.user(org, user)?.and_then(|user| user.service_team);
                Scope { team, ..Scope::org(org) }
            }
            Target::Member(org, team, user) => {
                Scope { user: Some(user.clone()), ..of_team(org, team) }
            }
            Target::Key(id) => {
                let key = self.rows.key(id)?.ok_or_else(|| target.not_found())?;
                Scope { org: Some(key.org), team: key.team, user: key.user }
            }
            Target::Place { org, team, user } => {
                Scope { org: Some(org.clone()), team: team.clone(), user: user.clone() }
            }
            Target::Budget(id) => self.scope_of_budget(id)?,
        })
    }

    pub(super) fn scope_of_budget(&mut self, id: &BudgetId) -> StoreResult<Scope> {
        if id.level == Level::Key {
            let key = KeyId::new(id.owner.clone()).ok();
            let key = key.map(|key| self.rows.key(&key)).transpose()?.flatten();
            return Ok(key.map_or_else(Scope::default, |key| Scope {
                org: Some(key.org),
                team: key.team,
                user: key.user,
            }));
        }
        // No organisation's id has a slash; those of teams and users may.
        let (org, member) = id.owner.split_once('/').unwrap_or((&id.owner, ""));
        let member = Some(member.to_owned()).filter(|member| !member.is_empty());
        let text = |is_level: bool| member.clone().filter(|_| is_level);
        Ok(Scope {
            org: OrgId::new(org).ok(),
            team: text(id.level == Level::Team).and_then(|team| TeamId::new(team).ok()),
            user: text(id.level == Level::User).and_then(|user| UserId::new(user).ok()),
        })
    }
}

/// What is said to whoever sees a thing and may not do this to it.
pub(super) fn forbidden(standing: &Standing, action: Action) -> AdminError {
    let needs = Role::ALL.into_iter().filter(|role| reach(*role, action) > Reach::Nothing);
    let needs: Vec<_> = needs.map(Role::as_str).collect();
    let message = format!(
        "{} needs one of the roles {} here; you have {}",
        action.as_str(),
        needs.join(", "),
        standing.roles()
    );
    AdminError::forbidden("permission_denied", message)
}

fn unknown() -> AdminError {
    AdminError::SignIn {
        code: "invalid_admin_token",
        message: "the token is missing or wrong: send Authorization: Bearer with the admin token \
                  (tga_…) or a personal one (tgp_…)"
            .to_owned(),
    }
}
