//! `/admin/v1/models`.

use std::time::Duration;

use axum::Json;
use serde_json::json;
use wire::ModelName;

use super::{Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, parameters};
use crate::app::{AdminError, FieldProblem, Target};
use crate::http::model_form::model_form;
use crate::http::show;
use crate::permissions::Action::{ModelsRead, ModelsWrite};

const LIST: &str = "/admin/v1/models";
const ONE: &str = "/admin/v1/models/{id}";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, ModelsRead, list)
        .get(ONE, ModelsRead, one)
        .put(ONE, ModelsWrite, "model.put", put)
        .delete(ONE, ModelsWrite, "model.retire", retire)
        .post("/admin/v1/models/{id}/retire", ModelsWrite, "model.retire", retire)
}

/// The whole catalogue: its size is bounded where models are added.
async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let models = visitor.list(None, |work, _| work.models()).await?;
    let data: Vec<_> = models.iter().map(show::model).collect();
    Ok(Json(json!({"data": data, "next_cursor": null})))
}

async fn one(visitor: Visitor, path: Id) -> Answer {
    let name = id("model", path, ModelName::new)?;
    let target = Target::Model(name.clone());
    let model = visitor.one(target, move |work| work.model(&name)).await?;
    Ok(Json(show::model(&model).into()))
}

async fn put(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
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
    let form = model_form(&bytes(body)?);
    let target = Target::Model(name.clone());
    let changed = visitor.change(target, move |work, _| work.put_model(name, form?)).await?;
    Ok(applied(&visitor.edge, show::model(&changed.value), changed.revision, wait).await)
}

async fn retire(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let name = id("model", path, ModelName::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let target = Target::Model(name.clone());
    let changed = visitor.change(target, move |work, _| work.retire_model(&name)).await?;
    Ok(applied(&visitor.edge, show::model(&changed.value), changed.revision, wait).await)
}
