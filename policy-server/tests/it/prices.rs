//! Prices of every kind: set, shown, kept by version, told to filters, and what records are
//! checked against.

use rusqlite::Connection;
use serde_json::{Value, json};
use wire::v1::{Basis, CallRecord, Catalogue, Price, Rates, Tier, Tiers, Usage};
use wire::{CatalogueVersion, ModelName, NanoUsd, PicoUsdPerToken};

use crate::world::{Key, Stopped, World, record};

/// A model with these fields besides the ones that every model needs.
fn model(fields: &Value) -> Value {
    let mut body = json!({"context_length": 1_000_000, "max_output_tokens": 64_000});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A price that uses every field, each with a number of its own.
fn every_field() -> Value {
    json!({
        "input_usd_per_mtok": "3.00", "output_usd_per_mtok": "15.00",
        "cached_input_usd_per_mtok": "0.30", "cache_write_usd_per_mtok": "3.75",
        "cache_write_1h_usd_per_mtok": "6.00", "audio_input_usd_per_mtok": "10.00",
        "image_input_usd_per_mtok": "5.00", "audio_output_usd_per_mtok": "20.00",
        "image_output_usd_per_mtok": "40.00",
        "tiers": [{
            "above_input_tokens": 200_000,
            "input_usd_per_mtok": "6.00", "output_usd_per_mtok": "22.50",
            "cached_input_usd_per_mtok": "0.60", "cache_write_usd_per_mtok": "7.50",
            "cache_write_1h_usd_per_mtok": "12.00", "audio_input_usd_per_mtok": "11.00",
            "image_input_usd_per_mtok": "5.50", "audio_output_usd_per_mtok": "21.00",
            "image_output_usd_per_mtok": "41.000001",
        }, {
            "above_input_tokens": 500_000,
            "input_usd_per_mtok": "7.00", "output_usd_per_mtok": "23.00",
            "cached_input_usd_per_mtok": "0.00", "cache_write_usd_per_mtok": "8.00",
            "cache_write_1h_usd_per_mtok": "13.00", "audio_input_usd_per_mtok": "12.00",
            "image_input_usd_per_mtok": "5.75", "audio_output_usd_per_mtok": "22.00",
            "image_output_usd_per_mtok": "42.00",
        }],
        "usd_per_call": "0.002", "usd_per_server_tool_call": "0.010000001",
    })
}

fn rates(of: [u64; 9]) -> Rates {
    let [input, output, cached, write, hour, audio, image, spoken, drawn] = of.map(PicoUsdPerToken);
    Rates {
        input,
        output,
        cached_input: Some(cached),
        cache_write: Some(write),
        cache_write_1h: Some(hour),
        audio_input: Some(audio),
        image_input: Some(image),
        audio_output: Some(spoken),
        image_output: Some(drawn),
    }
}

/// The same, in pico-USD per token and nano-USD.
fn every_field_in_integers() -> Price {
    const M: u64 = 1_000_000;
    let tier = |above_input_tokens, of| Tier { above_input_tokens, rates: rates(of) };
    let tiers = vec![
        tier(
            200_000,
            [6 * M, 22_500_000, 600_000, 7_500_000, 12 * M, 11 * M, 5_500_000, 21 * M, 41 * M + 1],
        ),
        tier(500_000, [7 * M, 23 * M, 0, 8 * M, 13 * M, 12 * M, 5_750_000, 22 * M, 42 * M]),
    ];
    Price {
        rates: rates([3 * M, 15 * M, 300_000, 3_750_000, 6 * M, 10 * M, 5 * M, 20 * M, 40 * M]),
        tiers: Tiers::try_from(tiers).unwrap(),
        per_call: NanoUsd(2_000_000),
        per_server_tool_call: Some(NanoUsd(10_000_001)),
        ..Price::default()
    }
}

/// Every field that was put is shown as it was put.
fn assert_shown(shown: &Value, put: &Value) {
    for (name, value) in put.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
}

#[tokio::test]
async fn every_price_is_shown_as_it_was_set_and_told_to_filters() {
    let world = World::new();
    let put = every_field();
    let answer = world.admin_ok("PUT", "models/opus", model(&put)).await;
    assert_shown(&answer, &put);
    assert_eq!(answer["free"], false);
    let world = world.restart();
    assert_shown(&world.admin_ok("GET", "models/opus", Value::Null).await, &put);
    let list = world.admin_ok("GET", "models", Value::Null).await;
    assert_shown(&list["data"][0], &put);
    let catalogue: Catalogue = world.filter_ok("GET", "catalogue", &Value::Null).await;
    assert_eq!(catalogue.models[0].price, Some(every_field_in_integers()));

    // what is not said is not there; what is said to cost nothing is
    let text = json!({"input_usd_per_mtok": "3", "output_usd_per_mtok": "15.5"});
    world.admin_ok("PUT", "models/opus", model(&text)).await;
    let shown = world.admin_ok("GET", "models/opus", Value::Null).await;
    assert_eq!(shown["input_usd_per_mtok"], "3.00");
    assert_eq!(shown["output_usd_per_mtok"], "15.50");
    for name in put.as_object().unwrap().keys() {
        let expected = match name.as_str() {
            "input_usd_per_mtok" | "output_usd_per_mtok" => continue,
            "tiers" => json!([]),
            "usd_per_call" => json!("0.00"),
            _ => Value::Null,
        };
        assert_eq!(shown[name], expected, "{name}");
    }
    let zero_tools = json!({"input_usd_per_mtok": "3", "output_usd_per_mtok": "0",
        "cached_input_usd_per_mtok": "0", "usd_per_server_tool_call": "0"});
    let shown = world.admin_ok("PUT", "models/opus", model(&zero_tools)).await;
    assert_eq!(shown["usd_per_server_tool_call"], "0.00");
    assert_eq!(shown["cached_input_usd_per_mtok"], "0.00");
    assert_eq!(shown["output_usd_per_mtok"], "0.00");

    let none = json!({"input_usd_per_mtok": null, "output_usd_per_mtok": null, "tiers": []});
    let shown = world.admin_ok("PUT", "models/opus", model(&none)).await;
    for name in put.as_object().unwrap().keys().filter(|name| *name != "tiers") {
        assert_eq!(shown[name], Value::Null, "{name}");
    }
    assert_eq!(shown["free"], false, "a model without a price is refused, not free");
    let catalogue: Catalogue = world.filter_ok("GET", "catalogue", &Value::Null).await;
    assert_eq!(catalogue.models[0].price, None);
}

/// The problems of a model whose price has some fields replaced, by path and code.
async fn problems(world: &World, change: impl FnOnce(&mut Value)) -> Vec<(String, String)> {
    let mut body = model(&every_field());
    change(&mut body);
    let error = world.admin_refused("PUT", "models/x", body, 400).await;
    let problems = error["problems"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    problems.map(|problem| (text(&problem["param"]), text(&problem["code"]))).collect()
}

fn problem(param: &str, code: &str) -> Vec<(String, String)> {
    vec![(param.to_owned(), code.to_owned())]
}

#[tokio::test]
async fn every_price_has_its_own_error() {
    let world = World::new();
    let kinds: Vec<_> = every_field()["tiers"][0].as_object().unwrap().keys().cloned().collect();
    for kind in kinds.iter().filter(|kind| *kind != "above_input_tokens") {
        for wrong in
            [json!(1), json!("x"), json!("-1"), json!("0.0000001"), json!("1000000.000001")]
        {
            let expected = problem(kind, "invalid_field");
            assert_eq!(problems(&world, |body| body[kind] = wrong.clone()).await, expected);
            let expected = problem(&format!("tiers[1].{kind}"), "invalid_field");
            let change = |body: &mut Value| body["tiers"][1][kind] = wrong.clone();
            assert_eq!(problems(&world, change).await, expected, "{wrong}");
        }
    }
    for amount in ["usd_per_call", "usd_per_server_tool_call"] {
        for wrong in [json!(1), json!("x"), json!("0.0000000001"), json!("1000.000000001")] {
            let change = |body: &mut Value| body[amount] = wrong.clone();
            let expected = problem(amount, "invalid_field");
            assert_eq!(problems(&world, change).await, expected, "{wrong}");
        }
    }
    for wrong in [json!({}), json!("x"), json!([{}, {}, {}])] {
        let change = |body: &mut Value| body["tiers"] = wrong.clone();
        assert_eq!(problems(&world, change).await, problem("tiers", "invalid_field"), "{wrong}");
    }
    let change = |body: &mut Value| body["tiers"][1] = json!(7);
    assert_eq!(problems(&world, change).await, problem("tiers[1]", "invalid_field"));
    // fields of a model are not fields of a tier, nor the other way round
    for unknown in ["usd_per_call", "free", "context_length", "tiers", "inptu_usd_per_mtok"] {
        let change = |body: &mut Value| body["tiers"][0][unknown] = json!("1");
        let expected = problem(&format!("tiers[0].{unknown}"), "unknown_field");
        assert_eq!(problems(&world, change).await, expected);
    }
    for unknown in ["above_input_tokens", "cache_read_usd_per_mtok", "per_call"] {
        let change = |body: &mut Value| body[unknown] = json!("1");
        assert_eq!(problems(&world, change).await, problem(unknown, "unknown_field"));
    }
    // every problem is named at once
    let all = problems(&world, |body| {
        body["audio_input_usd_per_mtok"] = json!("x");
        body["tiers"][0]["input_usd_per_mtok"] = json!("x");
        body["tiers"][1]["above_input_tokens"] = json!(0);
        body["usd_per_call"] = json!(1);
    });
    let mut named: Vec<_> = all.await.into_iter().map(|(param, _)| param).collect();
    named.sort_unstable();
    let expected = [
        "audio_input_usd_per_mtok",
        "tiers[0].input_usd_per_mtok",
        "tiers[1].above_input_tokens",
        "usd_per_call",
    ];
    assert_eq!(named, expected);
    world.admin_refused("GET", "models/x", Value::Null, 404).await;
}

#[tokio::test]
async fn tiers_are_in_order_and_price_what_the_model_prices_below_them() {
    let world = World::new();
    let above =
        |index: usize| problem(&format!("tiers[{index}].above_input_tokens"), "invalid_field");
    for (first, second, wrong) in [
        (json!(200_000), json!(200_000), 1),
        (json!(200_000), json!(199_999), 1),
        (json!(0), json!(1), 0),
        (json!("200000"), json!(500_000), 0),
        (json!(null), json!(500_000), 0),
        (json!(1), json!(1_000_000_001u64), 1),
        (json!(1), json!(2.5), 1),
    ] {
        let change = |body: &mut Value| {
            body["tiers"][0]["above_input_tokens"] = first.clone();
            body["tiers"][1]["above_input_tokens"] = second.clone();
        };
        assert_eq!(problems(&world, change).await, above(wrong), "{first} {second}");
    }
    let kinds: Vec<_> = every_field()["tiers"][0].as_object().unwrap().keys().cloned().collect();
    for kind in kinds {
        for absent in [false, true] {
            let change = |body: &mut Value| {
                let tier = body["tiers"][0].as_object_mut().unwrap();
                if absent {
                    tier.remove(&kind)
                } else {
                    tier.insert(kind.clone(), Value::Null)
                };
            };
            let expected = problem(&format!("tiers[0].{kind}"), "invalid_field");
            assert_eq!(problems(&world, change).await, expected);
        }
    }
    // a tier may price more kinds than the model does below it
    let mut less = every_field();
    less.as_object_mut().unwrap().remove("audio_input_usd_per_mtok");
    let shown = world.admin_ok("PUT", "models/x", model(&less)).await;
    assert_eq!(shown["audio_input_usd_per_mtok"], Value::Null);
    assert_eq!(shown["tiers"][0]["audio_input_usd_per_mtok"], "11.00");
}

#[tokio::test]
async fn nothing_is_free_unless_it_is_said_to_be() {
    let world = World::new();
    let text = |input: &str, output: &str| json!({"input_usd_per_mtok": input, "output_usd_per_mtok": output});
    let with = |mut fields: Value, name: &str, value: Value| {
        fields[name] = value;
        fields
    };
    let tier =
        |input: &str, output: &str| with(text(input, output), "above_input_tokens", json!(9));
    for (fields, param) in [
        (text("0", "0.00"), "input_usd_per_mtok"),
        (with(text("0", "0"), "usd_per_call", json!("0")), "input_usd_per_mtok"),
        (with(text("0", "0"), "audio_input_usd_per_mtok", json!("1")), "input_usd_per_mtok"),
        (with(text("0", "0"), "tiers", json!([tier("1", "1")])), "input_usd_per_mtok"),
        (with(text("1", "1"), "tiers", json!([tier("0", "0")])), "tiers[0].input_usd_per_mtok"),
        (json!({"usd_per_call": "0.01"}), "input_usd_per_mtok"),
        (json!({"tiers": [tier("1", "1")]}), "input_usd_per_mtok"),
    ] {
        let error = world.admin_refused("PUT", "models/x", model(&fields), 400).await;
        assert_eq!(error["param"], param, "{fields}: {error}");
    }
    for (name, value) in every_field().as_object().unwrap() {
        // a price beside `free`, and beside the nulls that leave a model without one
        let free = with(json!({"free": true}), name, value.clone());
        let error = world.admin_refused("PUT", "models/x", model(&free), 400).await;
        assert_eq!(error["param"], "free", "{name}: {error}");
        let mut null = json!({"input_usd_per_mtok": null, "output_usd_per_mtok": null});
        null[name] = value.clone();
        let error = world.admin_refused("PUT", "models/x", model(&null), 400).await;
        let missing = match name.as_str() {
            "input_usd_per_mtok" => "output_usd_per_mtok",
            _ => "input_usd_per_mtok",
        };
        assert_eq!(error["param"], missing, "{name}: {error}");
    }
    // a free model can be put as it is shown
    let shown = with(text("0.00", "0.00"), "usd_per_call", json!("0.00"));
    let shown = with(shown, "free", json!(true));
    assert_eq!(world.admin_ok("PUT", "models/x", model(&shown)).await["free"], true);
    // a price per call alone, and input alone, are prices
    let per_call = with(text("0", "0"), "usd_per_call", json!("0.005"));
    assert_eq!(world.admin_ok("PUT", "models/x", model(&per_call)).await["free"], false);
    assert_eq!(world.admin_ok("PUT", "models/x", model(&text("0.02", "0"))).await["free"], false);
}

fn call(key: &Key, sequence: u64, version: u64, usage: Usage, cost: &str) -> CallRecord {
    CallRecord {
        model: ModelName::new("opus").unwrap(),
        catalogue_version: CatalogueVersion(version),
        usage,
        cost: NanoUsd::from_usd(cost).unwrap(),
        ..record(key, None, sequence, 0)
    }
}

#[tokio::test]
async fn records_are_checked_by_every_kind_and_tier_of_their_version() {
    let world = World::with_org(None).await;
    let text = json!({"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"});
    world.admin_ok("PUT", "models/opus", model(&text)).await;
    world.admin_ok("PUT", "models/opus", model(&every_field())).await;
    let (before, after) = (2, 3);
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let below = Usage {
        input_tokens: 150_000,
        cached_input_tokens: 100_000,
        cache_write_tokens: 20_000,
        cache_write_1h_tokens: 10_000,
        output_tokens: 1_000,
        reasoning_tokens: 300,
        server_tool_calls: 2,
        ..Usage::default()
    };
    // 20000 * 3 + 100000 * 0.30 + 20000 * 3.75 + 10000 * 6 + 1000 * 15 = 240000 micro-USD,
    // 2000 for the call, 20000.002 for the tools
    let below_cost = "0.262000002";
    let above = Usage {
        input_tokens: 200_001,
        cached_input_tokens: 99_000,
        cache_write_tokens: 50_000,
        cache_write_1h_tokens: 50_000,
        audio_input_tokens: 600,
        image_input_tokens: 400,
        output_tokens: 1_000,
        reasoning_tokens: 0,
        audio_output_tokens: 100,
        image_output_tokens: 200,
        server_tool_calls: 0,
    };
    // 1 * 6 + 99000 * 0.60 + 50000 * 7.50 + 50000 * 12 + 600 * 11 + 400 * 5.50
    // + 700 * 22.50 + 100 * 21 + 200 * 41.000001 = 1069256.0002 micro-USD, 2000 for the call
    let above_cost = "1.071256001";
    let calls = vec![
        call(&key, 1, after, below, below_cost),
        call(&key, 2, after, above, above_cost),
        // one nano-USD less, and the prices below the tier
        call(&key, 3, after, above, "1.071256"),
        call(&key, 4, after, below, "0.262000001"),
        // the price of text, before: 150000 * 1 + 1000 * 2
        call(&key, 5, before, below, "0.152"),
        call(&key, 6, before, below, below_cost),
        CallRecord { basis: Basis::Estimated, ..call(&key, 7, after, above, above_cost) },
    ];
    let reply = world.report(&holder, vec![], calls.clone()).await;
    assert_eq!(reply.differing, [3, 4, 6]);
    let world = world.restart();
    assert_eq!(world.report(&holder, vec![], calls).await.differing, [3, 4, 6]);

    let shown = world.admin_ok("GET", "records?request=req-3", Value::Null).await;
    let shown = &shown["data"][0];
    assert_eq!(shown["computed_cost_usd"], above_cost);
    assert_eq!(shown["cost_usd"], "1.071256");
    let usage = json!({
        "input_tokens": 200_001, "cached_input_tokens": 99_000, "cache_write_tokens": 50_000,
        "cache_write_1h_tokens": 50_000, "audio_input_tokens": 600, "image_input_tokens": 400,
        "output_tokens": 1_000, "reasoning_tokens": 0, "audio_output_tokens": 100,
        "image_output_tokens": 200,
    });
    assert_eq!(shown["usage"], usage);
    let shown = world.admin_ok("GET", "records?request=req-1", Value::Null).await;
    assert_eq!(shown["data"][0]["usage"]["server_tool_calls"], 2);
    assert_eq!(shown["data"][0]["differs"], false);
    let shown = world.admin_ok("GET", "records?request=req-6", Value::Null).await;
    assert_eq!(shown["data"][0]["computed_cost_usd"], "0.152");
}

/// What a server of schema 3 left behind: the model had a price, then none, then another one.
const SCHEMA_3_ROWS: &str = r#"
    INSERT INTO models VALUES ('opus', '{"name":"opus","aliases":[],"price":{"input":2000000,
        "output":4000000},"context_length":1000000,"max_output_tokens":64000,
        "input_overhead_tokens":64,"reasoning":false,"retired":false,"created_unix_s":7}', 7000);
    INSERT INTO model_prices VALUES ('opus', 1, 1000000, 2000000, 500000);
    INSERT INTO model_prices VALUES ('opus', 2, NULL, NULL, NULL);
    INSERT INTO model_prices VALUES ('opus', 3, 2000000, 4000000, NULL);
    UPDATE server SET catalogue_version = 3;
    PRAGMA user_version = 3;
"#;

/// Replaces the database by one of schema 3 with the same token and epoch.
fn put_back_to_schema_3(stopped: &Stopped) {
    let newer = stopped.folder.path().join("newer.sqlite");
    std::fs::rename(stopped.database(), &newer).unwrap();
    let old = Connection::open(stopped.database()).unwrap();
    for step in [
        include_str!("../../migrations/sqlite/0001_start.sql"),
        include_str!("../../migrations/sqlite/0002_journal.sql"),
        include_str!("../../migrations/sqlite/0003_leases_and_levels.sql"),
    ] {
        old.execute_batch(step).unwrap();
    }
    old.execute("ATTACH ? AS newer", [newer.to_str().unwrap()]).unwrap();
    for (table, columns) in [
        ("server", "*"),
        ("admin_tokens", "*"),
        ("orgs", "id, name, models, created_ms, updated_ms"),
    ] {
        let copy = format!("INSERT INTO {table} SELECT {columns} FROM newer.{table}");
        old.execute_batch(&copy).unwrap();
    }
    old.execute_batch(SCHEMA_3_ROWS).unwrap();
}

#[tokio::test]
async fn prices_of_a_file_of_schema_3_stay_and_newer_ones_follow_them() {
    let world = World::new();
    world.admin_ok("PUT", "orgs/acme", json!({"name": "Acme"})).await;
    let stopped = world.stop();
    put_back_to_schema_3(&stopped);
    let world = stopped.start();
    let shown = world.admin_ok("GET", "models/opus", Value::Null).await;
    assert_shown(&shown, &json!({"input_usd_per_mtok": "2.00", "output_usd_per_mtok": "4.00"}));
    let put = every_field();
    assert_shown(&world.admin_ok("PUT", "models/opus", model(&put)).await, &put);
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let usage = Usage {
        input_tokens: 10_000,
        cached_input_tokens: 4_000,
        cache_write_tokens: 2_000,
        output_tokens: 1_000,
        ..Usage::default()
    };
    let calls: Vec<_> = [
        // 6000 * 1 + 4000 * 0.50 + 1000 * 2
        "0.01", // without a price nothing but zero can be right
        "0.00", // 10000 * 2 + 1000 * 4
        "0.024",
        // 4000 * 3 + 4000 * 0.30 + 2000 * 3.75 + 1000 * 15 + 2000 for the call
        "0.0377",
    ]
    .into_iter()
    .zip(1..)
    .map(|(cost, version)| call(&key, version, version, usage, cost))
    .collect();
    assert_eq!(world.report(&holder, vec![], calls.clone()).await.differing, [] as [u64; 0]);
    let mut shifted = calls;
    for call in &mut shifted {
        call.sequence += 10;
        call.catalogue_version.0 = call.catalogue_version.0 % 4 + 1;
    }
    assert_eq!(world.report(&holder, vec![], shifted).await.differing, [11, 12, 13, 14]);
    let world = world.restart();
    assert_shown(&world.admin_ok("GET", "models/opus", Value::Null).await, &put);
}
