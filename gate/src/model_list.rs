//! `GET /v1/models` and `GET /v1/models/{model}`, answered for the key. They count in no window.

use serde_json::{Value, json};
use wire::v1::{KeyPolicy, Model};

use crate::catalogue::Models;
use crate::io::Reply;
use crate::refusal::Refusal;

/// The list of what the key may call; empty when its own set is empty.
pub(crate) fn list(models: &Models, key: &KeyPolicy, request_id: &str) -> Result<Reply, Refusal> {
    if key.org_has_no_models {
        return Err(Refusal::NoModels);
    }
    let data: Vec<Value> = models.visible(&key.models).map(shown).collect();
    Ok(ok(&json!({"object": "list", "data": data}), request_id))
}

/// One model by name or alias, if the key may call it.
pub(crate) fn one(
    models: &Models,
    key: &KeyPolicy,
    name: &str,
    request_id: &str,
) -> Result<Reply, Refusal> {
    if key.org_has_no_models {
        return Err(Refusal::NoModels);
    }
    let found = models
        .find(name)
        .filter(|model| models.visible(&key.models).any(|visible| visible.name == model.name));
    // One that the key may not see is, to the key, not there.
    let model = found.ok_or_else(|| Refusal::NoSuchModel(name.to_owned()))?;
    Ok(ok(&shown(model), request_id))
}

fn shown(model: &Model) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.created_unix_s,
        "owned_by": "tollgate",
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "aliases": model.aliases,
    })
}

fn ok(body: &Value, request_id: &str) -> Reply {
    Reply {
        status: 200,
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-tollgate-request-id", request_id.to_owned()),
            ("x-request-id", request_id.to_owned()),
        ],
        body: body.to_string().into_bytes(),
    }
}
