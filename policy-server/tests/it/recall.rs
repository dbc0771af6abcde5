//! Money that others keep is asked back when a call needs it, and no more often than needed.

use std::sync::Arc;
use std::time::Duration;

use policy_server::recalls::RECALL_EVERY_MS;
use serde_json::{Value, json};
use wire::v1::{Change, LeaseAnswer, Level, Refusal};
use wire::{LeaseId, NanoUsd};

use crate::world::{Holder, Key, World, accounts, ask, final_report, micro};

const ALL: NanoUsd = NanoUsd(1 << 60);

fn recall(level: Level, owner: &str) -> Change {
    Change::Recall { level, owner: owner.to_owned() }
}

async fn contended(world: &World, holder: &Holder, key: &Key, n: u64, tokens: u64) {
    let answer = world.ahead(holder, key, n, ask(tokens), ALL).await;
    assert!(matches!(answer, LeaseAnswer::Refused(Refusal::Contended { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_contended_account_is_recalled_once_until_something_is_granted_to_keep() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let kept = world.granted_ahead(&one, &key, 1, ask(300_000), ALL).await;
    for n in 1..=3 {
        contended(&world, &two, &key, n, 300_000).await;
        world.clock.advance_ms(RECALL_EVERY_MS);
    }
    assert_eq!(world.changes(&two).await, [recall(Level::Org, "acme")], "the key has no cap");
    // little is left: a grant that nobody may keep changes nothing
    assert!(world.granted_ahead(&two, &key, 4, ask(60_000), ALL).await.scarce);
    contended(&world, &two, &key, 5, 300_000).await;
    assert_eq!(world.changes(&two).await.len(), 1);
    world.report(&one, vec![final_report(&kept.lease, micro(0))], vec![]).await;
    assert!(!world.granted_ahead(&two, &key, 6, ask(50), ALL).await.scarce);
    contended(&world, &two, &key, 7, 480_000).await;
    assert_eq!(world.changes(&two).await.len(), 2, "there is something to ask back again");
    world.clock.advance_ms(RECALL_EVERY_MS - 1);
    assert!(!world.granted_ahead(&two, &key, 8, ask(50), ALL).await.scarce);
    contended(&world, &two, &key, 9, 480_000).await;
    assert_eq!(world.changes(&two).await.len(), 2, "but not within a moment");
    world.clock.advance_ms(1);
    contended(&world, &two, &key, 10, 480_000).await;
    assert_eq!(world.changes(&two).await.len(), 3);
    assert_eq!(world.admin_ok("GET", "status", Value::Null).await["recalls"], 3);
    world.check_ledger();
}

#[tokio::test]
async fn every_account_with_too_little_room_is_recalled_and_no_other() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key_with_cap("0.01", "none").await;
    let wide = world.key_with_cap("1.00", "none").await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    world.granted(&one, &key, 1, ask(4_000)).await;
    contended(&world, &two, &key, 1, 2_000).await;
    let both = [recall(Level::Key, key.id.as_str()), recall(Level::Org, "acme")];
    assert_eq!(world.changes(&two).await, both);
    contended(&world, &two, &wide, 2, 2_000).await;
    assert_eq!(world.changes(&two).await, both, "the organisation has been, the key has room");
}

#[tokio::test]
async fn what_a_recall_brings_back_in_time_is_granted_to_the_call_that_waits() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let kept = world.granted_ahead(&one, &key, 1, ask(300_000), ALL).await.lease;
    let hands_back = async {
        let heard = world.poll(&one, two.revision, 20_000).await;
        assert_eq!(heard.changes, [recall(Level::Org, "acme")]);
        world.report(&one, vec![final_report(&kept, micro(100))], vec![]).await;
    };
    let waits = world.granted_ahead(&two, &key, 1, ask(400_000), ALL);
    let (_, grant) = tokio::join!(hands_back, waits);
    assert_eq!(grant.amount, micro(800_000));
    world.check_ledger();
}

#[tokio::test]
async fn a_refusal_is_as_new_as_the_recall_that_it_made() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    world.granted(&one, &key, 1, ask(4_000)).await;
    let reply = world.admit(&two, &key, 1, Some(ask(4_000))).await;
    assert!(matches!(reply.lease, LeaseAnswer::Refused(Refusal::Contended { .. })));
    let heard = world.poll(&two, two.revision, 0).await;
    assert_eq!((heard.changes.len(), heard.revision), (1, reply.revision));
}

#[tokio::test]
async fn after_a_restart_an_account_is_recalled_again() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    world.granted(&one, &key, 1, ask(4_000)).await;
    contended(&world, &two, &key, 1, 2_000).await;
    let heard = world.poll(&two, two.revision, 0).await;
    let world = world.restart();
    contended(&world, &two, &key, 2, 2_000).await;
    let again = world.poll(&two, heard.revision, 0).await.changes;
    assert_eq!(again, [recall(Level::Org, "acme")]);
}

#[tokio::test]
async fn what_an_administrator_takes_away_is_recalled_before_the_change_itself() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("1.00", "none").await;
    let idle = world.key_with_cap("1.00", "none").await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(100)).await;
    for (id, usd) in [(&key.id, "2.00"), (&key.id, "0.50"), (&idle.id, "0.50")] {
        let body = json!({"budget": {"usd": usd}});
        world.admin_ok("PATCH", &format!("keys/{id}?wait=0"), body).await;
    }
    let org = json!({"budget": {"usd": "0.40", "period": "none"}});
    world.admin_ok("PUT", "orgs/acme?wait=0", org).await;
    let changes = world.changes(&holder).await;
    let recalls: Vec<_> =
        changes.iter().map(|change| matches!(change, Change::Recall { .. })).collect();
    // raised; lowered; lowered where nothing is out; a cap where there was none
    assert_eq!(recalls, [false, true, false, false, true, false], "{changes:?}");
    assert_eq!(changes[1], recall(Level::Key, key.id.as_str()));
    assert_eq!(changes[4], recall(Level::Org, "acme"));
    let before = world.poll(&holder, holder.revision, 0).await.revision;
    for end in ["disable", "revoke"] {
        world.admin_ok("POST", &format!("keys/{}/{end}?wait=0", key.id), Value::Null).await;
    }
    world.admin_ok("DELETE", &format!("keys/{}?wait=0", key.id), Value::Null).await;
    let changes = world.poll(&holder, before, 0).await.changes;
    assert_eq!(changes.len(), 6);
    for pair in changes.chunks(2) {
        assert_eq!(pair[0], recall(Level::Key, key.id.as_str()));
        assert!(matches!(pair[1], Change::Key { .. }));
    }
}

/// One gate: takes slices, hands back what it keeps when that is recalled, and stops asking after
/// some calls, so that a budget's last calls are with those who do not need them.
struct Gate {
    holder: Holder,
    n: u64,
    open: Vec<Open>,
    made: u64,
}

struct Open {
    lease: LeaseId,
    amount: NanoUsd,
    spent: NanoUsd,
}

const CALL: NanoUsd = NanoUsd(20_000);

impl Gate {
    async fn hand_back(&mut self, world: &World) {
        let reports = self.open.drain(..).map(|open| final_report(&open.lease, open.spent));
        let reports: Vec<_> = reports.collect();
        if !reports.is_empty() {
            world.report(&self.holder, reports, vec![]).await;
        }
    }

    /// Makes one call. Answers whether the budget may have more.
    async fn call(&mut self, world: &World, key: &Key) -> bool {
        loop {
            if let Some(open) = self.open.last_mut()
                && open.spent.0 + CALL.0 <= open.amount.0
            {
                open.spent.0 += CALL.0;
                self.made += 1;
                return true;
            }
            self.n += 1;
            match world.ahead(&self.holder, key, self.n, ask(10), ALL).await {
                LeaseAnswer::Granted(grant) => {
                    let (lease, amount) = (grant.lease, grant.amount);
                    self.open.push(Open { lease, amount, spent: CALL });
                    self.made += 1;
                    if grant.scarce {
                        self.hand_back(world).await;
                    }
                    return true;
                }
                LeaseAnswer::Refused(Refusal::Contended { .. }) => {}
                LeaseAnswer::Refused(Refusal::BudgetExceeded { .. }) => return false,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn run(mut self, world: &World, key: &Key, calls: u64) -> u64 {
        let mut revision = self.holder.revision;
        let mut more = true;
        // whoever has made its calls only listens, until all is spent
        loop {
            if more && self.made < calls {
                more = self.call(world, key).await;
            } else if self.open.is_empty() {
                break;
            }
            let wait = if more && self.made < calls { 0 } else { 50 };
            let heard = world.poll(&self.holder, revision, wait).await;
            revision = heard.revision;
            if !heard.changes.is_empty() || !more {
                self.hand_back(world).await;
            }
        }
        self.made
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_holders_make_exactly_the_calls_that_a_budget_pays() {
    const CALLS: u64 = 2_000;
    let world = World::with_org(Some("0.04")).await;
    let key = Arc::new(world.key(json!({})).await);
    let mut gates = Vec::new();
    for nonce in 0..64u64 {
        let holder = world.holder(u8::try_from(nonce).unwrap()).await;
        let n = 0;
        gates.push(Gate { holder, n, open: Vec::new(), made: 0 });
    }
    let world = Arc::new(world);
    // time goes on, or an account would be recalled only once
    let clock = Arc::clone(&world.clock);
    let ticking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance_ms(1);
        }
    });
    let gates = gates.into_iter().enumerate().map(|(index, gate)| {
        // half of them want few calls and keep what is left over until it is recalled
        let calls = if index % 2 == 0 { 9 } else { u64::MAX };
        let (world, key) = (Arc::clone(&world), Arc::clone(&key));
        tokio::spawn(async move { gate.run(&world, &key, calls).await })
    });
    let mut made = 0;
    for gate in gates.collect::<Vec<_>>() {
        // without recalls the last money would never come back
        let done = tokio::time::timeout(Duration::from_secs(60), gate).await;
        made += done.expect("money is stuck").unwrap();
    }
    ticking.abort();
    assert_eq!(made, CALLS);
    world.check_ledger();
    let account = &accounts(&world.tables())[1];
    assert_eq!((account.level.as_str(), account.settled), ("org", 40_000_000), "{account:?}");
    assert_eq!(account.outstanding + account.parked + account.overdraft, 0);
}

#[tokio::test]
async fn what_every_holder_has_applied_is_waited_for_no_more_after_a_restart() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key_with_cap("0.50", "month").await;
    let holder = world.holder(1).await;
    let path = format!("keys/{}?wait=0", key.id);
    world.granted(&holder, &key, 9, ask(10)).await;
    let budget = json!({"budget": {"usd": "0.50", "period": "none"}});
    world.admin_ok("PATCH", &path, budget).await;
    contended(&world, &holder, &key, 1, 10).await;
    let heard = world.poll(&holder, holder.revision, 0).await;
    world.poll(&holder, heard.revision, 0).await;
    world.granted(&holder, &key, 2, ask(10)).await;
    let world = world.restart();
    world.granted(&holder, &key, 3, ask(10)).await;
    world.check_ledger();
}

#[tokio::test]
async fn a_kept_grant_that_is_answered_again_lets_the_account_be_recalled_again() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let kept = world.granted_ahead(&one, &key, 1, ask(50), ALL).await;
    assert!(!kept.scarce);
    contended(&world, &two, &key, 1, 499_999).await;
    assert_eq!(world.changes(&two).await.len(), 1);
    // the first answer was lost, so its holder had nothing to hand back when it heard of the recall
    assert_eq!(world.granted_ahead(&one, &key, 1, ask(50), ALL).await, kept);
    world.clock.advance_ms(RECALL_EVERY_MS);
    contended(&world, &two, &key, 2, 499_999).await;
    assert_eq!(world.changes(&two).await.len(), 2);
}
