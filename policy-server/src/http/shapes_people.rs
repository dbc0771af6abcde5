//! What [`super::show_people`] writes, as the API's document has it.

use wire::{OrgId, TeamId, UserId};

use super::operation::Shape;
use super::schema::{Members, Schema};
use super::shapes::{ceiling, limit, made_and_changed};
use crate::app::TokenStatus;
use crate::permissions::{Action, Reach, Role};
use crate::store::Outcome;

/// A team.
pub const TEAM: Shape = Shape { name: "Team", members: team };

/// A user.
pub const USER: Shape = Shape { name: "User", members: user };

/// A user who was deleted.
pub const DELETED_USER: Shape = Shape { name: "DeletedUser", members: deleted_user };

/// A service account.
pub const ACCOUNT: Shape = Shape { name: "ServiceAccount", members: account };

/// A service account that was deleted.
pub const DELETED_ACCOUNT: Shape =
    Shape { name: "DeletedServiceAccount", members: deleted_account };

/// A user's place in a team.
pub const MEMBER: Shape = Shape { name: "Member", members: member };

/// A user's place in a team that has ended.
pub const FORMER_MEMBER: Shape = Shape { name: "FormerMember", members: former_member };

/// A personal token; never its secret.
pub const TOKEN: Shape = Shape { name: "Token", members: token };

/// A personal token with its secret.
pub const SECRET_TOKEN: Shape = Shape { name: "SecretToken", members: secret_token };

/// A personal token after its rotation.
pub const ROTATED_TOKEN: Shape = Shape { name: "RotatedToken", members: rotated_token };

/// Whoever asks.
pub const ME: Shape = Shape { name: "Me", members: me };

/// A line of the audit.
pub const AUDIT_LINE: Shape = Shape { name: "AuditLine", members: audit_line };

/// Settings of the server.
pub const SETTINGS: Shape = Shape { name: "Settings", members: settings };

fn team() -> Members {
    Members::default()
        .with("org", Schema::id(OrgId::LONGEST))
        .with("id", Schema::id(TeamId::LONGEST))
        .with("name", Schema::text())
        .with("limits", Schema::some(limit()))
        .with("self_service", Schema::from(self_service()).named("SelfService"))
        .with("suspended_at", Schema::instant().or_null())
        .and(made_and_changed())
}

fn self_service() -> Members {
    Members::default()
        .with("enabled", Schema::boolean())
        .with("max_keys_per_user", Schema::count().or_null())
        .with("budget_ceiling", ceiling().or_null())
        .with("require_expiry", Schema::boolean())
        .with("max_expiry_days", Schema::count().or_null())
}

fn person() -> Members {
    Members::default()
        .with("org", Schema::id(OrgId::LONGEST))
        .with("id", Schema::id(UserId::LONGEST))
        .with("name", Schema::text())
        .with("limits", Schema::some(limit()))
        .with("suspended_at", Schema::instant().or_null())
        .and(made_and_changed())
}

fn user() -> Members {
    person().with("role", Schema::words(Role::OF_USERS.map(Role::as_str)))
}

fn account() -> Members {
    person().with("service_team", Schema::id(TeamId::LONGEST))
}

fn deleted_user() -> Members {
    user().with("revoked_keys", Schema::count())
}

fn deleted_account() -> Members {
    account().with("revoked_keys", Schema::count())
}

fn member() -> Members {
    Members::default()
        .with("org", Schema::id(OrgId::LONGEST))
        .with("team", Schema::id(TeamId::LONGEST))
        .with("user", Schema::id(UserId::LONGEST))
        .with("role", Schema::words(Role::OF_MEMBERS.map(Role::as_str)))
        .with("created_at", Schema::instant())
}

fn former_member() -> Members {
    member().with("revoked_keys", Schema::count())
}

fn token() -> Members {
    Members::default()
        .with("id", Schema::text())
        .with("prefix", Schema::text())
        .with("org", Schema::id(OrgId::LONGEST))
        .with("user", Schema::id(UserId::LONGEST))
        .with("name", Schema::text())
        .with("status", Schema::words(TokenStatus::ALL.map(TokenStatus::as_str)))
        .with("issued_by", Schema::text())
        .with("created_at", Schema::instant())
        .with("expires_at", Schema::instant())
        .with("revoked_at", Schema::instant().or_null())
        .with("last_used_at", Schema::instant().or_null())
        .with("last_address", Schema::text().or_null())
}

fn secret_token() -> Members {
    token().with("token", Schema::text())
}

/// The secret is not told again where the request is repeated.
fn rotated_token() -> Members {
    token().maybe("token", Schema::text())
}

/// The admin token is no user: it has a role and permissions.
fn me() -> Members {
    let team = Members::default()
        .with("team", Schema::id(TeamId::LONGEST))
        .with("role", Schema::words(Role::OF_MEMBERS.map(Role::as_str)));
    let reach = [Reach::Own, Reach::Team, Reach::Org, Reach::All].map(Reach::as_str);
    let permissions = Action::ALL
        .iter()
        .fold(Members::default(), |all, action| all.maybe(action.as_str(), Schema::words(reach)));
    Members::default()
        .maybe("org", Schema::id(OrgId::LONGEST))
        .maybe("id", Schema::id(UserId::LONGEST))
        .maybe("name", Schema::text())
        .maybe("limits", Schema::some(limit()))
        .maybe("suspended_at", Schema::instant().or_null())
        .maybe("created_at", Schema::instant())
        .maybe("updated_at", Schema::instant())
        .with("role", Schema::words(Role::ALL.map(Role::as_str)))
        .with("teams", Schema::some(team.into()))
        .with("permissions", permissions.into())
}

fn audit_line() -> Members {
    let fields = Schema::map(Schema::anything()).or_null();
    Members::default()
        .with("at", Schema::instant())
        .with("actor", Schema::text())
        .with("action", Schema::text())
        .with("kind", Schema::text())
        .with("target", Schema::text())
        .with("org", Schema::text().or_null())
        .with("amount_usd", Schema::decimal().or_null())
        .with("before", fields.clone())
        .with("after", fields)
        .with("address", Schema::text().or_null())
        .with("outcome", Schema::words(Outcome::ALL.map(Outcome::as_str)))
        .with("code", Schema::text().or_null())
        .with("token", Schema::text().or_null())
}

fn settings() -> Members {
    Members::default().with("audit_retention_days", Schema::count().or_null())
}
