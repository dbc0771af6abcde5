//! Budgets that start afresh on a day, at a time, by the clocks of a place of their own.

use serde_json::{Value, json};
use wire::v1::{Level, Refusal};

use crate::world::{World, ask, final_report, micro};

const HOUR_MS: u64 = 3_600_000;

async fn spend_all(world: &World, fields: Value, advance_to: &str, expected_end: &str) {
    let key = world.key(json!({"budget": fields})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(2_000))], vec![]).await;
    let refusal = world.refused(&holder, &key, 2, ask(1)).await;
    assert!(matches!(refusal, Refusal::BudgetExceeded { level: Level::Key, .. }), "{refusal:?}");
    let spend = world.spend(&key).await;
    assert_eq!(spend["resets_at"], expected_end);
    assert_eq!(spend["period_end"], expected_end);
    let end = unix_ms(expected_end);
    assert_eq!(unix_ms(advance_to), end - 1);
    world.clock.set_unix_ms(end - 1);
    world.refused(&holder, &key, 3, ask(1)).await;
    world.clock.set_unix_ms(end);
    world.granted(&holder, &key, 4, ask(1_000)).await;
    assert_eq!(world.spend(&key).await["period_start"], expected_end);
    world.check_ledger();
}

fn unix_ms(text: &str) -> u64 {
    let at: jiff::Timestamp = text.parse().unwrap();
    u64::try_from(at.as_millisecond()).unwrap()
}

// It is noon UTC of 2026-11-20, a Friday.

#[tokio::test]
async fn a_month_starts_afresh_on_its_anchor_by_local_clocks() {
    let world = World::with_org(None).await;
    let budget = json!({
        "usd": "0.002", "period": "month", "anchor": "25", "time_zone": "America/New_York",
    });
    spend_all(&world, budget, "2026-11-25T04:59:59.999Z", "2026-11-25T05:00:00Z").await;
}

#[tokio::test]
async fn a_week_starts_afresh_on_its_weekday() {
    let world = World::with_org(None).await;
    let budget = json!({"usd": "0.002", "period": "week", "anchor": "saturday"});
    spend_all(&world, budget, "2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z").await;
}

#[tokio::test]
async fn a_day_starts_afresh_at_its_time() {
    let world = World::with_org(None).await;
    let zone = "asia/kolkata";
    let budget = json!({"usd": "0.002", "period": "day", "anchor": "18:15", "time_zone": zone});
    spend_all(&world, budget, "2026-11-20T12:44:59.999Z", "2026-11-20T12:45:00Z").await;
}

#[tokio::test]
async fn what_is_set_is_shown_kept_by_a_new_cap_and_gone_with_another_period() {
    let world = World::with_org(None).await;
    let team = "orgs/acme/teams/search/budget";
    let body = json!({
        "usd": "1", "period": "month", "anchor": "15", "time_zone": "europe/berlin",
    });
    let put = world.admin_ok("PUT", team, body).await;
    let schedule = |shown: &Value| {
        ["period", "anchor", "time_zone"].map(|name| shown[name].as_str().map(str::to_owned))
    };
    let set = |texts: [&str; 3]| texts.map(|text| (!text.is_empty()).then(|| text.to_owned()));
    assert_eq!(schedule(&put), set(["month", "15", "Europe/Berlin"]));
    assert_eq!(put["period_start"], "2026-11-14T23:00:00Z");
    assert_eq!(put["resets_at"], "2026-12-14T23:00:00Z");
    let raised = world.admin_ok("PUT", team, json!({"usd": "2"})).await;
    assert_eq!(schedule(&raised), set(["month", "15", "Europe/Berlin"]));
    let natural = world.admin_ok("PUT", team, json!({"usd": "2", "anchor": null})).await;
    assert_eq!(schedule(&natural), set(["month", "", "Europe/Berlin"]));
    let day = world.admin_ok("PUT", team, json!({"usd": "2", "anchor": "2"})).await;
    assert_eq!(schedule(&day), set(["month", "2", "Europe/Berlin"]));
    let day = world.admin_ok("PUT", team, json!({"usd": "2", "period": "day"})).await;
    assert_eq!(schedule(&day), set(["day", "", "Europe/Berlin"]), "an anchor is of its period");
    let total = world.admin_ok("PUT", team, json!({"usd": "2", "period": "none"})).await;
    assert_eq!(schedule(&total), set(["none", "", ""]));
    assert_eq!(total["resets_at"], Value::Null);
    // the same at the other levels
    for (path, method) in [("orgs/acme", "PUT"), ("orgs/acme", "PATCH")] {
        let budget = json!({"usd": "5.00", "period": "week", "anchor": "sunday"});
        let org = world.admin_ok(method, path, json!({"budget": budget})).await;
        assert_eq!(org["budget"], budget);
        assert_eq!(org["spend"]["resets_at"], "2026-11-22T00:00:00Z");
    }
    let audit = world.admin_ok("GET", "audit?action=budget.put&limit=1", Value::Null).await;
    assert_eq!(audit["data"][0]["after"]["period"], "none", "{audit}");
    assert_eq!(audit["data"][0]["before"]["time_zone"], "Europe/Berlin", "{audit}");
}

#[tokio::test]
async fn what_cannot_be_is_named() {
    let world = World::with_org(None).await;
    for (budget, param) in [
        (json!({"usd": "1", "period": "month", "anchor": "32"}), "budget.anchor"),
        (json!({"usd": "1", "period": "month", "anchor": 15}), "budget.anchor"),
        (json!({"usd": "1", "period": "month", "anchor": "friday"}), "budget.anchor"),
        (json!({"usd": "1", "period": "day", "anchor": "25:00"}), "budget.anchor"),
        (json!({"usd": "1", "anchor": "1"}), "budget.anchor"),
        (json!({"usd": "1", "period": "day", "time_zone": "Mars/Base"}), "budget.time_zone"),
        (json!({"usd": "1", "time_zone": "Europe/Berlin"}), "budget.time_zone"),
    ] {
        let body = json!({"org": "acme", "budget": budget});
        let error = world.admin_refused("POST", "keys", body, 400).await;
        assert_eq!(error["param"], param, "{budget}: {error}");
    }
    let team = "orgs/acme/teams/search";
    let error = world
        .admin_refused("PUT", &format!("{team}/budget"), json!({"usd": "1", "anchor": "2"}), 400)
        .await;
    assert_eq!(error["param"], "anchor");
    let ceiling = json!({"usd": "1", "period": "day", "anchor": "06:30"});
    let body = json!({"self_service": {"budget_ceiling": ceiling}});
    let error = world.admin_refused("PUT", team, body, 400).await;
    assert_eq!(error["param"], "self_service.budget_ceiling.anchor");
}

/// Another anchor or zone is another period: what was granted from the old account comes back
/// first, and is settled there.
#[tokio::test]
async fn another_anchor_begins_another_account_after_a_recall() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.002", "month").await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    let path = format!("keys/{}?wait=0", key.id);
    let budget = json!({"usd": "0.002", "time_zone": "Pacific/Auckland"});
    let shown = world.admin_ok("PATCH", &path, json!({"budget": budget})).await;
    assert_eq!(shown["spend"]["outstanding_usd"], "0.00");
    assert_eq!(shown["spend"]["period_start"], "2026-10-31T11:00:00Z");
    let refusal = world.refused(&holder, &key, 2, ask(1_000)).await;
    assert!(matches!(refusal, Refusal::Contended { .. }), "the old lease is still out");
    world.report(&holder, vec![final_report(&lease, micro(2_000))], vec![]).await;
    let heard = world.poll(&holder, holder.revision, 0).await.revision;
    world.poll(&holder, heard, 0).await;
    world.granted(&holder, &key, 3, ask(1_000)).await;
    let settled = |account: &crate::world::AccountRow| (account.period.clone(), account.settled);
    let of_key: Vec<_> = crate::world::accounts(&world.tables())
        .iter()
        .filter(|account| account.level == "key")
        .map(settled)
        .collect();
    let expected = [("month".to_owned(), 2_000_000), ("month Pacific/Auckland".to_owned(), 0)];
    assert_eq!(of_key, expected);
    world.check_ledger();
}

#[tokio::test]
async fn a_restart_finds_the_same_period() {
    let world = World::with_org(None).await;
    let budget =
        json!({"usd": "0.002", "period": "day", "anchor": "06:30", "time_zone": "Asia/Tehran"});
    let key = world.key(json!({"budget": budget})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(2_000))], vec![]).await;
    let before = world.spend(&key).await;
    let world = world.restart();
    assert_eq!(world.spend(&key).await, before);
    world.clock.advance_ms(24 * HOUR_MS);
    assert_eq!(world.spend(&key).await["settled_usd"], "0.00");
}
