//! Holders that hear of changes only when they ask, since their proxies have no timers.

use policy_server::clock::Clock as _;
use serde_json::{Value, json};
use wire::NanoUsd;
use wire::v1::{
    EVERY_WINDOW, Grant, KeyAnswer, LeaseAnswer, LeaseReply, LeaseReport, Level, Refusal, Scope,
};

use crate::world::{
    GRACE_MS, Holder, Key, PULL_TTL_MS, TTL_MS, World, accounts, ask, final_report, lease_request,
    record,
};

async fn take(world: &World, holder: &Holder, key: &Key, n: u64) -> LeaseAnswer {
    let mut request = lease_request(holder, key, n, ask(100), NanoUsd::ZERO);
    request.want_permits = 50;
    let reply: LeaseReply = world.filter_ok("POST", "leases", &request).await;
    reply.answer
}

async fn taken(world: &World, holder: &Holder, key: &Key, n: u64) -> Grant {
    match take(world, holder, key, n).await {
        LeaseAnswer::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

#[tokio::test]
async fn they_are_pending_until_their_shorter_time_has_passed_even_over_a_restart() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let (_, told_ms) = world.registered(1, true, 0).await;
    assert_eq!(told_ms, PULL_TTL_MS);
    let path = format!("keys/{}/revoke?wait=0", key.id);
    let revoked = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!((&revoked["applied"], &revoked["pending"]), (&json!(false), &json!(1)));
    // 12:00:00, usable for 10 s, and 5 s of grace
    assert_eq!(revoked["pending_until"], "2026-11-20T12:00:15Z");
    assert_eq!(revoked["pending_holders"][0]["without_push"], true);
    let world = world.restart();
    let revoked = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!(revoked["pending_until"], "2026-11-20T12:00:15Z");
    world.clock.advance_ms(PULL_TTL_MS + GRACE_MS);
    assert_eq!(world.admin_ok("POST", &path, Value::Null).await["pending"], 1);
    world.clock.advance_ms(1);
    assert_eq!(world.admin_ok("POST", &path, Value::Null).await["applied"], true);
    // Others are not shortened.
    assert_eq!(world.registered(2, false, 0).await.1, TTL_MS);
}

#[tokio::test]
async fn what_an_idle_one_spent_is_parked_and_settled_by_its_late_report() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (holder, _) = world.registered(1, true, 0).await;
    let grant = world.granted(&holder, &key, 1, ask(100)).await;
    world.pass(PULL_TTL_MS + GRACE_MS + 1).await;
    let parked = accounts(&world.tables());
    assert!(parked.iter().all(|row| row.parked > 0 && row.outstanding == 0), "{parked:?}");
    let record = record(&key, Some(grant.lease.clone()), 1, 15);
    let spent = record.cost;
    world.report(&holder, vec![final_report(&grant.lease, spent)], vec![record]).await;
    let sums: Vec<_> =
        accounts(&world.tables()).iter().map(|row| (row.parked, row.settled)).collect();
    assert!(sums.iter().all(|sum| *sum == (0, i64::try_from(spent.0).unwrap())), "{sums:?}");
    world.check_ledger();
}

#[tokio::test]
async fn windows_of_one_proxy_are_taken_call_by_call() {
    let world = World::with_org(None).await;
    let limit = json!({"unit": "requests", "window": "1m", "max": 2, "scope": "proxy"});
    let key = world.key(json!({"limits": [limit]})).await;
    let (holder, _) = world.registered(1, true, EVERY_WINDOW).await;
    let (other, _) = world.registered(2, true, EVERY_WINDOW).await;
    let answer = world.admit(&holder, &key, 1, Some(ask(100))).await;
    let KeyAnswer::Known(policy) = answer.key else { panic!("not known") };
    assert_eq!(policy.limits[0].scope, Scope::Proxy);
    let LeaseAnswer::Granted(grant) = answer.lease else { panic!("{:?}", answer.lease) };
    assert_eq!((grant.permits, grant.scarce, grant.amount), (1, true, NanoUsd::ZERO));
    // However many are wanted, one is given.
    assert_eq!(taken(&world, &other, &key, 1).await.permits, 1);
    let begun = world.clock.now().monotonic_ms;
    let LeaseAnswer::Refused(Refusal::WindowFull { limit, .. }) =
        take(&world, &holder, &key, 2).await
    else {
        panic!("not full")
    };
    assert_eq!((limit.max, limit.subject.level), (2, Level::Key));
    // Both are used; they come back a minute later.
    for (holder, n) in [(&holder, 1), (&other, 1)] {
        let lease = wire::LeaseId::new(format!("{}-{n}", holder.id)).unwrap();
        let report = LeaseReport { permits_used: 1, ..final_report(&lease, NanoUsd::ZERO) };
        world.report(holder, vec![report], vec![]).await;
    }
    world.clock.advance_ms(60_000 - (world.clock.now().monotonic_ms - begun) - 1);
    let (holder, _) = world.registered(3, true, EVERY_WINDOW).await;
    assert!(matches!(take(&world, &holder, &key, 1).await, LeaseAnswer::Refused(_)));
    world.clock.advance_ms(1);
    taken(&world, &holder, &key, 2).await;
}

#[tokio::test]
async fn only_windows_below_what_a_holder_says_are_counted_for_it() {
    let world = World::with_org(None).await;
    let limit = |max| json!({"unit": "requests", "window": "1m", "max": max, "scope": "proxy"});
    let small = world.key(json!({"limits": [limit(3)]})).await;
    let large = world.key(json!({"limits": [limit(4)]})).await;
    let tokens = json!({"unit": "tokens", "window": "1m", "max": 1, "scope": "proxy"});
    let tokens = world.key(json!({"limits": [tokens]})).await;
    let (holder, _) = world.registered(1, true, 4).await;
    let (shared, _) = world.registered(2, false, 0).await;
    for (n, key, holder, is_counted) in [
        (1, &small, &holder, true),
        (2, &large, &holder, false),
        (3, &tokens, &holder, false),
        (4, &small, &shared, false),
    ] {
        let answer = world.admit(holder, key, n, Some(ask(100))).await.lease;
        assert_eq!(matches!(answer, LeaseAnswer::Granted(_)), is_counted, "{answer:?}");
    }
}
