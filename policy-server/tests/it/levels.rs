//! Budgets of key, user, team, organisation and wallet, all in one transaction; keys that move
//! between them; periods that end.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, LeaseAnswer, Level, Refusal};

use crate::world::{
    GRACE_MS, Key, NOON, TTL_MS, World, accounts, ask, final_report, micro, record,
};

const DAY_MS: u64 = 86_400_000;

/// A cap for the level, or none.
fn cap_at(level: Level, tight: Level) -> Value {
    let usd = if level == tight { "0.002" } else { "0.02" };
    json!({"usd": usd, "period": "none"})
}

async fn key_with_every_level(world: &World, tight: Level) -> Key {
    let org = json!({"budget": cap_at(Level::Org, tight)});
    world.admin_ok("PUT", "orgs/acme", org).await;
    let team = "orgs/acme/teams/search/budget";
    world.admin_ok("PUT", team, cap_at(Level::Team, tight)).await;
    let user = "orgs/acme/users/ada@example.org/budget";
    world.admin_ok("PUT", user, cap_at(Level::User, tight)).await;
    let money = json!({"usd": cap_at(Level::Wallet, tight)["usd"]});
    world.admin_ok("POST", "orgs/acme/wallet/top-ups", money).await;
    let fields = json!({
        "team": "search", "user": "ada@example.org", "budget": cap_at(Level::Key, tight),
    });
    world.key(fields).await
}

/// (level, owner, settled, outstanding) in micro-USD.
fn sums(world: &World) -> Vec<(String, String, i64, i64)> {
    let rows = accounts(&world.tables()).into_iter();
    rows.map(|row| (row.level, row.owner, row.settled / 1_000, row.outstanding / 1_000)).collect()
}

#[tokio::test]
async fn each_level_can_be_the_one_that_ends_it() {
    for tight in Level::ALL {
        let world = World::with_org(None).await;
        let key = key_with_every_level(&world, tight).await;
        let holder = world.holder(1).await;
        let lease = world.granted(&holder, &key, 1, ask(600)).await.lease;
        world.report(&holder, vec![final_report(&lease, micro(1_200))], vec![]).await;
        let refusal = world.refused(&holder, &key, 2, ask(401)).await;
        let (need, left) = (micro(802), micro(800));
        assert_eq!(refusal, Refusal::BudgetExceeded { level: tight, need, left });
        let other = world.granted(&holder, &key, 3, ask(400)).await.lease;
        let owners = ["ada@example.org", "search"].map(|name| format!("acme/{name}"));
        let [user, team] = owners;
        let expected = [("key", key.id.to_string()), ("org", "acme".to_owned()), ("team", team)];
        let rest = [("user", user), ("wallet", "acme".to_owned())];
        let expected = expected.into_iter().chain(rest);
        let expected: Vec<_> =
            expected.map(|(level, owner)| (level.to_owned(), owner, 1_200, 800)).collect();
        assert_eq!(sums(&world), expected, "every level, by the same amounts");
        world.check_ledger();
        let listed = world.admin_ok("GET", &format!("budgets?key={}", key.id), Value::Null).await;
        let levels: Vec<_> = listed["data"].as_array().unwrap().iter().collect();
        assert_eq!(levels.len(), 5);
        for (shown, level) in levels.iter().zip(Level::ALL) {
            assert_eq!(shown["level"], level.as_str());
            assert_eq!(shown["outstanding_usd"], "0.0008");
        }
        world.report(&holder, vec![final_report(&other, micro(0))], vec![]).await;
    }
}

#[tokio::test]
async fn keys_of_one_team_share_its_budget_and_those_of_other_organisations_do_not() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/other", json!({})).await;
    let budget = json!({"usd": "0.002", "period": "day"});
    let set = world.admin_ok("PUT", "orgs/acme/teams/search/budget", budget).await;
    assert_eq!((&set["level"], &set["id"]), (&json!("team"), &json!("acme/search")));
    assert_eq!((&set["cap_usd"], &set["period"]), (&json!("0.002"), &json!("day")));
    assert_eq!(set["applied"], true);
    let one = world.key(json!({"team": "search"})).await;
    let two = world.key(json!({"team": "search"})).await;
    let stranger = world.key(json!({"org": "other", "team": "search"})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &one, 1, ask(800)).await.lease;
    world.report(&holder, vec![final_report(&lease, micro(1_600))], vec![]).await;
    let refusal = world.refused(&holder, &two, 2, ask(201)).await;
    assert!(matches!(refusal, Refusal::BudgetExceeded { level: Level::Team, .. }), "{refusal:?}");
    let answer = world.admit(&holder, &stranger, 3, Some(ask(800))).await.lease;
    assert_eq!(answer, LeaseAnswer::NotNeeded);
    let KeyAnswer::Known(policy) = world.admit(&holder, &two, 4, None).await.key else { panic!() };
    assert_eq!(policy.owner(Level::Team).as_deref(), Some("acme/search"));
    assert!(policy.budgeted);
    // without a cap the team counts on
    let gone = world.admin_ok("DELETE", "orgs/acme/teams/search/budget", Value::Null).await;
    assert_eq!((&gone["cap_usd"], &gone["settled_usd"]), (&Value::Null, &json!("0.0016")));
    world.report(&holder, vec![], vec![record(&two, None, 1, 100)]).await;
    let shown = world.admin_ok("GET", "orgs/acme/teams/search/budget", Value::Null).await;
    assert_eq!(shown["settled_usd"], "0.0018");
    let KeyAnswer::Known(policy) = world.admit(&holder, &two, 5, None).await.key else { panic!() };
    assert!(!policy.budgeted);
}

#[tokio::test]
async fn budgets_of_teams_and_users_are_checked_as_they_are_given() {
    let world = World::with_org(None).await;
    let nobody = world.admin("GET", "orgs/nobody/teams/a/budget", Value::Null).await;
    assert_eq!(nobody.0.as_u16(), 404);
    let budget = json!({"usd": "1.00"});
    let nobody = world.admin("PUT", "orgs/nobody/users/a/budget", budget).await;
    assert_eq!(nobody.0.as_u16(), 404);
    for (path, body, param) in [
        ("orgs/acme/teams/a/budget", json!({}), "usd"),
        ("orgs/acme/teams/a/budget", json!({"usd": 5}), "usd"),
        ("orgs/acme/users/a/budget", json!({"usd": "1", "period": "year"}), "period"),
        ("orgs/acme/users/a/budget", json!({"usd": "1", "note": "x"}), "note"),
        ("orgs/acme/users/a%20b/budget", json!({"usd": "1"}), "user"),
    ] {
        let error = world.admin_refused("PUT", path, body, 400).await;
        assert_eq!(error["param"], param, "{path}");
    }
    // an id with a slash is one id
    world.admin_ok("PUT", "orgs/acme/teams/a%2Fb/budget", json!({"usd": "1"})).await;
    let key = world.key(json!({"team": "a/b"})).await;
    let listed = world.admin_ok("GET", &format!("budgets?key={}", key.id), Value::Null).await;
    assert_eq!(listed["data"][1]["id"], "acme/a/b");
    assert_eq!(listed["data"][1]["cap_usd"], "1.00");
}

#[tokio::test]
async fn a_moved_key_is_granted_nothing_until_every_holder_has_given_back_the_old_money() {
    let world = World::with_org(None).await;
    for team in ["old", "new"] {
        let path = format!("orgs/acme/teams/{team}/budget");
        world.admin_ok("PUT", &path, json!({"usd": "0.01"})).await;
    }
    let key = world.key(json!({"team": "old"})).await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let lease = world.granted(&one, &key, 1, ask(1_000)).await.lease;
    let path = format!("keys/{}?wait=0", key.id);
    let moved = world.admin_ok("PATCH", &path, json!({"team": "new"})).await;
    assert_eq!((&moved["team"], &moved["pending"]), (&json!("new"), &json!(2)));
    let heard = world.poll(&one, one.revision, 0).await;
    let owner = key.id.to_string();
    assert_eq!(heard.changes[0], Change::Recall { level: Level::Key, owner });
    assert!(matches!(heard.changes[1], Change::Key { .. }));
    let contended = async |n| {
        let refusal = world.refused(&two, &key, n, ask(100)).await;
        assert!(matches!(refusal, Refusal::Contended { .. }), "{refusal:?}");
    };
    contended(1).await;
    world.report(&one, vec![final_report(&lease, micro(300))], vec![]).await;
    contended(2).await;
    // one holder has applied it, the other has not
    world.poll(&one, heard.revision, 0).await;
    contended(3).await;
    // a call that waits is woken by the last acknowledgement
    let begun = std::time::Instant::now();
    let last = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        world.poll(&two, heard.revision, 0).await
    };
    let (grant, _) = tokio::join!(world.granted(&two, &key, 4, ask(100)), last);
    assert_eq!(grant.amount, micro(200));
    assert!(begun.elapsed().as_millis() < 200, "{:?}", begun.elapsed());
    let of_teams: Vec<_> = sums(&world).into_iter().filter(|(level, ..)| level == "team").collect();
    let row = |owner: &str, settled, out| ("team".to_owned(), owner.to_owned(), settled, out);
    assert_eq!(of_teams, [row("acme/new", 0, 200), row("acme/old", 300, 0)]);
    world.check_ledger();
    // leaving everything as it is, or changing the name, moves nothing
    world.admin_ok("PATCH", &path, json!({"team": "new", "name": "x"})).await;
    world.granted(&one, &key, 5, ask(100)).await;
}

#[tokio::test]
async fn a_holder_that_is_away_holds_a_moved_key_up_until_its_time_has_passed_also_after_a_restart()
{
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({"user": "ada"})).await;
    let (away, here) = (world.holder(1).await, world.holder(2).await);
    world.granted(&away, &key, 1, ask(1_000)).await;
    let path = format!("keys/{}?wait=0", key.id);
    world.admin_ok("PATCH", &path, json!({"user": null})).await;
    let heard = world.poll(&here, here.revision, 0).await.revision;
    world.poll(&here, heard, 0).await;
    let world = world.restart();
    let refusal = world.refused(&here, &key, 1, ask(100)).await;
    assert!(matches!(refusal, Refusal::Contended { .. }), "{refusal:?}");
    world.clock.advance_ms(TTL_MS);
    world.poll(&here, heard, 0).await;
    world.clock.advance_ms(GRACE_MS);
    world.refused(&here, &key, 2, ask(100)).await;
    world.pass(1).await;
    world.granted(&here, &key, 3, ask(100)).await;
    world.check_ledger();
    let away = accounts(&world.tables()).into_iter().find(|row| row.level == "user").unwrap();
    assert_eq!((away.owner.as_str(), away.parked), ("acme/ada", 2_000_000));
}

#[tokio::test]
async fn a_budget_of_another_period_grants_once_older_leases_have_been_recalled() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let lease = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    let org = json!({"budget": {"usd": "0.01", "period": "day"}});
    world.admin_ok("PUT", "orgs/acme?wait=0", org.clone()).await;
    let refusal = world.refused(&holder, &key, 2, ask(100)).await;
    assert!(matches!(refusal, Refusal::Contended { .. }), "{refusal:?}");
    let heard = world.poll(&holder, holder.revision, 0).await;
    assert_eq!(heard.changes[0], Change::Recall { level: Level::Org, owner: "acme".to_owned() });
    world.poll(&holder, heard.revision, 0).await;
    world.granted(&holder, &key, 3, ask(100)).await;
    world.report(&holder, vec![final_report(&lease, micro(2_000))], vec![]).await;
    world.check_ledger();
    // saying it again begins nothing
    world.admin_ok("PUT", "orgs/acme?wait=0", org).await;
    world.granted(&holder, &key, 4, ask(100)).await;
}

#[tokio::test]
async fn at_the_end_of_a_period_every_lease_settles_where_it_was_granted_and_nothing_counts_twice()
{
    let world = World::with_org(None).await;
    world
        .admin_ok("PUT", "orgs/acme/teams/t/budget", json!({"usd": "0.01", "period": "day"}))
        .await;
    let week = json!({"usd": "0.01", "period": "week"});
    world.admin_ok("PUT", "orgs/acme/users/u/budget", week).await;
    let fields = json!({
        "team": "t", "user": "u", "budget": {"usd": "0.01", "period": "month"},
    });
    let key = world.key(fields).await;
    let holder = world.holder(1).await;
    let before = world.granted_ahead(&holder, &key, 1, ask(10), micro(4_000)).await;
    // the last instant of the day, and the first of the next
    world.clock.set_unix_ms(NOON + DAY_MS / 2 - 1);
    let last = world.granted(&holder, &key, 2, ask(100)).await;
    world.clock.set_unix_ms(NOON + DAY_MS / 2);
    let first = world.granted(&holder, &key, 3, ask(300)).await;
    for (grant, spent) in [(&last, 150), (&before, 20), (&first, 600), (&last, 150)] {
        world.report(&holder, vec![final_report(&grant.lease, micro(spent))], vec![]).await;
        world.check_ledger();
    }
    let rows = accounts(&world.tables());
    let settled = |level: &str| -> Vec<i64> {
        rows.iter().filter(|row| row.level == level).map(|row| row.settled / 1_000).collect()
    };
    // Friday and Saturday are one week and one month
    assert_eq!((settled("team"), settled("user")), (vec![170, 600], vec![770]));
    assert_eq!((settled("key"), settled("org")), (vec![770], vec![770]));
    assert!(rows.iter().all(|row| row.outstanding + row.parked + row.overdraft == 0));
    // what a lost holder held of the old day is parked there, and does not burden the new one
    let grant = world.granted(&holder, &key, 4, ask(1_000)).await;
    assert_eq!(grant.amount, micro(2_000));
    world.clock.set_unix_ms(NOON + 3 * DAY_MS / 2);
    world.pass(TTL_MS + GRACE_MS + 1).await;
    let team = world.admin_ok("GET", "orgs/acme/teams/t/budget", Value::Null).await;
    assert_eq!((&team["parked_usd"], &team["left_usd"]), (&json!("0.00"), &json!("0.01")));
    let month = world.spend(&key).await;
    assert_eq!(month["parked_usd"], "0.002");
}
