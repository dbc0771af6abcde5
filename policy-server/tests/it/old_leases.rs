//! Leases that ended long ago: a busy key has thousands a day, and what they came to stands in the
//! accounts. They are forgotten with the request log, and what still comes of them changes nothing.

use serde_json::{Value, json};
use wire::v1::{LeaseAnswer, LeaseReport, Refusal, ReportReply};
use wire::{LeaseId, RequestId};

use crate::world::{
    Holder, Key, World, accounts, admit_request, ask, final_report, micro, record, report_request,
};

const DAY_MS: u64 = 86_400_000;

/// Ended leases 1 and 2, and a grant 3 that never arrived, of the first day; an open lease 4 and a parked
/// one of another holder, too. Then more than 400 days pass, during which the first holder stays.
async fn after_a_year() -> (World, Key, Holder, Holder) {
    let world = World::with_org(Some("5.00")).await;
    let key = world.key_with_cap("1.00", "none").await;
    let holder = world.holder(1).await;
    let lost = world.holder(2).await;
    for n in 1..=4 {
        world.granted(&holder, &key, n, ask(1_000)).await;
    }
    world.granted(&lost, &key, 1, ask(1_000)).await;
    let lease = |n| holder.lease(n);
    let reports = vec![final_report(&lease(1), micro(700)), final_report(&lease(2), micro(500))];
    let records = vec![record(&key, Some(lease(1)), 1, 350), record(&key, Some(lease(2)), 2, 250)];
    world.report(&holder, reports, records).await;
    let request =
        wire::v1::AdmitRequest { void: vec![3, 9], ..admit_request(&holder, &key, 5, None) };
    let _: Value = world.filter_ok("POST", "admit", &request).await;
    for _ in 0..20 {
        world.clock.advance_ms(DAY_MS * 20 + DAY_MS / 19);
        // A sweep of every day would find nothing else to do.
        world.holder(1).await;
        while world.app.sweep().await.unwrap() {}
    }
    let holder = world.holder(1).await;
    (world, key, holder, lost)
}

fn leases(world: &World) -> Vec<(String, i64)> {
    let tables = world.tables();
    let mut statement =
        tables.prepare("SELECT standing, n FROM leases ORDER BY standing, n").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn leases_that_ended_go_with_the_request_log_and_the_sums_stay() {
    let (world, key, ..) = after_a_year().await;
    let kept = [("open".to_owned(), 4), ("parked".to_owned(), 1)];
    assert_eq!(leases(&world), kept);
    let shares: i64 = world
        .tables()
        .query_row("SELECT count(DISTINCT n || holder) FROM lease_accounts", [], |row| row.get(0))
        .unwrap();
    assert_eq!(shares, 2);
    let of_key = &accounts(&world.tables())[0];
    assert_eq!((of_key.settled / 1_000, of_key.overdraft), (1_200, 0));
    let shown = world.spend(&key).await;
    assert_eq!(shown["settled_usd"], "0.0012");
}

#[tokio::test]
async fn what_still_comes_of_a_forgotten_lease_changes_nothing() {
    let (world, key, holder, _) = after_a_year().await;
    let before = accounts(&world.tables());
    // the ask, once more
    let again = admit_request(&holder, &key, 1, Some(ask(1_000)));
    let reply: wire::v1::AdmitReply = world.filter_ok("POST", "admit", &again).await;
    assert!(
        matches!(reply.lease, LeaseAnswer::Refused(Refusal::Contended { .. })),
        "{:?}",
        reply.lease
    );
    // its report with its record, and its disclaimer
    let report = |n: u64, spent: u64| LeaseReport {
        floor: Some(micro(spent)),
        ..final_report(&holder.lease(n), micro(spent))
    };
    let mut message = report_request(
        &holder,
        vec![report(1, 700), report(2, 900), report(3, 50)],
        vec![record(&key, Some(holder.lease(1)), 1, 350)],
    );
    message.void = vec![1, 2, 3, 9];
    let reply: ReportReply = world.filter_ok("POST", "reports", &message).await;
    assert_eq!(reply.epoch, holder.epoch, "nothing is lost, so no new epoch begins");
    assert_eq!(accounts(&world.tables()), before);
    assert_eq!(leases(&world).len(), 2);
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!((&status["unknown_leases"], &status["frozen_budgets"]), (&json!(0), &json!(0)));
    // one that was never granted is as unknown as ever
    let unknown = LeaseId::new(format!("{}-99", holder.id)).unwrap();
    let call = record(&key, Some(unknown.clone()), 7, 10);
    let call = wire::v1::CallRecord { request: RequestId::new("req-other").unwrap(), ..call };
    world.report(&holder, vec![final_report(&unknown, micro(20))], vec![call]).await;
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!((&status["unknown_leases"], &status["frozen_budgets"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn forgotten_leases_stay_so_over_a_restart() {
    let (world, key, holder, _) = after_a_year().await;
    let before = accounts(&world.tables());
    let world = world.restart();
    let again = world.holder(1).await;
    assert_eq!(again.id, holder.id);
    let message = report_request(&again, vec![final_report(&holder.lease(2), micro(900))], vec![]);
    let _: ReportReply = world.filter_ok("POST", "reports", &message).await;
    assert_eq!(accounts(&world.tables()), before);
    world.granted(&again, &key, 10, ask(10)).await;
}
