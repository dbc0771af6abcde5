//! Lists of keys: filters, orders, pages and counts.

use serde_json::{Value, json};

use crate::world::{Key, World, record};

async fn names(world: &World, query: &str) -> Vec<String> {
    let page = world.admin_ok("GET", &format!("keys?{query}"), Value::Null).await;
    let names = page["data"].as_array().unwrap().iter();
    names.map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

/// Every name of a list, two at a time.
async fn pages(world: &World, query: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("keys?{query}&limit=2{cursor}");
        let page = world.admin_ok("GET", &path, Value::Null).await;
        let keys = page["data"].as_array().unwrap();
        assert!((1..=2).contains(&keys.len()) || all.is_empty(), "an empty page: {query}");
        all.extend(keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Keys of two organisations in every state; the fields that lists are filtered by differ.
async fn some_keys(world: &World) -> Vec<Key> {
    world.admin_ok("PUT", "orgs/other", json!({})).await;
    let mut keys = Vec::new();
    for (name, fields) in [
        ("Delta", json!({"team": "search", "user": "ada", "tags": ["prod", "eu"]})),
        ("alpha", json!({"team": "search", "tags": ["prod"], "expires_in": "90d"})),
        ("Beta", json!({"team": "ads", "user": "ada", "expires_in": "30d"})),
        ("gamma", json!({"team": "search", "user": "bob", "tags": ["eu"]})),
        (
            "epsilon",
            json!({"team": "search", "tags": ["prod"], "expires_at": "2026-11-20T12:00:10Z"}),
        ),
        ("zeta", json!({"org": "other", "team": "search", "user": "ada", "tags": ["prod"]})),
        ("gone", json!({"team": "search", "user": "ada", "tags": ["prod"]})),
    ] {
        let mut fields = fields;
        fields["name"] = json!(name);
        keys.push(world.key(fields).await);
    }
    for (index, action) in [(2, "disable"), (3, "revoke")] {
        let path = format!("keys/{}/{action}?wait=0", keys[index].id);
        world.admin_ok("POST", &path, Value::Null).await;
    }
    world.admin_ok("DELETE", &format!("keys/{}?wait=0", keys[6].id), Value::Null).await;
    world.clock.advance_ms(10_000);
    keys
}

#[tokio::test]
async fn filters_narrow_a_list_together() {
    let world = World::with_org(None).await;
    some_keys(&world).await;
    for swept in [false, true] {
        if swept {
            world.pass(1_000).await;
        }
        for (query, expected) in [
            ("", &["zeta", "epsilon", "gamma", "Beta", "alpha", "Delta"][..]),
            ("team=search", &["zeta", "epsilon", "gamma", "alpha", "Delta"]),
            ("team=search&org=acme", &["epsilon", "gamma", "alpha", "Delta"]),
            ("user=ada", &["zeta", "Beta", "Delta"]),
            ("user=ada&org=acme", &["Beta", "Delta"]),
            ("user=ada&team=search", &["zeta", "Delta"]),
            ("tag=prod", &["zeta", "epsilon", "alpha", "Delta"]),
            ("tag=prod&org=acme", &["epsilon", "alpha", "Delta"]),
            ("tag=prod&user=ada&team=search&org=other", &["zeta"]),
            ("tag=prod&status=active", &["zeta", "alpha", "Delta"]),
            ("tag=prod&status=expired", &["epsilon"]),
            ("tag=prod&status=deleted", &["gone"]),
            ("team=search&status=revoked", &["gamma"]),
            ("team=search&status=expired", &["epsilon"]),
            ("status=expired", &["epsilon"]),
            ("status=expired&org=acme", &["epsilon"]),
            ("status=expired&org=other", &[]),
            ("status=expired&search=EPS", &["epsilon"]),
            ("status=active&org=acme", &["alpha", "Delta"]),
            ("status=disabled&org=acme", &["Beta"]),
            ("status=deleted&org=acme", &["gone"]),
            ("search=prod", &["zeta", "epsilon", "alpha", "Delta"]),
            ("search=prod&org=other", &["zeta"]),
            ("search=a&status=disabled", &["Beta"]),
            ("search=search&user=bob", &["gamma"]),
            ("search=ta&tag=eu", &["Delta"]),
            ("search=no%20such", &[]),
            ("tag=PROD", &[]),
            ("tag=pro", &[]),
            ("order=oldest", &["Delta", "alpha", "Beta", "gamma", "epsilon", "zeta"]),
            ("order=oldest&search=et", &["Beta", "zeta"]),
        ] {
            assert_eq!(names(&world, query).await, expected, "{query}, swept: {swept}");
            assert_eq!(pages(&world, query).await, expected, "{query}, swept: {swept}");
        }
    }
}

#[tokio::test]
async fn every_order_is_walked_page_by_page() {
    let world = World::with_org(None).await;
    let keys = some_keys(&world).await;
    let holder = world.holder(1).await;
    let call = |index: usize, sequence, tokens, started| {
        let call = record(&keys[index], None, sequence, tokens);
        wire::v1::CallRecord { started_unix_ms: call.started_unix_ms + started, ..call }
    };
    let calls = vec![call(0, 1, 10, 3_000), call(3, 2, 30, 1_000), call(4, 3, 20, 2_000)];
    world.report(&holder, vec![], calls).await;
    for (query, expected) in [
        ("org=acme&order=newest", &["epsilon", "gamma", "Beta", "alpha", "Delta"][..]),
        ("org=acme&order=oldest", &["Delta", "alpha", "Beta", "gamma", "epsilon"]),
        ("org=acme&order=name", &["alpha", "Beta", "Delta", "epsilon", "gamma"]),
        // those that never expire come last
        ("org=acme&order=expires", &["epsilon", "Beta", "alpha", "Delta", "gamma"]),
        ("org=acme&order=last_used", &["Delta", "epsilon", "gamma", "Beta", "alpha"]),
        ("org=acme&order=spend", &["gamma", "epsilon", "Delta", "Beta", "alpha"]),
        ("org=acme&order=name&team=search", &["alpha", "Delta", "epsilon", "gamma"]),
        ("org=acme&order=spend&tag=prod", &["epsilon", "Delta", "alpha"]),
        ("org=acme&order=name&status=active", &["alpha", "Delta"]),
        ("org=acme&order=name&status=expired", &["epsilon"]),
    ] {
        assert_eq!(names(&world, query).await, expected, "{query}");
        assert_eq!(pages(&world, query).await, expected, "{query}");
    }
    for query in
        ["order=name", "order=spend&org=acme&search=a", "order=expires&org=acme&status=deleted"]
    {
        let error = world.admin_refused("GET", &format!("keys?{query}"), Value::Null, 400).await;
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!("unsupported_order"), &json!("order"))
        );
    }
    for query in [
        "order=sideways",
        "org=acme&order=name&cursor=7",
        "org=acme&order=name&cursor=7.xy",
        "org=acme&order=spend&cursor=7.616c",
        "org=acme&cursor=7.1",
        "cursor=-",
        "team=a%20b",
    ] {
        world.admin_refused("GET", &format!("keys?{query}"), Value::Null, 400).await;
    }
}

#[tokio::test]
async fn keys_of_one_name_are_all_listed() {
    let world = World::with_org(None).await;
    for _ in 0..5 {
        world.key(json!({"name": "same"})).await;
    }
    assert_eq!(pages(&world, "org=acme&order=name").await, ["same"; 5]);
    assert_eq!(pages(&world, "org=acme&order=spend").await, ["same"; 5]);
}

#[tokio::test]
async fn counts_follow_every_change() {
    let world = World::with_org(None).await;
    let counts = async |query: &str| {
        let counts = world.admin_ok("GET", &format!("keys/counts{query}"), Value::Null).await;
        ["active", "expired", "disabled", "revoked", "deleted"]
            .map(|name| counts[name].as_u64().unwrap())
    };
    assert_eq!(counts("").await, [0; 5]);
    let keys = some_keys(&world).await;
    // whether or not the expiry has been noted
    for swept in [false, true] {
        if swept {
            world.pass(1_000).await;
        }
        assert_eq!(counts("").await, [3, 1, 1, 1, 1], "swept: {swept}");
        assert_eq!(counts("?org=acme").await, [2, 1, 1, 1, 1], "swept: {swept}");
        assert_eq!(counts("?org=other").await, [1, 0, 0, 0, 0], "swept: {swept}");
        assert_eq!(counts("?org=none").await, [0; 5]);
    }
    let act = async |index: usize, action: &str, body: Value| {
        let method = if action.is_empty() { "PATCH" } else { "POST" };
        let path = format!("keys/{}{action}?wait=0", keys[index].id);
        world.admin_ok(method, &path, body).await;
    };
    act(2, "/enable", Value::Null).await;
    assert_eq!(counts("").await, [4, 1, 0, 1, 1]);
    act(4, "", json!({"expires_in": "1d"})).await;
    assert_eq!(counts("").await, [5, 0, 0, 1, 1]);
    act(4, "/revoke", Value::Null).await;
    act(4, "/revoke", Value::Null).await;
    assert_eq!(counts("").await, [4, 0, 0, 2, 1]);
    act(0, "", json!({"expires_at": "2026-11-20T12:00:00Z"})).await;
    assert_eq!(counts("").await, [3, 1, 0, 2, 1]);
    let world = world.restart();
    let counts = world.admin_ok("GET", "keys/counts?org=acme", Value::Null).await;
    let expected = json!({"active": 2, "expired": 1, "disabled": 0, "revoked": 2, "deleted": 1});
    assert_eq!(counts, expected);
    world.admin_refused("GET", "keys/counts?status=active", Value::Null, 400).await;
}

#[tokio::test]
async fn what_a_key_was_used_for_is_summed_up_and_outlives_it() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let (key, other) = (world.key(json!({})).await, world.key(json!({})).await);
    let path = format!("keys/{}", key.id);
    let usage = async || world.admin_ok("GET", &path, Value::Null).await["usage"].clone();
    let nothing = json!({"requests": 0, "input_tokens": 0, "output_tokens": 0,
                         "spent_usd": "0.00", "last_used_at": null, "last_address": null});
    assert_eq!(usage().await, nothing);
    let call = |sequence, tokens, started: u64, address: Option<&str>| {
        let call = record(&key, None, sequence, tokens);
        wire::v1::CallRecord {
            started_unix_ms: call.started_unix_ms + started,
            address: address.map(|address| address.parse().unwrap()),
            ..call
        }
    };
    let calls = vec![
        call(1, 10, 5_000, Some("192.0.2.7")),
        call(2, 20, 9_000, None),
        record(&other, None, 3, 70),
        // reported last, but made before the others
        call(4, 30, 1_000, Some("2001:db8::1")),
    ];
    world.clock.advance_ms(10_000);
    for _ in 0..2 {
        // what comes again is not counted again
        world.report(&holder, vec![], calls.clone()).await;
    }
    let expected = json!({"requests": 3, "input_tokens": 0, "output_tokens": 60,
                          "spent_usd": "0.00012", "last_used_at": "2026-11-20T12:00:09Z",
                          "last_address": "192.0.2.7"});
    assert_eq!(usage().await, expected);
    // a filter whose clock is ahead
    world.report(&holder, vec![], vec![call(5, 0, 3_600_000, None)]).await;
    assert_eq!(usage().await["last_used_at"], "2026-11-20T12:00:10Z");

    // use is no change; a change forgets no use
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert_eq!(shown["version"], 1);
    let patched = world.admin_ok("PATCH", &path, json!({"name": "x", "tags": ["y"]})).await;
    assert_eq!((&patched["version"], &patched["usage"]["requests"]), (&json!(2), &json!(4)));
    let deleted = world.admin_ok("DELETE", &format!("{path}?wait=0"), Value::Null).await;
    assert_eq!(deleted["usage"]["requests"], 4);
    // a report that was late still counts
    world.report(&holder, vec![], vec![call(6, 5, 0, None)]).await;
    let world = world.restart();
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert_eq!((&shown["status"], &shown["usage"]["requests"]), (&json!("deleted"), &json!(5)));
    let records = world.admin_ok("GET", &format!("records?key={}", key.id), Value::Null).await;
    assert_eq!(records["data"].as_array().unwrap().len(), 5);
    let found = world.admin_ok("GET", "keys?status=deleted&search=x", Value::Null).await;
    assert_eq!(found["data"][0]["id"], key.id.as_str());
}
