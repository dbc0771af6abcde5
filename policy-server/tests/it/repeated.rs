//! Messages that are repeated, reordered or lost: each call is charged once, each grant counts once.

use serde_json::{Value, json};
use wire::v1::{LeaseAnswer, LeaseReply, LeaseReport, LeaseRequest, Refusal, ReportReply};

use crate::world::{World, accounts, admit_request, ask, micro, report_request};

#[tokio::test]
async fn repeating_a_request_answers_the_same_lease_and_charges_once() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let first = world.granted(&holder, &key, 7, ask(1_000)).await;
    for _ in 0..3 {
        // even with another ask: the number decides
        assert_eq!(world.granted(&holder, &key, 7, ask(5)).await, first);
    }
    assert_eq!(accounts(&world.tables())[0].outstanding, 2_000_000);
    world.check_ledger();
    // the same number of another holder is another lease
    let other = world.holder(2).await;
    assert_ne!(world.granted(&other, &key, 7, ask(1_000)).await.lease, first.lease);
}

/// Of two answers to one ask the filter takes the first that comes, so they must not differ in
/// whether there is money.
#[tokio::test]
async fn a_repeated_request_answers_its_lease_whatever_became_of_the_key() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let first = world.granted(&holder, &key, 7, ask(1_000)).await;
    let same = LeaseAnswer::Granted(first.clone());
    for end in ["disable", "revoke", ""] {
        let (method, path) = match end {
            "" => ("DELETE", format!("keys/{}", key.id)),
            end => ("POST", format!("keys/{}/{end}", key.id)),
        };
        world.admin_ok(method, &format!("{path}?wait=0"), Value::Null).await;
        assert_eq!(world.granted(&holder, &key, 7, ask(1_000)).await, first, "{method} {path}");
        let request = LeaseRequest {
            holder: holder.id.clone(),
            epoch: holder.epoch,
            key: key.id.clone(),
            n: 7,
            ask: ask(1_000),
            want: wire::NanoUsd::ZERO,
            want_permits: 0,
            void: Vec::new(),
        };
        let reply: LeaseReply = world.filter_ok("POST", "leases", &request).await;
        assert_eq!(reply.answer, same, "{method} {path}");
    }
    world.check_ledger();
}

/// A registration may arrive a second time, long after it was answered.
#[tokio::test]
async fn a_repeated_registration_forgets_no_refusal() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    assert!(matches!(
        world.refused(&holder, &key, 1, ask(20_000)).await,
        Refusal::BudgetExceeded { .. }
    ));
    world.holder(1).await;
    let more = json!({"budget": {"usd": "1.00"}});
    world.admin_ok("PATCH", &format!("keys/{}", key.id), more.clone()).await;
    world.admin_ok("PUT", "orgs/acme", more).await;
    // nobody waits for the answer to number 1 any more: nothing is granted for it
    world.refused(&holder, &key, 1, ask(20_000)).await;
    world.granted(&holder, &key, 2, ask(20_000)).await;
}

/// A filter looks many keys up without asking for anything, and gives no number then.
#[tokio::test]
async fn looking_keys_up_pushes_no_refusal_out() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.refused(&holder, &key, 1, ask(20_000)).await;
    for _ in 0..policy_server::live::REFUSALS_KEPT {
        world.admit(&holder, &key, 0, None).await;
    }
    let more = json!({"budget": {"usd": "1.00"}});
    world.admin_ok("PUT", "orgs/acme", more).await;
    world.refused(&holder, &key, 1, ask(20_000)).await;
    // nor was the number refused that such a look-up has
    world.granted(&holder, &key, 0, ask(20_000)).await;
}

#[tokio::test]
async fn a_number_is_never_used_for_two_keys() {
    let world = World::with_org(Some("1.00")).await;
    let (one, two) = (world.key(json!({})).await, world.key(json!({})).await);
    let holder = world.holder(1).await;
    world.granted(&holder, &one, 1, ask(10)).await;
    let request = admit_request(&holder, &two, 1, Some(ask(10)));
    let (status, answer) = world.filter("POST", "admit", &request).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (400, &json!("bad_message")));
}

#[tokio::test]
async fn a_disclaimed_grant_is_closed_even_when_it_is_overtaken() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(1_000)).await;
    let mut request = admit_request(&holder, &key, 3, Some(ask(10)));
    request.void = vec![1, 2];
    let (status, _) = world.filter("POST", "admit", &request).await;
    assert_eq!(status.as_u16(), 200);
    assert_eq!(accounts(&world.tables())[0].outstanding, 20_000, "only number 3 is out");
    // number 2 arrives after its own disclaimer, number 1 once more
    for n in [2, 1] {
        let refusal = world.refused(&holder, &key, n, ask(1_000)).await;
        assert!(matches!(refusal, Refusal::Contended { .. }), "{refusal:?}");
    }
    world.check_ledger();
    // disclaiming again, and disclaiming in a report, changes nothing more
    let mut report = report_request(&holder, Vec::new(), Vec::new());
    report.void = vec![1, 2, 3];
    let _: ReportReply = world.filter_ok("POST", "reports", &report).await;
    assert!(accounts(&world.tables()).iter().all(|account| account.outstanding == 0));
    world.check_ledger();
}

#[tokio::test]
async fn reports_in_any_order_and_number_settle_the_same() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    let spent = |micro_usd, floor, is_final| LeaseReport {
        lease: lease.clone(),
        spent: micro(micro_usd),
        floor,
        is_final,
        permits_used: 0,
        permit_age_ms: 0,
    };
    let sums = |world: &World| {
        let account = &accounts(&world.tables())[0];
        (account.settled / 1_000, account.outstanding / 1_000)
    };
    world.report(&holder, vec![spent(300, None, false)], vec![]).await;
    assert_eq!(sums(&world), (300, 1_700));
    world.report(&holder, vec![spent(100, None, false)], vec![]).await;
    assert_eq!(sums(&world), (300, 1_700), "an older report arrives late");
    world.report(&holder, vec![spent(400, Some(micro(900)), false)], vec![]).await;
    assert_eq!(sums(&world), (400, 500), "what lies above the floor is handed back");
    world.check_ledger();
    for _ in 0..2 {
        world.report(&holder, vec![spent(800, None, true)], vec![]).await;
        assert_eq!(sums(&world), (800, 0));
    }
    world.report(&holder, vec![spent(300, Some(micro(900)), false)], vec![]).await;
    assert_eq!(sums(&world), (800, 0), "nothing reopens a closed lease");
    world.check_ledger();
}
