//! `/admin/v1/keys`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use wire::{KeyId, OrgId, TeamId, UserId};

use super::{Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, no_fields, parameters};
use crate::app::{AdminError, Changed, KeyListing, KeyOrder, KeyStatus, KeyView, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::conditions::{etag, if_match};
use crate::http::edge::Edge;
use crate::http::key_form::key_form;
use crate::http::query::Parameters;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;
use crate::permissions::Action::{KeysRead, KeysWrite, LedgerRepair};
use crate::permissions::Sight;

const LIST: &str = "/admin/v1/keys";
const ONE: &str = "/admin/v1/keys/{id}";
const RELEASE: &str = "/admin/v1/keys/{id}/release-parked";

/// An answer with a tag.
pub type Tagged = Result<Response, AdminProblem>;

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, KeysRead, list)
        .get("/admin/v1/keys/counts", KeysRead, counts)
        .get(ONE, KeysRead, one)
        .patch(ONE, KeysWrite, "key.change", patch)
        .delete(ONE, KeysWrite, "key.delete", delete)
        .post("/admin/v1/keys/{id}/disable", KeysWrite, "key.disable", disable)
        .post("/admin/v1/keys/{id}/enable", KeysWrite, "key.enable", enable)
        .post("/admin/v1/keys/{id}/revoke", KeysWrite, "key.revoke", revoke)
        .post(RELEASE, LedgerRepair, "key.release_parked", release_parked)
}

/// Which keys a query asks for; what of them is seen is for the caller to say.
pub fn listing(query: &mut Parameters) -> KeyListing {
    const AN_ID: &str = "must be an id";
    let words = KeyStatus::ALL.map(KeyStatus::as_str).join(", ");
    let orders = KeyOrder::ALL.map(KeyOrder::as_str).join(", ");
    KeyListing {
        search: query.text("search"),
        status: query.parsed("status", &format!("must be one of {words}"), KeyStatus::parse),
        org: query.parsed("org", AN_ID, |text| OrgId::new(text).ok()),
        team: query.parsed("team", AN_ID, |text| TeamId::new(text).ok()),
        user: query.parsed("user", AN_ID, |text| UserId::new(text).ok()),
        tag: query.text("tag"),
        sight: Sight::default(),
        order: query
            .parsed("order", &format!("must be one of {orders}"), KeyOrder::parse)
            .unwrap_or_default(),
        cursor: query.text("cursor"),
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

async fn counts(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let org = query.parsed("org", "must be an id", |text| OrgId::new(text).ok());
    query.finish()?;
    let asked = org.clone();
    let counts = visitor.list(asked, move |work, sight| work.key_counts(&sight, org.as_ref()));
    let counts = counts.await?;
    Ok(Json(show::key_counts(&counts)))
}

pub async fn one(visitor: Visitor, path: Id) -> Tagged {
    let id = id("key", path, KeyId::new)?;
    let view = visitor.read(Target::Key(id.clone()), move |work, _| work.key(&id)).await?;
    Ok(tagged(&view, Json(show::key(&view).into())))
}

async fn patch(visitor: Visitor, path: Id, pairs: Pairs, headers: HeaderMap, body: Body) -> Tagged {
    let id = id("key", path, KeyId::new)?;
    let form = key_form(&bytes(body)?);
    let seen = if_match(&headers)?;
    let changes = form.as_ref().is_ok_and(|form| form.changes_permissions());
    let mut query = parameters(pairs)?;
    let wait = query.wait(if changes { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    let changed = visitor.change(Target::Key(id.clone()), move |work, deed| {
        let form = form?;
        work.expect_key(&id, seen.as_ref())?;
        work.permit_move(&deed.by, &id, &form)?;
        work.patch_key(&id, form)
    });
    shown(&visitor.edge, &changed.await?, wait).await
}

pub async fn disable(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    no_fields(body)?;
    end(visitor, path, pairs, &headers, WAIT_DEFAULT, |work, id| work.disable_key(id)).await
}

async fn enable(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    no_fields(body)?;
    end(visitor, path, pairs, &headers, Duration::ZERO, |work, id| work.enable_key(id)).await
}

pub async fn revoke(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    no_fields(body)?;
    end(visitor, path, pairs, &headers, WAIT_DEFAULT, |work, id| work.revoke_key(id)).await
}

pub async fn delete(visitor: Visitor, path: Id, pairs: Pairs, headers: HeaderMap) -> Tagged {
    end(visitor, path, pairs, &headers, WAIT_DEFAULT, |work, id| work.delete_key(id)).await
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
    headers: &HeaderMap,
    default_wait: Duration,
    change: F,
) -> Tagged
where
    F: FnOnce(&mut Work<'_>, &KeyId) -> Result<Changed<KeyView>, AdminError> + Send + 'static,
{
    let id = id("key", path, KeyId::new)?;
    let seen = if_match(headers)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(default_wait);
    query.finish()?;
    let changed = visitor.change(Target::Key(id.clone()), move |work, _| {
        work.expect_key(&id, seen.as_ref())?;
        change(work, &id)
    });
    shown(&visitor.edge, &changed.await?, wait).await
}

/// A changed key, with whether the change is in force everywhere.
pub async fn shown(edge: &Edge, changed: &Changed<KeyView>, wait: Duration) -> Tagged {
    let view = &changed.value;
    Ok(tagged(view, applied(edge, show::key(view), changed.revision, wait).await))
}

/// The answer with the tag of the key's version.
pub fn tagged(view: &KeyView, shown: Json<Value>) -> Response {
    ([(header::ETAG, etag(&view.key.version.to_string()))], shown).into_response()
}
