use super::*;
use metering::demand::REPORT_INTERVAL_MS;
use wire::v1::{CutCalls, KeyKind, KeyState, ModelSet};
use wire::{CatalogueVersion, ModelName, OrgId, PriceMultiplier};

fn policy(key: &str, org: &str) -> Rc<KeyPolicy> {
    Rc::new(KeyPolicy {
        key: KeyId::new(key).unwrap(),
        org: OrgId::new(org).unwrap(),
        team: None,
        user: None,
        state: KeyState::Active,
        expires_at_unix_ms: None,
        org_has_no_models: false,
        models: ModelSet::All,
        limits: Vec::new(),
        budgeted: true,
        default_max_output_tokens: None,
        cut_calls: CutCalls::Estimate,
        price_multiplier: PriceMultiplier::ONE,
        kind: KeyKind::Application,
        max_call: None,
        allowed_ips: None,
        user_key: None,
        shadow: false,
    })
}

fn ask() -> Ask {
    Ask {
        model: ModelName::new("m").unwrap(),
        catalogue_version: CatalogueVersion(1),
        input_tokens: 1,
        output_tokens: 10,
        output_is_clients: true,
        choices: 1,
        server_tool_calls: 0,
        price_multiplier: PriceMultiplier::ONE,
    }
}

fn grant(n: u64, amount: u64) -> Grant {
    Grant {
        lease: LeaseId::new(format!("h-{n}")).unwrap(),
        n,
        amount: NanoUsd(amount),
        output_tokens: 10,
        scarce: false,
        permits: 0,
    }
}

fn call(amount: u64) -> Draw {
    Draw { amount: NanoUsd(amount), takes_permit: false }
}

fn final_reports(said: &[Said]) -> usize {
    said.iter().filter(|said| said.report.is_final).count()
}

#[test]
fn calls_of_a_key_share_what_it_holds() {
    let (mut pool, key) = (Pool::default(), policy("k", "o"));
    assert!(pool.add(&key, &grant(1, 100), &ask(), false, 0).is_none());
    assert!(pool.add(&key, &grant(1, 100), &ask(), false, 0).is_none(), "the same lease");
    let first = pool.draw(&key, None, call(60), 0).unwrap();
    assert_eq!(pool.draw(&key, None, call(60), 0), None);
    let said = pool.end(&key.key, &first, call(60), NanoUsd(20), 0).unwrap();
    assert_eq!((said.report.spent, said.report.is_final), (NanoUsd(20), false));
    assert!(!said.is_urgent);
    assert!(pool.draw(&key, None, call(80), 0).is_some());
    assert_eq!(pool.draw(&policy("other", "o"), None, call(1), 0), None);
}

#[test]
fn a_lease_that_pays_for_no_further_call_ends() {
    let (mut pool, key) = (Pool::default(), policy("k", "o"));
    pool.add(&key, &grant(1, 100), &ask(), false, 0);
    let lease = pool.draw(&key, None, call(60), 0).unwrap();
    let said = pool.end(&key.key, &lease, call(60), NanoUsd(41), 0).unwrap();
    assert!(said.report.is_final);
    assert_eq!(pool.leases, 0);
}

#[test]
fn scarce_money_is_for_the_call_that_asked() {
    let (mut pool, key) = (Pool::default(), policy("k", "o"));
    let scarce = Grant { scarce: true, ..grant(1, 100) };
    pool.add(&key, &scarce, &ask(), false, 0);
    assert_eq!(pool.draw(&key, None, call(10), 0), None);
    assert_eq!(pool.last_of(&key.key, &scarce.lease), Some(NanoUsd(100)));
    let lease = pool.draw(&key, Some(&scarce.lease), call(10), 0).unwrap();
    assert!(pool.unused(&key.key, &lease, 0).is_none(), "it is used");
    let said = pool.end(&key.key, &lease, call(10), NanoUsd(3), 0).unwrap();
    assert!(said.report.is_final && said.is_urgent);
    // not drawn on at all: it goes back when its call ends otherwise
    let scarce = Grant { scarce: true, ..grant(2, 100) };
    pool.add(&key, &scarce, &ask(), false, 0);
    assert!(pool.unused(&key.key, &scarce.lease, 0).unwrap().report.is_final);
    // asked for ahead: nobody waits for it
    let scarce = Grant { scarce: true, ..grant(3, 100) };
    assert!(pool.add(&key, &scarce, &ask(), true, 0).unwrap().report.is_final);
    assert_eq!(pool.leases, 0);
}

#[test]
fn what_was_lowered_is_the_last_money_but_a_default_limit_lowers_nothing() {
    let (mut pool, key) = (Pool::default(), policy("k", "o"));
    let open = Ask { output_is_clients: false, output_tokens: 1_000, ..ask() };
    pool.add(&key, &Grant { output_tokens: 300, ..grant(1, 100) }, &open, false, 0);
    assert_eq!(pool.draw(&key, None, call(10), 0), None);
    let small = KeyPolicy { default_max_output_tokens: Some(300), ..(*policy("s", "o")).clone() };
    let small = Rc::new(small);
    pool.add(&small, &Grant { output_tokens: 300, ..grant(2, 100) }, &open, false, 0);
    assert!(pool.draw(&small, None, call(10), 0).is_some());
}

#[test]
fn a_recall_takes_what_no_running_call_needs_of_that_account_only() {
    let mut pool = Pool::default();
    let (mine, other) = (policy("k1", "acme"), policy("k2", "umbrella"));
    pool.add(&mine, &grant(1, 100), &ask(), false, 0);
    pool.add(&mine, &grant(2, 100), &ask(), false, 0);
    pool.add(&other, &grant(3, 100), &ask(), false, 0);
    let lease = pool.draw(&mine, None, call(30), 0).unwrap();
    let said = pool.recall(Level::Org, "acme", 10);
    assert_eq!(said.len(), 2);
    assert_eq!(final_reports(&said), 1);
    assert!(said.iter().all(|said| said.is_urgent));
    let running = said.iter().find(|said| !said.report.is_final).unwrap();
    assert_eq!(running.report.floor, Some(NanoUsd(30)));
    assert_eq!(pool.draw(&mine, None, call(1), 10), None);
    assert!(pool.draw(&other, None, call(1), 10).is_some());
    assert!(pool.recall(Level::Org, "acme", 20).is_empty(), "nothing is said twice");
    let said = pool.end(&mine.key, &lease, call(30), NanoUsd(30), 30).unwrap();
    assert!(said.report.is_final && said.is_urgent);
    assert!(pool.running_out(9, 40).is_empty(), "others wait for the money");
    assert_eq!(pool.want(&mine.key, NanoUsd(1), 40), Want::default());
}

#[test]
fn what_nobody_uses_goes_back() {
    let (mut pool, key) = (Pool::default(), policy("k", "o"));
    pool.add(&key, &grant(1, 100), &ask(), false, 0);
    let lease = pool.draw(&key, None, call(30), 1_000).unwrap();
    assert!(pool.idle(1_000 + 2 * REPORT_INTERVAL_MS - 1).is_empty());
    let said = pool.idle(1_000 + 2 * REPORT_INTERVAL_MS);
    assert_eq!((said.len(), final_reports(&said)), (1, 0));
    assert_eq!(pool.purses.len(), 1, "a call still runs on it");
    pool.end(&key.key, &lease, call(30), NanoUsd(1), 20_000).unwrap();
    assert!(pool.idle(20_000).is_empty());
    assert!(pool.purses.is_empty() && pool.leases == 0);
}

#[test]
fn money_is_asked_for_before_it_is_needed() {
    let (mut pool, key) = (Pool::default(), policy("k", "o"));
    pool.add(&key, &grant(1, 100), &ask(), false, 0);
    (0..3).for_each(|_| drop(pool.draw(&key, None, call(25), 0).unwrap()));
    assert!(pool.running_out(9, 40).is_empty(), "hardly used");
    pool.draw(&key, None, call(25), 40).unwrap();
    // as many calls again would find nothing
    let asked = pool.running_out(9, 50);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].ask, ask());
    assert!(pool.running_out(9, 60).is_empty(), "asked for already");
    pool.add(&key, &grant(2, 100), &ask(), true, 70);
    pool.ahead_done(&key.key, false, 70);
    assert!(pool.running_out(9, 80).is_empty(), "enough is held");
    assert!(pool.draw(&key, None, call(100), 90).is_some());
    assert_eq!(pool.running_out(9, 100).len(), 1, "demand has grown");
    pool.ahead_done(&key.key, true, 110);
    assert!(pool.running_out(9, 120).is_empty(), "refused a moment ago");
}

#[test]
fn a_cold_key_asks_for_its_call_alone() {
    let mut pool = Pool::default();
    let key = policy("k", "o");
    assert_eq!(pool.want(&key.key, NanoUsd(10), 0), Want::default());
    pool.add(&key, &grant(1, 10), &ask(), false, 0);
    pool.draw(&key, None, call(10), 0);
    // the next one asks for more than itself
    assert_eq!(pool.want(&key.key, NanoUsd::ZERO, 5).money, NanoUsd(10));
}
