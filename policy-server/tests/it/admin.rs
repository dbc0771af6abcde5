//! The admin API's edge, organisations and models.

use serde_json::{Value, json};

use crate::world::{World, ask, final_report, micro, record, send};

#[tokio::test]
async fn without_the_admin_token_nothing_is_answered() {
    let world = World::new();
    let almost = format!("{}x", world.admin_token);
    for (method, path) in [
        ("GET", "/admin/v1/keys"),
        ("POST", "/admin/v1/keys"),
        ("PUT", "/admin/v1/orgs/acme"),
        ("GET", "/admin/v1/records"),
        ("GET", "/admin/v1/nope"),
    ] {
        for token in [None, Some(""), Some(almost.as_str())] {
            let (status, answer) = send(&world.app.admin, method, path, token, "").await;
            assert_eq!(status.as_u16(), 401, "{method} {path}");
            assert_eq!(answer["error"]["code"], "invalid_admin_token");
            assert_eq!(answer["error"]["type"], "authentication_error");
        }
    }
    assert!(world.admin_token.starts_with("tga_") && world.admin_token.len() == 44);
    let (status, _) = send(&world.app.admin, "GET", "/healthz", None, "").await;
    assert_eq!(status.as_u16(), 200);
}

#[tokio::test]
async fn every_problem_of_a_body_is_named_by_its_path() {
    let world = World::with_org(None).await;
    let body = json!({
        "org": "nowhere!", "name": "n\u{7}", "expires_at": "tomorrow", "surprise": 1,
        "limits": [
            {"unit": "requests", "window": "1m", "max": 5},
            {"unit": "requests", "window": "1m", "max": 0, "extra": true},
            {"unit": "tokens", "max": 5},
            {"unit": "concurrent", "window": "1d", "max": 5},
            {"unit": "tokens", "window": "1d", "max": 5, "scope": "cluster"},
            7,
        ],
        "budget": {"usd": "-1", "period": "fortnight", "other": 1},
        "models": "gpt", "default_max_output_tokens": 0, "cut_calls": "never",
        "allowed_ips": ["10.0.0.1/8"],
    });
    let error = world.admin_refused("POST", "keys", body, 400).await;
    let problems = error["problems"].as_array().unwrap();
    let mut named: Vec<_> = problems
        .iter()
        .map(|p| (p["param"].as_str().unwrap(), p["code"].as_str().unwrap()))
        .collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            ("allowed_ips", "invalid_field"),
            ("budget.other", "unknown_field"),
            ("budget.period", "invalid_field"),
            ("budget.usd", "invalid_field"),
            ("cut_calls", "invalid_field"),
            ("default_max_output_tokens", "invalid_field"),
            ("expires_at", "invalid_field"),
            ("limits[1].extra", "unknown_field"),
            ("limits[1].max", "invalid_field"),
            ("limits[2].window", "invalid_field"),
            ("limits[3].window", "invalid_field"),
            ("limits[4].scope", "unsupported_scope"),
            ("limits[5]", "invalid_field"),
            ("models", "invalid_field"),
            ("name", "invalid_field"),
            ("surprise", "unknown_field"),
        ]
    );
    assert_eq!(error["type"], "invalid_request_error");
    for body in ["", "[]", "{", "\"x\"", "{\"org\":\"acme\"} trailing"] {
        let token = Some(world.admin_token.as_str());
        let (status, answer) = send(&world.app.admin, "POST", "/admin/v1/keys", token, body).await;
        assert_eq!(status.as_u16(), 400, "{body}");
        assert_eq!(answer["error"]["code"], "invalid_json", "{body}");
    }
    let large = "x".repeat(1024 * 1024 + 1);
    let token = Some(world.admin_token.as_str());
    let (status, answer) = send(&world.app.admin, "POST", "/admin/v1/keys", token, large).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (413, &json!("body_too_large")));
}

#[tokio::test]
async fn unknown_things_and_parameters_are_refused() {
    let world = World::with_org(None).await;
    for (method, path) in [
        ("GET", "keys/key_nope"),
        ("PATCH", "keys/key_nope"),
        ("DELETE", "keys/key_nope"),
        ("POST", "keys/key_nope/rotate"),
        ("POST", "keys/key_nope/revoke"),
        ("POST", "keys/key_nope/enable"),
        ("GET", "orgs/nope"),
        ("DELETE", "orgs/nope"),
        ("GET", "models/nope"),
        ("POST", "models/nope/retire"),
        ("GET", "budgets?key=nope"),
        ("GET", "budgets?org=nope"),
        ("GET", "keys/a%20b"),
    ] {
        let body = if method == "PATCH" { json!({}) } else { Value::Null };
        let error = world.admin_refused(method, path, body, 404).await;
        assert_eq!(error["code"], "not_found", "{method} {path}");
    }
    for path in [
        "keys?limit=0",
        "keys?limit=201",
        "keys?limit=x",
        "keys?status=asleep",
        "keys?cursor=abc",
        "keys?tag=a%C2%84",
        "orgs?cursor=a%00",
        "keys?limit=%2B5",
        "keys?status=",
        "keys?limit=",
        "keys?limit=1&limit=2",
        "orgs?sort=up",
        "budgets",
        "budgets?key=a&org=b",
        "models?limit=0",
        "status?x=1",
    ] {
        world.admin_refused("GET", path, Value::Null, 400).await;
    }
    world.admin_refused("PUT", "orgs/acme?wait=30001", json!({}), 400).await;
    world.admin_refused("GET", "nope", Value::Null, 404).await;
    world.admin_refused("PATCH", "orgs", Value::Null, 405).await;
}

#[tokio::test]
async fn the_catalogue_is_listed_in_pages_in_the_order_of_names() {
    let world = World::new();
    for number in [3, 1, 4, 2, 5] {
        world.put_model(&format!("model-{number}"), "1", "1").await;
    }
    let (mut path, mut seen) = ("models?limit=2".to_owned(), Vec::new());
    loop {
        let page = world.admin_ok("GET", &path, Value::Null).await;
        let names = page["data"].as_array().unwrap().iter();
        seen.push(names.map(|model| model["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("models?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [vec!["model-1", "model-2"], vec!["model-3", "model-4"], vec!["model-5"]]);
}

#[tokio::test]
async fn organisations_are_put_shown_listed_and_deleted_when_empty() {
    let world = World::with_org(None).await;
    let body = json!({"name": "Beta", "models": ["gpt-4o-mini"],
                      "budget": {"usd": "5", "period": "day"}});
    let put = world.admin_ok("PUT", "orgs/beta", body.clone()).await;
    assert_eq!(put["applied"], true);
    assert_eq!(put["budget"], json!({"usd": "5.00", "period": "day"}));
    let shown = world.admin_ok("GET", "orgs/beta", Value::Null).await;
    assert_eq!((&shown["name"], &shown["models"]), (&body["name"], &body["models"]));
    assert_eq!(shown["spend"]["period_start"], "2026-11-20T00:00:00Z");
    assert_eq!(shown["spend"]["period_end"], "2026-11-21T00:00:00Z");
    // put replaces everything; no budget and no list is no restriction
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let shown = world.admin_ok("GET", "orgs/beta", Value::Null).await;
    assert_eq!((&shown["name"], &shown["models"]), (&json!("beta"), &json!(["*"])));
    assert_eq!(shown["budget"], Value::Null);
    let error = world.admin_refused("PUT", "orgs/beta", json!({"models": ["nope"]}), 400).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("unknown_model"), &json!("models[0]")));
    world.admin_refused("PUT", "orgs/be%20ta", json!({}), 400).await;
    let page = world.admin_ok("GET", "orgs?limit=1", Value::Null).await;
    assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&json!("acme"), &json!("acme")));
    let page = world.admin_ok("GET", "orgs?limit=1&cursor=acme", Value::Null).await;
    assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&json!("beta"), &Value::Null));

    let key = world.admin_ok("POST", "keys", json!({"org": "beta"})).await;
    let error = world.admin_refused("DELETE", "orgs/beta", Value::Null, 409).await;
    assert_eq!(error["code"], "org_not_empty");
    let path = format!("keys/{}", key["id"].as_str().unwrap());
    world.admin_ok("DELETE", &path, Value::Null).await;
    world.admin_ok("DELETE", "orgs/beta", Value::Null).await;
    world.admin_refused("GET", "orgs/beta", Value::Null, 404).await;
    // the deleted key is still found
    assert_eq!(world.admin_ok("GET", &path, Value::Null).await["org"], "beta");
}

#[tokio::test]
async fn models_need_a_price_or_a_word_and_names_of_their_own() {
    let world = World::new();
    let model = |fields: Value| {
        let mut body = json!({"context_length": 100, "max_output_tokens": 10});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let priced = json!({"input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.60",
                        "cached_input_usd_per_mtok": "0.075", "aliases": ["fast"]});
    let shown = world.admin_ok("PUT", "models/one", model(priced.clone())).await;
    for (name, value) in priced.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!((&shown["input_overhead_tokens"], &shown["free"]), (&json!(64), &json!(false)));
    let free = world.admin_ok("PUT", "models/two", model(json!({"free": true}))).await;
    assert_eq!((&free["free"], &free["input_usd_per_mtok"]), (&json!(true), &json!("0.00")));
    for (fields, param) in [
        (json!({}), "input_usd_per_mtok"),
        (json!({"input_usd_per_mtok": "1"}), "output_usd_per_mtok"),
        (json!({"input_usd_per_mtok": null, "output_usd_per_mtok": "1"}), "input_usd_per_mtok"),
        (json!({"free": true, "input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}), "free"),
        (json!({"free": true, "cached_input_usd_per_mtok": "1"}), "free"),
        (json!({"free": "yes"}), "free"),
        (json!({"input_usd_per_mtok": 1, "output_usd_per_mtok": "1"}), "input_usd_per_mtok"),
        (
            json!({"input_usd_per_mtok": "0.0000001", "output_usd_per_mtok": "1"}),
            "input_usd_per_mtok",
        ),
        (json!({"free": true, "context_length": 0}), "context_length"),
        (json!({"free": true, "max_output_tokens": null}), "max_output_tokens"),
        (json!({"free": true, "aliases": ["a b"]}), "aliases[0]"),
    ] {
        let error = world.admin_refused("PUT", "models/x", model(fields.clone()), 400).await;
        assert_eq!(error["param"], param, "{fields}: {error}");
    }
    for (name, aliases) in [
        ("fast", json!([])),
        ("three", json!(["fast"])),
        ("three", json!(["two"])),
        ("three", json!(["three"])),
        ("three", json!(["x", "x"])),
    ] {
        let body = model(json!({"free": true, "aliases": aliases}));
        let error = world.admin_refused("PUT", &format!("models/{name}"), body, 409).await;
        assert_eq!(error["code"], "model_name_taken", "{name}");
    }
    world.admin_refused("PUT", "models/*", model(json!({"free": true})), 400).await;
    // its own names may be put again, and a retired one comes back
    world.admin_ok("POST", "models/one/retire", Value::Null).await;
    assert_eq!(world.admin_ok("GET", "models/one", Value::Null).await["retired"], true);
    world.admin_ok("PUT", "models/one", model(priced)).await;
    let list = world.admin_ok("GET", "models", Value::Null).await;
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(list["data"][0]["retired"], false);
}

#[tokio::test]
async fn a_list_keeps_the_model_that_an_alias_meant_when_it_was_written() {
    let world = World::with_org(None).await;
    let with_alias = |aliases: Value| {
        json!({
            "free": true, "context_length": 9, "max_output_tokens": 9,
            "aliases": aliases,
        })
    };
    world.admin_ok("PUT", "models/old", with_alias(json!(["fast"]))).await;
    let body = json!({"org": "acme", "models": ["fast", "old"]});
    let key = world.admin_ok("POST", "keys", body).await;
    assert_eq!(key["models"], json!(["old"]));
    world.admin_ok("PUT", "models/old", with_alias(json!([]))).await;
    world.admin_ok("PUT", "models/new", with_alias(json!(["fast"]))).await;
    let path = format!("keys/{}", key["id"].as_str().unwrap());
    assert_eq!(world.admin_ok("GET", &path, Value::Null).await["models"], json!(["old"]));
    for models in [json!(["*", "old"]), json!(["nope"]), json!([""]), json!([1])] {
        world.admin_refused("PATCH", &path, json!({"models": models}), 400).await;
    }
}

#[tokio::test]
async fn records_are_found_by_key_organisation_and_request() {
    let world = World::with_org(Some("1.00")).await;
    let (one, two) = (world.key(json!({})).await, world.key(json!({})).await);
    let holder = world.holder(1).await;
    for n in 1..=5 {
        let key = if n == 3 { &two } else { &one };
        let lease = world.granted(&holder, key, n, ask(100)).await.lease;
        let call = record(key, Some(lease.clone()), n, n);
        let reply =
            world.report(&holder, vec![final_report(&lease, micro(2 * n))], vec![call]).await;
        assert_eq!(reply.differing, [] as [u64; 0]);
    }
    let sequences = async |query: &str| {
        let page = world.admin_ok("GET", &format!("records?{query}"), Value::Null).await;
        let found = page["data"].as_array().unwrap().iter();
        let found: Vec<_> = found.map(|record| record["sequence"].as_u64().unwrap()).collect();
        (found, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(sequences("org=acme").await.0, [5, 4, 3, 2, 1]);
    assert_eq!(sequences(&format!("key={}", one.id)).await.0, [5, 4, 2, 1]);
    assert_eq!(sequences("request=req-3").await.0, [3]);
    assert_eq!(sequences("org=beta").await.0, [] as [u64; 0]);
    assert_eq!(sequences("model=nope").await.0, [] as [u64; 0]);
    let (first, cursor) = sequences("limit=2").await;
    assert_eq!(first, [5, 4]);
    let (second, cursor) = sequences(&format!("limit=2&cursor={}", cursor.unwrap())).await;
    assert_eq!(second, [3, 2]);
    let (third, cursor) = sequences(&format!("limit=2&cursor={}", cursor.unwrap())).await;
    assert_eq!((third, cursor), (vec![1], None));
    let shown = world.admin_ok("GET", "records?request=req-3", Value::Null).await;
    let shown = &shown["data"][0];
    assert_eq!(shown["cost_usd"], "0.000006");
    assert_eq!(shown["usage"]["output_tokens"], 3);
    assert_eq!((&shown["org"], &shown["basis"]), (&json!("acme"), &json!("measured")));
}
