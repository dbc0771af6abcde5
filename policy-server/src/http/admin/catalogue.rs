//! `/admin/v1/models`.

use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use wire::ModelName;

use super::{Answer, Body, Id, Pairs, applied, bytes, id, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::edge::Edge;
use crate::http::model_form::model_form;
use crate::http::show;

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/models", get(list))
        .route("/admin/v1/models/{id}", get(one).put(put).delete(retire))
        .route("/admin/v1/models/{id}/retire", post(retire))
}

/// The whole catalogue: its size is bounded where models are added.
async fn list(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let models = edge.read(|work| work.models()).await?;
    let data: Vec<_> = models.iter().map(show::model).collect();
    Ok(Json(json!({"data": data, "next_cursor": null})))
}

async fn one(State(edge): State<Edge>, path: Id) -> Answer {
    let name = id("model", path, ModelName::new)?;
    let model = edge.read(move |work| work.model(&name)).await?;
    Ok(Json(show::model(&model).into()))
}

async fn put(State(edge): State<Edge>, path: Id, pairs: Pairs, body: Body) -> Answer {
    let name = path.map(|path| path.0).unwrap_or_default();
    let name = ModelName::new(name).ok().filter(|name| name.as_str() != "*");
    let Some(name) = name else {
        let message = "must be 1 to 256 visible ASCII characters, and not '*'";
        let problem = FieldProblem::invalid("id", message);
        return Err(AdminError::Invalid(vec![problem]).into());
    };
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let form = model_form(&bytes(body)?)?;
    let changed = edge.write(move |work| work.put_model(name, form)).await?;
    Ok(applied(&edge, show::model(&changed.value), changed.revision, wait).await)
}

async fn retire(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    let name = id("model", path, ModelName::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let changed = edge.write(move |work| work.retire_model(&name)).await?;
    Ok(applied(&edge, show::model(&changed.value), changed.revision, wait).await)
}
