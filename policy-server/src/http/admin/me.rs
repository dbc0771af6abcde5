//! Whoever has signed in: `/admin/v1/me`, own tokens and own keys.

use std::time::Duration;

use axum::Json;
use axum::response::Response;
use serde_json::{Map, Value, json};
use wire::{OrgId, TeamId, UserId};

use super::key_secrets::{created, creates, rotate, rotates};
use super::keys::{Tagged, delete, disable, ends, listing, one, revoke};
use super::tokens::{
    create_for, issues, list_of, lists_tokens, revoke_of, revokes_token, rotate_of, rotates_token,
};
use super::{Answer, Body, Id, Pairs, Routes, Visitor, applied, asked, bytes, id, parameters};
use crate::app::{Actor, AdminError, KeyListing, Target, own};
use crate::http::answer::AdminProblem;
use crate::http::key_form::{self, key_form};
use crate::http::operation::Operation;
use crate::http::shapes::KEY;
use crate::http::shapes_people;
use crate::http::wait::WAIT_DEFAULT;
use crate::http::{show, show_people};
use crate::permissions::{Action, Reach, Sight, Standing, widest};
use crate::store::UserRow;

use Action::{CreateSelf, MeRead, MyKeys, MyTokens, TeamLeave};

const ME: &str = "/admin/v1/me";
const TOKENS: &str = "/admin/v1/me/tokens";
const KEYS: &str = "/admin/v1/me/keys";
const ONE_KEY: &str = "/admin/v1/me/keys/{id}";

/// An administrator's word on a key stands: its owner can end it, but not switch it on again.
pub fn routes(routes: Routes) -> Routes {
    routes
        .get(ME, MeRead, me)
        .says(Operation::new("Shows who asks, and what he may do").shows(&shapes_people::ME))
        .get(TOKENS, MyTokens, tokens)
        .says(lists_tokens("Lists own tokens"))
        .post(TOKENS, MyTokens, "me.token.create", create_token)
        .says(issues("Makes an own token, which is shown once"))
        .post("/admin/v1/me/tokens/{token}/rotate", MyTokens, "me.token.rotate", rotate_token)
        .says(rotates_token("Replaces an own token by one that is shown once"))
        .post("/admin/v1/me/tokens/{token}/revoke", MyTokens, "me.token.revoke", revoke_token)
        .says(revokes_token("Revokes an own token"))
        .get(KEYS, MyKeys, keys)
        .says(Operation::new("Lists own keys").asks(listing).lists(&KEY))
        .post(KEYS, CreateSelf, "key.self_create", create)
        .says(
            creates("Makes an own key, as the team's policy permits; its secret is shown once")
                .takes(key_form::key),
        )
        .get(ONE_KEY, MyKeys, one)
        .says(Operation::new("Shows an own key").shows(&KEY).tagged())
        .delete(ONE_KEY, MyKeys, "key.self_delete", delete)
        .says(ends("Deletes an own key"))
        .post("/admin/v1/me/keys/{id}/rotate", MyKeys, "key.self_rotate", rotate)
        .says(rotates("Gives an own key a new secret, which is shown once"))
        .post("/admin/v1/me/keys/{id}/disable", MyKeys, "key.self_disable", disable)
        .says(ends("Switches an own key off"))
        .post("/admin/v1/me/keys/{id}/revoke", MyKeys, "key.self_revoke", revoke)
        .says(ends("Revokes an own key for good"))
        .delete("/admin/v1/me/teams/{team}", TeamLeave, "member.leave", leave)
        .says(
            Operation::new("Leaves a team; own keys in it end")
                .applies(&shapes_people::FORMER_MEMBER, WAIT_DEFAULT),
        )
}

/// Who asks, and how far each permission of his reaches.
async fn me(visitor: Visitor, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let read = visitor.read(Target::Me, |work, by| {
        let row = match &by.user {
            Some((org, user)) => Some(work.user(org, user)?),
            None => None,
        };
        Ok(show_me(row.as_ref(), by))
    });
    Ok(Json(read.await?.into()))
}

fn show_me(row: Option<&UserRow>, by: &Standing) -> Map<String, Value> {
    let mut shown = row.map(show_people::user).unwrap_or_default();
    shown.insert("role".to_owned(), json!(by.role.as_str()));
    let teams = by.teams.iter().map(|(team, role)| json!({"team": team, "role": role.as_str()}));
    shown.insert("teams".to_owned(), teams.collect());
    let reaches = Action::ALL.iter().map(|action| (*action, widest(by, *action)));
    let reaches = reaches.filter(|(_, reach)| *reach > Reach::Nothing);
    let reaches =
        reaches.map(|(action, reach)| (action.as_str().to_owned(), json!(reach.as_str())));
    shown.insert("permissions".to_owned(), Value::Object(reaches.collect()));
    shown
}

async fn tokens(visitor: Visitor, pairs: Pairs) -> Answer {
    let (org, user) = user(&visitor).await?;
    list_of(visitor, Target::Me, org, user, pairs).await
}

async fn create_token(
    visitor: Visitor,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let (org, user) = user(&visitor).await?;
    create_for(visitor, Target::Me, org, user, pairs, body).await
}

async fn rotate_token(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let (org, user) = user(&visitor).await?;
    let token = path.map(|path| path.0).unwrap_or_default();
    let target = Target::Token(org.clone(), user.clone(), token.clone());
    rotate_of(visitor, target, (org, user, token), pairs, body).await
}

async fn revoke_token(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let (org, user) = user(&visitor).await?;
    let token = path.map(|path| path.0).unwrap_or_default();
    let target = Target::Token(org.clone(), user.clone(), token.clone());
    revoke_of(visitor, target, (org, user, token), pairs, body).await
}

async fn keys(visitor: Visitor, pairs: Pairs) -> Answer {
    let listing = asked(pairs, listing)?;
    let page = visitor.read(Target::Me, move |work, by| {
        let (org, user) = own(by)?;
        let sight = Sight::Part { org, teams: Vec::new(), user: Some(user) };
        work.keys(KeyListing { sight, ..listing })
    });
    Ok(Json(show::page(&page.await?, show::key)))
}

/// The team's policy decides, beyond the role: see [`crate::app::Work::create_own_key`].
async fn create(visitor: Visitor, pairs: Pairs, body: Body) -> Tagged {
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let (org, user) = user(&visitor).await?;
    let form = match key_form(&bytes(body)?) {
        Ok(form) => form,
        Err(error) => return visitor.unreadable(error).await,
    };
    let Some(team) = form.team.clone().value() else {
        let error = AdminError::field("team", "team_required", "is required");
        return visitor.unreadable(error).await;
    };
    let target = Target::Place { org, team: Some(team), user: Some(user) };
    let made = visitor.change(target, move |work, deed| {
        let made = work.create_own_key(&deed.by, form)?;
        deed.target = Target::Key(made.value.view.key.id.clone());
        Ok(made)
    });
    created(&visitor.edge, made.await?, wait).await
}

/// One's keys in the team end as well; the answer says how many.
async fn leave(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let team = id("team", path, TeamId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let (org, user) = user(&visitor).await?;
    let target = Target::Member(org.clone(), team.clone(), user.clone());
    let changed = visitor.change(target, move |work, deed| {
        let changed = work.remove_member(&deed.by, &org, &team, &user)?;
        deed.note("revoked_keys", changed.value.revoked_keys);
        Ok(changed)
    });
    let changed = changed.await?;
    let mut shown = show_people::member(&changed.value.membership);
    shown.insert("revoked_keys".to_owned(), json!(changed.value.revoked_keys));
    Ok(applied(&visitor.edge, shown, changed.revision, wait).await)
}

/// Who it is. The admin token is nobody, which the table refuses.
async fn user(visitor: &Visitor) -> Result<(OrgId, UserId), AdminProblem> {
    match visitor.actor() {
        Actor::AdminToken => visitor.read(Target::Me, |_, by| own(by)).await,
        Actor::Person { org, user, .. } => Ok((org.clone(), user.clone())),
    }
}
