//! Windows of scope `cluster`: never more than the limit in any trailing window over all holders.

use std::time::Instant;

use policy_server::clock::Clock as _;
use serde_json::{Value, json};
use wire::v1::{
    Change, Grant, KeyAnswer, LeaseAnswer, LeaseReply, LeaseReport, Level, Limit, Refusal,
    ReportReply, Scope, Unit, Window,
};
use wire::{LeaseId, NanoUsd};

use crate::world::{
    GRACE_MS, Holder, Key, TTL_MS, World, accounts, admit_request, ask, final_report,
    lease_request, micro, record, report_request,
};

const MINUTE: u64 = 60_000;
const GONE_MS: u64 = TTL_MS + GRACE_MS + 1;

fn cluster(window: &str, max: u64) -> Value {
    json!({"unit": "requests", "window": window, "max": max, "scope": "cluster"})
}

async fn limited(world: &World, window: &str, max: u64) -> Key {
    world.key(json!({"limits": [cluster(window, max)]})).await
}

async fn take(world: &World, holder: &Holder, key: &Key, n: u64, want: u64) -> LeaseAnswer {
    let mut request = lease_request(holder, key, n, ask(100), NanoUsd::ZERO);
    request.want_permits = want;
    let reply: LeaseReply = world.filter_ok("POST", "leases", &request).await;
    reply.answer
}

async fn taken(world: &World, holder: &Holder, key: &Key, n: u64, want: u64) -> Grant {
    match take(world, holder, key, n, want).await {
        LeaseAnswer::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

/// Milliseconds after which to try again.
async fn full(world: &World, holder: &Holder, key: &Key, n: u64) -> u64 {
    match take(world, holder, key, n, 0).await {
        LeaseAnswer::Refused(Refusal::WindowFull { limit, retry_after_ms }) => {
            assert_eq!((limit.unit, limit.scope), (Unit::Requests, Scope::Cluster));
            assert_eq!(limit.subject.id, key.id.as_str());
            retry_after_ms
        }
        other => panic!("not full: {other:?}"),
    }
}

fn used(lease: &LeaseId, count: u64, age_ms: u64) -> LeaseReport {
    LeaseReport {
        is_final: false,
        permits_used: count,
        permit_age_ms: age_ms,
        ..final_report(lease, NanoUsd::ZERO)
    }
}

fn done(lease: &LeaseId, count: u64, age_ms: u64) -> LeaseReport {
    LeaseReport { is_final: true, ..used(lease, count, age_ms) }
}

/// Takes a permit and reports it as used at once.
async fn use_one(world: &World, holder: &Holder, key: &Key, n: u64) {
    let grant = taken(world, holder, key, n, 0).await;
    world.report(holder, vec![done(&grant.lease, 1, 0)], vec![]).await;
}

#[tokio::test]
async fn a_key_without_budget_gets_leases_of_permits_and_is_told_when_the_next_returns() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 3).await;
    let holder = world.holder(1).await;
    let answer = world.admit(&holder, &key, 1, Some(ask(100))).await;
    let KeyAnswer::Known(policy) = answer.key else { panic!() };
    assert!(!policy.budgeted);
    assert_eq!(policy.limits[0].scope, Scope::Cluster);
    let LeaseAnswer::Granted(first) = answer.lease else { panic!() };
    assert_eq!((first.amount, first.permits, first.output_tokens), (NanoUsd(0), 1, 100));
    assert!(first.scarce, "three permits are taken one by one");
    // the same number answers the same
    assert_eq!(taken(&world, &holder, &key, 1, 9).await, first);
    world.report(&holder, vec![used(&first.lease, 1, 0)], vec![]).await;
    world.clock.advance_ms(10_000);
    for n in 2..=3 {
        let grant = taken(&world, &holder, &key, n, 9).await;
        assert_eq!(grant.permits, 1);
        world.report(&holder, vec![done(&grant.lease, 1, 250)], vec![]).await;
    }
    world.clock.advance_ms(7);
    assert_eq!(full(&world, &holder, &key, 4).await, 49_993);
    world.clock.advance_ms(49_992);
    assert_eq!(full(&world, &holder, &key, 5).await, 1);
    world.clock.advance_ms(1);
    use_one(&world, &holder, &key, 6).await;
    // the others were used no earlier than they were granted, whatever age was said
    assert_eq!(full(&world, &holder, &key, 7).await, 10_000);
    world.check_ledger();
}

#[tokio::test]
async fn permits_are_shared_among_holders_and_unused_ones_come_back() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 600).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let grant = taken(&world, &one, &key, 1, 1_000).await;
    assert_eq!((grant.permits, grant.scarce), (1 + 599 / 4, false));
    assert_eq!(taken(&world, &two, &key, 1, 20).await.permits, 21);
    // a report without a floor keeps them, one with a floor hands back what was not used
    world.report(&one, vec![used(&grant.lease, 10, 0)], vec![]).await;
    assert_eq!(taken(&world, &two, &key, 2, 1_000).await.permits, 1 + (600 - 150 - 21 - 1) / 4);
    let back = LeaseReport { floor: Some(NanoUsd(0)), ..used(&grant.lease, 12, 0) };
    for _ in 0..2 {
        world.report(&one, vec![back.clone()], vec![]).await;
    }
    let left = 600 - 12 - 21 - 108;
    assert_eq!(taken(&world, &two, &key, 3, 1_000).await.permits, 1 + (left - 1) / 4);
    world.check_ledger();
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!((&status["cluster_windows"], &status["outstanding_leases"]), (&json!(1), &json!(4)));
}

#[tokio::test]
async fn every_window_of_a_key_gives_the_same_number_and_the_fullest_one_refuses() {
    let world = World::with_org(None).await;
    let limits = json!({"limits": [cluster("1m", 40), cluster("1h", 44)]});
    let key = world.key(limits).await;
    let holder = world.holder(1).await;
    let grant = taken(&world, &holder, &key, 1, 1_000).await;
    assert_eq!(grant.permits, 1 + 39 / 2, "the smaller of the two");
    world.report(&holder, vec![done(&grant.lease, 20, 0)], vec![]).await;
    for n in 2..=21 {
        use_one(&world, &holder, &key, n).await;
    }
    assert_eq!(full(&world, &holder, &key, 22).await, MINUTE);
    world.clock.advance_ms(MINUTE);
    for n in 30..34 {
        use_one(&world, &holder, &key, n).await;
    }
    let refusal = take(&world, &holder, &key, 40, 0).await;
    let LeaseAnswer::Refused(Refusal::WindowFull { limit, retry_after_ms }) = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((limit.window, retry_after_ms), (Some(Window::Hour), 59 * MINUTE));
    world.check_ledger();
}

#[tokio::test]
async fn permits_that_others_hold_are_recalled_and_a_call_waits_for_them() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 8).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let mut held = Vec::new();
    for n in 1..=8 {
        held.push(taken(&world, &one, &key, n, 0).await.lease);
    }
    let begun = Instant::now();
    assert_eq!(full(&world, &two, &key, 1).await, 1_000);
    assert!(begun.elapsed().as_millis() >= 250, "it waited for one to be handed back");
    let owner = key.id.to_string();
    assert_eq!(world.changes(&two).await, [Change::Recall { level: Level::Key, owner }]);
    assert_eq!(full(&world, &two, &key, 2).await, 1_000);
    assert_eq!(world.changes(&two).await.len(), 1, "once");
    let hands_back = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.report(&one, vec![done(&held[0], 0, 0)], vec![]).await
    };
    let (grant, _) = tokio::join!(taken(&world, &two, &key, 3, 0), hands_back);
    assert_eq!(grant.permits, 1);
    // used ones: refused at once with the time, since nothing will be handed back
    let reports = held[1..].iter().map(|lease| done(lease, 1, 0)).collect();
    world.report(&one, reports, vec![]).await;
    world.report(&two, vec![done(&grant.lease, 1, 0)], vec![]).await;
    let begun = Instant::now();
    assert_eq!(full(&world, &two, &key, 4).await, MINUTE);
    assert!(begun.elapsed().as_millis() < 200);
    world.check_ledger();
}

#[tokio::test]
async fn a_vanished_holder_has_used_what_it_held_and_a_disclaimed_grant_nothing() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 8).await;
    let (lost, here) = (world.holder(1).await, world.holder(2).await);
    let grant = taken(&world, &lost, &key, 1, 0).await;
    for n in 2..=8 {
        taken(&world, &lost, &key, n, 0).await;
    }
    let mut report = report_request(&lost, vec![used(&grant.lease, 1, 0)], vec![]);
    report.void = vec![2, 3];
    let _: ReportReply = world.filter_ok("POST", "reports", &report).await;
    let mut request = admit_request(&here, &key, 1, Some(ask(1)));
    request.void = vec![77];
    let (status, _) = world.filter("POST", "admit", &request).await;
    assert_eq!(status.as_u16(), 200);
    taken(&world, &here, &key, 2, 0).await;
    full(&world, &here, &key, 3).await;
    world.check_ledger();
    // both vanish: eight permits cool from that moment, but the one that was reported
    world.pass(GONE_MS).await;
    world.check_ledger();
    let new = world.holder(3).await;
    use_one(&world, &new, &key, 1).await;
    assert_eq!(full(&world, &new, &key, 2).await, MINUTE);
    // a late report changes nothing more
    world.clock.advance_ms(10_000);
    let late = [4, 5].map(|n| done(&lost.lease(n), 1, 0)).to_vec();
    world.report(&lost, late, vec![]).await;
    world.check_ledger();
    world.clock.advance_ms(MINUTE - 10_000 - 1);
    full(&world, &new, &key, 3).await;
    world.clock.advance_ms(1);
    for n in 4..=10 {
        use_one(&world, &new, &key, n).await;
    }
}

#[tokio::test]
async fn after_a_restart_used_permits_return_a_window_later_and_held_ones_stay_out() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 8).await;
    // the clock of the next life starts at zero again
    world.clock.advance_ms(20_000);
    let holder = world.holder(1).await;
    for n in 1..=6 {
        use_one(&world, &holder, &key, n).await;
    }
    let held = taken(&world, &holder, &key, 7, 0).await;
    world.clock.advance_ms(50_000);
    world.report(&holder, vec![], vec![]).await;
    let world = world.restart();
    assert_eq!(taken(&world, &holder, &key, 7, 0).await, held, "answered the same again");
    // wall time decides nothing
    world.clock.set_unix_ms(world.clock.now().unix_ms + 10 * MINUTE);
    let last = taken(&world, &holder, &key, 8, 0).await;
    full(&world, &holder, &key, 9).await;
    world.clock.advance_ms(20_000);
    // granted in the life before, so any age is believed, down to the start of this one
    let report = vec![done(&held.lease, 1, 30_000), done(&last.lease, 1, 5_000)];
    world.report(&holder, report, vec![]).await;
    world.check_ledger();
    assert_eq!(full(&world, &holder, &key, 10).await, 40_000);
    world.clock.advance_ms(39_999);
    assert_eq!(full(&world, &holder, &key, 11).await, 1);
    world.clock.advance_ms(1);
    for n in 12..19 {
        use_one(&world, &holder, &key, n).await;
    }
    assert_eq!(full(&world, &holder, &key, 19).await, 15_000);
}

#[tokio::test]
async fn a_limit_that_changes_counts_what_is_out() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 8).await;
    let holder = world.holder(1).await;
    let path = format!("keys/{}?wait=0", key.id);
    let change = async |limits: Value| {
        let shown = world.admin_ok("PATCH", &path, json!({"limits": limits})).await;
        assert_eq!(shown["limits"], limits);
    };
    for n in 1..=8 {
        use_one(&world, &holder, &key, n).await;
    }
    full(&world, &holder, &key, 9).await;
    change(json!([cluster("1m", 9)])).await;
    world.clock.advance_ms(1_000);
    use_one(&world, &holder, &key, 10).await;
    assert_eq!(full(&world, &holder, &key, 11).await, 59_000);
    assert!(!world.changes(&holder).await.iter().any(is_recall), "nothing was taken away");
    change(json!([cluster("1m", 5)])).await;
    assert!(world.changes(&holder).await.iter().any(is_recall));
    // one of the nine remains for the minute after the eight have returned
    assert_eq!(full(&world, &holder, &key, 12).await, 59_000);
    world.clock.advance_ms(59_000);
    for n in 20..24 {
        use_one(&world, &holder, &key, n).await;
    }
    assert_eq!(full(&world, &holder, &key, 24).await, 1_000);
    // another limit beside it starts empty once older leases are back
    change(json!([cluster("1m", 5), cluster("1h", 50)])).await;
    world.clock.advance_ms(MINUTE);
    let answer = take(&world, &holder, &key, 30, 0).await;
    assert!(matches!(answer, LeaseAnswer::Refused(Refusal::Contended { .. })), "{answer:?}");
    let revision = world.poll(&holder, holder.revision, 0).await.revision;
    world.poll(&holder, revision, 0).await;
    use_one(&world, &holder, &key, 31).await;
    // another one in its place starts with all of it used
    change(json!([cluster("1d", 5)])).await;
    let revision = world.poll(&holder, revision, 0).await.revision;
    world.poll(&holder, revision, 0).await;
    let day = full(&world, &holder, &key, 32).await;
    assert_eq!(day, 86_400_000 + TTL_MS + GRACE_MS, "a day after the last holder must have heard");
}

fn is_recall(change: &Change) -> bool {
    matches!(change, Change::Recall { .. })
}

#[tokio::test]
async fn money_and_permits_are_granted_together_or_not_at_all() {
    let world = World::with_org(Some("1.00")).await;
    let key = limited(&world, "1m", 100).await;
    let holder = world.holder(1).await;
    // 100 tokens cost 200 micro-USD
    let both = async |n: u64, want: u64, want_permits: u64| {
        let mut request = lease_request(&holder, &key, n, ask(100), micro(want));
        request.want_permits = want_permits;
        let reply: LeaseReply = world.filter_ok("POST", "leases", &request).await;
        let LeaseAnswer::Granted(grant) = reply.answer else { panic!("{reply:?}") };
        (grant.amount, grant.permits)
    };
    assert_eq!(both(1, 3_000, 4).await, (micro(1_000), 5), "no more money than permits");
    assert_eq!(both(2, 600, 40).await, (micro(800), 4), "no more permits than money");
    world.check_ledger();
    let before = accounts(&world.tables())[0].outstanding;
    // a call that nothing can pay takes no permit
    let request = lease_request(&holder, &key, 3, ask(600_000), NanoUsd(0));
    let reply: LeaseReply = world.filter_ok("POST", "leases", &request).await;
    let level = Level::Org;
    assert!(matches!(
        reply.answer,
        LeaseAnswer::Refused(Refusal::BudgetExceeded { level: found, .. }) if found == level
    ));
    for n in 10..101 {
        taken(&world, &holder, &key, n, 0).await;
    }
    // a call that the window refuses takes no money
    let out = accounts(&world.tables())[0].outstanding;
    assert_eq!(out, before + 91 * 200_000);
    full(&world, &holder, &key, 200).await;
    assert_eq!(accounts(&world.tables())[0].outstanding, out);
    world.check_ledger();
}

#[tokio::test]
async fn calls_on_leases_of_permits_only_are_counted_as_calls_without_a_lease() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1h", 50).await;
    let holder = world.holder(1).await;
    let grant = taken(&world, &holder, &key, 1, 5).await;
    let records = vec![record(&key, Some(grant.lease.clone()), 1, 100), record(&key, None, 2, 50)];
    for _ in 0..2 {
        let report = LeaseReport { spent: micro(200), ..done(&grant.lease, 2, 0) };
        world.report(&holder, vec![report], records.clone()).await;
    }
    let spend = world.spend(&key).await;
    assert_eq!(
        (&spend["settled_usd"], &spend["overdraft_usd"]),
        (&json!("0.0003"), &json!("0.00"))
    );
    world.check_ledger();
}

#[tokio::test]
async fn only_requests_have_windows_over_all_proxies() {
    let world = World::with_org(None).await;
    for (limit, expected) in [
        (json!({"unit": "tokens", "window": "1m", "max": 5, "scope": "cluster"}), false),
        (json!({"unit": "concurrent", "max": 5, "scope": "cluster"}), false),
        (cluster("1d", 5), true),
    ] {
        let body = json!({"org": "acme", "limits": [limit]});
        let (status, answer) = world.admin("POST", "keys", body).await;
        assert_eq!(status.is_success(), expected, "{answer}");
        if expected {
            assert_eq!(answer["limits"][0]["scope"], "cluster");
        } else {
            let error = &answer["error"];
            assert_eq!(
                (&error["code"], &error["param"]),
                (&json!("unsupported_scope"), &json!("limits[0].scope"),)
            );
        }
    }
}

#[tokio::test]
async fn a_window_names_its_limit_as_the_policy_does() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 1).await;
    let holder = world.holder(1).await;
    let answer = world.admit(&holder, &key, 1, Some(ask(1))).await;
    let KeyAnswer::Known(policy) = answer.key else { panic!() };
    let refusal = take(&world, &holder, &key, 2, 0).await;
    let LeaseAnswer::Refused(Refusal::WindowFull { limit, .. }) = refusal else { panic!() };
    let expected: &Limit = &policy.limits[0];
    assert_eq!(&limit, expected);
}

#[tokio::test]
async fn a_window_that_takes_anothers_place_and_gives_it_back_stays_readable() {
    let world = World::with_org(None).await;
    let key = limited(&world, "1m", 300).await;
    let holder = world.holder(1).await;
    for n in 0..64 {
        use_one(&world, &holder, &key, n).await;
        world.clock.advance_ms(1_000);
    }
    let path = format!("keys/{}?wait=0", key.id);
    for (window, max) in [("1h", 2_000), ("1m", 300)] {
        world.clock.advance_ms(10);
        world.admin_ok("PATCH", &path, json!({"limits": [cluster(window, max)]})).await;
    }
    let reply = world.poll(&holder, holder.revision, 0).await;
    world.poll(&holder, reply.revision, 0).await;
    full(&world, &holder, &key, 100).await;
    world.pass(GONE_MS + MINUTE).await;
    use_one(&world, &world.holder(2).await, &key, 101).await;
    world.check_ledger();
}

#[tokio::test]
async fn an_unreadable_window_takes_no_other_report_and_no_other_holder_with_it() {
    let world = World::with_org(Some("1.00")).await;
    let (broken, sound) = (limited(&world, "1m", 300).await, limited(&world, "1h", 300).await);
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let bad = taken(&world, &one, &broken, 1, 0).await;
    let good = taken(&world, &one, &sound, 2, 0).await;
    taken(&world, &one, &broken, 3, 0).await;
    taken(&world, &two, &sound, 1, 0).await;
    let tables = world.tables();
    let damage = "UPDATE cluster_windows SET permits = x'09' WHERE owner = ?";
    assert_eq!(tables.execute(damage, [broken.id.as_str()]).unwrap(), 1);
    let reports = [&bad, &good].map(|grant| {
        let spent = micro(10);
        LeaseReport { spent, ..done(&grant.lease, 1, 0) }
    });
    world.report(&one, reports.to_vec(), vec![]).await;
    let settled = accounts(&world.tables()).iter().map(|account| account.settled).max();
    assert_eq!(settled, Some(20_000), "the organisation's, of both leases");
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["damaged_rows"], 1);
    world.pass(GONE_MS).await;
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!((&status["parked_leases"], &status["live_holders"]), (&json!(2), &json!(0)));
    assert_eq!(status["outstanding_leases"], 0);
}
