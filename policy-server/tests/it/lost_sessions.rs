//! Holders that vanish: what they could have spent keeps counting until they are heard of again.

use policy_server::clock::Clock as _;
use serde_json::{Value, json};
use wire::v1::{Problem, Refusal};

use crate::world::{
    GRACE_MS, TTL_MS, World, accounts, admit_request, ask, final_report, micro, record,
    report_request,
};

const GONE_MS: u64 = TTL_MS + GRACE_MS + 1;

#[tokio::test]
async fn a_lost_session_parks_what_was_not_spent_and_a_late_report_settles_it() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let lost = world.holder(1).await;
    let lease = world.granted(&lost, &key, 1, ask(4_000)).await.lease;
    let early = wire::v1::LeaseReport {
        lease: lease.clone(),
        spent: micro(1_000),
        floor: None,
        is_final: false,
        permits_used: 0,
        permit_age_ms: 0,
    };
    world.report(&lost, vec![early], vec![]).await;
    world.pass(GONE_MS - 1).await;
    assert_eq!(accounts(&world.tables())[0].parked, 0, "still within its time");
    world.pass(1).await;
    let sums = |world: &World| {
        let account = &accounts(&world.tables())[0];
        (account.settled / 1_000, account.parked / 1_000, account.outstanding / 1_000)
    };
    assert_eq!(sums(&world), (1_000, 7_000, 0));
    world.check_ledger();
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!((&status["parked_leases"], &status["live_holders"]), (&json!(1), &json!(0)));
    // parked money is as good as spent for others
    let other = world.holder(2).await;
    assert!(matches!(
        world.refused(&other, &key, 1, ask(1_001)).await,
        Refusal::BudgetExceeded { left, .. } if left == micro(2_000)
    ));
    let records = vec![record(&key, Some(lease.clone()), 1, 2_000)];
    world.report(&lost, vec![final_report(&lease, micro(4_000))], records).await;
    assert_eq!(sums(&world), (4_000, 0, 0), "the rest is free again");
    world.check_ledger();
    world.granted(&other, &key, 2, ask(3_000)).await;
    world.check_ledger();
}

#[tokio::test]
async fn a_lapsed_holder_must_register_anew_and_the_same_nonce_is_the_same_holder() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let lost = world.holder(1).await;
    world.granted(&lost, &key, 1, ask(100)).await;
    world.clock.advance_ms(GONE_MS);
    // also before any sweep: the time has passed
    let request = admit_request(&lost, &key, 2, Some(ask(100)));
    for _ in 0..2 {
        let (status, answer) = world.filter("POST", "admit", &request).await;
        assert_eq!(status.as_u16(), 409);
        assert_eq!(answer["error"]["code"], Problem::UNKNOWN_HOLDER);
        world.pass(0).await;
    }
    let again = world.holder(1).await;
    assert_eq!(again.id, lost.id);
    world.granted(&again, &key, 2, ask(100)).await;
    let new = world.holder(2).await;
    assert_ne!(new.id, lost.id);
    world.check_ledger();
}

#[tokio::test]
async fn every_exchange_renews_a_session() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(100)).await;
    for round in 0..4u64 {
        world.pass(TTL_MS).await;
        match round % 3 {
            0 => drop(world.admit(&holder, &key, 9, None).await),
            1 => drop(world.report(&holder, vec![], vec![]).await),
            _ => {
                let (holder, epoch, revision) = (&holder.id, holder.epoch.0, holder.revision.0);
                let path = format!("changes?holder={holder}&epoch={epoch}&revision={revision}");
                let (status, _) = world.filter("GET", &path, &Value::Null).await;
                assert_eq!(status.as_u16(), 200);
            }
        }
    }
    assert_eq!(accounts(&world.tables())[0].outstanding, 200_000);
}

#[tokio::test]
async fn more_leases_than_one_sweep_parks_are_all_parked() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    for n in 0..200 {
        world.granted(&one, &key, n, ask(1)).await;
        world.granted(&two, &key, n, ask(1)).await;
    }
    world.pass(GONE_MS).await;
    let account = &accounts(&world.tables())[0];
    assert_eq!((account.parked, account.outstanding), (800_000, 0));
    world.check_ledger();
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["parked_leases"], 400);
}

#[tokio::test]
async fn a_holder_that_never_was_may_not_report() {
    let world = World::with_org(None).await;
    let mut holder = world.holder(1).await;
    holder.id = wire::HolderId::new("hnobody").unwrap();
    let request = report_request(&holder, vec![], vec![]);
    let (status, answer) = world.filter("POST", "reports", &request).await;
    assert_eq!(status.as_u16(), 409);
    assert_eq!(answer["error"]["code"], Problem::UNKNOWN_HOLDER);
}

#[tokio::test]
async fn a_poll_whose_clock_was_read_before_the_deadline_revives_nobody_after_the_sweep_has_looked()
{
    let world = World::with_org(Some("1.00")).await;
    let holder = world.holder(1).await;
    let before = world.clock.now();
    world.clock.advance_ms(GONE_MS);
    let mut live = world.app.shared().live();
    assert_eq!(live.lapsed(world.clock.now()), std::slice::from_ref(&holder.id));
    assert!(live.touch(&holder.id, before).is_err());
    assert_eq!(live.alive(before), 0);
}
