//! The ledger of a wallet: every amount goes from one account to another, and what entries and
//! budget say is the same.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{GRACE_MS, Key, TTL_MS, World, ask, final_report, micro, record};

const WALLET: &str = "orgs/acme/wallet";
const DAY_MS: u64 = 24 * 3_600_000;

async fn check(world: &World) -> Value {
    world.admin_ok("GET", &format!("{WALLET}/check"), Value::Null).await
}

async fn agrees(world: &World) -> Value {
    let checked = check(world).await;
    assert_eq!(checked["agrees"], true, "{checked}");
    checked
}

async fn adjust(world: &World, usd: &str, id: &str) -> (u16, Value) {
    let body = json!({"usd": usd, "note": "test", "id": id});
    let (status, answer) = world.admin("POST", &format!("{WALLET}/adjustments"), body).await;
    (status.as_u16(), answer)
}

async fn top_up(world: &World, usd: &str) {
    world.admin_ok("POST", &format!("{WALLET}/top-ups"), json!({"usd": usd})).await;
}

async fn ledger(world: &World) -> Vec<(String, String, String, String)> {
    let page = world.admin_ok("GET", &format!("{WALLET}/ledger"), Value::Null).await;
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = page["data"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            (text(entry, "id"), text(entry, "debit"), text(entry, "credit"), text(entry, "usd"))
        })
        .collect()
}

#[tokio::test]
async fn a_day_of_calls_becomes_one_entry_when_it_is_over() {
    let world = World::with_org(None).await;
    top_up(&world, "0.01").await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    for n in 1..=3 {
        let lease = world.granted(&holder, &key, n, ask(500)).await.lease;
        world.report(&holder, vec![final_report(&lease, micro(1_000))], vec![]).await;
    }
    let checked = agrees(&world).await;
    assert_eq!(checked["usage_without_entry_usd"], "0.003");
    assert_eq!(checked["balances_usd"]["wallet"], "0.01");
    assert_eq!(ledger(&world).await.len(), 1);
    world.pass(DAY_MS / 2).await;
    let of_day = ("usage_2026-11-20", "wallet", "usage", "0.003");
    let of_day =
        (of_day.0.to_owned(), of_day.1.to_owned(), of_day.2.to_owned(), of_day.3.to_owned());
    assert_eq!(ledger(&world).await[0], of_day);
    let checked = agrees(&world).await;
    assert_eq!(checked["usage_without_entry_usd"], "0.00");
    assert_eq!(
        checked["balances_usd"],
        json!({"payments": "-0.01", "wallet": "0.007", "usage": "0.003", "adjustments": "0.00"})
    );
    assert_eq!((&checked["entries"], &checked["cap_usd"]), (&json!(2), &json!("0.01")));
    // A clock that is set back and forth makes another entry of the same day, and none twice.
    let holder = world.holder(2).await;
    world.clock.set_unix_ms(crate::world::NOON);
    let lease = world.granted(&holder, &key, 1, ask(500)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(1_000))], vec![]).await;
    world.pass(DAY_MS).await;
    assert_eq!(ledger(&world).await[0].0, "usage_2026-11-20_2");
    agrees(&world).await;
    // Top-ups alone are listed as ever.
    let top_ups = world.admin_ok("GET", &format!("{WALLET}/top-ups"), Value::Null).await;
    assert_eq!(top_ups["data"].as_array().unwrap().len(), 1);
    let page = world.admin_ok("GET", &format!("{WALLET}/ledger?limit=2"), Value::Null).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = world.admin_ok("GET", &format!("{WALLET}/ledger?cursor={next}"), Value::Null).await;
    assert_eq!(rest["data"][0]["credit"], "wallet");
}

#[tokio::test]
async fn an_operator_corrects_both_ways_but_takes_nothing_that_is_out() {
    let world = World::with_org(None).await;
    let (status, _) = adjust(&world, "5", "a").await;
    assert_eq!(status, 404, "there is no wallet yet");
    top_up(&world, "0.01").await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(500)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(1_000))], vec![]).await;
    world.granted(&holder, &key, 2, ask(1_000)).await;
    let (status, error) = adjust(&world, "-0.007000001", "b").await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("wallet_in_use")), "{error}");
    let (status, taken) = adjust(&world, "-0.007", "b").await;
    assert_eq!(status, 201, "{taken}");
    assert_eq!((&taken["debit"], &taken["credit"]), (&json!("wallet"), &json!("adjustments")));
    assert_eq!(
        (&taken["wallet"]["cap_usd"], &taken["wallet"]["left_usd"]),
        (&json!("0.003"), &json!("0.002"))
    );
    assert_eq!(adjust(&world, "-0.007", "b").await.0, 200, "once");
    assert_eq!(adjust(&world, "0.007", "b").await.0, 409, "the other way is something else");
    let (status, given) = adjust(&world, "0.5", "c").await;
    assert_eq!((status, &given["credit"]), (201, &json!("wallet")));
    world.granted(&holder, &key, 3, ask(1_000)).await;
    let checked = agrees(&world).await;
    assert_eq!(checked["balances_usd"]["adjustments"], "-0.493");
    for (usd, note) in [("0", "x"), ("-0", "x"), ("--1", "x"), ("1", " "), ("-", "x")] {
        let body = json!({"usd": usd, "note": note});
        world.admin_refused("POST", &format!("{WALLET}/adjustments"), body, 400).await;
    }
    world.admin_refused("POST", &format!("{WALLET}/adjustments"), json!({"usd": "1"}), 400).await;
    let audit = world.admin_ok("GET", "audit?action=wallet.adjust&outcome=done", Value::Null).await;
    assert_eq!(audit["data"][0]["after"]["cap_usd"], "0.503", "{audit}");
    world.check_ledger();
}

#[tokio::test]
async fn what_does_not_agree_is_found() {
    let world = World::with_org(None).await;
    top_up(&world, "1").await;
    agrees(&world).await;
    for damage in [
        "UPDATE budgets SET cap = cap + 1 WHERE level = 'wallet'",
        "UPDATE accounts SET settled = settled + 1 WHERE level = 'wallet'",
        "INSERT INTO wallet_usage VALUES ('acme', 5, 7)",
        "INSERT INTO wallet_entries (org, id, debit, credit, amount, note, at_ms)
         VALUES ('acme', 'x', 'payments', 'wallet', 5, '', 0)",
    ] {
        let world = World::with_org(None).await;
        top_up(&world, "1").await;
        let key = world.key(json!({})).await;
        let holder = world.holder(1).await;
        let lease = world.granted(&holder, &key, 1, ask(500)).await.lease;
        world.report(&holder, vec![final_report(&lease, micro(1_000))], vec![]).await;
        let world = world.stop();
        let changed = rusqlite::Connection::open(world.database()).unwrap().execute(damage, []);
        assert_eq!(changed.unwrap(), 1, "{damage}");
        let world = world.start();
        let checked = check(&world).await;
        assert_eq!(checked["agrees"], false, "{damage}: {checked}");
        assert_eq!(checked["problems"].as_array().unwrap().len(), 1, "{damage}: {checked}");
    }
}

/// Wallets from before there were entries of usage.
#[tokio::test]
async fn an_older_wallets_spending_becomes_an_entry() {
    let world = World::with_org(None).await;
    top_up(&world, "1").await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(500)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(1_000))], vec![]).await;
    let world = world.stop();
    let database = rusqlite::Connection::open(world.database()).unwrap();
    // As the migration leaves it.
    database.execute("UPDATE wallet_usage SET day = 0", []).unwrap();
    drop(database);
    let world = world.start();
    agrees(&world).await;
    world.pass(1).await;
    assert_eq!(ledger(&world).await[0].0, "usage_1970-01-01");
    agrees(&world).await;
}

#[derive(Debug, Clone)]
enum Step {
    TopUp(u64),
    Adjust(i64),
    Call { spent: u64, more: u64 },
    Unpaid(u64),
    Vanish,
    Day,
    Hour,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u64..5_000).prop_map(Step::TopUp),
        2 => (-5_000i64..5_000).prop_map(Step::Adjust),
        6 => (0u64..1_500, 0u64..200).prop_map(|(spent, more)| Step::Call { spent, more }),
        1 => (1u64..500).prop_map(Step::Unpaid),
        1 => Just(Step::Vanish),
        1 => Just(Step::Day),
        1 => Just(Step::Hour),
        1 => Just(Step::Restart),
    ]
}

async fn play(steps: Vec<Step>) {
    let mut world = World::with_org(None).await;
    top_up(&world, "0.005").await;
    let key: Key = world.key(json!({})).await;
    let (mut holder, mut n, mut nonce, mut unpaid) = (world.holder(1).await, 0, 1u8, 0);
    for step in steps {
        match step {
            Step::TopUp(micro_usd) => top_up(&world, &micro(micro_usd).to_usd()).await,
            Step::Adjust(micro_usd) => {
                let size = micro(micro_usd.unsigned_abs()).to_usd();
                let usd = if micro_usd < 0 { format!("-{size}") } else { size };
                let body = json!({"usd": usd, "note": "test"});
                world.admin("POST", &format!("{WALLET}/adjustments"), body).await;
            }
            Step::Call { spent, more } => {
                n += 1;
                let admitted = world.admit(&holder, &key, n, Some(ask(spent / 2 + 1))).await.lease;
                if let wire::v1::LeaseAnswer::Granted(grant) = admitted {
                    // Some calls cost more than was set aside.
                    let statement = final_report(&grant.lease, micro(spent + more));
                    world.report(&holder, vec![statement], vec![]).await;
                }
            }
            Step::Unpaid(tokens) => {
                unpaid += 1;
                let call = record(&key, None, 1_000_000 + unpaid, tokens);
                world.report(&holder, vec![], vec![call]).await;
            }
            Step::Vanish => {
                n += 1;
                world.admit(&holder, &key, n, Some(ask(100))).await;
                world.pass(TTL_MS + GRACE_MS + 1).await;
                (nonce, n) = (nonce.wrapping_add(1), 0);
                holder = world.holder(nonce).await;
            }
            Step::Day | Step::Hour => {
                world.pass(if matches!(step, Step::Day) { DAY_MS } else { DAY_MS / 24 }).await;
                (nonce, n) = (nonce.wrapping_add(1), 0);
                holder = world.holder(nonce).await;
            }
            Step::Restart => world = world.restart(),
        }
        agrees(&world).await;
    }
    world.check_ledger();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is paid, corrected, spent, lost or interrupted, in whatever order.
    #[test]
    fn entries_and_budget_agree(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
