//! What nobody gets around: suspension, his own rank, the end of what he issued, and the bound of what
//! he makes the audit write.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, KeyState, Level};

use crate::people::{member, person};
use crate::world::{Key, World};

async fn lines(world: &World, query: &str) -> Vec<Value> {
    let page = world.admin_ok("GET", &format!("audit?{query}"), Value::Null).await;
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn keys_stay_below_a_suspended_owner_unless_the_mover_may_resume_it() {
    let world = World::with_org(None).await;
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    world.admin_ok("PUT", "orgs/acme/teams/ads", json!({})).await;
    let two_teams = json!({"role": "team_admin"});
    world.admin_ok("PUT", "orgs/acme/teams/ads/members/tara", two_teams).await;
    member(&world, "acme", "search", "dev", "team_developer").await;
    let boss = person(&world, "acme", "boss", "org_admin").await;
    let key = world.key(json!({"team": "search", "user": "dev"})).await;
    let path = format!("keys/{}", key.id);
    for suspended in ["orgs/acme/teams/search", "orgs/acme/users/dev"] {
        world.admin_ok("POST", &format!("{suspended}/suspend"), Value::Null).await;
        let away = match suspended.contains("teams") {
            true => json!({"team": "ads", "user": null}),
            false => json!({"user": "tara"}),
        };
        let code = tara.refused(&world, "PATCH", &path, away, 409).await;
        assert_eq!(code, "owner_suspended", "{suspended}");
        // what does not move it is as before
        tara.ok(&world, "PATCH", &path, json!({"name": "renamed", "team": "search"})).await;
        world.admin_ok("POST", &format!("{suspended}/resume"), Value::Null).await;
    }
    world.admin_ok("POST", "orgs/acme/teams/search/suspend", Value::Null).await;
    boss.ok(&world, "PATCH", &path, json!({"team": "ads", "user": null})).await;
}

#[tokio::test]
async fn changes_of_one_tenant_are_told_as_such_and_no_other_key_is_forgotten() {
    let world = World::with_org(None).await;
    world.key(json!({"team": "search", "user": "ada"})).await;
    let holder = world.holder(1).await;
    let limits = json!({"limits": [{"unit": "requests", "window": "1m", "max": 6}]});
    world.admin_ok("PUT", "orgs/acme/teams/search?wait=0", limits).await;
    let cap = json!({"usd": "1", "period": "month"});
    world.admin_ok("PUT", "orgs/acme/teams/search/budget?wait=0", cap.clone()).await;
    world.admin_ok("PUT", "orgs/acme/users/ada/budget?wait=0", cap).await;
    world.admin_ok("POST", "orgs/acme/users/ada/suspend?wait=0", Value::Null).await;
    world.admin_ok("POST", "orgs/acme/suspend?wait=0", Value::Null).await;
    let changes = world.changes(&holder).await;
    let below = changes.iter().filter_map(|change| match change {
        Change::Below { level, owner } => Some((*level, owner.as_str())),
        _ => None,
    });
    let (team, user) = ((Level::Team, "acme/search"), (Level::User, "acme/ada"));
    assert_eq!(below.collect::<Vec<_>>(), [team, team, user, user, (Level::Org, "acme")]);
    assert!(!changes.contains(&Change::AllKeys), "{changes:?}");
}

#[tokio::test]
async fn nobody_fills_the_server_with_keys_of_his_own() {
    let world = World::with_org(None).await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    let body = json!({"name": "a", "team": "search"});
    for _ in 0..100 {
        dev.ok(&world, "POST", "me/keys", body.clone()).await;
    }
    let code = dev.refused(&world, "POST", "me/keys", body.clone(), 403).await;
    assert_eq!(code, "self_service_key_limit");
    let policy = json!({"self_service": {"enabled": true, "max_keys_per_user": 101}});
    world.admin_ok("PUT", "orgs/acme/teams/search", policy).await;
    dev.ok(&world, "POST", "me/keys", body).await;
}

#[tokio::test]
async fn tokens_for_others_end_with_what_let_their_issuer_issue_them() {
    let world = World::with_org(None).await;
    for (change, body) in [
        ("POST orgs/acme/users/boss/suspend", Value::Null),
        ("DELETE orgs/acme/users/boss", Value::Null),
        ("PUT orgs/acme/users/boss", json!({"role": "org_auditor"})),
    ] {
        let boss = person(&world, "acme", "boss", "org_owner").await;
        person(&world, "acme", "ada", "org_member").await;
        let issue = async |path: &str| {
            let made = boss.ok(&world, "POST", path, json!({"name": "for somebody"})).await;
            made["token"].as_str().unwrap().to_owned()
        };
        let of_ada = issue("orgs/acme/users/ada/tokens").await;
        let of_boss = issue("me/tokens").await;
        let me = async |token: &str| {
            let (status, answer) =
                crate::people::ask(&world, token, "GET", "me", Value::Null).await;
            (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(me(&of_ada).await.0, 200);
        let (method, path) = change.split_once(' ').unwrap();
        world.admin_ok(method, path, body).await;
        assert_eq!(me(&of_ada).await, (401, "token_revoked".to_owned()), "{change}");
        let line = &lines(&world, "action=token.revoke_by_issuer").await[0];
        assert_eq!(
            (&line["target"], &line["after"]),
            (&json!("acme/boss"), &json!({"revoked_tokens": 1}))
        );
        if method == "PUT" {
            assert_eq!(me(&of_boss).await.0, 200, "his own go on");
        }
        if method == "POST" {
            world.admin_ok("POST", "orgs/acme/users/boss/resume", Value::Null).await;
            assert_eq!(me(&of_ada).await.0, 401, "ended for good");
        }
    }
    // a role that only grows takes nothing away
    let boss = person(&world, "acme", "boss", "org_admin").await;
    let made = boss.ok(&world, "POST", "orgs/acme/users/ada/tokens", json!({"name": "x"})).await;
    world.admin_ok("PUT", "orgs/acme/users/boss", json!({"role": "org_owner"})).await;
    let token = made["token"].as_str().unwrap();
    assert_eq!(crate::people::ask(&world, token, "GET", "me", Value::Null).await.0, 200);
}

/// Whoever kept a token that he issued for somebody can sign in by it and make others, which somebody
/// else seems to have issued.
#[tokio::test]
async fn tokens_that_were_made_by_issued_tokens_end_with_their_issuer() {
    let world = World::with_org(None).await;
    let boss = person(&world, "acme", "boss", "org_admin").await;
    let eve = person(&world, "acme", "eve", "org_admin").await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    let me =
        async |token: &str| crate::people::ask(&world, token, "GET", "me", Value::Null).await.0;
    let make = async |token: &str, path: &str| {
        let named = if path.ends_with("rotate") { json!({}) } else { json!({"name": "another"}) };
        let (status, made) = crate::people::ask(&world, token, "POST", path, named).await;
        assert!((200..300).contains(&status), "{path}: {made}");
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("token"), text("id"))
    };
    // as an administrator, and by his token as a member, who rotates hers and ends the first one
    let (as_eve, _) = make(&boss.token, "orgs/acme/users/eve/tokens").await;
    let (first, first_id) = make(&as_eve, "orgs/acme/users/ada/tokens").await;
    let (second, second_id) = make(&first, "me/tokens").await;
    let (third, _) = make(&second, &format!("me/tokens/{second_id}/rotate")).await;
    let revoke = format!("me/tokens/{first_id}/revoke");
    crate::people::ask(&world, &third, "POST", &revoke, Value::Null).await;
    // what others have of their own
    let (of_ada, _) = make(&ada.token, "me/tokens").await;
    let (by_eve, _) = make(&eve.token, "orgs/acme/users/ada/tokens").await;
    let (of_boss, _) = make(&as_eve, "orgs/acme/users/boss/tokens").await;
    for token in [&as_eve, &third, &of_ada, &by_eve, &of_boss] {
        assert_eq!(me(token).await, 200);
    }
    assert_eq!((me(&first).await, me(&second).await), (401, 401));
    world.admin_ok("PUT", "orgs/acme/users/boss", json!({"role": "org_member"})).await;
    let went_on = [&as_eve, &third, &of_ada, &by_eve, &of_boss, &ada.token, &eve.token];
    let mut after = Vec::new();
    for token in went_on {
        after.push(me(token).await);
    }
    assert_eq!(after, [401, 401, 200, 200, 200, 200, 200]);
    let line = &lines(&world, "action=token.revoke_by_issuer").await[0];
    assert_eq!(line["after"], json!({"revoked_tokens": 2}));
}

#[tokio::test]
async fn tokens_for_others_end_with_the_organisation_of_their_issuer() {
    for (method, path) in [("POST", "orgs/ops/suspend"), ("DELETE", "orgs/ops")] {
        let world = World::with_org(None).await;
        world.admin_ok("PUT", "orgs/ops", json!({})).await;
        let root = person(&world, "ops", "root", "platform_admin").await;
        let colleague = person(&world, "ops", "colleague", "org_admin").await;
        person(&world, "acme", "ada", "org_member").await;
        let issue = async |path: &str| {
            let made = root.ok(&world, "POST", path, json!({"name": "kept"})).await;
            made["token"].as_str().unwrap().to_owned()
        };
        let of_ada = issue("orgs/acme/users/ada/tokens").await;
        issue("orgs/ops/users/colleague/tokens").await;
        let me =
            async |token: &str| crate::people::ask(&world, token, "GET", "me", Value::Null).await.0;
        assert_eq!(me(&of_ada).await, 200);
        world.admin_ok(method, path, Value::Null).await;
        assert_eq!((me(&of_ada).await, me(&root.token).await), (401, 401), "{method} {path}");
        let line = &lines(&world, "action=token.revoke_by_issuer").await[0];
        assert_eq!(
            (&line["target"], &line["after"]),
            (&json!("ops"), &json!({"revoked_tokens": 1}))
        );
        if method == "POST" {
            world.admin_ok("POST", "orgs/ops/resume", Value::Null).await;
            assert_eq!((me(&of_ada).await, me(&colleague.token).await), (401, 200));
        }
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_in_one_line() {
    let world = World::with_org(None).await;
    let audrey = person(&world, "acme", "audrey", "org_auditor").await;
    for _ in 0..75 {
        audrey.refused(&world, "POST", "keys/nope/revoke", Value::Null, 404).await;
    }
    let of_audrey = async || lines(&world, "actor=acme/audrey&limit=200").await;
    assert_eq!(of_audrey().await.len(), 60);
    world.pass(60_000).await;
    let all = of_audrey().await;
    assert_eq!(all.len(), 61);
    assert_eq!(
        [&all[0]["action"], &all[0]["org"], &all[0]["outcome"], &all[0]["code"], &all[0]["after"]],
        [
            &json!("refusals.left_out"),
            &json!("acme"),
            &json!("refused"),
            &json!("too_many_refusals"),
            &json!({"refusals": 15, "within_s": 60})
        ]
    );
    audrey.refused(&world, "POST", "keys/nope/revoke", Value::Null, 404).await;
    world.pass(60_000).await;
    assert_eq!(of_audrey().await.len(), 62, "each by itself again, and nothing to sum up");
}

#[tokio::test]
async fn nobody_ends_himself_or_acts_on_somebody_above_him() {
    let world = World::with_org(None).await;
    let root = person(&world, "acme", "root", "platform_admin").await;
    assert_eq!(root.refused(&world, "DELETE", "orgs/acme", Value::Null, 409).await, "own_account");
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    let olga = member(&world, "acme", "search", "olga", "team_developer").await;
    world.admin_ok("PUT", "orgs/acme/users/olga", json!({"role": "org_owner"})).await;
    let boss = person(&world, "acme", "boss", "org_admin").await;
    let viewer = json!({"role": "team_viewer"});
    let own = "orgs/acme/teams/search/members/tara";
    assert_eq!(tara.refused(&world, "PUT", own, viewer.clone(), 409).await, "own_account");
    tara.ok(&world, "PUT", own, json!({"role": "team_admin"})).await;
    let above = "orgs/acme/teams/search/members/olga";
    assert_eq!(tara.refused(&world, "PUT", above, viewer, 403).await, "role_above_own");
    assert_eq!(tara.refused(&world, "DELETE", above, Value::Null, 403).await, "role_above_own");
    let models = json!({"models": {"mode": "restrict", "models": []}});
    let (status, answer) = boss.ask(&world, "PATCH", "orgs/acme/users/olga", models).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("role_above_own")), "{answer}");
    // she leaves by herself
    olga.ok(&world, "DELETE", "me/teams/search", Value::Null).await;
}

#[tokio::test]
async fn the_audit_names_what_came_into_being_on_the_way() {
    let world = World::with_org(None).await;
    world.key(json!({"team": "new-team", "user": "new-user"})).await;
    for (action, target) in [("team.named", "acme/new-team"), ("user.named", "acme/new-user")] {
        let line = &lines(&world, &format!("action={action}")).await[0];
        assert_eq!(
            [&line["target"], &line["actor"], &line["org"]],
            [&json!(target), &json!("admin"), &json!("acme")]
        );
    }
    let ada = person(&world, "acme", "ada", "org_member").await;
    let path = format!("me/tokens/{}/rotate", ada.token_id);
    let rotated = ada.ok(&world, "POST", &path, json!({"overlap_s": 60})).await;
    let line = &lines(&world, "action=me.token.rotate").await[0];
    assert_eq!((&line["target"], &line["token"]), (&json!(ada.token_id), &json!(ada.token_id)));
    assert_eq!(line["after"]["new_token"], rotated["id"]);
}

#[tokio::test]
async fn a_revoked_key_keeps_no_plan_in_use() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "plans/gold", json!({"name": "Gold"})).await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    let key = world.key(json!({"plan": "gold"})).await;
    world.key(json!({"plan": "gold", "team": "search", "user": "dev"})).await;
    world.admin_refused("DELETE", "plans/gold", Value::Null, 409).await;
    world.admin_ok("POST", &format!("keys/{}/revoke", key.id), Value::Null).await;
    world.admin_refused("DELETE", "plans/gold", Value::Null, 409).await;
    dev.ok(&world, "DELETE", "me/teams/search", Value::Null).await;
    world.admin_ok("DELETE", "plans/gold", Value::Null).await;
}

#[tokio::test]
async fn a_replaced_secret_ends_by_itself_when_its_grace_is_over() {
    let world = World::with_org(None).await;
    let key = world.key(json!({"expires_in": "30d"})).await;
    let rotate = format!("keys/{}/rotate?wait=0", key.id);
    let rotated = world.admin_ok("POST", &rotate, json!({"grace_s": 3_600})).await;
    let holder = world.holder(1).await;
    let mut ends = Vec::new();
    for (n, key) in [(1, &key), (2, &Key::of(&rotated))] {
        let KeyAnswer::Known(policy) = world.admit(&holder, key, n, None).await.key else {
            panic!("unknown")
        };
        assert_eq!(policy.state, KeyState::Active);
        ends.push(policy.expires_at_unix_ms.unwrap() - crate::world::NOON);
    }
    assert_eq!(ends, [3_600_000, 30 * 86_400_000]);
}

#[tokio::test]
async fn a_damaged_key_keeps_no_other_from_being_swept() {
    let world = World::with_org(None).await;
    let damaged = world.key(json!({"expires_in": "1d"})).await;
    let rotated = world.key(json!({})).await;
    let rotate = format!("keys/{}/rotate?wait=0", rotated.id);
    world.admin_ok("POST", &rotate, json!({"grace_s": 90_000})).await;
    let sql = "UPDATE keys SET limits = 'no list' WHERE id = ?";
    assert_eq!(world.tables().execute(sql, [damaged.id.as_str()]).unwrap(), 1);
    world.pass(2 * 86_400_000).await;
    let sql = "SELECT count(*) FROM key_digests WHERE valid_until_ms IS NOT NULL";
    let waiting: i64 = world.tables().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(waiting, 0, "the replaced secret has ended");
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert!(status["damaged_rows"].as_u64().unwrap() > 0, "{status}");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_an_attempt_like_any_other() {
    let world = World::with_org(None).await;
    let audrey = person(&world, "acme", "audrey", "org_auditor").await;
    let boss = person(&world, "acme", "boss", "org_admin").await;
    let wrong = json!({"no such field": 1});
    for (path, action) in [
        ("keys", "key.create"),
        ("keys/import", "key.import"),
        ("me/keys", "key.self_create"),
        ("orgs/acme/service-accounts", "service_account.create"),
    ] {
        let code = audrey.refused(&world, "POST", path, wrong.clone(), 403).await;
        assert_eq!(code, "permission_denied", "{path}");
        boss.refused(&world, "POST", path, wrong.clone(), 400).await;
        let tried = lines(&world, &format!("action={action}")).await;
        let tried: Vec<_> = tried
            .iter()
            .map(|line| ["actor", "outcome", "org"].map(|name| line[name].as_str().unwrap()))
            .collect();
        let expected = [["acme/boss", "failed", "acme"], ["acme/audrey", "refused", "acme"]];
        assert_eq!(tried, expected, "{path}");
    }
}
