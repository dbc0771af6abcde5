//! Everyone sees only what is theirs: every list, for every role.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::people::{Person, member, person};
use crate::world::{World, ask, final_report, micro, record};

/// The values of a field over all pages of a list.
async fn seen(world: &World, who: &Person, path: &str, field: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = format!("{path}{separator}limit=2{cursor}");
        let page = who.ok(world, "GET", &page, Value::Null).await;
        for item in page["data"].as_array().unwrap() {
            assert!(found.insert(item[field].as_str().unwrap().to_owned()), "{path}: twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn every_list_shows_what_the_role_reaches_and_nothing_else() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let root = person(&world, "acme", "root", "platform_admin").await;
    let olga = person(&world, "acme", "olga", "org_owner").await;
    let bill = person(&world, "acme", "bill", "org_billing").await;
    let mia = person(&world, "acme", "mia", "org_member").await;
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    let ben = person(&world, "beta", "ben", "org_owner").await;
    let holder = world.holder(1).await;
    for (n, (name, org, team, user)) in [
        ("dev in search", "acme", Some("search"), Some("dev")),
        ("dev in ads", "acme", Some("ads"), Some("dev")),
        ("tara in search", "acme", Some("search"), Some("tara")),
        ("nobody's", "acme", None, None),
        ("mia's", "acme", None, Some("mia")),
        // the same names elsewhere are somebody else's
        ("beta's", "beta", Some("search"), Some("dev")),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as u64 + 1;
        let budget = json!({"usd": "1"});
        let fields =
            json!({"org": org, "team": team, "user": user, "name": name, "budget": budget});
        let key = world.key(fields).await;
        let lease = world.granted(&holder, &key, n, ask(100)).await.lease;
        let call = record(&key, Some(lease.clone()), n, 1);
        world.report(&holder, vec![final_report(&lease, micro(2))], vec![call]).await;
    }
    let acme = ["dev in search", "dev in ads", "tara in search", "nobody's", "mia's"];
    let everything = [&acme[..], &["beta's"]].concat();
    for (who, keys) in [
        (&root, &everything[..]),
        (&olga, &acme[..]),
        (&mia, &["mia's"]),
        (&tara, &["dev in search", "tara in search"]),
        (&dev, &["dev in search", "dev in ads"]),
        (&ben, &["beta's"]),
    ] {
        assert_eq!(seen(&world, who, "keys", "name").await, set(keys), "{}", who.user);
        let requests: Vec<_> = keys
            .iter()
            .map(|name| everything.iter().position(|known| known == name).unwrap() + 1)
            .map(|n| format!("req-{n}"))
            .collect();
        let expected = requests.into_iter().collect();
        assert_eq!(seen(&world, who, "records", "request").await, expected, "{}", who.user);
        assert_eq!(seen(&world, who, "requests", "request").await, expected, "{}", who.user);
        for n in 1..=everything.len() {
            let path = format!("requests/req-{n}");
            let (status, _) = who.ask(&world, "GET", &path, Value::Null).await;
            let is_seen = expected.contains(&format!("req-{n}"));
            assert_eq!(status, if is_seen { 200 } else { 404 }, "{} {path}", who.user);
        }
        let export = who.ok(&world, "GET", "requests/export?format=jsonl", Value::Null).await;
        assert_eq!(export.as_str().unwrap().lines().count(), keys.len(), "{}", who.user);
        // Each call is summed once, also where a team and a user are both a reason to see it.
        for group in ["day", "key", "team", "model"] {
            let path = format!("usage?group_by={group}");
            let sums = who.ok(&world, "GET", &path, Value::Null).await;
            let sums = sums["data"].as_array().unwrap().iter();
            let calls: u64 = sums.map(|sum| sum["requests"].as_u64().unwrap()).sum();
            assert_eq!(calls, keys.len() as u64, "{} {group}", who.user);
        }
    }
    // money without keys
    bill.refused(&world, "GET", "keys", Value::Null, 403).await;
    assert_eq!(seen(&world, &bill, "records", "request").await.len(), 5);
    // a filter opens nothing; one's own organisation need not be named
    assert_eq!(seen(&world, &dev, "requests?team=ads", "request").await, set(&["req-2"]));
    assert_eq!(seen(&world, &tara, "requests?team=ads", "request").await, set(&[]));
    assert_eq!(seen(&world, &tara, "requests?user=dev", "request").await, set(&["req-1"]));
    assert_eq!(seen(&world, &olga, "requests?org=beta&team=search", "request").await, set(&[]));
    assert_eq!(seen(&world, &olga, "usage?group_by=key&org=beta", "key").await, set(&[]));
    assert_eq!(seen(&world, &dev, "records?org=beta", "request").await, set(&[]));
    dev.refused(&world, "GET", "keys?org=beta", Value::Null, 404).await;
    assert_eq!(
        seen(&world, &dev, "keys?search=in", "name").await,
        set(&["dev in search", "dev in ads"])
    );

    // in every order, by whatever is asked for, and counted
    for order in ["newest", "oldest", "name", "expires", "last_used", "spend"] {
        let path = format!("keys?order={order}");
        let expected = set(&["dev in search", "tara in search"]);
        assert_eq!(seen(&world, &tara, &path, "name").await, expected, "{order}");
        assert_eq!(seen(&world, &olga, &path, "name").await, set(&acme), "{order}");
    }
    let path = "keys?order=name&team=search";
    assert_eq!(seen(&world, &dev, path, "name").await, set(&["dev in search"]));
    assert_eq!(seen(&world, &tara, "keys?user=dev", "name").await, set(&["dev in search"]));
    assert_eq!(seen(&world, &tara, "keys?team=ads", "name").await, set(&[]));
    for (who, active) in [(&root, 6), (&olga, 5), (&tara, 2), (&dev, 2), (&ben, 1), (&mia, 1)] {
        let counts = who.ok(&world, "GET", "keys/counts", Value::Null).await;
        assert_eq!(counts["active"], active, "{}: {counts}", who.user);
    }
    dev.refused(&world, "GET", "keys/counts?org=beta", Value::Null, 404).await;

    assert_eq!(seen(&world, &root, "orgs", "id").await, set(&["acme", "beta"]));
    assert_eq!(seen(&world, &bill, "orgs", "id").await, set(&["acme"]));
    mia.refused(&world, "GET", "orgs", Value::Null, 403).await;
    assert_eq!(seen(&world, &olga, "orgs/acme/teams", "id").await, set(&["ads", "search"]));
    assert_eq!(seen(&world, &dev, "orgs/acme/teams", "id").await, set(&["search"]));
    let users = ["root", "olga", "bill", "mia", "tara", "dev"];
    assert_eq!(seen(&world, &olga, "orgs/acme/users", "id").await, set(&users));
    assert_eq!(seen(&world, &dev, "orgs/acme/users", "id").await, set(&["dev"]));
    let members = seen(&world, &dev, "orgs/acme/teams/search/members", "user").await;
    assert_eq!(members, set(&["tara", "dev"]));
    for team in ["search", "ads"] {
        let body = json!({"team": team, "name": team});
        olga.ok(&world, "POST", "orgs/acme/service-accounts", body).await;
    }
    let accounts = "orgs/acme/service-accounts";
    assert_eq!(seen(&world, &olga, accounts, "name").await, set(&["ads", "search"]));
    assert_eq!(seen(&world, &tara, accounts, "name").await, set(&["search"]));
    assert_eq!(seen(&world, &olga, "orgs/acme/users", "id").await, set(&users), "people only");
}

#[tokio::test]
async fn whoever_sees_a_key_does_not_see_what_everybody_above_it_spends() {
    let world = World::with_org(Some("5")).await;
    world.admin_ok("POST", "orgs/acme/wallet/top-ups", json!({"usd": "9"})).await;
    let olga = person(&world, "acme", "olga", "org_owner").await;
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    let key = world.key(json!({"team": "search", "user": "dev"})).await;
    for (who, levels) in [
        (&olga, &["key", "user", "team", "org", "wallet"][..]),
        (&tara, &["key", "team"]),
        (&dev, &["key", "user"]),
    ] {
        let path = format!("budgets?key={}", key.id);
        let listed = who.ok(&world, "GET", &path, Value::Null).await;
        let listed: Vec<_> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b["level"].as_str().unwrap())
            .collect();
        assert_eq!(listed, levels, "{}", who.user);
    }
}

#[tokio::test]
async fn one_is_told_who_one_is_and_how_far_every_permission_reaches() {
    let world = World::with_org(None).await;
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    let me = tara.ok(&world, "GET", "me", Value::Null).await;
    assert_eq!(
        (&me["org"], &me["id"], &me["role"]),
        (&json!("acme"), &json!("tara"), &json!("org_member"))
    );
    assert_eq!(me["teams"], json!([{"team": "search", "role": "team_admin"}]));
    assert_eq!(
        (&me["permissions"]["keys.write"], &me["permissions"]["users.read"]),
        (&json!("team"), &json!("own"))
    );
    assert!(me["permissions"].get("audit.read").is_none());
    let me = world.admin_ok("GET", "me", Value::Null).await;
    assert_eq!(
        (&me["role"], &me["permissions"]["orgs.write"]),
        (&json!("platform_admin"), &json!("all"))
    );
    // another role is in force on the next request
    let path = "orgs/acme/teams/search/members/tara";
    world.admin_ok("PUT", path, json!({"role": "team_viewer"})).await;
    tara.refused(&world, "POST", "keys", json!({"team": "search"}), 403).await;
}
