//! `POST /admin/v1/keys/test`: what a key may do and why not, who may ask, and how often for what is
//! no key.

use serde_json::{Value, json};

use crate::people::{ask, member, person};
use crate::user_keys::exchanged;
use crate::world::{Key, MODEL, World, final_report, micro, record};

/// A key that differs from every other in its random part only; no server has it.
fn guess(number: u8) -> String {
    metering::api_key::native_key("0123456789ab", &[number; 24]).unwrap()
}

async fn test(world: &World, body: Value) -> Value {
    world.admin_ok("POST", "keys/test", body).await
}

/// Status, code and what it is about; all null where the key may call.
async fn verdict(world: &World, body: Value) -> (Value, Value, Value) {
    let mut answer = test(world, body).await;
    assert_eq!(answer["allowed"], answer["refusal"].is_null(), "{answer}");
    let refusal = answer["refusal"].take();
    (refusal["status"].clone(), refusal["code"].clone(), refusal["param"].clone())
}

fn refused(status: u16, code: &str, param: Option<&str>) -> (Value, Value, Value) {
    (json!(status), json!(code), json!(param))
}

fn allowed() -> (Value, Value, Value) {
    (Value::Null, Value::Null, Value::Null)
}

#[tokio::test]
async fn the_form_of_a_secret_is_told_apart_from_whether_a_key_has_it() {
    let world = World::with_org(None).await;
    let native = guess(1);
    let mistyped = native.replace("0123456789ab", "0123456789ac");
    let pair = metering::api_key::pair_key(&[1; 17], &[2; 32]);
    let half = pair.split(':').next().unwrap();
    for (text, format, problem) in [
        (native.as_str(), json!("tollgate"), Value::Null),
        (&mistyped, json!("tollgate"), json!("bad_checksum")),
        (&pair, json!("privatemind"), Value::Null),
        (half, Value::Null, json!("half_a_pair")),
        ("sk-0123456789abcdefghij", json!("openai"), Value::Null),
        ("sk-short", json!("openai"), json!("not_a_key")),
        ("my password", Value::Null, json!("not_a_key")),
    ] {
        let answer = test(&world, json!({"key": text})).await;
        let form = &answer["form"];
        assert_eq!((&form["format"], &form["problem"]), (&format, &problem), "{text}");
        assert_eq!(form["well_formed"], problem.is_null(), "{text}");
        assert_eq!((&answer["known"], &answer["allowed"]), (&json!(false), &json!(false)));
        assert_eq!(answer["refusal"]["code"], "invalid_api_key");
        assert!(!answer.to_string().contains(text), "the secret comes back: {answer}");
    }
    let known = world.key(json!({"format": "openai"})).await;
    let answer = test(&world, json!({"key": known.secret})).await;
    assert_eq!((&answer["known"], &answer["allowed"]), (&json!(true), &json!(true)));
    assert_eq!(answer["secret"], json!({"standing": "current", "valid_until": null}));
    assert_eq!(answer["key"]["id"], known.id.as_str());
    assert!(!answer.to_string().contains(&known.secret));
    let by_id = test(&world, json!({"id": known.id})).await;
    assert_eq!((&by_id["form"], &by_id["secret"]), (&Value::Null, &Value::Null));
    assert_eq!(by_id["key"], answer["key"]);
}

#[tokio::test]
async fn every_state_of_a_key_has_the_code_that_the_gateway_answers() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/acme/teams/search", json!({})).await;
    let key = async |fields| world.key(fields).await;
    let does = async |key: &Key, action: &str| {
        world.admin_ok("POST", &format!("keys/{}/{action}?wait=0", key.id), Value::Null).await
    };
    let of = async |key: &Key| verdict(&world, json!({"key": key.secret})).await;

    let disabled = key(json!({})).await;
    does(&disabled, "disable").await;
    assert_eq!(of(&disabled).await, refused(401, "key_disabled", None));
    let revoked = key(json!({})).await;
    does(&revoked, "revoke").await;
    assert_eq!(of(&revoked).await, refused(401, "key_revoked", None));
    let deleted = key(json!({})).await;
    world.admin_ok("DELETE", &format!("keys/{}?wait=0", deleted.id), Value::Null).await;
    assert_eq!(of(&deleted).await, refused(401, "invalid_api_key", None));

    let rotated = key(json!({})).await;
    let rotate = format!("keys/{}/rotate?wait=0", rotated.id);
    world.admin_ok("POST", &rotate, json!({"grace_s": 60})).await;
    let answer = test(&world, json!({"key": rotated.secret})).await;
    let until = json!({"standing": "previous", "valid_until": "2026-11-20T12:01:00Z"});
    assert_eq!((&answer["secret"], &answer["allowed"]), (&until, &json!(true)));
    world.clock.advance_ms(60_000);
    let answer = test(&world, json!({"key": rotated.secret})).await;
    assert_eq!(answer["secret"]["standing"], "retired");
    assert_eq!(of(&rotated).await, refused(401, "invalid_api_key", None));
    world.pass(0).await;
    assert_eq!(of(&rotated).await, refused(401, "invalid_api_key", None));
    assert_eq!(verdict(&world, json!({"id": rotated.id})).await, allowed(), "its own is good");

    let parent = key(json!({})).await;
    let (user, _) = exchanged(&world, &world.holder(1).await, &parent).await;
    let answer = test(&world, json!({"key": user.secret})).await;
    assert_eq!((&answer["form"]["format"], &answer["allowed"]), (&json!("user_key"), &json!(true)));
    assert_eq!(answer["secret"]["standing"], "user_key");
    assert!(answer["secret"]["valid_until"].is_string());
    assert_eq!(answer["key"]["id"], parent.id.as_str());

    let short = key(json!({"expires_at": "2026-11-20T12:02:00Z", "team": "search"})).await;
    assert_eq!(of(&short).await, allowed());
    world.clock.advance_ms(60_000);
    assert_eq!(of(&short).await, refused(401, "key_expired", None));
    world.admin_ok("POST", "orgs/acme/teams/search/suspend?wait=0", Value::Null).await;
    let answer = test(&world, json!({"key": short.secret})).await;
    assert_eq!(answer["refusal"]["code"], "key_disabled");
    assert!(answer["refusal"]["message"].as_str().unwrap().contains("team"), "{answer}");

    world.clock.advance_ms(3_600_000);
    assert_eq!(of(&user).await, refused(401, "key_expired", None));
    assert_eq!(of(&parent).await, allowed());

    let at_home = key(json!({"allowed_ips": ["192.0.2.0/24"]})).await;
    let from = async |address: &str| {
        verdict(&world, json!({"key": at_home.secret, "address": address})).await
    };
    assert_eq!(from("192.0.2.9").await, allowed());
    assert_eq!(from("::ffff:192.0.2.9").await, allowed());
    assert_eq!(from("198.51.100.1").await, refused(403, "ip_not_allowed", None));
    assert_eq!(of(&at_home).await, allowed(), "no address was asked about");
}

#[tokio::test]
async fn models_are_refused_with_the_levels_that_do_not_allow_them() {
    let world = World::with_org(None).await;
    world.put_model("big", "10.00", "20.00").await;
    world.put_model("old", "1.00", "2.00").await;
    world.admin_ok("POST", "models/old/retire", Value::Null).await;
    world.admin_ok("PUT", "aliases/best", json!({"model": "big"})).await;
    let path = "orgs/acme/teams/search/models";
    world.admin_ok("PUT", "orgs/acme/teams/search", json!({})).await;
    let small = json!({"models": {"mode": "restrict", "models": [MODEL]}});
    world.admin_ok("PATCH", path.trim_end_matches("/models"), small).await;
    let key = world.key(json!({"team": "search", "models": [MODEL]})).await;
    let with = |model: &str| json!({"key": key.secret, "model": model});
    let model = Some("model");
    assert_eq!(verdict(&world, with(MODEL)).await, allowed());
    assert_eq!(verdict(&world, with("nope")).await, refused(400, "unknown_model", model));
    assert_eq!(verdict(&world, with("old")).await, refused(404, "model_removed", model));
    assert_eq!(verdict(&world, with("best")).await, refused(403, "model_not_allowed", model));
    let answer = test(&world, with("best")).await;
    assert_eq!(
        (&answer["model"]["id"], &answer["model"]["asked"]),
        (&json!("big"), &json!("best"))
    );
    assert_eq!(answer["model"]["reasons"], json!(["team", "key"]));
    let message = answer["refusal"]["message"].as_str().unwrap();
    assert!(message.contains("the team, the key itself"), "{message}");
    let listed = answer["models"]["data"].as_array().unwrap();
    let ids: Vec<_> = listed.iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["big", MODEL, "old"]);
    let same = world.admin_ok("GET", &format!("keys/{}/models", key.id), Value::Null).await;
    assert_eq!(answer["models"], same, "one entitlement");

    let none = world.key(json!({"models": []})).await;
    let of = json!({"key": none.secret});
    assert_eq!(verdict(&world, of).await, refused(403, "model_not_allowed", model));
    world.admin_ok("PUT", "orgs/bare", json!({"models": []})).await;
    let bare = Key::of(&world.admin_ok("POST", "keys", json!({"org": "bare"})).await);
    let of = json!({"key": bare.secret, "model": MODEL});
    assert_eq!(verdict(&world, of).await, refused(403, "no_models", None));
}

#[tokio::test]
async fn money_is_told_by_level_with_what_is_left_and_when_it_starts_afresh() {
    let world = World::with_org(Some("5")).await;
    let limit = json!([{"unit": "requests", "window": "1m", "max": 60}]);
    let fields = json!({"budget": {"usd": "1", "period": "day"}, "max_call_usd": "0.5",
        "limits": limit, "default_max_output_tokens": 300});
    let key = world.key(fields).await;
    let of = |key: &Key| json!({"key": key.secret});
    let with = |key: &Key| json!({"key": key.secret, "model": MODEL});
    let answer = test(&world, with(&key)).await;
    assert_eq!(answer["allowed"], true);
    assert_eq!(
        answer["limits"][0],
        json!({"level": "key", "id": key.id, "model": null,
        "unit": "requests", "window": "1m", "max": 60, "scope": "proxy"})
    );
    let budgets = answer["budgets"].as_array().unwrap();
    let levels: Vec<_> = budgets.iter().map(|budget| budget["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["key", "org"]);
    assert_eq!(
        (&budgets[0]["left_usd"], &budgets[1]["left_usd"]),
        (&json!("1.00"), &json!("5.00"))
    );
    assert_eq!(budgets[0]["period_end"], "2026-11-21T00:00:00Z");
    assert_eq!(answer["key"]["max_call_usd"], "0.50");
    assert_eq!(answer["key"]["default_max_output_tokens"], 300);

    // One micro-USD per token in, two per token out: three for the smallest call.
    let holder = world.holder(1).await;
    let grant = world.granted(&holder, &key, 1, crate::world::ask(100)).await;
    let mut call = record(&key, Some(holder.lease(1)), 1, 1);
    call.cost = micro(999_998);
    world.report(&holder, vec![final_report(&grant.lease, micro(999_998))], vec![call]).await;
    assert_eq!(verdict(&world, of(&key)).await, allowed(), "something is left");
    let spent = refused(402, "budget_exceeded", Some("key"));
    assert_eq!(verdict(&world, with(&key)).await, spent, "but not for any call of this model");
    let cheap = world.key(json!({"max_call_usd": "0.000002"})).await;
    assert_eq!(verdict(&world, with(&cheap)).await, spent, "no call is that small");
    assert_eq!(verdict(&world, of(&cheap)).await, allowed());

    let empty = world.key(json!({"budget": {"usd": "0"}})).await;
    assert_eq!(verdict(&world, of(&empty)).await, spent);
    world.admin_ok("PUT", "orgs/poor", json!({"models": ["*"], "budget": {"usd": "0"}})).await;
    let poor = Key::of(&world.admin_ok("POST", "keys", json!({"org": "poor"})).await);
    assert_eq!(verdict(&world, of(&poor)).await, refused(402, "budget_exceeded", Some("org")));
}

#[tokio::test]
async fn only_keys_that_one_may_read_are_told_of() {
    let world = World::with_org(None).await;
    let owned = member(&world, "acme", "search", "dev", "team_developer").await;
    let billing = person(&world, "acme", "bill", "org_billing").await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let stranger = person(&world, "beta", "eve", "org_owner").await;
    let own = world.key(json!({"team": "search", "user": "dev"})).await;
    let other = world.key(json!({"team": "search"})).await;
    let known = async |token: &str, body: Value| {
        let (status, answer) = ask(&world, token, "POST", "keys/test", body).await;
        (status, answer["known"].clone())
    };
    for key in [&own, &other] {
        let (by_secret, by_id) = (json!({"key": key.secret}), json!({"id": key.id}));
        let is_own = key.id == own.id;
        assert_eq!(known(&owned.token, by_secret.clone()).await, (200, json!(is_own)));
        let expected = if is_own { (200, json!(true)) } else { (404, Value::Null) };
        assert_eq!(known(&owned.token, by_id.clone()).await, expected);
        assert_eq!(known(&stranger.token, by_secret.clone()).await, (200, json!(false)));
        assert_eq!(known(&stranger.token, by_id).await.0, 404);
        assert_eq!(known(&billing.token, by_secret).await.0, 403);
    }
    assert_eq!(known(&billing.token, json!({"key": "sk-short"})).await.0, 403);
    // What was refused is in the audit, what was asked never is.
    let audit = world.admin_ok("GET", "audit?limit=200", Value::Null).await.to_string();
    assert!(audit.contains("keys.read"), "{audit}");
    assert!(!audit.contains(&own.secret) && !audit.contains(&other.secret));
}

#[tokio::test]
async fn secrets_that_no_key_has_count_as_failed_attempts() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    assert_eq!(verdict(&world, json!({"key": key.secret})).await, allowed());
    for _ in 0..40 {
        // What anybody can see to be no key tells nothing.
        test(&world, json!({"key": "sk-short"})).await;
    }
    for number in 0..10 {
        assert_eq!(test(&world, json!({"key": guess(number)})).await["known"], false);
    }
    let error = world.admin_refused("POST", "keys/test", json!({"key": guess(10)}), 429).await;
    assert_eq!(error["code"], "too_many_attempts");
    for number in 0..20u8 {
        let guess = metering::api_key::openai_key(&[number; 48]);
        assert_eq!(test(&world, json!({"key": guess})).await["known"], false);
    }
    let late = metering::api_key::openai_key(&[99; 48]);
    world.admin_refused("POST", "keys/test", json!({"key": late}), 429).await;
    let unseen = world.key(json!({})).await;
    world.admin_refused("POST", "keys/test", json!({"key": unseen.secret}), 429).await;
    assert_eq!(verdict(&world, json!({"key": key.secret})).await, allowed(), "was right before");
    world.clock.advance_ms(60_000);
    assert_eq!(verdict(&world, json!({"key": unseen.secret})).await, allowed());
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_field_by_field() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    for (body, param) in [
        (json!({}), "key"),
        (json!({"key": key.secret, "id": key.id}), "id"),
        (json!({"id": key.id, "address": "somewhere"}), "address"),
        (json!({"id": key.id, "model": ""}), "model"),
        (json!({"id": key.id, "modell": "x"}), "modell"),
    ] {
        let error = world.admin_refused("POST", "keys/test", body, 400).await;
        assert_eq!(error["param"], param, "{error}");
    }
    world.admin_refused("POST", "keys/test", json!({"id": "key_none"}), 404).await;
}
