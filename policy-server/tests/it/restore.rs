//! Databases that were copied back: nothing is granted on what is not known.

use policy_server::app::NewEpoch;
use policy_server::restore::{RestoreError, Restored, restore};
use policy_server::store::sqlite::Sqlite;
use serde_json::{Value, json};
use wire::v1::{CallRecord, LeaseAnswer, LeaseReport, Problem, Refusal};
use wire::{LeaseId, RequestId};

use crate::world::{
    Holder, Key, NOON, World, accounts, admit_request, ask, final_report, micro, record,
    report_request,
};

/// A server whose database was replaced by a copy without its journal: everything of the lease 2
/// is lost. The holder still knows the old epoch.
async fn restored() -> (World, Key, Holder, NewEpoch) {
    let world = World::with_org(Some("0.10")).await;
    let key = world.key_with_cap("0.05", "none").await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(1_000)).await;
    let copy = world.folder.path().join("copy");
    Sqlite::copy(&world.database(), &copy).unwrap();
    world.granted(&holder, &key, 2, ask(2_000)).await;
    let stopped = world.stop();
    std::fs::rename(&copy, stopped.database()).unwrap();
    let Restored::Began(begun) = restore(&stopped.database(), None, stopped.unix_ms).unwrap()
    else {
        panic!("there is no journal");
    };
    (stopped.start(), key, holder, begun)
}

#[tokio::test]
async fn without_a_journal_a_new_epoch_begins_and_budgets_grant_nothing_until_released() {
    let (world, key, old, begun) = restored().await;
    assert_eq!(begun.frozen, 2);
    assert!(begun.epoch > old.epoch, "strictly larger, also within the same millisecond");
    let (status, answer) =
        world.filter("POST", "admit", &admit_request(&old, &key, 3, Some(ask(1)))).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!(Problem::OTHER_EPOCH)));
    let holder = world.holder(1).await;
    assert_eq!((holder.epoch, &holder.id), (begun.epoch, &old.id));
    let frozen = Refusal::Contended { retry_after_ms: 60_000 };
    assert_eq!(world.refused(&holder, &key, 3, ask(1)).await, frozen);

    let list = world.admin_ok("GET", "budgets?frozen=true", Value::Null).await;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|b| b["id"].clone()).collect();
    assert_eq!(ids, [json!(key.id), json!("acme")]);
    let first = world.admin_ok("GET", "budgets?frozen=true&limit=1", Value::Null).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("budgets?frozen=true&limit=1&cursor={cursor}");
    let second = world.admin_ok("GET", &path, Value::Null).await;
    assert_eq!([&first["data"][0]["id"], &second["data"][0]["id"]], [&ids[0], &ids[1]]);
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(world.spend(&key).await["frozen"], true);
    // a changed cap does not release it
    world.admin_ok("PATCH", &format!("keys/{}", key.id), json!({"budget": {"usd": "9"}})).await;
    let release = |level: &str, id: &str| json!({"level": level, "id": id});
    let one = world.admin_ok("POST", "budgets/release", release("key", key.id.as_str())).await;
    assert_eq!(one["frozen"], false);
    assert_eq!(world.refused(&holder, &key, 4, ask(1)).await, frozen, "the other level still is");
    world.admin_ok("POST", "budgets/release", release("org", "acme")).await;
    world.granted(&holder, &key, 5, ask(1)).await;
    world.admin_ok("POST", "budgets/release", release("org", "acme")).await;
    world.admin_refused("POST", "budgets/release", release("org", "nobody"), 404).await;
    world
        .admin_refused("POST", "budgets/release", json!({"level": "galaxy", "id": "x"}), 400)
        .await;
    let audit: i64 = world
        .tables()
        .query_row("SELECT count(*) FROM audit WHERE action = 'release_budget'", [], |r| r.get(0))
        .unwrap();
    assert_eq!(audit, 2, "releasing what is not frozen is no event");
    world.check_ledger();
}

#[tokio::test]
async fn calls_of_a_lease_that_the_backup_does_not_know_are_charged_once() {
    let (world, key, old, _) = restored().await;
    let holder = Holder { epoch: world.holder(1).await.epoch, ..old };
    let (known, unknown) = (holder.lease(1), holder.lease(2));
    let records = vec![
        record(&key, Some(known.clone()), 1, 400),
        record(&key, Some(unknown.clone()), 2, 700),
        record(&key, Some(unknown.clone()), 3, 100),
    ];
    let reports = vec![final_report(&known, micro(800)), final_report(&unknown, micro(1_600))];
    for _ in 0..2 {
        world.report(&holder, reports.clone(), records.clone()).await;
    }
    for account in accounts(&world.tables()) {
        let sums = (account.settled, account.overdraft, account.outstanding);
        assert_eq!(sums, (2_400_000, 1_600_000, 0), "{account:?}");
    }
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["unknown_leases"], 2);
    world.check_ledger();
}

#[tokio::test]
async fn what_still_runs_on_a_lease_that_the_backup_does_not_know_is_charged_once_when_it_ends() {
    let (world, key, old, begun) = restored().await;
    let (known, unknown) = (old.lease(1), old.lease(2));
    // A filter drops what it holds when it hears of another epoch, and registers anew: here as
    // another holder. Three calls have ended, one runs on each lease.
    let holder = world.holder(2).await;
    assert_eq!(holder.epoch, begun.epoch);
    let running = |lease: &LeaseId, spent, floor| LeaseReport {
        floor: Some(micro(floor)),
        is_final: false,
        ..final_report(lease, micro(spent))
    };
    let early = (
        vec![running(&known, 200, 500), running(&unknown, 1_600, 1_900)],
        vec![
            record(&key, Some(known.clone()), 1, 100),
            record(&key, Some(unknown.clone()), 2, 700),
            record(&key, Some(unknown.clone()), 3, 100),
        ],
    );
    let late = (
        vec![final_report(&known, micro(440)), final_report(&unknown, micro(1_900))],
        vec![
            record(&key, Some(known.clone()), 4, 120),
            record(&key, Some(unknown.clone()), 5, 150),
        ],
    );
    let frozen = Refusal::Contended { retry_after_ms: 60_000 };
    let mut asks = 0;
    // settled, overdraft, outstanding, parked, in nano-USD
    for ((leases, records), expected) in [
        (&early, (1_800_000, 1_600_000, 300_000, 0)),
        (&early, (1_800_000, 1_600_000, 300_000, 0)),
        (&late, (2_340_000, 1_900_000, 0, 0)),
        (&early, (2_340_000, 1_900_000, 0, 0)),
        (&late, (2_340_000, 1_900_000, 0, 0)),
    ] {
        world.report(&holder, leases.clone(), records.clone()).await;
        for account in accounts(&world.tables()) {
            let sums = (account.settled, account.overdraft, account.outstanding, account.parked);
            assert_eq!(sums, expected, "{account:?}");
        }
        asks += 1;
        assert_eq!(world.refused(&holder, &key, asks, ask(1)).await, frozen);
        assert_eq!(world.holder(3).await.epoch, begun.epoch, "known to be lost: no further epoch");
        world.check_ledger();
    }
    let records = world.admin_ok("GET", "records", Value::Null).await;
    assert_eq!(records["data"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_record_in_the_backup_whose_answer_was_lost_is_not_counted_again() {
    let world = World::with_org(None).await;
    let (free, capped) = (world.key(json!({})).await, world.key_with_cap("0.05", "none").await);
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &capped, 1, ask(1_000)).await.lease;
    let reports = vec![final_report(&lease, micro(800))];
    let records = vec![record(&free, None, 1, 700), record(&capped, Some(lease), 2, 400)];
    world.report(&holder, reports.clone(), records.clone()).await;
    let before = accounts(&world.tables());
    let stopped = world.stop();
    assert!(matches!(restore(&stopped.database(), None, stopped.unix_ms), Ok(Restored::Began(_))));
    let world = stopped.start();
    // A filter registers anew in a new epoch, by another nonce. The records are as they were.
    let anew = world.holder(2).await;
    for _ in 0..2 {
        world.report(&anew, reports.clone(), records.clone()).await;
    }
    assert_eq!(accounts(&world.tables()), before);
    for number in [1, 2] {
        let path = format!("records?request=req-{number}");
        let found = world.admin_ok("GET", &path, Value::Null).await;
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
    }
    // Another call may bear the number of one that was in the backup.
    let other =
        CallRecord { request: RequestId::new("req-3").unwrap(), ..record(&free, None, 1, 5) };
    world.report(&anew, vec![], vec![other]).await;
    let found = world.admin_ok("GET", "records?request=req-3", Value::Null).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    world.check_ledger();
}

#[tokio::test]
async fn a_holder_that_knows_more_than_the_database_proves_that_it_went_back() {
    let world = World::with_org(Some("0.10")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let copy = world.folder.path().join("copy");
    Sqlite::copy(&world.database(), &copy).unwrap();
    world.key(json!({})).await;
    let revision = world.holder(2).await.revision;
    let stopped = world.stop();
    // put back by hand, and nobody said so
    std::fs::rename(&copy, stopped.database()).unwrap();
    let world = stopped.start();
    world.granted(&holder, &key, 1, ask(10)).await;
    let path = |holder: &Holder, revision| {
        let (id, epoch) = (&holder.id, holder.epoch.0);
        format!("changes?holder={id}&epoch={epoch}&revision={revision}")
    };
    for _ in 0..2 {
        let (status, answer) = world.filter("GET", &path(&holder, revision.0), &Value::Null).await;
        assert_eq!(status.as_u16(), 409);
        assert_eq!(answer["error"]["code"], Problem::OTHER_EPOCH);
    }
    // the other holders' epoch is over too
    let late = report_request(&holder, vec![], vec![]);
    let (status, _) = world.filter("POST", "reports", &late).await;
    assert_eq!(status.as_u16(), 409);
    let anew = world.holder(1).await;
    assert!(anew.epoch > holder.epoch);
    let answer = world.admit(&anew, &key, 9, Some(ask(10))).await.lease;
    assert_eq!(answer, LeaseAnswer::Refused(Refusal::Contended { retry_after_ms: 60_000 }));
    // what was acknowledged in the lost history counts no more
    let path_of = format!("keys/{}/disable?wait=0", key.id);
    let disabled = world.admin_ok("POST", &path_of, Value::Null).await;
    assert_eq!(disabled["applied"], false);
    let (status, reply) = world.filter("GET", &path(&anew, anew.revision.0), &Value::Null).await;
    assert_eq!((status.as_u16(), &reply["epoch"]), (200, &json!(anew.epoch)));
    let epoch = world.restart().holder(1).await.epoch;
    assert_eq!(epoch, anew.epoch, "the new epoch is durable");
}

#[tokio::test]
async fn a_made_up_holder_that_claims_to_know_more_freezes_nothing() {
    let world = World::with_org(Some("0.10")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let path = format!("changes?holder=hnobody&epoch={}&revision=999", holder.epoch.0);
    let (status, answer) = world.filter("GET", &path, &Value::Null).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!(Problem::UNKNOWN_HOLDER)));
    world.granted(&holder, &key, 1, ask(10)).await;
}

#[tokio::test]
async fn a_holder_that_reports_a_grant_which_is_not_there_proves_that_the_database_went_back() {
    let world = World::with_org(Some("0.10")).await;
    let key = world.key(json!({})).await;
    let (holder, other) = (world.holder(1).await, world.holder(2).await);
    let lost = final_report(&holder.lease(7), micro(5));
    // somebody else's lease proves nothing
    world.report(&other, vec![lost.clone()], vec![]).await;
    world.granted(&holder, &key, 1, ask(10)).await;
    let known = final_report(&holder.lease(1), micro(20));
    world.report(&holder, vec![lost.clone(), known], vec![]).await;
    let (status, _) =
        world.filter("POST", "admit", &admit_request(&holder, &key, 2, Some(ask(1)))).await;
    assert_eq!(status.as_u16(), 409);
    assert_eq!(accounts(&world.tables())[0].settled, 20_000, "the rest of the report counts");
    let anew = world.holder(1).await;
    assert!(anew.epoch > holder.epoch);
    let frozen = Refusal::Contended { retry_after_ms: 60_000 };
    assert_eq!(world.refused(&anew, &key, 3, ask(1)).await, frozen);
    // known by now: saying it again begins no further epoch
    world.report(&anew, vec![lost], vec![]).await;
    assert_eq!(world.holder(1).await.epoch, anew.epoch);
}

#[tokio::test]
async fn that_proof_does_not_depend_on_wall_clocks() {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    let world = World::with_org(Some("0.10")).await;
    // Set right, back and forward since the epoch began.
    world.clock.set_unix_ms(NOON - HOUR_MS);
    let back = world.holder(1).await;
    world.clock.set_unix_ms(NOON + HOUR_MS);
    let forward = world.holder(2).await;
    world.clock.set_unix_ms(NOON);
    let lost = |holder: &Holder| vec![final_report(&holder.lease(7), micro(5))];
    world.report(&back, lost(&back), vec![]).await;
    let anew = world.holder(3).await;
    assert!(anew.epoch > back.epoch, "not noticed");
    assert!(anew.epoch.0 < NOON + HOUR_MS);
    // It registered before this epoch, whatever the clock showed then.
    let forward = Holder { epoch: anew.epoch, ..forward };
    world.report(&forward, lost(&forward), vec![]).await;
    assert_eq!(world.holder(4).await.epoch, anew.epoch, "known to be lost");
}

#[tokio::test]
async fn a_server_that_finds_the_database_through_a_link_is_a_second_one_too() {
    let world = World::new();
    let link = world.folder.path().join("link");
    std::os::unix::fs::symlink(world.database(), &link).unwrap();
    let in_use = Sqlite::open(&link).unwrap_err();
    assert!(in_use.to_string().contains("in use by another server"), "{in_use}");
}

#[tokio::test]
async fn only_a_database_that_is_there_and_not_in_use_is_restored() {
    let world = World::new();
    let in_use = restore(&world.database(), None, 1).unwrap_err();
    assert!(in_use.to_string().contains("in use by another server"), "{in_use}");
    let missing = world.folder.path().join("missing");
    assert!(matches!(restore(&missing, None, 1), Err(RestoreError::Open(_))));
    assert!(!missing.exists());
    let copy = world.folder.path().join("copy");
    Sqlite::copy(&world.database(), &copy).unwrap();
    assert!(Sqlite::copy(&world.database(), &copy).is_err(), "a backup is never overwritten");
    assert!(Sqlite::copy(&missing, &world.folder.path().join("x")).is_err());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
}
