//! `/admin/v1/keys`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use wire::{KeyId, OrgId, TeamId, UserId};

use super::{
    Answer, Body, Id, Pairs, Routes, Visitor, applied, asked, bytes, id, in_force, no_fields,
    only_wait, parameters,
};
use crate::app::{AdminError, Changed, KeyListing, KeyOrder, KeyStatus, KeyView, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::conditions::{etag, if_match};
use crate::http::edge::Edge;
use crate::http::key_form::{self, key_form};
use crate::http::operation::Operation;
use crate::http::query::Parameters;
use crate::http::shapes::{KEY, KEY_COUNTS, RELEASED};
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
        .says(Operation::new("Lists keys").asks(listing).lists(&KEY))
        .get("/admin/v1/keys/counts", KeysRead, counts)
        .says(Operation::new("Counts keys by their status").asks(counted).shows(&KEY_COUNTS))
        .get(ONE, KeysRead, one)
        .says(Operation::new("Shows a key").shows(&KEY).tagged())
        .patch(ONE, KeysWrite, "key.change", patch)
        .says(Operation::new("Changes a key").takes(key_form::key).applies(&KEY, WAIT_DEFAULT))
        .delete(ONE, KeysWrite, "key.delete", delete)
        .says(ends("Deletes a key; its history stays"))
        .post("/admin/v1/keys/{id}/disable", KeysWrite, "key.disable", disable)
        .says(ends("Switches a key off"))
        .post("/admin/v1/keys/{id}/enable", KeysWrite, "key.enable", enable)
        .says(Operation::new("Switches a key on").applies(&KEY, Duration::ZERO))
        .post("/admin/v1/keys/{id}/revoke", KeysWrite, "key.revoke", revoke)
        .says(ends("Revokes a key for good"))
        .post(RELEASE, LedgerRepair, "key.release_parked", release_parked)
        .says(
            Operation::new("Releases the parked money of a key").applies(&RELEASED, Duration::ZERO),
        )
}

/// What ends a key takes and answers.
pub fn ends(summary: &'static str) -> Operation {
    Operation::new(summary).applies(&KEY, WAIT_DEFAULT)
}

/// Which keys a query asks for; what of them is seen is for the caller to say.
pub fn listing(query: &mut Parameters) -> KeyListing {
    KeyListing {
        search: query.text("search"),
        status: query.word("status", &KeyStatus::ALL, KeyStatus::as_str),
        org: query.id("org", OrgId::LONGEST, OrgId::new),
        team: query.id("team", TeamId::LONGEST, TeamId::new),
        user: query.id("user", UserId::LONGEST, UserId::new),
        tag: query.text("tag"),
        sight: Sight::default(),
        order: query.word("order", &KeyOrder::ALL, KeyOrder::as_str).unwrap_or_default(),
        cursor: query.text("cursor"),
        limit: query.limit(),
    }
}

/// Of which organisation keys are counted.
fn counted(query: &mut Parameters) -> Option<OrgId> {
    query.id("org", OrgId::LONGEST, OrgId::new)
}

async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    let listing = asked(pairs, listing)?;
    let org = listing.org.clone();
    let page = visitor.list(org, move |work, sight| work.keys(KeyListing { sight, ..listing }));
    Ok(Json(show::page(&page.await?, show::key)))
}

async fn counts(visitor: Visitor, pairs: Pairs) -> Answer {
    let org = asked(pairs, counted)?;
    let of = org.clone();
    let counts = visitor.list(of, move |work, sight| work.key_counts(&sight, org.as_ref()));
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
async fn release_parked(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let seen = if_match(&headers)?;
    let wait = only_wait(pairs, Duration::ZERO)?;
    no_fields(body)?;
    let released = visitor.change(Target::Key(id.clone()), move |work, deed| {
        work.expect_key(&id, seen.as_ref())?;
        work.release_parked(&id, &deed.actor.name())
    });
    let released = released.await?;
    let mut shown = Map::new();
    shown.insert("released_shares".to_owned(), json!(released.shares));
    shown.insert("released_usd".to_owned(), json!(released.amount.to_usd()));
    shown.insert("more".to_owned(), json!(released.more));
    Ok(in_force(&visitor.edge, shown, wait).await)
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
