//! Prepaid money: added once each, spent by every key of the organisation, never changed after.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, LeaseAnswer, Level, Refusal};

use crate::world::{World, accounts, ask, final_report, micro, record};

const TOP_UPS: &str = "orgs/acme/wallet/top-ups";

#[tokio::test]
async fn the_first_top_up_opens_a_wallet_and_what_was_spent_before_is_not_taken_from_it() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    assert_eq!(world.admit(&holder, &key, 1, Some(ask(1))).await.lease, LeaseAnswer::NotNeeded);
    world.report(&holder, vec![], vec![record(&key, None, 1, 500)]).await;
    world.admin_refused("GET", "orgs/acme/wallet", Value::Null, 404).await;
    world.admin_refused("GET", TOP_UPS, Value::Null, 404).await;
    let body = json!({"usd": "0.003", "note": "invoice 7"});
    let (status, added) = world.admin("POST", TOP_UPS, body).await;
    assert_eq!(status.as_u16(), 201);
    assert_eq!((&added["debit"], &added["credit"]), (&json!("payments"), &json!("wallet")));
    assert_eq!((&added["usd"], &added["note"]), (&json!("0.003"), &json!("invoice 7")));
    assert_eq!(added["wallet"]["left_usd"], "0.003");
    assert_eq!(added["applied"], false, "keys need leases from now on");
    let changes = world.changes(&holder).await;
    let owner = "acme".to_owned();
    assert_eq!(
        changes,
        [
            Change::Recall { level: Level::Org, owner: owner.clone() },
            Change::Below { level: Level::Org, owner }
        ]
    );
    let heard = world.poll(&holder, holder.revision, 0).await.revision;
    world.poll(&holder, heard, 0).await;
    let lease = world.granted(&holder, &key, 2, ask(1_000)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(2_000))], vec![]).await;
    assert_eq!(
        world.refused(&holder, &key, 3, ask(501)).await,
        Refusal::BudgetExceeded { level: Level::Wallet, need: micro(1_002), left: micro(1_000) }
    );
    // more money changes no permission, so nobody has to hear of it
    let added = world.admin_ok("POST", TOP_UPS, json!({"usd": "0.001"})).await;
    assert_eq!((&added["wallet"]["cap_usd"], &added["applied"]), (&json!("0.004"), &json!(true)));
    world.granted(&holder, &key, 4, ask(1_000)).await;
    let wallet = world.admin_ok("GET", "orgs/acme/wallet", Value::Null).await;
    assert_eq!((&wallet["level"], &wallet["id"]), (&json!("wallet"), &json!("acme")));
    assert_eq!((&wallet["settled_usd"], &wallet["period"]), (&json!("0.002"), &json!("none")));
    let of_org = world.admin_ok("GET", "budgets?org=acme", Value::Null).await;
    assert_eq!(of_org["data"][1], wallet);
    world.check_ledger();
}

#[tokio::test]
async fn an_id_adds_its_amount_once() {
    let world = World::with_org(None).await;
    let body = json!({"usd": "10.00", "id": "inv-7", "note": "first"});
    let first = world.admin("POST", TOP_UPS, body.clone()).await;
    let again = world.admin("POST", TOP_UPS, body).await;
    assert_eq!((first.0.as_u16(), again.0.as_u16()), (201, 200));
    assert_eq!(first.1["at"], again.1["at"]);
    assert_eq!(again.1["wallet"]["cap_usd"], "10.00");
    let other = json!({"usd": "11.00", "id": "inv-7"});
    let error = world.admin_refused("POST", TOP_UPS, other, 409).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("id_reused"), &json!("id")));
    // without an id each one is another
    for _ in 0..2 {
        world.admin_ok("POST", TOP_UPS, json!({"usd": "0.50"})).await;
    }
    // another organisation's ids are its own
    world.admin_ok("PUT", "orgs/other", json!({})).await;
    let body = json!({"usd": "3.00", "id": "inv-7"});
    world.admin_ok("POST", "orgs/other/wallet/top-ups", body).await;
    let list = world.admin_ok("GET", &format!("{TOP_UPS}?limit=2"), Value::Null).await;
    let cursor = list["next_cursor"].as_str().unwrap();
    let rest = world.admin_ok("GET", &format!("{TOP_UPS}?cursor={cursor}"), Value::Null).await;
    let amounts: Vec<_> = [&list, &rest]
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|entry| entry["usd"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(amounts, ["0.50", "0.50", "10.00"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let (sum, cap): (i64, i64) = world
        .tables()
        .query_row(
            "SELECT (SELECT sum(amount) FROM wallet_entries WHERE org = 'acme'),
                    (SELECT cap FROM budgets WHERE level = 'wallet' AND owner = 'acme')",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((sum, cap), (11_000_000_000, 11_000_000_000));
}

#[tokio::test]
async fn top_ups_are_checked_and_never_changed() {
    let world = World::with_org(None).await;
    for (body, param) in [
        (json!({}), "usd"),
        (json!({"usd": "0.00"}), "usd"),
        (json!({"usd": "-1"}), "usd"),
        (json!({"usd": "1", "period": "month"}), "period"),
        (json!({"usd": "1", "id": ""}), "id"),
    ] {
        let error = world.admin_refused("POST", TOP_UPS, body, 400).await;
        assert_eq!(error["param"], param);
    }
    world.admin_refused("POST", "orgs/none/wallet/top-ups", json!({"usd": "1"}), 404).await;
    world.admin_ok("POST", TOP_UPS, json!({"usd": "999999999"})).await;
    let error = world.admin_refused("POST", TOP_UPS, json!({"usd": "2"}), 409).await;
    assert_eq!(error["code"], "wallet_full");
    let tables = world.tables();
    for change in ["UPDATE wallet_entries SET amount = 1", "DELETE FROM wallet_entries"] {
        assert!(tables.execute(change, []).unwrap_err().to_string().contains("never"));
    }
}

#[tokio::test]
async fn calls_admitted_before_the_wallet_was_known_count_in_it() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let KeyAnswer::Known(policy) = world.admit(&holder, &key, 1, None).await.key else { panic!() };
    assert!(!policy.budgeted);
    world.admin_ok("POST", &format!("{TOP_UPS}?wait=0"), json!({"usd": "0.003"})).await;
    world.report(&holder, vec![], vec![record(&key, None, 1, 500)]).await;
    let row = accounts(&world.tables()).into_iter().find(|row| row.level == "wallet").unwrap();
    assert_eq!((row.settled, row.overdraft), (1_000_000, 1_000_000));
    world.check_ledger();
}
