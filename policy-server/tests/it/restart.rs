//! What was answered survives the process.

use policy_server::StartError;
use policy_server::store::sqlite::OpenError;
use serde_json::{Value, json};
use wire::v1::KeyAnswer;

use crate::world::{GRACE_MS, TTL_MS, World, accounts, ask, final_report, micro, record, start};

#[tokio::test]
async fn everything_answered_is_there_after_a_restart_in_the_same_epoch() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key_with_cap("0.10", "month").await;
    let holder = world.holder(1).await;
    let first = world.granted(&holder, &key, 1, ask(1_000)).await;
    let second = world.granted(&holder, &key, 2, ask(500)).await;
    let done = vec![final_report(&second.lease, micro(700))];
    world.report(&holder, done.clone(), vec![record(&key, Some(second.lease), 1, 350)]).await;
    let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;

    let world = world.restart();
    let again = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
    assert_eq!(shown, again);
    let same = world.holder(1).await;
    assert_eq!((same.id.clone(), same.epoch), (holder.id.clone(), holder.epoch));
    assert_eq!(world.granted(&holder, &key, 1, ask(1)).await, first, "the same lease again");
    // reports and records that were acknowledged before are known after
    world.report(&holder, done, vec![record(&key, None, 1, 350)]).await;
    let account = &accounts(&world.tables())[0];
    assert_eq!((account.settled, account.outstanding), (700_000, 2_000_000));
    let records = world.admin_ok("GET", "records", Value::Null).await;
    assert_eq!(records["data"].as_array().unwrap().len(), 1);
    world.check_ledger();
    let reply = world.admit(&holder, &key, 9, None).await;
    assert!(matches!(reply.key, KeyAnswer::Known(_)));
}

#[tokio::test]
async fn after_a_start_every_session_counts_as_just_seen() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(1_000)).await;
    world.clock.advance_ms(TTL_MS);
    let world = world.restart();
    world.pass(TTL_MS + GRACE_MS).await;
    assert_eq!(accounts(&world.tables())[0].outstanding, 2_000_000, "nothing was parked");
    world.admit(&holder, &key, 2, None).await;
    // one that lapsed before a restart stays lapsed
    world.pass(TTL_MS + GRACE_MS + 1).await;
    assert_eq!(accounts(&world.tables())[0].parked, 2_000_000);
    let world = world.restart();
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["live_holders"], 0);
}

#[tokio::test]
async fn a_second_server_on_the_same_file_refuses_to_start() {
    let world = World::new();
    let second = start(&world.folder, &world.clock, 9);
    assert!(matches!(second, Err(StartError::Open(OpenError::InUse(_)))));
    // the first one is not disturbed
    world.admin_ok("GET", "orgs", Value::Null).await;
}

#[tokio::test]
async fn a_second_server_through_a_link_refuses_to_start() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("tollgate.sqlite");
    std::os::unix::fs::symlink(world.folder.path().join("tollgate.sqlite"), link).unwrap();
    let second = start(&elsewhere, &world.clock, 9);
    assert!(matches!(second, Err(StartError::Open(OpenError::InUse(_)))));
    let folder_link = elsewhere.path().join("folder");
    std::os::unix::fs::symlink(world.folder.path(), &folder_link).unwrap();
    let second = policy_server::store::sqlite::Sqlite::open(&folder_link.join("tollgate.sqlite"));
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tollgate.sqlite"), b"not a database at all".repeat(99))
        .unwrap();
    let refused = start(&folder, &world.clock, 1);
    assert!(matches!(refused, Err(StartError::Open(OpenError::Database { .. }))));
}

#[tokio::test]
async fn the_database_is_for_its_owner_alone_and_holds_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::fresh(1, true).and_org(None).await;
    let key = world.key(json!({})).await;
    let pair = world.key(json!({"format": "privatemind"})).await;
    let mut files = 0;
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = file.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        let bytes = std::fs::read(&path).unwrap();
        let secrets = [
            world.admin_token.as_str(),
            &key.secret,
            pair.secret.split_once(':').unwrap().1,
            crate::world::FILTER_TOKEN,
        ];
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret stands in {}", path.display());
        }
        files += 1;
    }
    assert!(files >= 4, "database, log, lock and journal were looked at");
}
