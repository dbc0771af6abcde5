//! Aliases that move from one model to the next.

use serde_json::{Value, json};
use wire::v1::{Catalogue, Change, KeyAnswer, ModelSet};
use wire::{CatalogueVersion, ModelName};

use crate::world::{MODEL, World};

async fn catalogue(world: &World) -> (u64, Vec<(String, Vec<String>)>) {
    let catalogue: Catalogue = world.filter_ok("GET", "catalogue", &Value::Null).await;
    let models = catalogue.models.into_iter().map(|model| {
        let aliases = model.aliases.iter().map(ToString::to_string).collect();
        (model.name.to_string(), aliases)
    });
    (catalogue.version.0, models.collect())
}

fn with(name: &str, aliases: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), aliases.iter().map(|alias| (*alias).to_owned()).collect())
}

#[tokio::test]
async fn an_alias_moves_in_one_version_of_the_catalogue() {
    let world = World::with_org(None).await;
    world.put_model("next", "1.00", "1.00").await;
    let holder = world.holder(1).await;
    let point = async |model: &str| {
        world.admin_ok("PUT", "aliases/fast?wait=0", json!({"model": model})).await
    };
    let shown = point(MODEL).await;
    assert_eq!((&shown["id"], &shown["model"]), (&json!("fast"), &json!(MODEL)));
    assert_eq!(catalogue(&world).await, (3, vec![with(MODEL, &["fast"]), with("next", &[])]));
    let key = world.key(json!({"models": ["fast"]})).await;

    point("next").await;
    assert_eq!(catalogue(&world).await, (4, vec![with(MODEL, &[]), with("next", &["fast"])]));
    assert_eq!(
        world.changes(&holder).await.last(),
        Some(&Change::Catalogue { version: CatalogueVersion(4) })
    );
    // permissions are of concrete models, and stay where they are
    let KeyAnswer::Known(policy) = world.admit(&holder, &key, 0, None).await.key else {
        panic!("unknown")
    };
    assert_eq!(policy.models, ModelSet::Only(vec![ModelName::new(MODEL).unwrap()]));

    point("next").await;
    assert_eq!(catalogue(&world).await.0, 4, "it points there already");
    let world = world.restart();
    assert_eq!(world.admin_ok("GET", "aliases/fast", Value::Null).await["model"], "next");
    world.admin_ok("DELETE", "aliases/fast?wait=0", Value::Null).await;
    assert_eq!(catalogue(&world).await, (5, vec![with(MODEL, &[]), with("next", &[])]));
    world.admin_refused("GET", "aliases/fast", Value::Null, 404).await;
    world.admin_refused("DELETE", "aliases/fast", Value::Null, 404).await;
}

#[tokio::test]
async fn aliases_are_listed_in_pages_and_wrong_ones_are_refused() {
    let world = World::with_org(None).await;
    world.put_model("next", "1.00", "1.00").await;
    world.put_model("old", "1.00", "1.00").await;
    world.admin_ok("POST", "models/old/retire", Value::Null).await;
    for (alias, model) in [("reasoning", "next"), ("fast", MODEL), ("vendor%2Fbest", "next")] {
        world.admin_ok("PUT", &format!("aliases/{alias}"), json!({"model": model})).await;
    }
    let first = world.admin_ok("GET", "aliases?limit=2", Value::Null).await;
    let expected = json!([{"id": "fast", "model": MODEL}, {"id": "reasoning", "model": "next"}]);
    assert_eq!((&first["data"], &first["next_cursor"]), (&expected, &json!("reasoning")));
    let rest = world.admin_ok("GET", "aliases?cursor=reasoning", Value::Null).await;
    assert_eq!(rest["data"], json!([{"id": "vendor/best", "model": "next"}]));

    let before = catalogue(&world).await;
    for (alias, body, status, code) in [
        ("fast", json!({"model": "nope"}), 400, "unknown_model"),
        ("fast", json!({"model": "reasoning"}), 400, "unknown_model"),
        ("fast", json!({}), 400, "invalid_field"),
        ("fast", json!({"model": "next", "more": 1}), 400, "unknown_field"),
        ("*", json!({"model": "next"}), 400, "invalid_field"),
        ("next", json!({"model": MODEL}), 409, "model_name_taken"),
        ("fast", json!({"model": "old"}), 409, "model_removed"),
    ] {
        let error = world.admin_refused("PUT", &format!("aliases/{alias}"), body, status).await;
        assert_eq!(error["code"], code, "{alias}");
    }
    assert_eq!(catalogue(&world).await, before);
    for index in 2..64 {
        let path = format!("aliases/a{index}?wait=0");
        world.admin_ok("PUT", &path, json!({"model": "next"})).await;
    }
    let error = world.admin_refused("PUT", "aliases/one-more", json!({"model": "next"}), 409).await;
    assert_eq!(error["code"], "too_many_aliases");
}
