//! Money: granted within every cap, and settled once. What becomes of repeated messages: `repeated.rs`.

use serde_json::{Value, json};
use wire::NanoUsd;
use wire::v1::{Ask, Basis, KeyAnswer, LeaseAnswer, LeaseReply, LeaseRequest, Level, Refusal};
use wire::{CatalogueVersion, ModelName};

use crate::world::{
    Holder, Key, NOON, World, accounts, ask, ask_up_to, final_report, micro, record,
};

const DAY_MS: u64 = 86_400_000;

#[tokio::test]
async fn a_lease_counts_in_every_budget_above_the_key_until_it_is_settled() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key_with_cap("0.10", "day").await;
    let holder = world.holder(1).await;
    let grant = world.granted(&holder, &key, 1, ask(1_000)).await;
    assert_eq!(grant.amount, micro(2_000));
    assert_eq!(grant.output_tokens, 1_000);
    world.check_ledger();
    assert_eq!(world.spend(&key).await["outstanding_usd"], "0.002");
    let report = final_report(&grant.lease, micro(500));
    let records = vec![record(&key, Some(grant.lease.clone()), 1, 250)];
    let reply = world.report(&holder, vec![report], records).await;
    assert_eq!(reply.differing, Vec::<u64>::new());
    world.check_ledger();
    for account in accounts(&world.tables()) {
        assert_eq!(account.settled, 500_000, "{account:?}");
        assert_eq!(account.outstanding + account.parked + account.overdraft, 0);
    }
    let org = world.admin_ok("GET", "budgets?org=acme", Value::Null).await;
    assert_eq!(org["data"][0]["settled_usd"], "0.0005");
    assert_eq!(org["data"][0]["left_usd"], "0.9995");
}

#[tokio::test]
async fn a_call_dearer_than_its_reservation_is_settled_in_full_and_blocks_further_grants() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.002", "none").await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(2_600))], vec![]).await;
    let spend = world.spend(&key).await;
    assert_eq!(spend["settled_usd"], "0.0026");
    assert_eq!(spend["overdraft_usd"], "0.0006");
    assert_eq!(spend["over_cap_usd"], "0.0006");
    assert_eq!(spend["left_usd"], "0.00");
    world.check_ledger();
    let refusal = world.refused(&holder, &key, 2, ask(1)).await;
    let expected = Refusal::BudgetExceeded { level: Level::Key, need: micro(2), left: micro(0) };
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn refusals_tell_spent_money_from_money_that_is_out() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key_with_cap("0.006", "none").await;
    let other = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(2_500)).await.lease;
    assert!(matches!(
        world.refused(&holder, &key, 2, ask(600)).await,
        Refusal::Contended { retry_after_ms: 1.. }
    ));
    world.report(&holder, vec![final_report(&lease, micro(5_000))], vec![]).await;
    assert_eq!(
        world.refused(&holder, &key, 3, ask(600)).await,
        Refusal::BudgetExceeded { level: Level::Key, need: micro(1_200), left: micro(1_000) }
    );
    // the other key meets the organisation's cap, not the first key's
    assert_eq!(
        world.refused(&holder, &other, 4, ask(2_600)).await,
        Refusal::BudgetExceeded { level: Level::Org, need: micro(5_200), left: micro(5_000) }
    );
    assert_eq!(world.granted(&holder, &key, 5, ask(500)).await.amount, micro(1_000));
    world.check_ledger();
}

#[tokio::test]
async fn a_limit_that_the_filter_chose_is_lowered_to_what_can_be_paid() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.001", "none").await;
    let holder = world.holder(1).await;
    let grant = world.granted(&holder, &key, 1, ask_up_to(16_384)).await;
    assert_eq!((grant.output_tokens, grant.amount), (500, micro(1_000)));
    world.report(&holder, vec![final_report(&grant.lease, micro(489))], vec![]).await;
    // 511 micro-USD are left: one short of 256 tokens
    assert_eq!(
        world.refused(&holder, &key, 2, ask_up_to(16_384)).await,
        Refusal::BudgetExceeded { level: Level::Key, need: micro(512), left: micro(511) }
    );
}

#[tokio::test]
async fn raising_the_cap_admits_again_and_lowering_it_stops_without_taking_back() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.002", "month").await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(2_000))], vec![]).await;
    world.refused(&holder, &key, 2, ask(1)).await;
    let path = format!("keys/{}?wait=0", key.id);
    // the period is not said again and stays as it was
    world.admin_ok("PATCH", &path, json!({"budget": {"usd": "0.004"}})).await;
    let lease = world.granted(&holder, &key, 3, ask(500)).await.lease;
    world.check_ledger();
    world.admin_ok("PATCH", &path, json!({"budget": {"usd": "0.0025"}})).await;
    let refusal = world.refused(&holder, &key, 4, ask(1)).await;
    assert!(matches!(refusal, Refusal::Contended { .. }), "{refusal:?}");
    world.report(&holder, vec![final_report(&lease, micro(1_000))], vec![]).await;
    let spend = world.spend(&key).await;
    assert_eq!(spend["settled_usd"], "0.003");
    assert_eq!(spend["over_cap_usd"], "0.0005");
    assert_eq!(spend["overdraft_usd"], "0.00");
    assert_eq!(spend["period"], "month");
    let refusal = world.refused(&holder, &key, 5, ask(1)).await;
    assert!(matches!(refusal, Refusal::BudgetExceeded { .. }), "{refusal:?}");
}

#[tokio::test]
async fn a_new_period_starts_afresh_and_old_leases_settle_where_they_were_granted() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.002", "day").await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.clock.set_unix_ms(NOON + DAY_MS / 2 - 1);
    world.refused(&holder, &key, 2, ask(1)).await;
    world.clock.set_unix_ms(NOON + DAY_MS / 2);
    world.granted(&holder, &key, 3, ask(1_000)).await;
    world.report(&holder, vec![final_report(&lease, micro(1_500))], vec![]).await;
    world.check_ledger();
    let tables = world.tables();
    let days: Vec<_> = accounts(&tables)
        .into_iter()
        .filter(|account| account.level == "key")
        .map(|account| (account.start_ms, account.settled, account.outstanding))
        .collect();
    let today = i64::try_from(NOON - DAY_MS / 2).unwrap();
    let tomorrow = i64::try_from(NOON + DAY_MS / 2).unwrap();
    assert_eq!(days, [(today, 1_500_000, 0), (tomorrow, 0, 2_000_000)]);
    let spend = world.spend(&key).await;
    assert_eq!(spend["period_start"], "2026-11-21T00:00:00Z");
    assert_eq!(spend["settled_usd"], "0.00");
}

#[tokio::test]
async fn calls_without_any_cap_need_no_lease_but_are_counted() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let reply = world.admit(&holder, &key, 1, Some(ask(1_000))).await;
    assert_eq!(reply.lease, LeaseAnswer::NotNeeded);
    let KeyAnswer::Known(policy) = reply.key else { panic!("unknown") };
    assert!(!policy.budgeted);
    for _ in 0..2 {
        world.report(&holder, vec![], vec![record(&key, None, 1, 1_000)]).await;
    }
    assert_eq!(world.spend(&key).await["settled_usd"], "0.002", "charged once, reported twice");
    // a cap that comes later counts what was spent before
    let path = format!("keys/{}?wait=0", key.id);
    world.admin_ok("PATCH", &path, json!({"budget": {"usd": "0.003"}})).await;
    assert_eq!(
        world.refused(&holder, &key, 2, ask(501)).await,
        Refusal::BudgetExceeded { level: Level::Key, need: micro(1_002), left: micro(1_000) }
    );
    world.granted(&holder, &key, 3, ask(500)).await;
    world.check_ledger();
}

#[tokio::test]
async fn a_free_model_needs_no_room_but_a_budget_that_is_not_overrun() {
    let world = World::with_org(None).await;
    let free = json!({"free": true, "context_length": 1_000, "max_output_tokens": 100});
    world.admin_ok("PUT", "models/free", free).await;
    let key = world.key_with_cap("0.00", "none").await;
    let holder = world.holder(1).await;
    let ask = Ask {
        model: ModelName::new("free").unwrap(),
        catalogue_version: CatalogueVersion(2),
        ..ask(100)
    };
    assert_eq!(world.granted(&holder, &key, 1, ask).await.amount, NanoUsd(0));
    world.refused(&holder, &key, 2, crate::world::ask(1)).await;
    world.check_ledger();
}

#[tokio::test]
async fn a_lease_is_priced_by_the_catalogue_that_the_filter_knew() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.put_model("gpt-4o-mini", "1.00", "20.00").await;
    assert_eq!(world.granted(&holder, &key, 1, ask(100)).await.amount, micro(200));
    let newer = Ask { catalogue_version: CatalogueVersion(2), ..ask(100) };
    let grant = world.granted(&holder, &key, 2, newer).await;
    assert_eq!(grant.amount, micro(2_000));
    // records are checked by the same version
    let old = record(&key, None, 1, 100);
    let mut new = record(&key, None, 2, 100);
    new.catalogue_version = CatalogueVersion(2);
    let reply = world.report(&holder, vec![], vec![old, new]).await;
    assert_eq!(reply.differing, [2], "two micro-USD a token are wrong since version 2");
    let future = Ask { catalogue_version: CatalogueVersion(3), ..ask(100) };
    assert_eq!(world.refused(&holder, &key, 3, future).await, Refusal::UnknownPrice);
    let unknown = Ask { model: ModelName::new("nope").unwrap(), ..ask(100) };
    assert_eq!(world.refused(&holder, &key, 4, unknown).await, Refusal::UnknownPrice);
    world.admin_ok("POST", "models/gpt-4o-mini/retire", Value::Null).await;
    assert_eq!(world.refused(&holder, &key, 5, ask(100)).await, Refusal::UnknownPrice);
}

#[tokio::test]
async fn costs_that_do_not_follow_from_usage_are_named_and_counted_once() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let right = record(&key, None, 1, 10);
    let wrong = {
        let mut r = record(&key, None, 2, 10);
        r.cost = micro(19);
        r
    };
    let whole_reservation = {
        let mut r = record(&key, None, 3, 10);
        (r.basis, r.cost, r.reserved) = (Basis::Estimated, micro(77), micro(77));
        r
    };
    let invented = {
        let mut r = record(&key, None, 4, 10);
        (r.basis, r.cost, r.reserved) = (Basis::Estimated, micro(76), micro(77));
        r
    };
    let refunded = {
        let mut r = record(&key, None, 5, 0);
        (r.basis, r.cost) = (Basis::Refunded, micro(1));
        r
    };
    let batch = vec![right, wrong, whole_reservation, invented, refunded];
    for _ in 0..2 {
        let reply = world.report(&holder, vec![], batch.clone()).await;
        assert_eq!(reply.differing, [2, 4, 5]);
    }
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["differing_records"], 3);
    let records = world.admin_ok("GET", "records?request=req-2", Value::Null).await;
    assert_eq!(records["data"][0]["differs"], true);
    assert_eq!(records["data"][0]["computed_cost_usd"], "0.00002");
}

#[tokio::test]
async fn a_report_about_a_lease_that_never_was_is_counted_not_fatal() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(10)).await.lease;
    let stray = final_report(&holder.lease(99), micro(5));
    world.report(&holder, vec![stray, final_report(&lease, micro(20))], vec![]).await;
    assert_eq!(accounts(&world.tables())[0].settled, 20_000, "the rest of the batch counts");
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["unknown_leases"], 1);
}

#[tokio::test]
async fn keys_that_may_not_be_used_get_no_lease() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({"expires_at": "2026-11-20T12:00:01Z"})).await;
    let narrow = world.key(json!({"models": []})).await;
    let holder = world.holder(1).await;
    let lease = |key: &Key, n| LeaseRequest {
        holder: holder.id.clone(),
        epoch: holder.epoch,
        key: key.id.clone(),
        n,
        ask: ask(10),
        want: wire::NanoUsd::ZERO,
        want_permits: 0,
        void: Vec::new(),
    };
    let reply: LeaseReply = world.filter_ok("POST", "leases", &lease(&key, 1)).await;
    assert!(matches!(reply.answer, LeaseAnswer::Granted(_)), "{reply:?}");
    let refused = LeaseAnswer::Refused(Refusal::KeyNotUsable);
    let reply: LeaseReply = world.filter_ok("POST", "leases", &lease(&narrow, 2)).await;
    assert_eq!(reply.answer, refused);
    assert_eq!(world.admit(&holder, &narrow, 3, Some(ask(10))).await.lease, LeaseAnswer::NotNeeded);
    world.clock.advance_ms(1_000);
    let reply: LeaseReply = world.filter_ok("POST", "leases", &lease(&key, 4)).await;
    assert_eq!(reply.answer, refused, "expired at this very instant");
    assert_eq!(world.admit(&holder, &key, 5, Some(ask(10))).await.lease, LeaseAnswer::NotNeeded);
    assert_eq!(accounts(&world.tables()).iter().map(|a| a.outstanding).sum::<i64>(), 40_000);
}

/// Many holders at once on one tight budget: whatever the interleaving, never beyond the cap, and
/// not a nano-USD is left over in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_holders_never_pass_a_cap() {
    let world = World::with_org(Some("0.02")).await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(world.key_with_cap("0.008", "none").await);
    }
    let mut holders: Vec<Holder> = Vec::new();
    for nonce in 0..8 {
        holders.push(world.holder(nonce).await);
    }
    let world = &world;
    let runs = holders.iter().enumerate().map(|(index, holder)| {
        let key = &keys[index % keys.len()];
        async move {
            let mut charged = 0;
            for n in 0..40u64 {
                // 2 to 1022 micro-USD, by a fixed rule
                let tokens = 1 + (n * 37 + index as u64 * 101) % 511;
                let reply = world.admit(holder, key, n, Some(ask(tokens))).await;
                let LeaseAnswer::Granted(grant) = reply.lease else { continue };
                let spent = micro(2 * (tokens - tokens % 3));
                charged += spent.0;
                let report = final_report(&grant.lease, spent);
                // every other answer gets lost and is sent again
                for _ in 0..1 + n % 2 {
                    world.report(holder, vec![report.clone()], vec![]).await;
                }
                world.check_ledger();
            }
            charged
        }
    });
    let charged: u64 = futures_join(runs).await.into_iter().sum();
    world.check_ledger();
    let rows = accounts(&world.tables());
    let org = rows.iter().find(|account| account.level == "org").unwrap();
    assert_eq!(u64::try_from(org.settled).unwrap(), charged);
    assert_eq!(org.outstanding + org.parked + org.overdraft, 0);
    assert!(org.settled > 18_000_000, "the budget was used up: {org:?}");
    let keys: i64 = rows.iter().filter(|row| row.level == "key").map(|row| row.settled).sum();
    assert_eq!(keys, org.settled);
}

/// Polls all futures to their ends on this task.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut running {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if running.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}
