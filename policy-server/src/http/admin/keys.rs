//! `/admin/v1/keys`.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use wire::{KeyId, OrgId};

use super::{Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, no_fields, parameters};
use crate::app::{Changed, CreatedKey, KeyListing, KeyStatus, KeyView, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::edge::Edge;
use crate::http::key_form::key_form;
use crate::http::query::Parameters;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;
use crate::permissions::Action::{KeysRead, KeysWrite, LedgerRepair};

const LIST: &str = "/admin/v1/keys";
const ONE: &str = "/admin/v1/keys/{id}";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, KeysRead, list)
        .post(LIST, KeysWrite, "key.create", create)
        .get(ONE, KeysRead, one)
        .patch(ONE, KeysWrite, "key.change", patch)
        .delete(ONE, KeysWrite, "key.delete", delete)
        .post("/admin/v1/keys/{id}/rotate", KeysWrite, "key.rotate", rotate)
        .post("/admin/v1/keys/{id}/disable", KeysWrite, "key.disable", disable)
        .post("/admin/v1/keys/{id}/enable", KeysWrite, "key.enable", enable)
        .post("/admin/v1/keys/{id}/revoke", KeysWrite, "key.revoke", revoke)
        .post(
            "/admin/v1/keys/{id}/release-parked",
            LedgerRepair,
            "key.release_parked",
            release_parked,
        )
}

/// Which keys a query asks for; what of them is seen is for the caller to say.
pub fn listing(query: &mut Parameters) -> KeyListing {
    let words = KeyStatus::ALL.map(KeyStatus::as_str).join(", ");
    KeyListing {
        search: query.text("search"),
        status: query.parsed("status", &format!("must be one of {words}"), |text| {
            let mut all = KeyStatus::ALL.into_iter();
            all.find(|status| status.as_str() == text)
        }),
        org: query.parsed("org", "must be an id", |text| OrgId::new(text).ok()),
        sight: Default::default(),
        before: query.position(),
        limit: query.limit(),
    }
}

async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let listing = listing(&mut query);
    query.finish()?;
    let asked = listing.org.clone();
    let page = visitor.list(asked, move |work, sight| work.keys(KeyListing { sight, ..listing }));
    Ok(Json(show::page(&page.await?, show::key)))
}

/// Whoever has signed in makes keys of his own organisation where the form names none.
async fn create(visitor: Visitor, pairs: Pairs, body: Body) -> Result<Response, AdminProblem> {
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let mut form = key_form(&bytes(body)?)?;
    form.org = form.org.or_else(|| visitor.org());
    let (team, user) = (form.team.clone().value(), form.user.clone().value());
    let target = match form.org.clone() {
        Some(org) => Target::Place { org, team, user },
        None => Target::Server,
    };
    let created = visitor.change(target, move |work, deed| {
        if let Target::Place { org, team, user } = &deed.target {
            work.check_names(&deed.by, org, team.as_ref(), user.as_ref())?;
        }
        let created = work.create_key(form)?;
        deed.target = Target::Key(created.value.view.key.id.clone());
        Ok(created)
    });
    let shown = with_secret(&visitor.edge, created.await?, wait).await;
    Ok((StatusCode::CREATED, shown).into_response())
}

async fn one(visitor: Visitor, path: Id) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let view = visitor.read(Target::Key(id.clone()), move |work, _| work.key(&id)).await?;
    Ok(Json(show::key(&view).into()))
}

async fn patch(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let form = key_form(&bytes(body)?);
    let changes = form.as_ref().is_ok_and(|form| form.changes_permissions());
    let mut query = parameters(pairs)?;
    let wait = query.wait(if changes { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    let changed = visitor.change(Target::Key(id.clone()), move |work, deed| {
        let form = form?;
        work.permit_move(&deed.by, &id, &form)?;
        work.patch_key(&id, form)
    });
    let changed = changed.await?;
    Ok(applied(&visitor.edge, show::key(&changed.value), changed.revision, wait).await)
}

pub async fn rotate(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    no_fields(body)?;
    let target = Target::Key(id.clone());
    let changed = visitor.change(target, move |work, _| work.rotate_key(&id)).await?;
    Ok(with_secret(&visitor.edge, changed, wait).await)
}

pub async fn disable(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    no_fields(body)?;
    end(visitor, path, pairs, WAIT_DEFAULT, |work, id| work.disable_key(id)).await
}

async fn enable(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    no_fields(body)?;
    end(visitor, path, pairs, Duration::ZERO, |work, id| work.enable_key(id)).await
}

pub async fn revoke(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    no_fields(body)?;
    end(visitor, path, pairs, WAIT_DEFAULT, |work, id| work.revoke_key(id)).await
}

pub async fn delete(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    end(visitor, path, pairs, WAIT_DEFAULT, |work, id| work.delete_key(id)).await
}

/// Released money is room at once; no filter holds anything that it would have to forget.
async fn release_parked(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("key", path, KeyId::new)?;
    parameters(pairs)?.finish()?;
    no_fields(body)?;
    let released = visitor.change(Target::Key(id.clone()), move |work, deed| {
        work.release_parked(&id, &deed.actor.name())
    });
    let released = released.await?;
    Ok(Json(json!({
        "released_shares": released.shares,
        "released_usd": released.amount.to_usd(),
        "more": released.more,
    })))
}

async fn end<F>(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    default_wait: Duration,
    change: F,
) -> Answer
where
    F: FnOnce(&mut Work<'_>, &KeyId) -> Result<Changed<KeyView>, crate::app::AdminError>
        + Send
        + 'static,
{
    let id = id("key", path, KeyId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(default_wait);
    query.finish()?;
    let target = Target::Key(id.clone());
    let changed = visitor.change(target, move |work, _| change(work, &id)).await?;
    Ok(applied(&visitor.edge, show::key(&changed.value), changed.revision, wait).await)
}

/// The object with its secret: the only answers that ever hold one.
pub async fn with_secret(
    edge: &Edge,
    changed: Changed<CreatedKey>,
    wait: Duration,
) -> Json<serde_json::Value> {
    let mut object = show::key(&changed.value.view);
    object.insert("key".to_owned(), json!(changed.value.secret.expose()));
    applied(edge, object, changed.revision, wait).await
}
