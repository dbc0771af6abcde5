//! What bounds a call of a model, and what it takes: set, shown, kept, told to filters.

use serde_json::{Value, json};
use wire::v1::Catalogue;

use crate::world::World;

fn model(fields: &Value) -> Value {
    let mut body = json!({"context_length": 1_000, "max_output_tokens": 100, "free": true});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn bounds_and_parameters_are_shown_as_they_were_set_and_told_to_filters() {
    let world = World::new();
    let put = json!({
        "image_tokens": 1_445, "audio_tokens": 19_200, "document_tokens": 80_000,
        "max_server_tool_calls": 8,
        "supported_parameters": ["max_tokens", "temperature", "top_k", "stream"],
    });
    let shown = world.admin_ok("PUT", "models/gpt", model(&put)).await;
    let is_shown = |shown: &Value| {
        for (name, value) in put.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{name}");
        }
    };
    is_shown(&shown);
    let world = world.restart();
    is_shown(&world.admin_ok("GET", "models/gpt", Value::Null).await);
    let catalogue: Catalogue = world.filter_ok("GET", "catalogue", &Value::Null).await;
    let told = &catalogue.models[0];
    assert_eq!(
        (told.image_tokens, told.audio_tokens, told.document_tokens, told.max_server_tool_calls),
        (Some(1_445), Some(19_200), Some(80_000), Some(8))
    );
    let names = put["supported_parameters"].as_array().unwrap();
    assert_eq!(told.supported_parameters.as_ref().unwrap(), names);

    // `put` replaces everything; an empty list is not the same as none
    let shown = world.admin_ok("PUT", "models/gpt", model(&json!({}))).await;
    for name in put.as_object().unwrap().keys() {
        assert_eq!(shown[name], Value::Null, "{name}");
    }
    let none = json!({"supported_parameters": []});
    let shown = world.admin_ok("PUT", "models/gpt", model(&none)).await;
    assert_eq!(shown["supported_parameters"], json!([]));
    let catalogue: Catalogue = world.filter_ok("GET", "catalogue", &Value::Null).await;
    assert_eq!(catalogue.models[0].supported_parameters, Some(vec![]));
    assert_eq!(catalogue.models[0].image_tokens, None);
}

#[tokio::test]
async fn what_bounds_nothing_or_is_no_member_is_refused() {
    let world = World::new();
    let many: Vec<_> = std::iter::repeat_n("top_k", 257).collect();
    for (field, wrong, param) in [
        ("image_tokens", json!(0), "image_tokens"),
        ("audio_tokens", json!(1_000_000_001), "audio_tokens"),
        ("document_tokens", json!("9"), "document_tokens"),
        ("max_server_tool_calls", json!(0), "max_server_tool_calls"),
        ("max_server_tool_calls", json!(1_001), "max_server_tool_calls"),
        ("supported_parameters", json!("top_k"), "supported_parameters"),
        ("supported_parameters", json!(["top_k", "temprature"]), "supported_parameters[1]"),
        ("supported_parameters", json!(many), "supported_parameters"),
        ("image_token", json!(7), "image_token"),
    ] {
        let body = model(&json!({field: wrong}));
        let error = world.admin_refused("PUT", "models/x", body, 400).await;
        assert!(error.to_string().contains(&format!("\"{param}\"")), "{field}: {error}");
    }
    world.admin_refused("GET", "models/x", Value::Null, 404).await;
}
