//! `/admin/v1/models`.

use std::time::Duration;

use axum::Json;
use wire::ModelName;

use super::{
    Answer, Body, Id, Pairs, Parameters, Routes, Visitor, applied, asked, bytes, id, parameters,
};
use crate::app::{AdminError, FieldProblem, Target};
use crate::http::model_form::{self, model_form};
use crate::http::operation::Operation;
use crate::http::shapes::MODEL;
use crate::http::show;
use crate::permissions::Action::{ModelsRead, ModelsWrite};

const LIST: &str = "/admin/v1/models";
const ONE: &str = "/admin/v1/models/{id}";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, ModelsRead, list)
        .says(Operation::new("Lists the catalogue").pages(&MODEL))
        .get(ONE, ModelsRead, one)
        .says(Operation::new("Shows a model").shows(&MODEL))
        .put(ONE, ModelsWrite, "model.put", put)
        .says(
            Operation::new("Makes a model, or replaces what is known of it")
                .takes(model_form::model)
                .applies(&MODEL, Duration::ZERO),
        )
        .delete(ONE, ModelsWrite, "model.retire", retire)
        .says(Operation::new("Withdraws a model").applies(&MODEL, Duration::ZERO))
        .post("/admin/v1/models/{id}/retire", ModelsWrite, "model.retire", retire)
        .says(Operation::new("Withdraws a model").applies(&MODEL, Duration::ZERO))
}

async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    let (after, limit) = asked(pairs, Parameters::page)?;
    let page = visitor.list(None, move |work, _| work.models(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show::model)))
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
