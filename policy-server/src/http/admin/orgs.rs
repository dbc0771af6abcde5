//! `/admin/v1/orgs`.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use wire::OrgId;

use super::{Answer, Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::answer::AdminProblem;
use crate::http::edge::Edge;
use crate::http::org_form::org_form;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/orgs", get(list))
        .route("/admin/v1/orgs/{id}", get(one).put(put).delete(delete))
}

async fn list(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let after = query.text("cursor");
    let limit = query.limit();
    query.finish()?;
    let page = edge.read(move |work| work.orgs(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show::org)))
}

async fn one(State(edge): State<Edge>, path: Id) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let view = edge.read(move |work| work.org(&id)).await?;
    Ok(Json(show::org(&view).into()))
}

async fn put(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = new_id(path)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let form = org_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.put_org(id, form)).await?;
    Ok(applied(&edge, show::org(&changed.value), changed.revision, wait).await)
}

async fn delete(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let changed = edge.write(move |work| work.delete_org(&id)).await?;
    Ok(applied(&edge, show::org(&changed.value), changed.revision, wait).await)
}

/// An id that is being chosen: it must fit paths, headers and commands without quoting.
fn new_id(path: Id) -> Result<OrgId, AdminProblem> {
    let text = path.map(|path| path.0).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match OrgId::new(text) {
        Ok(id) if id.as_str().bytes().all(plain) => Ok(id),
        _ => {
            let message = "must be 1 to 64 letters, digits, '-', '_' or '.'";
            let problem = FieldProblem::invalid("id", message);
            Err(AdminError::Invalid(vec![problem]).into())
        }
    }
}
