//! Requests that arrive together share one sync to disk, and fail alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use policy_server::app::FilterError;
use policy_server::store::StoreError;
use serde_json::json;
use wire::v1::{LeaseAnswer, Problem};

use crate::world::{World, accounts, admit_request, ask};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_admits_at_once_cost_few_commits() {
    let world = Arc::new(World::with_org(Some("1.00")).await);
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let counters = Arc::clone(world.app.counters());
    let before = counters.commits.load(Ordering::Relaxed);
    let mut running = Vec::new();
    for n in 0..100 {
        let (world, holder, key) = (Arc::clone(&world), holder.clone(), key.clone());
        running.push(tokio::spawn(async move {
            world.admit(&holder, &key, n, Some(ask(10))).await.lease
        }));
    }
    for call in running {
        assert!(matches!(call.await.unwrap(), LeaseAnswer::Granted(_)));
    }
    let commits = counters.commits.load(Ordering::Relaxed) - before;
    assert!((1..60).contains(&commits), "{commits} commits for 100 admits");
    assert_eq!(accounts(&world.tables())[0].outstanding, 100 * 20_000);
    world.check_ledger();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failing_request_in_a_batch_takes_nobody_with_it() {
    let world = Arc::new(World::with_org(Some("1.00")).await);
    let (key, other) = (world.key(json!({})).await, world.key(json!({})).await);
    let holder = world.holder(1).await;
    world.granted(&holder, &other, 0, ask(10)).await;
    let mut running = Vec::new();
    for n in 0..60u64 {
        let (world, holder, key) = (Arc::clone(&world), holder.clone(), key.clone());
        running.push(tokio::spawn(async move {
            // every third voids a good number of its own and then fails on the number of the
            // other key: nothing of it may remain
            let bad = n % 3 == 0;
            let number = if bad { 0 } else { n };
            let mut request = admit_request(&holder, &key, number, Some(ask(10)));
            if bad {
                request.void = vec![1_000 + n];
            }
            let (status, answer) = world.filter("POST", "admit", &request).await;
            assert_eq!(status.is_success(), !bad, "{answer}");
            if bad {
                assert_eq!(answer["error"]["code"], Problem::BAD_MESSAGE);
            }
        }));
    }
    for call in running {
        call.await.unwrap();
    }
    let leases: i64 =
        world.tables().query_row("SELECT count(*) FROM leases", [], |row| row.get(0)).unwrap();
    assert_eq!(leases, 1 + 40, "no tombstone of a failed request remains");
    world.check_ledger();
}

#[tokio::test]
async fn what_cannot_be_committed_is_answered_as_not_done_and_leaves_nothing() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let intruder = world.tables();
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let request = admit_request(&holder, &key, 1, Some(ask(10)));
    let (admit, create) = tokio::join!(
        world.filter("POST", "admit", &request),
        world.admin("POST", "keys", json!({"org": "acme"})),
    );
    assert_eq!(admit.0.as_u16(), 503);
    assert_eq!(admit.1["error"]["code"], Problem::STORE_UNAVAILABLE);
    assert_eq!(create.0.as_u16(), 503);
    assert_eq!(create.1["error"]["code"], "store_unavailable");
    assert!(create.1.get("key").is_none());
    intruder.execute_batch("ROLLBACK").unwrap();
    world.granted(&holder, &key, 1, ask(10)).await;
    assert_eq!(accounts(&world.tables())[0].outstanding, 20_000);
    let keys = world.admin_ok("GET", "keys", serde_json::Value::Null).await;
    assert_eq!(keys["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_ends_after_so_much_work() {
    let world = World::new();
    let (edge, clock) = (world.app.edge(), &world.clock);
    let counters = world.app.counters();
    let before = counters.commits.load(Ordering::Relaxed);
    // the writer is held until the others wait
    let (release, held) = std::sync::mpsc::channel::<()>();
    let first = edge.write(move |_| {
        held.recv().unwrap();
        Ok::<_, FilterError>(())
    });
    let slow = || {
        let clock = Arc::clone(clock);
        edge.write(move |_| {
            clock.advance_ms(30);
            Ok::<_, FilterError>(())
        })
    };
    let queued = async {
        let all = tokio::join!(slow(), slow(), slow(), slow(), slow());
        [all.0, all.1, all.2, all.3, all.4]
    };
    let letting_go = async {
        // every job was queued when it was first polled, before this
        release.send(()).unwrap();
    };
    let (first, all, ()) = tokio::join!(first, queued, letting_go);
    assert!(first.is_ok() && all.iter().all(Result::is_ok));
    let commits = counters.commits.load(Ordering::Relaxed) - before;
    assert!((3..=4).contains(&commits), "{commits} commits for 150 ms of work");
}

#[tokio::test]
async fn a_writer_that_has_ended_is_noticed() {
    let world = World::with_org(Some("1.00")).await;
    let edge = world.app.edge();
    assert!(!world.app.writer_has_ended());
    let broken = edge.write(|_| -> Result<(), FilterError> { panic!("as a bug would") }).await;
    assert!(matches!(broken, Err(FilterError::Store(StoreError::Stopped))), "{broken:?}");
    // Its thread is taken down by then, or is about to be.
    for _ in 0..1_000 {
        if world.app.writer_has_ended() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the writer has ended and nobody knows");
}
