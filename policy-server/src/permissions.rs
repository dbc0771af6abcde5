//! Who may do what: one table of roles and actions, and the only function that reads it. Pure, so
//! that a test can walk it cell by cell; `docs/permissions.md` is checked against it.

use wire::{OrgId, TeamId, UserId};

use Reach::{All, Nothing, Org, Own, Team};

/// A role. Everyone who signs in has exactly one of the platform or an organisation, and may have
/// one in each of several teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs the server: every organisation, models, money.
    PlatformAdmin,
    /// Owns an organisation.
    OrgOwner,
    /// Administers it.
    OrgAdmin,
    /// Watches its money.
    OrgBilling,
    /// Reads everything in it, changes nothing.
    OrgAuditor,
    /// Belongs to it.
    OrgMember,
    /// Administers a team.
    TeamAdmin,
    /// Makes keys of his own in a team.
    TeamDeveloper,
    /// Sees a team.
    TeamViewer,
}

impl Role {
    /// Every role, in the order of the table's columns.
    pub const ALL: [Self; 9] = [
        Self::PlatformAdmin,
        Self::OrgOwner,
        Self::OrgAdmin,
        Self::OrgBilling,
        Self::OrgAuditor,
        Self::OrgMember,
        Self::TeamAdmin,
        Self::TeamDeveloper,
        Self::TeamViewer,
    ];

    /// Roles that a user of an organisation can have there.
    pub const OF_USERS: [Self; 6] = [
        Self::PlatformAdmin,
        Self::OrgOwner,
        Self::OrgAdmin,
        Self::OrgBilling,
        Self::OrgAuditor,
        Self::OrgMember,
    ];

    /// Roles that a member of a team can have there.
    pub const OF_MEMBERS: [Self; 3] = [Self::TeamAdmin, Self::TeamDeveloper, Self::TeamViewer];

    /// The word in the store, the API and the documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlatformAdmin => "platform_admin",
            Self::OrgOwner => "org_owner",
            Self::OrgAdmin => "org_admin",
            Self::OrgBilling => "org_billing",
            Self::OrgAuditor => "org_auditor",
            Self::OrgMember => "org_member",
            Self::TeamAdmin => "team_admin",
            Self::TeamDeveloper => "team_developer",
            Self::TeamViewer => "team_viewer",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// How much its holder can do to others. Nobody gives a role above his own, signs in as
    /// somebody who has one, or ends them.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::PlatformAdmin => 3,
            Self::OrgOwner => 2,
            Self::OrgAdmin => 1,
            _ => 0,
        }
    }
}

/// How far a role's permission for one action reaches. Each holds what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Not at all.
    Nothing,
    /// To what belongs to the user.
    Own,
    /// To what belongs to the team in which the role is held.
    Team,
    /// To what belongs to the organisation.
    Org,
    /// To everything.
    All,
}

impl Reach {
    /// The word in the documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Nothing => "-",
            Own => "own",
            Team => "team",
            Org => "org",
            All => "all",
        }
    }
}

/// Declares the actions, so that no list of them can forget one. The second action is the one that
/// shows its objects: who lacks that as well is told that there is no such object.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident, $word:literal, seen by $sight:ident, $reach:expr;)*) => {
        /// What can be done by the admin API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action, in the order of the table's rows.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in the documents and in errors.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The action by which its objects are seen.
            #[must_use]
            pub fn sight(self) -> Self {
                match self {
                    $(Self::$name => Self::$sight,)*
                }
            }

            /// How far each role's permission reaches, in the order of [`Role::ALL`].
            fn row(self) -> [Reach; 9] {
                match self {
                    $(Self::$name => $reach,)*
                }
            }
        }
    };
}

// Columns: platform admin | owner, admin, billing, auditor, member | team admin, developer, viewer.
#[rustfmt::skip]
actions! {
    /// Who one is.
    MeRead, "me.read", seen by MeRead,
        [All, Own, Own, Own, Own, Own, Own, Own, Own];
    /// Tokens of one's own.
    MyTokens, "me.tokens", seen by MeRead,
        [Own, Own, Own, Own, Own, Own, Own, Own, Own];
    /// Keys of one's own: list, rotate, disable, revoke, delete. An administrator enables them.
    MyKeys, "me.keys", seen by MeRead,
        [Own, Own, Own, Own, Own, Own, Own, Own, Own];
    /// Making a key of one's own in a team, within its policy.
    CreateSelf, "keys.create_self", seen by TeamsRead,
        [Nothing, Org, Org, Nothing, Nothing, Nothing, Team, Team, Nothing];
    /// Leaving a team.
    TeamLeave, "teams.leave", seen by MeRead,
        [Own, Own, Own, Own, Own, Own, Own, Own, Own];
    /// Models, prices, aliases, access groups.
    ModelsRead, "models.read", seen by ModelsRead,
        [All, All, All, All, All, All, All, All, All];
    /// Changing them.
    ModelsWrite, "models.write", seen by ModelsRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Plans: what they hold, and what they multiply prices by.
    PlansRead, "plans.read", seen by PlansRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Changing them. Giving one to an organisation or a key takes `orgs.write`.
    PlansWrite, "plans.write", seen by PlansRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// An organisation and what it has spent.
    OrgsRead, "orgs.read", seen by OrgsRead,
        [All, Org, Org, Org, Org, Nothing, Nothing, Nothing, Nothing];
    /// Adding, changing, deleting, suspending organisations.
    OrgsWrite, "orgs.write", seen by OrgsRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Teams and their policies.
    TeamsRead, "teams.read", seen by TeamsRead,
        [All, Org, Org, Org, Org, Nothing, Team, Team, Team];
    /// Adding, changing, deleting, suspending teams.
    TeamsWrite, "teams.write", seen by TeamsRead,
        [All, Org, Org, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Who is in a team, and its service accounts.
    MembersRead, "members.read", seen by MembersRead,
        [All, Org, Org, Nothing, Org, Nothing, Team, Team, Team];
    /// Taking people into a team, giving them roles there, removing them; service accounts.
    MembersWrite, "members.write", seen by MembersRead,
        [All, Org, Org, Nothing, Nothing, Nothing, Team, Nothing, Nothing];
    /// Users.
    UsersRead, "users.read", seen by UsersRead,
        [All, Org, Org, Nothing, Org, Own, Nothing, Nothing, Nothing];
    /// Adding, changing, deleting, suspending users.
    UsersWrite, "users.write", seen by UsersRead,
        [All, Org, Org, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Personal tokens, never their secrets.
    TokensRead, "tokens.read", seen by TokensRead,
        [All, Org, Org, Nothing, Org, Own, Nothing, Nothing, Nothing];
    /// Issuing, rotating, revoking them.
    TokensWrite, "tokens.write", seen by TokensRead,
        [All, Org, Org, Nothing, Nothing, Own, Nothing, Nothing, Nothing];
    /// Keys and what they have spent, never their secrets.
    KeysRead, "keys.read", seen by KeysRead,
        [All, Org, Org, Nothing, Org, Own, Team, Own, Team];
    /// Making keys for anybody, changing and ending them.
    KeysWrite, "keys.write", seen by KeysRead,
        [All, Org, Org, Nothing, Nothing, Nothing, Team, Nothing, Nothing];
    /// The request log.
    RecordsRead, "records.read", seen by RecordsRead,
        [All, Org, Org, Org, Org, Own, Team, Own, Team];
    /// Budgets and what was spent of them.
    BudgetsRead, "budgets.read", seen by BudgetsRead,
        [All, Org, Org, Org, Org, Own, Team, Own, Team];
    /// Budgets of the organisation's teams and users.
    BudgetsWrite, "budgets.write", seen by BudgetsRead,
        [All, Org, Org, Org, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Prepaid money.
    WalletsRead, "wallets.read", seen by WalletsRead,
        [All, Org, Org, Org, Org, Nothing, Nothing, Nothing, Nothing];
    /// Putting money in: only who has got it knows that it was paid.
    WalletsWrite, "wallets.write", seen by WalletsRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Whom an organisation wants told of events, and what was told.
    WebhooksRead, "webhooks.read", seen by WebhooksRead,
        [All, Org, Org, Org, Org, Nothing, Nothing, Nothing, Nothing];
    /// Changing that, and sending again.
    WebhooksWrite, "webhooks.write", seen by WebhooksRead,
        [All, Org, Org, Org, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Releasing frozen budgets and parked money.
    LedgerRepair, "ledger.repair", seen by BudgetsRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// The audit log.
    AuditRead, "audit.read", seen by AuditRead,
        [All, Org, Org, Nothing, Org, Nothing, Nothing, Nothing, Nothing];
    /// Counts and settings of the server.
    ServerRead, "server.read", seen by ServerRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
    /// Changing the settings.
    ServerWrite, "server.write", seen by ServerRead,
        [All, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing];
}

/// A cell of the table.
#[must_use]
pub fn reach(role: Role, action: Action) -> Reach {
    let column = Role::ALL.iter().position(|known| *known == role);
    column.and_then(|column| action.row().get(column).copied()).unwrap_or(Nothing)
}

/// Who somebody is, as the store says at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The user; none for who presents the admin token.
    pub user: Option<(OrgId, UserId)>,
    /// The role on the platform or in the organisation.
    pub role: Role,
    /// Roles in teams of the organisation.
    pub teams: Vec<(TeamId, Role)>,
}

impl Standing {
    /// Who presents the admin token.
    #[must_use]
    pub fn admin_token() -> Self {
        Self { user: None, role: Role::PlatformAdmin, teams: Vec::new() }
    }

    /// The words of all roles, for people.
    #[must_use]
    pub fn roles(&self) -> String {
        let teams = self.teams.iter().map(|(team, role)| format!("{} of {team}", role.as_str()));
        let all: Vec<_> = std::iter::once(self.role.as_str().to_owned()).chain(teams).collect();
        all.join(", ")
    }
}

/// To whom an object belongs. What belongs to nobody, such as a model, is the platform's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The organisation.
    pub org: Option<OrgId>,
    /// The team within it.
    pub team: Option<TeamId>,
    /// The user within it.
    pub user: Option<UserId>,
}

impl Scope {
    /// What belongs to an organisation as a whole.
    #[must_use]
    pub fn org(org: &OrgId) -> Self {
        Self { org: Some(org.clone()), ..Self::default() }
    }
}

/// What the table says to a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Allowed,
    /// The object is seen, but this may not be done to it.
    Forbidden,
    /// Not even the object is seen: it is as if there were none.
    Hidden,
}

/// The authorisation function: may somebody do this to what belongs to `scope`?
#[must_use]
pub fn decide(standing: &Standing, action: Action, scope: &Scope) -> Verdict {
    if permits(standing, action, scope) {
        Verdict::Allowed
    } else if permits(standing, action.sight(), scope) {
        Verdict::Forbidden
    } else {
        Verdict::Hidden
    }
}

fn permits(standing: &Standing, action: Action, scope: &Scope) -> bool {
    let (org, user) = match &standing.user {
        Some((org, user)) => (Some(org), Some(user)),
        None => (None, None),
    };
    let in_org = org.is_some() && org == scope.org.as_ref();
    let own = in_org && user == scope.user.as_ref();
    let by = |role, team: Option<&TeamId>| match reach(role, action) {
        Nothing => false,
        Own => own,
        Team => in_org && team.is_some() && team == scope.team.as_ref(),
        Org => in_org,
        All => true,
    };
    by(standing.role, None) || standing.teams.iter().any(|(team, role)| by(*role, Some(team)))
}

/// What somebody sees of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    #[default]
    Everything,
    /// What belongs to an organisation.
    Org(OrgId),
    /// What belongs to these teams of an organisation, or to one of its users.
    Part {
        /// The organisation.
        org: OrgId,
        /// The teams.
        teams: Vec<TeamId>,
        /// The user.
        user: Option<UserId>,
    },
}

impl Sight {
    /// Whether what belongs to `scope` is seen.
    #[must_use]
    pub fn shows(&self, scope: &Scope) -> bool {
        match self {
            Self::Everything => true,
            Self::Org(org) => scope.org.as_ref() == Some(org),
            Self::Part { org, teams, user } => {
                let in_team = scope.team.as_ref().is_some_and(|team| teams.contains(team));
                let own = user.is_some() && *user == scope.user;
                scope.org.as_ref() == Some(org) && (in_team || own)
            }
        }
    }
}

/// What somebody sees of a list, of one organisation where that is asked for.
///
/// # Errors
/// What the table says instead: forbidden where no role has the action, hidden where the
/// organisation is another's.
pub fn decide_list(
    standing: &Standing,
    action: Action,
    org: Option<&OrgId>,
) -> Result<Sight, Verdict> {
    let own = standing.user.as_ref().map(|(org, _)| org);
    match sight(standing, action) {
        Some(Sight::Everything) => Ok(Sight::Everything),
        _ if org.is_some() && org != own => Err(Verdict::Hidden),
        Some(sight) => Ok(sight),
        None => Err(Verdict::Forbidden),
    }
}

/// The farthest that any of somebody's roles reaches.
#[must_use]
pub fn widest(standing: &Standing, action: Action) -> Reach {
    let teams = standing.teams.iter().map(|(_, role)| reach(*role, action));
    teams.fold(reach(standing.role, action), Reach::max)
}

/// What somebody sees of the list of this action; none where no role of his has the action.
#[must_use]
pub fn sight(standing: &Standing, action: Action) -> Option<Sight> {
    if reach(standing.role, action) == All {
        return Some(Sight::Everything);
    }
    let (org, user) = standing.user.as_ref()?;
    match widest(standing, action) {
        Nothing => None,
        All => Some(Sight::Everything),
        Org => Some(Sight::Org(org.clone())),
        Own | Team => {
            let teams = standing.teams.iter().filter(|(_, role)| reach(*role, action) == Team);
            let roles = std::iter::once(standing.role).chain(standing.teams.iter().map(|at| at.1));
            let mut own = roles.map(|role| reach(role, action) == Own);
            Some(Sight::Part {
                org: org.clone(),
                teams: teams.map(|(team, _)| team.clone()).collect(),
                user: own.any(|own| own).then(|| user.clone()),
            })
        }
    }
}

#[cfg(test)]
#[path = "permissions_tests.rs"]
mod tests;
