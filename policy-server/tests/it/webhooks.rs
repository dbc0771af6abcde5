//! Who is told that part of a budget is spent: when, once, signed, again until it is taken.

use std::net::SocketAddr;

use axum::http::StatusCode;
use policy_server::webhooks::{Attempt, Post, Sender, ServerSecret, WebhookSettings};
use serde_json::{Value, json};
use wire::OrgId;

use crate::receiver::Receiver;
use crate::world::{Holder, Key, World, ask, final_report, micro};

const HOOKS: &str = "orgs/acme/webhooks";
const HOUR_MS: u64 = 3_600_000;

async fn hook(world: &World, receiver: &Receiver) -> (String, String) {
    let (status, made) = world.admin("POST", HOOKS, json!({"url": receiver.url})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    (path(&made), made["secret"].as_str().unwrap().to_owned())
}

fn path(hook: &Value) -> String {
    format!("{HOOKS}/{}", hook["id"].as_str().unwrap())
}

async fn round(world: &World) {
    world.app.courier().round().await.unwrap();
}

async fn deliveries(world: &World, hook: &str) -> Vec<Value> {
    let page = world.admin_ok("GET", &format!("{hook}/deliveries"), Value::Null).await;
    page["data"].as_array().unwrap().clone()
}

/// Spends so many micro-USD by a lease of its own.
async fn spend(world: &World, holder: &Holder, key: &Key, n: u64, micro_usd: u64) {
    let lease = world.granted(holder, key, n, ask(micro_usd / 2)).await.lease;
    world.report(holder, vec![final_report(&lease, micro(micro_usd))], vec![]).await;
}

#[tokio::test]
async fn every_threshold_of_a_budget_is_told_once_in_a_period_and_signed() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (hook, secret) = hook(&world, &receiver).await;
    let budget = json!({"usd": "0.001", "period": "day", "alerts": [100, 50, 80]});
    let key = world.key(json!({"budget": budget})).await;
    let holder = world.holder(1).await;
    spend(&world, &holder, &key, 1, 498).await;
    round(&world).await;
    assert!(receiver.received().is_empty(), "less than half is spent");
    spend(&world, &holder, &key, 2, 2).await;
    round(&world).await;
    let told = receiver.received();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].path, "/hook?a=b");
    assert!(told[0].is_signed_by(&secret));
    assert_eq!(told[0].header("content-type"), "application/json");
    let event: Value = serde_json::from_str(&told[0].body).unwrap();
    assert_eq!(event["type"], "budget.threshold_reached");
    assert_eq!(event["timestamp"], "2026-11-20T12:00:00Z");
    assert_eq!(
        event["data"],
        json!({
            "level": "key", "id": key.id, "org": "acme", "threshold_percent": 50,
            "cap_usd": "0.001", "settled_usd": "0.0005", "parked_usd": "0.00", "period": "day",
            "period_start": "2026-11-20T00:00:00Z", "resets_at": "2026-11-21T00:00:00Z",
        })
    );
    // two at once, in order, and nothing again
    spend(&world, &holder, &key, 3, 500).await;
    round(&world).await;
    let percents = |told: Vec<crate::receiver::Received>| -> Vec<u64> {
        let events = told.iter().map(|told| serde_json::from_str::<Value>(&told.body).unwrap());
        events.map(|event| event["data"]["threshold_percent"].as_u64().unwrap()).collect()
    };
    assert_eq!(percents(receiver.received()), [80, 100]);
    world
        .admin_ok("PATCH", &format!("keys/{}", key.id), json!({"budget": {"usd": "0.0009"}}))
        .await;
    round(&world).await;
    assert!(receiver.received().is_empty(), "a threshold is told once in a period");
    // the next day all of them are again
    world.clock.set_unix_ms(crate::world::NOON + 12 * HOUR_MS);
    spend(&world, &holder, &key, 4, 450).await;
    round(&world).await;
    assert_eq!(percents(receiver.received()), [50]);
    let listed = deliveries(&world, &hook).await;
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|one| one["status"] == "delivered" && one["attempts"] == 1));
    let audit = world.admin_ok("GET", "audit?action=budget.alert&org=acme", Value::Null).await;
    assert_eq!(audit["data"].as_array().unwrap().len(), 4, "{audit}");
    assert_eq!(audit["data"][0]["actor"], "system");
}

#[tokio::test]
async fn every_level_can_alert_and_parked_money_counts() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    hook(&world, &receiver).await;
    let budget = json!({"usd": "0.01", "alerts": [10]});
    for path in ["orgs/acme/teams/search/budget", "orgs/acme/users/anna/budget"] {
        world.admin_ok("PUT", path, budget.clone()).await;
    }
    world.admin_ok("PATCH", "orgs/acme", json!({"budget": budget})).await;
    world.admin_ok("POST", "orgs/acme/wallet/top-ups", json!({"usd": "0.01"})).await;
    world.admin_ok("PATCH", "orgs/acme/wallet", json!({"alerts": [10]})).await;
    let fields = json!({"team": "search", "user": "anna", "budget": budget});
    let key = world.key(fields).await;
    let holder = world.holder(1).await;
    // The organisation's recall by its first top-up stands in the way of nobody who came after.
    world.granted(&holder, &key, 1, ask(500)).await;
    world.pass(crate::world::TTL_MS + crate::world::GRACE_MS + 1).await;
    round(&world).await;
    let mut levels: Vec<_> = receiver
        .received()
        .iter()
        .map(|told| serde_json::from_str::<Value>(&told.body).unwrap()["data"].clone())
        .map(|data| {
            assert_eq!(data["parked_usd"], "0.001", "{data}");
            data["level"].as_str().unwrap().to_owned()
        })
        .collect();
    levels.sort();
    assert_eq!(levels, ["key", "org", "team", "user", "wallet"]);
    // A payment makes a wallet's threshold news again.
    world.admin_ok("POST", "orgs/acme/wallet/top-ups", json!({"usd": "0.01"})).await;
    let holder = world.holder(2).await;
    spend(&world, &holder, &key, 1, 1_000).await;
    round(&world).await;
    let again = receiver.received();
    assert_eq!(again.len(), 1);
    let event: Value = serde_json::from_str(&again[0].body).unwrap();
    assert_eq!(
        (&event["data"]["level"], &event["data"]["cap_usd"]),
        (&json!("wallet"), &json!("0.02"))
    );
}

#[tokio::test]
async fn setting_a_cap_below_what_is_spent_alerts_at_once_and_others_are_not_told() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let (receiver, foreign) = (Receiver::start().await, Receiver::start().await);
    hook(&world, &receiver).await;
    world.admin_ok("POST", "orgs/beta/webhooks", json!({"url": foreign.url})).await;
    let key = world.key_with_cap("1", "month").await;
    let holder = world.holder(1).await;
    spend(&world, &holder, &key, 1, 1_000).await;
    let budget = json!({"usd": "0.001", "alerts": [100]});
    world.admin_ok("PATCH", &format!("keys/{}", key.id), json!({"budget": budget})).await;
    round(&world).await;
    assert_eq!(receiver.received().len(), 1);
    assert!(foreign.received().is_empty());
    let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
    assert_eq!(shown["budget"]["alerts"], json!([100]));
    for wrong in [json!([0]), json!([101]), json!(["50"]), json!([1, 2, 3, 4, 5, 6, 7, 8, 9])] {
        let body = json!({"budget": {"usd": "1", "alerts": wrong}});
        let error = world.admin_refused("PATCH", &format!("keys/{}", key.id), body, 400).await;
        assert_eq!(error["param"], "budget.alerts");
    }
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_later_under_the_same_id_for_a_day() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (hook, secret) = hook(&world, &receiver).await;
    for status in [500, 302, 404, 429] {
        let location = [("location", receiver.url.clone())];
        receiver.answer((StatusCode::from_u16(status).unwrap(), location, "no".repeat(100_000)));
    }
    let sent = world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    assert_eq!((&sent["status"], &sent["event"]), (&json!("pending"), &json!("webhook.test")));
    let id = sent["id"].as_str().unwrap();
    for attempts in 1..=4u32 {
        round(&world).await;
        let received = receiver.received();
        assert_eq!(received.len(), 1, "attempt {attempts}: no redirect is followed");
        assert_eq!(received[0].header("webhook-id"), id);
        assert!(received[0].is_signed_by(&secret), "each attempt is signed at its time");
        let now = world.app.edge().now().unix_ms / 1_000;
        assert_eq!(received[0].header("webhook-timestamp"), now.to_string());
        let listed = deliveries(&world, &hook).await;
        assert_eq!(
            (&listed[0]["attempts"], &listed[0]["status"]),
            (&json!(attempts), &json!("pending"))
        );
        round(&world).await;
        assert!(receiver.received().is_empty(), "the next attempt is not due");
        world.clock.advance_ms(6_000 << (attempts - 1));
    }
    let listed = deliveries(&world, &hook).await;
    assert_eq!(listed[0]["last_status"], 429);
    assert!(listed[0]["last_error"].as_str().unwrap().contains("429"));
    round(&world).await;
    assert_eq!(deliveries(&world, &hook).await[0]["status"], "delivered");
    // Delivered or given up, it can be sent again.
    let resend = format!("{hook}/deliveries/{id}/resend");
    receiver.received();
    world.admin_ok("POST", &resend, Value::Null).await;
    let error = world.admin_refused("POST", &resend, Value::Null, 409).await;
    assert_eq!(error["code"], "delivery_pending");
    for _ in 0..40 {
        receiver.answer(StatusCode::BAD_GATEWAY);
    }
    for _ in 0..26 {
        round(&world).await;
        world.clock.advance_ms(HOUR_MS);
    }
    round(&world).await;
    let failed = deliveries(&world, &hook).await[0].clone();
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["ended_at"].is_string() && failed["next_attempt_at"].is_null());
    assert!(receiver.received().len() > 10);
    let filtered = format!("{hook}/deliveries?status=delivered");
    assert_eq!(world.admin_ok("GET", &filtered, Value::Null).await["data"], json!([]));
    world.admin_refused("POST", &format!("{hook}/deliveries/msg_x/resend"), Value::Null, 404).await;
}

#[tokio::test]
async fn nobody_listens_and_gone_receivers_are_switched_off() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (gone, _) = hook(&world, &receiver).await;
    let nobody = world.admin_ok("POST", HOOKS, json!({"url": "http://127.0.0.1:1/"})).await;
    let nobody = path(&nobody);
    receiver.answer(StatusCode::GONE);
    for hook in [&gone, &nobody] {
        world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    }
    round(&world).await;
    let waits = deliveries(&world, &nobody).await[0].clone();
    assert_eq!((&waits["status"], &waits["last_status"]), (&json!("pending"), &Value::Null));
    assert!(waits["last_error"].is_string());
    assert_eq!(deliveries(&world, &gone).await[0]["status"], "failed");
    assert_eq!(world.admin_ok("GET", &gone, Value::Null).await["enabled"], false);
    let error = world.admin_refused("POST", &format!("{gone}/test"), Value::Null, 409).await;
    assert_eq!(error["code"], "webhook_disabled");
    // Switched off by hand, what waits ends.
    world.admin_ok("PATCH", &nobody, json!({"enabled": false})).await;
    world.clock.advance_ms(HOUR_MS);
    round(&world).await;
    assert_eq!(deliveries(&world, &nobody).await[0]["status"], "failed");
    world.admin_ok("DELETE", &nobody, Value::Null).await;
    world.admin_refused("GET", &format!("{nobody}/deliveries"), Value::Null, 404).await;
}

#[tokio::test]
async fn secrets_are_shown_once_and_replaced_and_survive_a_restart() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (hook, first) = hook(&world, &receiver).await;
    assert!(first.starts_with("whsec_"));
    let shown = world.admin_ok("GET", &hook, Value::Null).await.to_string();
    assert!(!shown.contains("whsec_"));
    let rotated = world.admin_ok("POST", &format!("{hook}/rotate"), Value::Null).await;
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    // what was waiting is sent after a restart
    let world = world.restart();
    round(&world).await;
    let received = receiver.received();
    assert!(received[0].is_signed_by(&second) && !received[0].is_signed_by(&first));
    // neither database nor audit holds a secret
    let audit = world.admin_ok("GET", "audit?limit=100", Value::Null).await.to_string();
    assert!(!audit.contains("whsec_"));
    let raw = std::fs::read(world.database()).unwrap();
    for secret in [&first, &second] {
        let text = secret.trim_start_matches("whsec_").as_bytes();
        assert!(!raw.windows(text.len()).any(|window| window == text));
    }
    let kept = std::fs::read_to_string(format!("{}.secret", world.database().display())).unwrap();
    assert_eq!(kept.trim().len(), 44);
}

#[tokio::test]
async fn a_slow_or_silent_receiver_keeps_neither_settling_nor_others_waiting() {
    let world = World::with_org(None).await;
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let stuck = world.admin_ok("POST", HOOKS, json!({"url": url})).await;
    let receiver = Receiver::start().await;
    let (_, _) = hook(&world, &receiver).await;
    let courier = tokio::spawn(world.app.courier().run());
    let budget = json!({"usd": "0.001", "alerts": [50, 100]});
    let key = world.key(json!({"budget": budget})).await;
    let holder = world.holder(1).await;
    spend(&world, &holder, &key, 1, 500).await;
    spend(&world, &holder, &key, 2, 500).await;
    let mut told = 0;
    for _ in 0..100 {
        told += receiver.received().len();
        if told == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(told, 2, "within five seconds, while the other one still keeps silent");
    let waits = deliveries(&world, &path(&stuck)).await;
    assert!(waits.iter().all(|one| one["attempts"] == 0), "{waits:?}");
    courier.abort();
}

#[tokio::test]
async fn too_much_that_waits_is_counted_and_not_kept() {
    let world = World::with_org(None).await;
    let hook = world.admin_ok("POST", HOOKS, json!({"url": "http://127.0.0.1:1/"})).await;
    let test = format!("{}/test", path(&hook));
    for _ in 0..1_000 {
        world.admin_ok("POST", &test, Value::Null).await;
    }
    let error = world.admin_refused("POST", &test, Value::Null, 409).await;
    assert_eq!(error["code"], "too_many_deliveries");
    let budget = json!({"usd": "0.001", "alerts": [50]});
    let key = world.key(json!({"budget": budget})).await;
    let holder = world.holder(1).await;
    spend(&world, &holder, &key, 1, 1_000).await;
    assert_eq!(world.admin_ok("GET", "status", Value::Null).await["dropped_events"], 1);
    assert_eq!(world.spend(&key).await["settled_usd"], "0.001", "it is settled all the same");
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused() {
    let world = World::with_org(None).await;
    for body in [
        json!({}),
        json!({"url": "ftp://example.com/"}),
        json!({"url": "https://example.com/"}),
        json!({"url": "http://a@127.0.0.1/"}),
        json!({"url": "http://127.0.0.1/", "events": ["sunrise"]}),
        json!({"url": "http://127.0.0.1/", "enabled": 1}),
        json!({"url": "http://127.0.0.1/", "secret": "mine"}),
    ] {
        world.admin_refused("POST", HOOKS, body.clone(), 400).await;
    }
    for _ in 0..8 {
        world.admin_ok("POST", HOOKS, json!({"url": "http://127.0.0.1:1/"})).await;
    }
    let error =
        world.admin_refused("POST", HOOKS, json!({"url": "http://127.0.0.1:1/"}), 409).await;
    assert_eq!(error["code"], "too_many_webhooks");
    world
        .admin_refused("POST", "orgs/nobody/webhooks", json!({"url": "http://127.0.0.1/"}), 404)
        .await;
}

fn post(url: &str) -> Post {
    let folder = tempfile::tempdir().unwrap();
    let secret = ServerSecret::in_file(folder.path().join("secret"));
    let key = secret.new_signing_key(&OrgId::new("acme").unwrap(), "wh", 1).unwrap();
    Post {
        url: url.to_owned(),
        id: "msg_1".to_owned(),
        unix_s: 1,
        signature: key.0.sign("msg_1", 1, "{}").unwrap(),
        body: "{}".to_owned(),
    }
}

async fn try_post(settings: WebhookSettings, url: &str) -> Attempt {
    let post = post(url);
    tokio::task::spawn_blocking(move || Sender::new(&settings).post(&post)).await.unwrap()
}

/// Names are looked up by who connects, so what is refused is what would be connected to.
#[tokio::test]
async fn names_that_mean_this_machine_are_not_connected_to() {
    let receiver = Receiver::start().await;
    let port = receiver.url.rsplit_once(':').unwrap().1;
    let egress: SocketAddr =
        format!("127.0.0.1:{}", port.split('/').next().unwrap()).parse().unwrap();
    let guarded = WebhookSettings { egress: Some(egress), ..WebhookSettings::default() };
    // resolved to an address of this machine by the machine's own table of hosts
    let host = std::env::var("HOSTNAME").ok().or_else(|| {
        std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned())
    });
    for host in
        ["ip6-localhost", "localhost.localdomain"].map(str::to_owned).into_iter().chain(host)
    {
        let attempt = try_post(guarded.clone(), &format!("https://{host}/")).await;
        assert_eq!(attempt.status, None, "{host}");
        assert!(attempt.error.is_some());
    }
    let literal = try_post(guarded, "https://127.0.0.1/").await;
    assert!(literal.error.unwrap().contains("private"));
    assert!(receiver.received().is_empty());
}

/// The proxy is told the address that was checked, the name for TLS in `Host`, and the path.
#[tokio::test]
async fn https_goes_through_the_proxy_that_speaks_tls() {
    let receiver = Receiver::start().await;
    let address = receiver.url.strip_prefix("http://").unwrap();
    let egress: SocketAddr = address.split('/').next().unwrap().parse().unwrap();
    let settings =
        WebhookSettings { egress: Some(egress), allow_private: true, ..WebhookSettings::default() };
    let sent = try_post(settings.clone(), "https://localhost:8443/a?b=c").await;
    assert_eq!(sent, Attempt { status: Some(204), error: None });
    let received = &receiver.received()[0];
    assert_eq!(received.path, "/a?b=c");
    assert_eq!(received.header("host"), "localhost:8443");
    let resolved = received.header("x-envoy-original-dst-host");
    assert!(["127.0.0.1:8443", "[::1]:8443"].contains(&resolved), "{resolved}");
    let public = WebhookSettings { allow_private: false, ..settings };
    let literal = try_post(public, "https://8.8.8.8/x").await;
    assert_eq!(literal.status, Some(204));
    let received = &receiver.received()[0];
    assert_eq!(received.header("x-envoy-original-dst-host"), "8.8.8.8:443");
    assert_eq!(received.header("host"), "8.8.8.8");
}

/// Whoever is given its id is somebody else, and would tell the one before what is spent.
#[tokio::test]
async fn webhooks_end_with_their_organisation() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (hook, _) = hook(&world, &receiver).await;
    world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    world.admin_ok("DELETE", "orgs/acme", Value::Null).await;
    round(&world).await;
    assert!(receiver.received().is_empty(), "it is told something after its end");
    world.admin_ok("PUT", "orgs/acme", json!({})).await;
    let there = world.admin_ok("GET", HOOKS, Value::Null).await;
    assert_eq!(there["data"], json!([]));
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["pending_deliveries"], 0);
}

/// A message that was taken is not sent again and again because the server cannot write that down.
#[tokio::test]
async fn a_receiver_is_not_flooded_while_nothing_can_be_written() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (hook, _) = hook(&world, &receiver).await;
    world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    let courier = tokio::spawn(world.app.courier().run());
    let blocked = world.tables();
    blocked.execute_batch("BEGIN IMMEDIATE").unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(receiver.received().len(), 1);
    blocked.execute_batch("ROLLBACK").unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    courier.abort();
    assert!(receiver.received().is_empty());
    assert_eq!(deliveries(&world, &hook).await[0]["status"], "delivered");
}

/// As after a restore on another machine: signed by a new secret, no receiver would believe a message, and
/// none could be told which one it is signed by.
#[tokio::test]
async fn nothing_is_signed_by_another_secret_where_the_file_is_missing() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (hook, secret) = hook(&world, &receiver).await;
    let file = world.folder.path().join("tollgate.sqlite.secret");
    let beside = world.folder.path().join("kept");
    std::fs::rename(&file, &beside).unwrap();
    let world = world.restart();
    world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    round(&world).await;
    assert!(receiver.received().is_empty());
    let delivery = deliveries(&world, &hook).await[0].clone();
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("pending"), &json!(1)));
    let error = delivery["last_error"].as_str().unwrap();
    assert!(error.contains("the server cannot sign"), "{error}");
    assert!(!file.exists(), "another secret was made");
    std::fs::rename(&beside, &file).unwrap();
    world.clock.advance_ms(10_000);
    round(&world).await;
    let told = receiver.received();
    assert!(told.len() == 1 && told[0].is_signed_by(&secret));
}

#[tokio::test]
async fn a_webhook_is_not_signed_for_by_a_secret_that_was_made_after_it() {
    let world = World::with_org(None).await;
    let receiver = Receiver::start().await;
    let (old, _) = hook(&world, &receiver).await;
    std::fs::remove_file(world.folder.path().join("tollgate.sqlite.secret")).unwrap();
    let world = world.restart();
    let (new, of_new) = hook(&world, &receiver).await;
    for hook in [&old, &new] {
        world.admin_ok("POST", &format!("{hook}/test"), Value::Null).await;
    }
    round(&world).await;
    let told = receiver.received();
    assert!(told.len() == 1 && told[0].is_signed_by(&of_new));
    let error = deliveries(&world, &old).await[0]["last_error"].to_string();
    assert!(error.contains("rotate"), "{error}");
    let rotated = world.admin_ok("POST", &format!("{old}/rotate"), Value::Null).await;
    world.clock.advance_ms(10_000);
    round(&world).await;
    assert!(receiver.received()[0].is_signed_by(rotated["secret"].as_str().unwrap()));
}
