//! Leases that pay for more than the call that asked for them.

use serde_json::{Value, json};
use wire::v1::{LeaseAnswer, LeaseReport, Refusal, ReportReply};
use wire::{KeyId, LeaseId, ModelName, NanoUsd, RequestId};

use crate::world::{
    Key, World, accounts, ask, final_report, micro, record, report_request, running_report,
};

/// More than any budget here holds.
const ALL: NanoUsd = NanoUsd(1 << 60);

#[tokio::test]
async fn a_lease_gets_what_is_wanted_as_far_as_every_cap_allows() {
    let world = World::with_org(Some("10.24")).await;
    let wide = world.key(json!({})).await;
    let narrow = world.key_with_cap("2.56", "day").await;
    let one = world.holder(1).await;
    // a 384th of the cap beyond the call, in whole calls of 30 micro-USD
    let grant = world.granted_ahead(&one, &wide, 1, ask(15), ALL).await;
    assert_eq!((grant.amount, grant.scarce), (micro(30 + 26_640), false));
    let grant = world.granted_ahead(&one, &narrow, 2, ask(15), ALL).await;
    assert_eq!((grant.amount, grant.scarce), (micro(30 + 6_660), false));
    let grant = world.granted_ahead(&one, &narrow, 3, ask(15), micro(100)).await;
    assert_eq!(grant.amount, micro(30 + 90), "no more than is wanted");
    // a look-up pays for its call only
    assert_eq!(world.granted(&one, &wide, 4, ask(15)).await.amount, micro(30));
    world.check_ledger();
}

#[tokio::test]
async fn slices_shrink_with_the_room_and_with_the_number_of_holders() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let one = world.holder(1).await;
    // all but 4 milli-USD are spent
    let spent = world.granted(&one, &key, 1, ask(498_000)).await.lease;
    world.report(&one, vec![final_report(&spent, micro(996_000))], vec![]).await;
    let grant = world.granted_ahead(&one, &key, 2, ask(100), ALL).await;
    assert_eq!((grant.amount, grant.scarce), (micro(200 + 1_800), false), "half of what is left");
    world.report(&one, vec![final_report(&grant.lease, micro(0))], vec![]).await;
    for nonce in 2..=4 {
        world.holder(nonce).await;
    }
    let grant = world.granted_ahead(&one, &key, 3, ask(100), ALL).await;
    assert_eq!((grant.amount, grant.scarce), (micro(200 + 400), false), "an eighth");
    world.report(&one, vec![final_report(&grant.lease, micro(0))], vec![]).await;
    // room for fewer than two more calls for each holder
    let grant = world.granted_ahead(&one, &key, 4, ask(250), ALL).await;
    assert_eq!((grant.amount, grant.scarce), (micro(500), true));
    // answered the same again, although the room is another by now
    world.report(&one, vec![running_report(&spent, micro(996_000), None)], vec![]).await;
    assert_eq!(world.granted_ahead(&one, &key, 4, ask(250), ALL).await, grant);
    world.check_ledger();
}

#[tokio::test]
async fn one_lease_pays_for_many_calls_and_hands_back_above_its_floor() {
    let world = World::with_org(Some("10.24")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let grant = world.granted_ahead(&holder, &key, 1, ask(500), micro(9_000)).await;
    assert_eq!(grant.amount, micro(10_000));
    let sums = |world: &World| {
        let account = &accounts(&world.tables())[0];
        (account.settled / 1_000, account.outstanding / 1_000)
    };
    for call in 1..=5u64 {
        let spent = running_report(&grant.lease, micro(700 * call), None);
        let ended = record(&key, Some(grant.lease.clone()), call, 350);
        assert_eq!(world.report(&holder, vec![spent], vec![ended]).await.differing, [0; 0]);
    }
    assert_eq!(sums(&world), (3_500, 6_500));
    // one call of 1,000 is running
    let idle = running_report(&grant.lease, micro(3_500), Some(micro(4_500)));
    world.report(&holder, vec![idle], vec![]).await;
    assert_eq!(sums(&world), (3_500, 1_000));
    world.report(&holder, vec![final_report(&grant.lease, micro(4_200))], vec![]).await;
    assert_eq!(sums(&world), (4_200, 0));
    world.check_ledger();
}

#[tokio::test]
async fn money_that_another_holder_keeps_is_contended_and_comes_back_whole() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let kept = world.granted_ahead(&one, &key, 1, ask(100), micro(3_000)).await;
    let refusal = world.ahead(&two, &key, 1, ask(499_900), ALL).await;
    assert!(matches!(refusal, LeaseAnswer::Refused(Refusal::Contended { .. })), "{refusal:?}");
    world.report(&one, vec![final_report(&kept.lease, micro(200))], vec![]).await;
    let grant = world.granted_ahead(&two, &key, 2, ask(499_900), ALL).await;
    assert_eq!((grant.amount, grant.scarce), (micro(999_800), true));
    world.check_ledger();
}

#[tokio::test]
async fn a_report_of_a_thousand_calls_of_the_longest_names_fits() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let long = |n: u64| format!("{n:0>64}");
    let leases = (0..1_000).map(|n| LeaseReport {
        floor: Some(NanoUsd(1 << 60)),
        permits_used: 1 << 60,
        permit_age_ms: 1 << 60,
        is_final: false,
        ..final_report(&LeaseId::new(long(n)).unwrap(), NanoUsd(1 << 60))
    });
    let key = Key { id: KeyId::new(long(7)).unwrap(), ..key };
    let records = (0..1_000).map(|n| {
        let mut call = record(&key, Some(LeaseId::new(long(n)).unwrap()), (1 << 62) + n, 1);
        call.model = ModelName::new("m".repeat(ModelName::LONGEST)).unwrap();
        call.request = RequestId::new(long(n)).unwrap();
        call.usage.input_tokens = 1 << 60;
        call.usage.output_tokens = 1 << 60;
        call.usage.cached_input_tokens = 1 << 60;
        call.usage.reasoning_tokens = 1 << 60;
        call.reserved = NanoUsd(1 << 60);
        call.cost = NanoUsd(1 << 60);
        call
    });
    let request = report_request(&holder, leases.collect(), records.collect());
    let reply: ReportReply = world.filter_ok("POST", "reports", &request).await;
    assert_eq!(reply.differing.len(), 1_000);
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(status["unknown_leases"], 1_000);
}
