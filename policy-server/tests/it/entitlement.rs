//! Which models a key may call: catalogue, plan, team, user and key together; access groups; what
//! filters are told and when; and why a model is missing.

use serde_json::{Value, json};
use wire::ModelName;
use wire::v1::{Change, KeyAnswer, KeyPolicy, LeaseAnswer, Level, ModelSet, Refusal};

use crate::world::{Holder, Key, MODEL, World, ask};

fn only(names: &[&str]) -> ModelSet {
    ModelSet::Only(names.iter().map(|name| ModelName::new(*name).unwrap()).collect())
}

async fn policy(world: &World, holder: &Holder, key: &Key) -> KeyPolicy {
    match world.admit(holder, key, 0, None).await.key {
        KeyAnswer::Known(policy) => *policy,
        KeyAnswer::Unknown => panic!("the key is not known"),
    }
}

/// A world with the models a, b, c, d beside its own.
async fn world() -> World {
    let world = World::with_org(None).await;
    for name in ["a", "b", "c", "d"] {
        world.put_model(name, "1.00", "2.00").await;
    }
    world
}

async fn put(world: &World, path: &str, body: Value) -> Value {
    world.admin_ok("PUT", &format!("{path}?wait=0"), body).await
}

async fn patch(world: &World, path: &str, body: Value) -> Value {
    world.admin_ok("PATCH", &format!("{path}?wait=0"), body).await
}

fn restrict(models: &[&str], groups: &[&str]) -> Value {
    json!({"models": {"mode": "restrict", "models": models, "groups": groups}})
}

/// What a key may call, by its page of models, with the reasons for the rest.
async fn reasons(world: &World, key: &Key) -> Vec<(String, Vec<String>)> {
    let path = format!("keys/{}/models", key.id);
    let page = world.admin_ok("GET", &path, Value::Null).await;
    let data = page["data"].as_array().unwrap().iter();
    data.map(|model| {
        let reasons = model["reasons"].as_array().unwrap().iter();
        let reasons: Vec<_> = reasons.map(|why| why.as_str().unwrap().to_owned()).collect();
        assert_eq!(model["allowed"], reasons.is_empty(), "{model}");
        (model["id"].as_str().unwrap().to_owned(), reasons)
    })
    .collect()
}

#[tokio::test]
async fn every_level_takes_away_and_each_says_so() {
    let world = world().await;
    let unpriced = json!({
        "input_usd_per_mtok": null, "output_usd_per_mtok": null,
        "context_length": 10, "max_output_tokens": 5,
    });
    put(&world, "models/u", unpriced).await;
    world.put_model("w", "1.00", "1.00").await;
    world.admin_ok("POST", "models/w/retire", Value::Null).await;
    put(&world, "plans/gold", json!({"models": ["a", "b", "c", "d", "u", "w"]})).await;
    put(&world, "orgs/acme", json!({"plan": "gold"})).await;
    let fields = json!({"team": "search", "user": "ada", "models": ["a", "b", "u", "w"]});
    let key = world.key(fields).await;
    patch(&world, "orgs/acme/teams/search", restrict(&["a", "c", "u"], &[])).await;
    patch(&world, "orgs/acme/users/ada", restrict(&["a", "b", "c"], &[])).await;

    let said = reasons(&world, &key).await;
    let expected = [
        ("a", vec![]),
        ("b", vec!["team"]),
        ("c", vec!["key"]),
        ("d", vec!["team", "user", "key"]),
        (MODEL, vec!["not_in_plan", "team", "user", "key"]),
        ("u", vec!["no_price", "user"]),
        ("w", vec!["removed", "team", "user"]),
    ];
    let expected = expected.map(|(model, why)| {
        (model.to_owned(), why.into_iter().map(str::to_owned).collect::<Vec<_>>())
    });
    assert_eq!(said, expected);
    let holder = world.holder(1).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["a"]));

    put(&world, "orgs/acme", json!({"plan": "gold", "models": ["b", "c"]})).await;
    assert_eq!(reasons(&world, &key).await[0].1, ["not_in_catalogue"]);
    let told = policy(&world, &holder, &key).await;
    assert_eq!((told.models, told.org_has_no_models), (only(&[]), false));
    // nothing is left of catalogue and plan together: the organisation itself has no models
    put(&world, "orgs/acme", json!({"plan": "gold", "models": [MODEL]})).await;
    assert!(policy(&world, &holder, &key).await.org_has_no_models);
}

#[tokio::test]
async fn the_page_of_a_keys_models_is_cut_and_filtered() {
    let world = world().await;
    let key = world.key(json!({"models": ["b", "d"]})).await;
    let get = async |query: &str| {
        let path = format!("keys/{}/models{query}", key.id);
        world.admin_ok("GET", &path, Value::Null).await
    };
    let ids = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&format!("?limit=2{cursor}")).await;
        assert_eq!((&page["plan"], &page["price_multiplier"]), (&Value::Null, &json!("1.00")));
        seen.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["a", "b", "c", "d", MODEL]);
    assert_eq!(ids(&get("?allowed=true").await), ["b", "d"]);
    let page = get("?allowed=false&limit=1&cursor=a").await;
    assert_eq!((ids(&page), &page["next_cursor"]), (vec!["c".to_owned()], &json!("c")));
    for wrong in ["?allowed=maybe", "?limit=0", "?nothing=1"] {
        let path = format!("keys/{}/models{wrong}", key.id);
        world.admin_refused("GET", &path, Value::Null, 400).await;
    }
    world.admin_refused("GET", "keys/key_none/models", Value::Null, 404).await;
}

#[tokio::test]
async fn a_group_counts_for_its_members_of_the_moment() {
    let world = world().await;
    let holder = world.holder(1).await;
    // granted before there is such a group
    let key = world.key(restrict(&["d"], &["small", "nobody"])).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d"]));
    let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
    assert_eq!(shown["models"], restrict(&["d"], &["small", "nobody"])["models"]);

    let group = put(&world, "groups/small", json!({"description": "cheap ones"})).await;
    assert_eq!((&group["models"], &group["description"]), (&json!([]), &json!("cheap ones")));
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d"]));
    let before = world.changes(&holder).await.len();
    let group = patch(&world, "groups/small", json!({"add": ["b", "a", "d"]})).await;
    assert_eq!(group["models"], json!(["a", "b", "d"]));
    assert_eq!(world.changes(&holder).await[before..], [Change::AllKeys], "one message");
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d", "a", "b"]));
    patch(&world, "groups/small", json!({"add": ["c"], "remove": ["a", MODEL]})).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d", "b", "c"]));
    // nothing moved: nobody is told
    let before = world.changes(&holder).await.len();
    patch(&world, "groups/small", json!({"description": "other", "add": ["c"]})).await;
    assert_eq!(world.changes(&holder).await.len(), before);

    let page = world.admin_ok("GET", &format!("keys/{}/models", key.id), Value::Null).await;
    assert_eq!(page["data"][1]["groups"], json!(["small"]));
    let world = world.restart();
    let holder = world.holder(2).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d", "b", "c"]));
    world.admin_ok("DELETE", "groups/small?wait=0", Value::Null).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d"]));
    world.admin_refused("GET", "groups/small", Value::Null, 404).await;
}

#[tokio::test]
async fn groups_are_bounded_named_and_listed_in_pages() {
    let world = world().await;
    for index in 0..100 {
        let id = format!("groups/g{index:02}");
        put(&world, &id, json!({"models": ["a"]})).await;
    }
    let error = world.admin_refused("PUT", "groups/more", json!({"models": ["b", "a"]}), 409).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("too_many_groups"), &json!("models[1]")));
    world.admin_refused("GET", "groups/more", Value::Null, 404).await;
    let page = world.admin_ok("GET", "groups?limit=2&cursor=g41", Value::Null).await;
    assert_eq!((&page["data"][0]["id"], &page["data"][1]["id"]), (&json!("g42"), &json!("g43")));
    assert_eq!(page["next_cursor"], "g43");

    let add = |names: &[&str]| json!({"add": names});
    for (method, path, body, status, code) in [
        ("PUT", "groups/UPPER", json!({}), 400, "invalid_field"),
        ("PUT", "groups/-x", json!({}), 400, "invalid_field"),
        ("PUT", "groups/x", json!({"models": ["nope"]}), 400, "unknown_model"),
        ("PUT", "groups/x", json!({"models": ["*"]}), 400, "invalid_field"),
        ("PUT", "groups/x", json!({"add": ["a"]}), 400, "unknown_field"),
        ("PATCH", "groups/g00", add(&["nope"]), 400, "unknown_model"),
        ("PATCH", "groups/g00", json!({"add": ["b"], "remove": ["b"]}), 400, "invalid_field"),
        ("PATCH", "groups/x", add(&["a"]), 404, "not_found"),
        ("DELETE", "groups/x", Value::Null, 404, "not_found"),
    ] {
        let error = world.admin_refused(method, path, body, status).await;
        assert_eq!(error["code"], code, "{method} {path}");
    }
    let shown = world.admin_ok("GET", "groups/g00", Value::Null).await;
    assert_eq!(shown["models"], json!(["a"]), "nothing was changed by what was refused");
}

#[tokio::test]
async fn groups_can_stand_at_every_level() {
    let world = world().await;
    let holder = world.holder(1).await;
    for (name, models) in [("one", json!(["a", "b", "c"])), ("two", json!(["b", "c", "d"]))] {
        put(&world, &format!("groups/{name}"), json!({"models": models})).await;
    }
    let key = world.key(json!({"team": "t", "user": "u"})).await;
    assert_eq!(policy(&world, &holder, &key).await.models, ModelSet::All);
    put(&world, "orgs/acme", restrict(&["d"], &["one"])).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d", "a", "b", "c"]));
    put(&world, "plans/p", restrict(&[], &["two"])).await;
    let mut org = restrict(&["d"], &["one"]);
    org["plan"] = json!("p");
    assert_eq!(put(&world, "orgs/acme", org.clone()).await["models"], org["models"]);
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["d", "b", "c"]));
    patch(&world, "orgs/acme/teams/t", restrict(&["d"], &["two"])).await;
    patch(&world, "orgs/acme/users/u", restrict(&["c"], &["none-yet"])).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["c"]));
    put(&world, "groups/none-yet", json!({"models": ["b"]})).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["b", "c"]));
}

#[tokio::test]
async fn teams_and_users_inherit_or_restrict() {
    let world = world().await;
    let holder = world.holder(1).await;
    let inherits = json!({"mode": "inherit", "models": [], "groups": []});
    for (kind, id, field) in [("teams", "search", "team"), ("users", "ada", "user")] {
        let path = format!("orgs/acme/{kind}/{id}");
        let key = world.key(json!({field: id})).await;
        let other = world.key(json!({field: "another"})).await;
        let models = format!("{path}/models");
        let shown = world.admin_ok("GET", &models, Value::Null).await;
        assert_eq!(shown, json!({"org": "acme", "id": id, "models": inherits, "limits": []}));

        let restricted = patch(&world, &path, restrict(&["a", "a", "b"], &[])).await;
        assert_eq!(restricted["models"]["models"], json!(["a", "b"]), "each once");
        assert_eq!(policy(&world, &holder, &key).await.models, only(&["a", "b"]));
        assert_eq!(policy(&world, &holder, &other).await.models, ModelSet::All);
        // restricted to nothing
        patch(&world, &path, restrict(&[], &[])).await;
        let told = policy(&world, &holder, &key).await;
        assert_eq!((told.models, told.org_has_no_models), (only(&[]), false));
        let shown = world.admin_ok("GET", &models, Value::Null).await;
        assert_eq!(shown["models"]["mode"], "restrict");
        for inherit in [json!({"models": {"mode": "inherit"}}), json!({"models": null})] {
            patch(&world, &path, restrict(&["a"], &[])).await;
            assert_eq!(patch(&world, &path, inherit).await["models"], inherits);
            assert_eq!(policy(&world, &holder, &key).await.models, ModelSet::All);
        }
    }
    world.admin_refused("PATCH", "orgs/nobody/teams/t", restrict(&[], &[]), 404).await;
    world.admin_refused("GET", "orgs/nobody/users/u/models", Value::Null, 404).await;
}

#[tokio::test]
async fn selections_that_cannot_be_are_refused_by_name() {
    let world = world().await;
    put(&world, "orgs/acme", json!({"models": ["a", "b"]})).await;
    put(&world, "plans/p", json!({"models": ["b", "c"]})).await;
    let with = |mode: &str, models: &[&str], groups: &[&str]| json!({"models": {"mode": mode, "models": models, "groups": groups}});
    let many: Vec<_> = (0..101).map(|index| format!("g{index}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let cases = [
        (with("inherit", &["a"], &[]), "inherit_with_selection", "models.mode"),
        (with("inherit", &[], &["g"]), "inherit_with_selection", "models.mode"),
        (with("restrict", &["a", "d"], &[]), "outside_parent_scope", "models.models[1]"),
        (with("restrict", &["nope"], &[]), "unknown_model", "models.models[0]"),
        (with("restrict", &["*"], &[]), "invalid_field", "models.models[0]"),
        (with("restrict", &[], &["UPPER"]), "invalid_field", "models.groups[0]"),
        (with("restrict", &[], &["ok", "-no"]), "invalid_field", "models.groups[1]"),
        (with("restrict", &[], &many), "invalid_field", "models.groups"),
        (with("sometimes", &[], &[]), "invalid_field", "models.mode"),
        (json!({"models": {"models": []}}), "invalid_field", "models.mode"),
        (json!({"models": {"mode": "inherit", "more": 1}}), "unknown_field", "models.more"),
        (json!({"models": "a"}), "invalid_field", "models"),
    ];
    for (body, code, param) in &cases {
        for path in ["orgs/acme/teams/t", "orgs/acme/users/u"] {
            let error = world.admin_refused("PATCH", path, body.clone(), 400).await;
            assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{body}");
        }
        let mut key = body.clone();
        key["org"] = json!("acme");
        let error = world.admin_refused("POST", "keys", key, 400).await;
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{body}");
    }
    world.admin_refused("PATCH", "orgs/acme/teams/t", json!({}), 400).await;
    // of a team, a plain list is as strict as an object
    let list = json!({"models": ["a", "d"]});
    let error = world.admin_refused("PATCH", "orgs/acme/teams/t", list, 400).await;
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("outside_parent_scope"), &json!("models[1]"))
    );
    let shown = world.admin_ok("GET", "orgs/acme/teams/t/models", Value::Null).await;
    assert_eq!(shown["models"]["mode"], "inherit", "nothing was changed");
    // groups are always allowed, one hundred of them
    patch(&world, "orgs/acme/teams/t", with("restrict", &["a"], &many[..100])).await;

    // what is above a key is where the change puts it
    let key = world.key(json!({"models": {"mode": "restrict", "models": ["a"]}})).await;
    let path = format!("keys/{}", key.id);
    let moved = json!({"team": "t", "plan": "p", "models": {"mode": "restrict", "models": ["b"]}});
    let error = world.admin_refused("PATCH", &path, moved, 400).await;
    assert_eq!(error["code"], "outside_parent_scope");
    assert!(error["message"].as_str().unwrap().ends_with("above: team"), "{error}");
    let planned = json!({"plan": "p", "models": {"mode": "restrict", "models": ["a"]}});
    let error = world.admin_refused("PATCH", &path, planned, 400).await;
    assert!(error["message"].as_str().unwrap().ends_with("above: not_in_plan"), "{error}");
    patch(&world, &path, json!({"plan": "p", "models": {"mode": "restrict", "models": ["b"]}}))
        .await;
    // the list of before keeps what the level above does not allow
    patch(&world, &path, json!({"models": ["d", "b"]})).await;
    let holder = world.holder(1).await;
    assert_eq!(policy(&world, &holder, &key).await.models, only(&["b"]));
}

#[tokio::test]
async fn a_lease_is_granted_for_what_the_key_may_call_now() {
    let world = World::with_org(Some("1.00")).await;
    let holder = world.holder(1).await;
    put(&world, "groups/g", json!({"models": [MODEL]})).await;
    let mut fields = restrict(&[], &["g"]);
    fields["team"] = json!("t");
    let key = world.key(fields).await;
    world.granted(&holder, &key, 1, ask(10)).await;
    let lease = async |n| world.ahead(&holder, &key, n, ask(10), wire::NanoUsd::ZERO).await;
    assert!(matches!(lease(2).await, LeaseAnswer::Granted(_)));
    let refused = LeaseAnswer::Refused(Refusal::KeyNotUsable);
    patch(&world, "orgs/acme/teams/t", restrict(&[], &[])).await;
    assert_eq!(lease(3).await, refused);
    patch(&world, "orgs/acme/teams/t", json!({"models": null})).await;
    assert!(matches!(lease(4).await, LeaseAnswer::Granted(_)));
    patch(&world, "groups/g", json!({"remove": [MODEL]})).await;
    assert_eq!(lease(5).await, refused);
    world.check_ledger();
}

/// Whatever stands above ten thousand keys, a change of it is one line for filters, and the next
/// question about any of the keys is answered by it.
#[tokio::test]
async fn a_change_above_many_keys_is_one_message() {
    let world = world().await;
    let holder = world.holder(1).await;
    put(&world, "plans/p", json!({})).await;
    put(&world, "orgs/acme/plan", json!({"plan": "p"})).await;
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys.push(world.key(json!({"team": "t", "user": "u"})).await);
    }
    let changes: [(&str, &str, Value); 5] = [
        ("PATCH", "orgs/acme/teams/t", restrict(&["a", "b", "c", "d"], &["g"])),
        ("PATCH", "orgs/acme/users/u", restrict(&["a", "b", "c"], &["g"])),
        ("PUT", "plans/p", restrict(&["a", "b"], &["g"])),
        ("PUT", "groups/g", json!({"models": ["d"]})),
        ("PUT", "orgs/acme", json!({"plan": "p", "models": ["b", "d"]})),
    ];
    let below = |level, owner: &str| Change::Below { level, owner: owner.to_owned() };
    let expected = [
        (below(Level::Team, "acme/t"), only(&["a", "b", "c", "d"])),
        (below(Level::User, "acme/u"), only(&["a", "b", "c"])),
        // plans and groups stand above many organisations
        (Change::AllKeys, only(&["a", "b"])),
        (Change::AllKeys, only(&["a", "b", "d"])),
        (below(Level::Org, "acme"), only(&["b", "d"])),
    ];
    let mut heard = world.poll(&holder, holder.revision, 0).await.revision;
    for ((method, path, body), (told, expected)) in changes.into_iter().zip(expected) {
        world.admin_ok(method, &format!("{path}?wait=0"), body).await;
        let reply = world.poll(&holder, heard, 0).await;
        assert_eq!(reply.changes, [told], "{path}");
        heard = reply.revision;
        for key in [&keys[0], &keys[199]] {
            assert_eq!(policy(&world, &holder, key).await.models, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn every_change_stands_in_the_audit_with_before_and_after() {
    let world = world().await;
    let key = world.key(json!({"team": "t"})).await;
    let of_key = format!("keys/{}", key.id);
    put(&world, "groups/g", json!({"models": ["a"]})).await;
    patch(&world, "groups/g", json!({"add": ["b"]})).await;
    put(&world, "plans/p", json!({"models": ["a"], "price_multiplier": "1.5"})).await;
    put(&world, "orgs/acme/plan", json!({"plan": "p"})).await;
    patch(&world, &of_key, json!({"plan": "p"})).await;
    patch(&world, &of_key, restrict(&[], &["g"])).await;
    patch(&world, "orgs/acme/teams/t", restrict(&["a"], &[])).await;
    put(&world, "aliases/fast", json!({"model": "a"})).await;
    put(&world, "aliases/fast", json!({"model": "b"})).await;
    world.admin_ok("DELETE", "aliases/fast?wait=0", Value::Null).await;
    world.admin_ok("DELETE", "groups/g?wait=0", Value::Null).await;
    world.admin_refused("DELETE", "plans/p", Value::Null, 409).await;

    let page = world.admin_ok("GET", "audit?limit=200", Value::Null).await;
    let lines = page["data"].as_array().unwrap().iter().rev();
    let found: Vec<_> = lines
        .skip_while(|line| line["action"] != "group.put")
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            let mut states = [line["before"].clone(), line["after"].clone()];
            for state in states.iter_mut().filter_map(Value::as_object_mut) {
                state.retain(|name, _| ["models", "model", "plan"].contains(&name.as_str()));
            }
            let [before, after] = states;
            let what = [text("action"), text("target"), text("outcome"), text("code")].join(" ");
            (what, before, after)
        })
        .collect();
    let none = || Value::Null;
    let models = |names: &[&str]| json!({"models": names});
    let inherits = json!({"models": {"mode": "inherit", "models": [], "groups": []}});
    let id = key.id.as_str();
    let expected = [
        ("group.put g done -".to_owned(), none(), models(&["a"])),
        ("group.change g done -".to_owned(), models(&["a"]), models(&["a", "b"])),
        ("plan.put p done -".to_owned(), none(), models(&["a"])),
        ("org.plan acme done -".to_owned(), json!({"plan": null}), json!({"plan": "p"})),
        (format!("key.change {id} done -"), json!({"plan": null}), json!({"plan": "p"})),
        (format!("key.change {id} done -"), json!({"models": null}), restrict(&[], &["g"])),
        ("team.models acme/t done -".to_owned(), inherits, restrict(&["a"], &[])),
        ("alias.put fast done -".to_owned(), none(), json!({"model": "a"})),
        ("alias.put fast done -".to_owned(), json!({"model": "a"}), json!({"model": "b"})),
        ("alias.delete fast done -".to_owned(), json!({"model": "b"}), none()),
        ("group.delete g done -".to_owned(), models(&["a", "b"]), none()),
        ("plan.delete p failed plan_in_use".to_owned(), none(), none()),
    ];
    assert_eq!(found, expected);
}
