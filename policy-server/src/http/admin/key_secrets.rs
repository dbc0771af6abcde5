//! `/admin/v1/keys`, where secrets are made: the only answers that ever hold one.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use wire::KeyId;

use super::keys::{Tagged, shown, tagged};
use super::{Body, Id, Pairs, Routes, Visitor, applied, bytes, id, parameters};
use crate::app::{AdminError, Changed, CreatedKey, KeyForm, Target, Work};
use crate::http::conditions::if_match;
use crate::http::edge::Edge;
use crate::http::key_form::{self, imported_key_form, key_form, rotation_form};
use crate::http::operation::Operation;
use crate::http::shapes::{KEY, ROTATED_KEY, SECRET_KEY};
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;
use crate::permissions::Action::KeysWrite;
use crate::permissions::Standing;

pub fn routes(routes: Routes) -> Routes {
    routes
        .post("/admin/v1/keys", KeysWrite, "key.create", create)
        .says(creates("Makes a key; its secret is shown once").takes(key_form::key))
        .post("/admin/v1/keys/import", KeysWrite, "key.import", import)
        .says(
            Operation::new("Takes in a key whose secret was made elsewhere")
                .takes(key_form::imported_key)
                .makes_and_applies(&KEY, Duration::ZERO)
                .or_repeats(&KEY),
        )
        .post("/admin/v1/keys/{id}/rotate", KeysWrite, "key.rotate", rotate)
        .says(rotates("Gives a key a new secret, which is shown once"))
}

/// What makes a key takes beside its fields, and answers.
pub fn creates(summary: &'static str) -> Operation {
    Operation::new(summary).makes_and_applies(&SECRET_KEY, Duration::ZERO).or_repeats(&KEY)
}

/// What gives a key a new secret takes and answers.
pub fn rotates(summary: &'static str) -> Operation {
    Operation::new(summary).may_take(key_form::rotation).applies(&ROTATED_KEY, WAIT_DEFAULT)
}

/// 201 with the secret. Whoever has signed in makes keys of his own organisation where the form names
/// none.
async fn create(visitor: Visitor, pairs: Pairs, body: Body) -> Tagged {
    let mut form = match key_form(&bytes(body)?) {
        Ok(form) => form,
        Err(error) => return visitor.unreadable(error).await,
    };
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let made = visitor.change(place(&visitor, &mut form), move |work, deed| {
        check_place(work, &deed.by, &deed.target, &form)?;
        let made = work.create_key(form)?;
        deed.target = Target::Key(made.value.view.key.id.clone());
        Ok(made)
    });
    created(&visitor.edge, made.await?, wait).await
}

/// As [`create`], of a secret that is known by its digest only.
async fn import(visitor: Visitor, pairs: Pairs, body: Body) -> Tagged {
    let (mut form, secret) = match imported_key_form(&bytes(body)?) {
        Ok(read) => read,
        Err(error) => return visitor.unreadable(error).await,
    };
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let made = visitor.change(place(&visitor, &mut form), move |work, deed| {
        check_place(work, &deed.by, &deed.target, &form)?;
        let made = work.import_key(form, secret)?;
        deed.target = Target::Key(made.value.key.id.clone());
        Ok(made)
    });
    let shown = shown(&visitor.edge, &made.await?, wait).await?;
    Ok((StatusCode::CREATED, shown).into_response())
}

pub async fn rotate(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Tagged {
    let id = id("key", path, KeyId::new)?;
    let grace_ms = rotation_form(&bytes(body)?);
    let seen = if_match(&headers)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let changed = visitor.change(Target::Key(id.clone()), move |work, _| {
        work.expect_key(&id, seen.as_ref())?;
        work.rotate_key(&id, grace_ms?)
    });
    let changed = changed.await?;
    let shown = with_secret(&visitor.edge, &changed, wait).await;
    Ok(tagged(&changed.value.view, shown))
}

/// The answer to a request that makes a key.
pub async fn created(edge: &Edge, made: Changed<CreatedKey>, wait: Duration) -> Tagged {
    let shown = with_secret(edge, &made, wait).await;
    Ok((StatusCode::CREATED, tagged(&made.value.view, shown)).into_response())
}

/// Where a key is to be made; the form gets the organisation that it means.
fn place(visitor: &Visitor, form: &mut KeyForm) -> Target {
    form.org = form.org.take().or_else(|| visitor.org());
    let (team, user) = (form.team.clone().value(), form.user.clone().value());
    match form.org.clone() {
        Some(org) => Target::Place { org, team, user },
        None => Target::Server,
    }
}

fn check_place(
    work: &mut Work<'_>,
    by: &Standing,
    place: &Target,
    form: &KeyForm,
) -> Result<(), AdminError> {
    match place {
        Target::Place { org, team, user } => {
            work.check_names(by, org, team.as_ref(), user.as_ref())?;
            work.permit_terms(by, org, form)
        }
        _ => Ok(()),
    }
}

async fn with_secret(edge: &Edge, changed: &Changed<CreatedKey>, wait: Duration) -> Json<Value> {
    let mut object = show::key(&changed.value.view);
    object.insert("key".to_owned(), json!(changed.value.secret.expose()));
    applied(edge, object, changed.revision, wait).await
}
