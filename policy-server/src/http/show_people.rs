//! Teams, users, tokens and the audit as the JSON of the admin API.

use serde_json::{Map, Value, json};

use super::show::{instant, limit, object};
use crate::app::TokenStatus;
use crate::store::{AuditRow, MembershipRow, PersonalTokenRow, SelfService, TeamRow, UserRow};

/// A team.
pub fn team(team: &TeamRow) -> Map<String, Value> {
    object(json!({
        "org": team.org,
        "id": team.id,
        "name": team.name,
        "limits": team.limits.iter().map(limit).collect::<Vec<_>>(),
        "self_service": self_service(&team.self_service),
        "suspended_at": team.suspended_unix_ms.map(instant),
        "created_at": instant(team.created_unix_ms),
        "updated_at": instant(team.updated_unix_ms),
    }))
}

fn self_service(policy: &SelfService) -> Value {
    let ceiling = policy
        .budget_ceiling
        .map(|ceiling| json!({"usd": ceiling.cap.to_usd(), "period": ceiling.period.as_str()}));
    json!({
        "enabled": policy.enabled,
        "max_keys_per_user": policy.max_keys_per_user,
        "budget_ceiling": ceiling,
        "require_expiry": policy.require_expiry,
        "max_expiry_days": policy.max_expiry_days,
    })
}

/// A user, or a service account, which has a team.
pub fn user(user: &UserRow) -> Map<String, Value> {
    let mut shown = object(json!({
        "org": user.org,
        "id": user.id,
        "name": user.name,
        "limits": user.limits.iter().map(limit).collect::<Vec<_>>(),
        "suspended_at": user.suspended_unix_ms.map(instant),
        "created_at": instant(user.created_unix_ms),
        "updated_at": instant(user.updated_unix_ms),
    }));
    match &user.service_team {
        Some(team) => shown.insert("service_team".to_owned(), json!(team)),
        None => shown.insert("role".to_owned(), json!(user.role.as_str())),
    };
    shown
}

/// A user's place in a team.
pub fn member(member: &MembershipRow) -> Map<String, Value> {
    object(json!({
        "org": member.org,
        "team": member.team,
        "user": member.user,
        "role": member.role.as_str(),
        "created_at": instant(member.created_unix_ms),
    }))
}

/// A personal token; never its secret.
pub fn token(token: &PersonalTokenRow, now_unix_ms: u64) -> Map<String, Value> {
    object(json!({
        "id": token.id,
        "prefix": token.prefix,
        "org": token.org,
        "user": token.user,
        "name": token.name,
        "status": TokenStatus::of(token, now_unix_ms).as_str(),
        "issued_by": token.issued_by,
        "created_at": instant(token.created_unix_ms),
        "expires_at": instant(token.expires_unix_ms),
        "revoked_at": token.revoked_unix_ms.map(instant),
        "last_used_at": token.last_used_unix_ms.map(instant),
        "last_address": token.last_address,
    }))
}

/// A line of the audit.
pub fn audit_line(line: &AuditRow) -> Map<String, Value> {
    // What was written there is JSON.
    let parsed = |text: &Option<String>| {
        let value = text.as_ref().map(|text| serde_json::from_str(text).unwrap_or_default());
        value.unwrap_or(Value::Null)
    };
    object(json!({
        "at": instant(line.at_unix_ms),
        "actor": line.actor,
        "action": line.action,
        "kind": line.kind,
        "target": line.target,
        "org": line.org,
        "amount_usd": line.amount.map(|amount| amount.to_usd()),
        "before": parsed(&line.before),
        "after": parsed(&line.after),
        "address": line.address,
        "outcome": line.outcome.as_str(),
        "code": line.code,
        "token": line.token,
    }))
}

/// What administrators set of the server.
pub fn settings(audit_days: Option<u64>) -> Map<String, Value> {
    object(json!({"audit_retention_days": audit_days}))
}
