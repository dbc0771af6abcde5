//! The table of permissions, cell by cell over HTTP: every route for every role, on what is one's
//! own, the team's, the organisation's and another organisation's. What is expected is read from
//! the table's cells; how a cell reaches is said here once more, independently of the server.

use std::collections::BTreeMap;

use policy_server::http::{Need, needs};
use policy_server::permissions::{Action, Reach, Role, reach};
use serde_json::{Value, json};

use crate::people::{Person, ask, member, person};
use crate::world::{Key, World, record};

/// To whom something belongs, seen from a person of `acme` who may be in its team `search`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// The person's, in the team.
    Own,
    /// A colleague's, in the team.
    Team,
    /// A colleague's, in another team.
    Org,
    /// Another organisation's.
    Foreign,
}

use Whose::{Foreign, Org, Own, Team};

/// What is answered where the table permits neither the action nor seeing its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unseen {
    /// There is no such thing.
    NotFound,
    /// It is no secret that it is there.
    Forbidden,
}

struct Case {
    path: String,
    body: Value,
    whose: Whose,
    unseen: Unseen,
    /// Everything that is seen is listed: nothing is answered only where nothing may be seen.
    is_list: bool,
}

/// Somebody and his roles; the admin token is nobody.
struct Actor {
    name: &'static str,
    role: Role,
    in_team: Option<Role>,
    person: Option<Person>,
}

impl Actor {
    fn reaches(&self, action: Action, whose: Whose) -> bool {
        let is_user = self.person.is_some();
        let by = |role, here| match reach(role, action) {
            Reach::Nothing => false,
            Reach::Own => is_user && whose == Own,
            Reach::Team => here && whose <= Team,
            Reach::Org => is_user && whose <= Org,
            Reach::All => true,
        };
        by(self.role, false) || self.in_team.is_some_and(|role| by(role, true))
    }

    /// The farthest that any role reaches.
    fn widest(&self, action: Action) -> Reach {
        let in_team = self.in_team.map_or(Reach::Nothing, |role| reach(role, action));
        reach(self.role, action).max(in_team)
    }

    fn user(&self, whose: Whose) -> &'static str {
        if whose == Own { self.name } else { "other" }
    }

    fn token<'a>(&'a self, world: &'a World) -> &'a str {
        self.person.as_ref().map_or(world.admin_token.as_str(), |person| person.token.as_str())
    }
}

fn org(whose: Whose) -> &'static str {
    if whose == Foreign { "beta" } else { "acme" }
}

fn team(whose: Whose) -> &'static str {
    if whose == Org { "ads" } else { "search" }
}

/// Objects that were made for the cells and have not been ended by one.
#[derive(Default)]
struct Made(BTreeMap<(&'static str, &'static str, Whose), String>);

impl Made {
    async fn get(
        &mut self,
        world: &World,
        kind: &'static str,
        actor: &Actor,
        whose: Whose,
    ) -> String {
        let index = (kind, if whose == Own { actor.name } else { "" }, whose);
        if let Some(id) = self.0.get(&index) {
            return id.clone();
        }
        let (org, team, user) = (org(whose), team(whose), actor.user(whose));
        let made = match kind {
            "key" => {
                // What another cell has ended is ended first.
                world.pass(0).await;
                let body = json!({"org": org, "team": team, "user": user});
                world.admin_ok("POST", "keys", body).await
            }
            "token" => {
                let path = format!("orgs/{org}/users/{user}/tokens");
                world.admin_ok("POST", &path, json!({})).await
            }
            "account" => {
                let body = json!({"team": team, "name": format!("job {}", fresh())});
                let (_, made) =
                    world.admin("POST", &format!("orgs/{org}/service-accounts"), body).await;
                made
            }
            "webhook" => {
                let path = format!("orgs/{org}/webhooks");
                let known = world.admin_ok("GET", &path, Value::Null).await;
                let known = known["data"].as_array().unwrap().clone();
                // There may be few of them.
                for webhook in known.iter().filter(|_| known.len() > 2) {
                    let path = format!("{path}/{}", webhook["id"].as_str().unwrap());
                    world.admin_ok("DELETE", &path, Value::Null).await;
                }
                let made = world.admin_ok("POST", &path, json!({"url": NOWHERE})).await;
                let id = made["id"].as_str().unwrap();
                // So that there is something to send again.
                world.admin_ok("POST", &format!("{path}/{id}/test"), Value::Null).await;
                made
            }
            "request" => {
                world.pass(0).await;
                let body = json!({"org": org, "team": team, "user": user});
                let key = Key::of(&world.admin_ok("POST", "keys", body).await);
                let call = record(&key, None, fresh() + 1, 1);
                let id = call.request.clone();
                world.report(&world.holder(1).await, vec![], vec![call]).await;
                json!({"id": id})
            }
            other => panic!("{other}"),
        };
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{kind}: {made}")).to_owned();
        self.0.insert(index, id.clone());
        id
    }
}

/// Puts everything in the place where the cells expect it.
async fn put_in_place(world: &World, actors: &[Actor]) {
    world.put_model("gpt-4o-mini", "1.00", "2.00").await;
    world.admin_ok("PUT", "plans/gold", json!({})).await;
    world.admin_ok("PUT", "groups/small", json!({})).await;
    world.admin_ok("PUT", "aliases/fast", json!({"model": "gpt-4o-mini"})).await;
    for (org, teams) in [("acme", &["search", "ads"][..]), ("beta", &["search"])] {
        world.admin_ok("POST", &format!("orgs/{org}/resume"), Value::Null).await;
        let other = format!("orgs/{org}/users/other");
        world.admin_ok("PUT", &other, json!({})).await;
        world.admin_ok("POST", &format!("{other}/resume"), Value::Null).await;
        for team in teams {
            let team = format!("orgs/{org}/teams/{team}");
            world.admin_ok("PUT", &team, json!({})).await;
            world.admin_ok("POST", &format!("{team}/resume"), Value::Null).await;
            world.admin_ok("PUT", &format!("{team}/budget"), json!({"usd": "50"})).await;
            let place = format!("{team}/members/other");
            world.admin_ok("PUT", &place, json!({"role": "team_viewer"})).await;
        }
    }
    for actor in actors.iter().filter(|actor| actor.person.is_some()) {
        let user = format!("orgs/acme/users/{}", actor.name);
        world.admin_ok("PUT", &user, json!({"role": actor.role.as_str()})).await;
        if let Some(role) = actor.in_team {
            let place = format!("orgs/acme/teams/search/members/{}", actor.name);
            world.admin_ok("PUT", &place, json!({"role": role.as_str()})).await;
        }
    }
}

async fn actors(world: &World) -> Vec<Actor> {
    for org in ["acme", "beta"] {
        world.admin_ok("PUT", &format!("orgs/{org}"), json!({})).await;
        let top_up = format!("orgs/{org}/wallet/top-ups");
        world.admin_ok("POST", &top_up, json!({"usd": "100"})).await;
        for team in ["search", "ads"] {
            // Nobody's, so that no cell empties the organisation or the team.
            world.admin_ok("POST", "keys", json!({"org": org, "team": team})).await;
        }
    }
    let token = Actor { name: "-", role: Role::PlatformAdmin, in_team: None, person: None };
    let mut actors = vec![token];
    for (name, role) in [
        ("root", Role::PlatformAdmin),
        ("olga", Role::OrgOwner),
        ("adam", Role::OrgAdmin),
        ("bill", Role::OrgBilling),
        ("audrey", Role::OrgAuditor),
        ("mia", Role::OrgMember),
    ] {
        let person = Some(person(world, "acme", name, role.as_str()).await);
        actors.push(Actor { name, role, in_team: None, person });
    }
    for (name, role) in
        [("tara", Role::TeamAdmin), ("dev", Role::TeamDeveloper), ("vic", Role::TeamViewer)]
    {
        let person = Some(member(world, "acme", "search", name, role.as_str()).await);
        actors.push(Actor { name, role: Role::OrgMember, in_team: Some(role), person });
    }
    actors
}

/// The requests by which a route is tried for an actor. A route that is not known here fails.
async fn cases(world: &World, made: &mut Made, actor: &Actor, need: &Need) -> Vec<Case> {
    let path = need.path.strip_prefix("/admin/v1/").unwrap();
    let all = [Own, Team, Org, Foreign];
    let (whose, unseen, is_list): (&[Whose], _, _) = match path {
        "keys" if need.method == "GET" => (&[Own], Unseen::Forbidden, true),
        "keys/counts" => (&[Own], Unseen::Forbidden, true),
        "keys" | "keys/import" => (&all, Unseen::Forbidden, false),
        "orgs" | "records" | "requests" | "usage" | "audit" => (&[Own], Unseen::Forbidden, true),
        "models" => (&[Foreign], Unseen::Forbidden, true),
        "budgets" => (&all, Unseen::NotFound, false),
        "budgets/release" => (&[Team, Org, Foreign], Unseen::NotFound, false),
        "status" | "settings" | "filter-configuration" => (&[Foreign], Unseen::Forbidden, false),
        "models/{id}" | "models/{id}/retire" => (&[Foreign], Unseen::Forbidden, false),
        "plans" | "plans/{id}" | "groups" | "groups/{id}" | "aliases" | "aliases/{id}" => {
            (&[Foreign], Unseen::Forbidden, false)
        }
        "me/keys" if need.method == "POST" => (&[Team, Org], Unseen::Forbidden, false),
        "me" | "me/tokens" | "me/keys" => (&[Own], Unseen::Forbidden, false),
        "me/teams/{team}" => (&[Own], Unseen::Forbidden, false),
        path if path.starts_with("me/tokens/") => (&[Own], Unseen::Forbidden, false),
        "requests/export" => (&[Own], Unseen::Forbidden, true),
        "requests/{request}" => (&all, Unseen::NotFound, false),
        path if path.starts_with("keys/") || path.starts_with("me/keys/") => {
            (&all, Unseen::NotFound, false)
        }
        "orgs/{org}/teams" | "orgs/{org}/users" => (&[Org, Foreign], Unseen::Forbidden, true),
        "orgs/{org}/service-accounts" if need.method == "GET" => {
            (&[Org, Foreign], Unseen::Forbidden, true)
        }
        path if path.contains("/members/{user}") => (&all, Unseen::NotFound, false),
        path if path.contains("{team}") => (&[Team, Org, Foreign], Unseen::NotFound, false),
        path if path.contains("{user}") => (&[Own, Org, Foreign], Unseen::NotFound, false),
        path if path.contains("service-accounts") => {
            (&[Team, Org, Foreign], Unseen::NotFound, false)
        }
        path if path.starts_with("orgs/{org}") => (&[Org, Foreign], Unseen::NotFound, false),
        other => panic!("the test does not know {other}"),
    };
    let mut cases = Vec::new();
    for whose in whose.iter().copied() {
        let is_nobody = actor.person.is_none();
        let in_place = path.contains("/members/{user}") || path == "me/teams/{team}";
        if whose == Own && (is_nobody && !path.starts_with("me") && !is_list)
            || (whose == Own && in_place && actor.in_team.is_none() && !is_nobody)
        {
            continue; // nothing is the admin token's own; nobody leaves a team that he is not in
        }
        let (org, team, user) = (org(whose), team(whose), actor.user(whose));
        let mut filled = path.replace("{org}", org).replace("{team}", team).replace("{user}", user);
        if path.contains("keys/{id}") {
            filled =
                filled.replace("{id}", &made.get(world, "key", actor, or_team(whose, actor)).await);
        }
        if path.contains("{token}") {
            let nobodys = is_nobody && path.starts_with("me");
            let token = match nobodys {
                true => "tok_none".to_owned(),
                false => made.get(world, "token", actor, whose).await,
            };
            filled = filled.replace("{token}", &token);
        }
        if path.contains("{request}") {
            let request = made.get(world, "request", actor, or_team(whose, actor)).await;
            filled = filled.replace("{request}", &request);
        }
        if path.contains("{webhook}") {
            let webhook = made.get(world, "webhook", actor, whose).await;
            if path.contains("{delivery}") {
                let path = format!("orgs/{org}/webhooks/{webhook}/deliveries");
                let told = world.admin_ok("GET", &path, Value::Null).await;
                let id = told["data"][0]["id"].as_str().unwrap();
                filled = filled.replace("{delivery}", id);
            }
            filled = filled.replace("{webhook}", &webhook);
        }
        if path.contains("{account}") {
            filled = filled.replace("{account}", &made.get(world, "account", actor, whose).await);
        }
        filled = filled.replace("models/{id}", "models/gpt-4o-mini");
        for (family, id) in [("plans", "gold"), ("groups", "small"), ("aliases", "fast")] {
            filled = filled.replace(&format!("{family}/{{id}}"), &format!("{family}/{id}"));
        }
        if path == "budgets" {
            let key = made.get(world, "key", actor, whose).await;
            filled = format!("budgets?key={key}");
        }
        let body = if path == "keys/test" {
            json!({"id": made.get(world, "key", actor, whose).await})
        } else {
            body(need, actor, whose)
        };
        // In one's own organisation it is no secret that keys can be made there.
        let makes = path == "keys" || path == "keys/import";
        let elsewhere = whose == Foreign && (makes || is_list && path != "models");
        let unseen = if elsewhere { Unseen::NotFound } else { unseen };
        cases.push(Case { path: filled, body, whose, unseen, is_list });
    }
    cases
}

/// The admin token has nothing of its own.
fn or_team(whose: Whose, actor: &Actor) -> Whose {
    if whose == Own && actor.person.is_none() { Team } else { whose }
}

fn body(need: &Need, actor: &Actor, whose: Whose) -> Value {
    let (org, team, user) = (org(whose), team(whose), actor.user(whose));
    match need.verb {
        Some("key.create") => json!({"org": org, "team": team, "user": user}),
        Some("key.import") => {
            let sha256 = format!("{:064x}", fresh());
            json!({"org": org, "team": team, "user": user, "sha256": sha256, "prefix": "old"})
        }
        Some("key.self_create") => json!({"name": "mine", "team": team}),
        Some("key.change") => json!({"name": "renamed"}),
        Some("user.put") if whose == Own => json!({"role": actor.role.as_str()}),
        Some("org.put" | "team.put" | "user.put" | "settings.put") => json!({}),
        Some("plan.put" | "group.put" | "group.change") => json!({}),
        Some("org.plan") => json!({"plan": null}),
        Some("team.models" | "user.models") => json!({"models": null}),
        Some("alias.put") => json!({"model": "gpt-4o-mini"}),
        Some("member.put") => {
            let role = actor.in_team.filter(|_| whose == Own).unwrap_or(Role::TeamViewer);
            json!({"role": role.as_str()})
        }
        Some("service_account.create") => json!({"team": team, "name": format!("new {}", fresh())}),
        Some("budget.put") => json!({"usd": "50"}),
        Some("wallet.top_up") => json!({"usd": "1"}),
        Some("wallet.adjust") => json!({"usd": "1", "note": "a gift"}),
        Some("wallet.change") => json!({"alerts": []}),
        Some("webhook.create") => json!({"url": NOWHERE}),
        Some("webhook.change" | "org.change") => json!({}),
        Some("budget.release") => json!({"level": "team", "id": format!("{org}/{team}")}),
        Some("model.put") => json!({
            "input_usd_per_mtok": "1", "output_usd_per_mtok": "2", "context_length": 128_000,
            "max_output_tokens": 16_384,
        }),
        _ => Value::Null,
    }
}

/// Nothing is posted there: no courier is at work.
const NOWHERE: &str = "http://127.0.0.1:9/";

fn fresh() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// What may still stand in the way of whoever is permitted.
const IN_THE_WAY: [&str; 4] =
    ["own_account", "org_not_empty", "team_not_empty", "delivery_pending"];

#[tokio::test]
async fn every_route_does_for_every_role_exactly_what_the_table_says() {
    let world = World::new();
    world.put_model("gpt-4o-mini", "1.00", "2.00").await;
    let actors = actors(&world).await;
    put_in_place(&world, &actors).await;
    let mut made = Made::default();
    let (mut allowed, mut forbidden, mut hidden) = (0, 0, 0);
    let mut wrong = Vec::new();
    for need in needs() {
        for actor in &actors {
            for case in cases(&world, &mut made, actor, &need).await {
                let (sees, may) = if case.is_list {
                    let widest = actor.widest(need.action);
                    let here = case.whose != Foreign || need.path == "/admin/v1/models";
                    let may = widest == Reach::All || (here && widest > Reach::Nothing);
                    (may, may)
                } else {
                    let sees = actor.reaches(need.action.sight(), case.whose);
                    (sees, actor.reaches(need.action, case.whose))
                };
                let expected = match (may, sees, case.unseen) {
                    (true, ..) => None,
                    (false, true, _) | (false, false, Unseen::Forbidden) => Some(403),
                    (false, false, Unseen::NotFound) => Some(404),
                };
                let (method, path) = (need.method.as_str(), case.path.as_str());
                let token = actor.token(&world);
                let (status, answer) = ask(&world, token, method, path, case.body).await;
                let code = answer["error"]["code"].as_str().unwrap_or("-");
                let cell = format!(
                    "{} ({:?}, {:?}) {method} {path} ({:?}): {status} {answer}",
                    actor.name, actor.role, actor.in_team, case.whose
                );
                let (count, right) = match expected {
                    None => {
                        let done = (200..300).contains(&status);
                        let stopped = status == 409 && IN_THE_WAY.contains(&code);
                        (&mut allowed, done || (stopped && need.verb.is_some()))
                    }
                    Some(403) => (&mut forbidden, (status, code) == (403, "permission_denied")),
                    Some(expected) => (&mut hidden, (status, code) == (expected, "not_found")),
                };
                *count += 1;
                if !right {
                    let expected = expected.map_or("done".to_owned(), |status| status.to_string());
                    wrong.push(format!("{cell}, expected {expected}"));
                }
                if let (None, Some(verb)) = (expected, need.verb) {
                    made.0.clear();
                    if !verb.starts_with("key.") && !verb.contains("token.") {
                        put_in_place(&world, &actors).await;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
    // Each kind of cell is there many times: a table that permits everything fails.
    assert!(allowed > 400 && forbidden > 200 && hidden > 400, "{allowed} {forbidden} {hidden}");
}
