//! Every route of the admin API is reached by a command of the CLI: the binary is run against the real
//! router, which notes what was asked.

use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use policy_server::http::{Need, needs};
use serde_json::{Value, json};

use crate::people::{Person, member};
use crate::process::tollgate;
use crate::world::{Key, MODEL, World, record};

/// Routes with the command that asks for each. What stands in braces is made anew for each row.
/// Commands of `me` are run by ada, who administers a team of acme, all others with the admin token.
const COMMANDS: &[(&str, &str)] = &[
    ("GET /me", "me show"),
    ("GET /me/tokens", "me tokens"),
    ("POST /me/tokens", "me create-token --name laptop"),
    ("POST /me/tokens/{token}/rotate", "me rotate-token {own token} --overlap 60"),
    ("POST /me/tokens/{token}/revoke", "me revoke-token {own token}"),
    ("GET /me/keys", "me keys"),
    ("POST /me/keys", "me create-key --team search --name mine"),
    ("GET /me/keys/{id}", "me show-key {own key}"),
    ("DELETE /me/keys/{id}", "me delete-key {own key}"),
    ("POST /me/keys/{id}/rotate", "me rotate-key {own key}"),
    ("POST /me/keys/{id}/disable", "me disable-key {own key}"),
    ("POST /me/keys/{id}/revoke", "me revoke-key {own key}"),
    ("DELETE /me/teams/{team}", "me leave {own team}"),
    ("GET /keys", "keys list --org acme"),
    ("GET /keys/counts", "keys counts"),
    ("POST /keys/test", "keys test {key}"),
    ("GET /keys/{id}", "keys show {key}"),
    ("PATCH /keys/{id}", "keys patch {key} --name other"),
    ("DELETE /keys/{id}", "keys delete {key}"),
    ("POST /keys/{id}/disable", "keys disable {key}"),
    ("POST /keys/{id}/enable", "keys enable {key}"),
    ("POST /keys/{id}/revoke", "keys revoke {key}"),
    ("POST /keys/{id}/release-parked", "keys release-parked {key}"),
    ("POST /keys", "keys create --org acme"),
    ("POST /keys/import", "keys import --org acme --sha256 {digest}"),
    ("POST /keys/{id}/rotate", "keys rotate {key}"),
    ("GET /keys/{id}/models", "keys models {key}"),
    ("GET /orgs", "orgs list"),
    ("GET /orgs/{org}", "orgs show {org}"),
    ("PUT /orgs/{org}", "orgs put {org} --name Other"),
    ("PATCH /orgs/{org}", "orgs patch {org} --name Other"),
    ("DELETE /orgs/{org}", "orgs delete {org}"),
    ("POST /orgs/{org}/suspend", "orgs suspend {org}"),
    ("POST /orgs/{org}/resume", "orgs resume {org}"),
    ("GET /orgs/{org}/teams", "teams list acme"),
    ("GET /orgs/{org}/teams/{team}", "teams show acme {team}"),
    ("PUT /orgs/{org}/teams/{team}", "teams put acme {team}"),
    ("DELETE /orgs/{org}/teams/{team}", "teams delete acme {team}"),
    ("POST /orgs/{org}/teams/{team}/suspend", "teams suspend acme {team}"),
    ("POST /orgs/{org}/teams/{team}/resume", "teams resume acme {team}"),
    ("GET /orgs/{org}/teams/{team}/members", "teams members acme search"),
    ("GET /orgs/{org}/teams/{team}/members/{user}", "teams member acme search ada"),
    ("PUT /orgs/{org}/teams/{team}/members/{user}", "teams add-member acme {team} {user}"),
    ("DELETE /orgs/{org}/teams/{team}/members/{user}", "teams remove-member acme {own team} ada"),
    ("GET /orgs/{org}/service-accounts", "service-accounts list acme"),
    ("POST /orgs/{org}/service-accounts", "service-accounts create acme {team} --name nightly"),
    ("GET /orgs/{org}/service-accounts/{account}", "service-accounts show acme {account}"),
    ("DELETE /orgs/{org}/service-accounts/{account}", "service-accounts delete acme {account}"),
    (
        "POST /orgs/{org}/service-accounts/{account}/suspend",
        "service-accounts suspend acme {account}",
    ),
    (
        "POST /orgs/{org}/service-accounts/{account}/resume",
        "service-accounts resume acme {account}",
    ),
    ("GET /orgs/{org}/users", "users list acme"),
    ("GET /orgs/{org}/users/{user}", "users show acme {user}"),
    ("PUT /orgs/{org}/users/{user}", "users put acme {user}"),
    ("DELETE /orgs/{org}/users/{user}", "users delete acme {user}"),
    ("POST /orgs/{org}/users/{user}/suspend", "users suspend acme {user}"),
    ("POST /orgs/{org}/users/{user}/resume", "users resume acme {user}"),
    ("GET /orgs/{org}/users/{user}/tokens", "tokens list acme ada"),
    ("POST /orgs/{org}/users/{user}/tokens", "tokens create acme ada"),
    ("GET /orgs/{org}/users/{user}/tokens/{token}", "tokens show acme ada {own token}"),
    (
        "POST /orgs/{org}/users/{user}/tokens/{token}/rotate",
        "tokens rotate acme ada {own token} --overlap 60",
    ),
    ("POST /orgs/{org}/users/{user}/tokens/{token}/revoke", "tokens revoke acme ada {own token}"),
    ("GET /orgs/{org}/teams/{team}/budget", "teams budget acme search"),
    ("PUT /orgs/{org}/teams/{team}/budget", "teams cap acme {team} 50"),
    ("DELETE /orgs/{org}/teams/{team}/budget", "teams uncap acme {team}"),
    ("GET /orgs/{org}/users/{user}/budget", "users budget acme ada"),
    ("PUT /orgs/{org}/users/{user}/budget", "users cap acme {user} 50"),
    ("DELETE /orgs/{org}/users/{user}/budget", "users uncap acme {user}"),
    ("GET /orgs/{org}/wallet", "wallets show acme"),
    ("GET /orgs/{org}/wallet/top-ups", "wallets top-ups acme"),
    ("POST /orgs/{org}/wallet/top-ups", "wallets top-up acme 5"),
    ("PATCH /orgs/{org}/wallet", "wallets alerts acme 80,95"),
    ("POST /orgs/{org}/wallet/adjustments", "wallets adjust acme -5 --note chargeback"),
    ("GET /orgs/{org}/wallet/ledger", "wallets ledger acme"),
    ("GET /orgs/{org}/wallet/check", "wallets check acme"),
    ("GET /orgs/{org}/webhooks", "webhooks list acme"),
    ("POST /orgs/{org}/webhooks", "webhooks create acme http://127.0.0.1:9/"),
    ("GET /orgs/{org}/webhooks/{webhook}", "webhooks show acme {webhook}"),
    ("PATCH /orgs/{org}/webhooks/{webhook}", "webhooks patch acme {webhook} --disabled"),
    ("DELETE /orgs/{org}/webhooks/{webhook}", "webhooks delete acme {webhook}"),
    ("POST /orgs/{org}/webhooks/{webhook}/rotate", "webhooks rotate acme {webhook}"),
    ("POST /orgs/{org}/webhooks/{webhook}/test", "webhooks test acme {webhook}"),
    ("GET /orgs/{org}/webhooks/{webhook}/deliveries", "webhooks deliveries acme {webhook}"),
    (
        "POST /orgs/{org}/webhooks/{webhook}/deliveries/{delivery}/resend",
        "webhooks resend acme {failed delivery}",
    ),
    ("GET /models", "models list"),
    ("GET /models/{id}", "models show {model}"),
    (
        "PUT /models/{id}",
        "models put {model} --input-price 1 --output-price 2 --context-length 9 --max-output-tokens 9",
    ),
    ("POST /models/{id}/retire", "models retire {model}"),
    ("GET /budgets", "budgets list --org acme"),
    ("POST /budgets/release", "budgets release org acme"),
    ("GET /status", "status"),
    ("GET /plans", "plans list"),
    ("GET /plans/{id}", "plans show {plan}"),
    ("PUT /plans/{id}", "plans put {plan}"),
    ("DELETE /plans/{id}", "plans delete {plan}"),
    ("PUT /orgs/{org}/plan", "plans assign none --org acme"),
    ("GET /groups", "groups list"),
    ("GET /groups/{id}", "groups show {group}"),
    ("PUT /groups/{id}", "groups put {group}"),
    ("PATCH /groups/{id}", "groups patch {group} --add {model}"),
    ("DELETE /groups/{id}", "groups delete {group}"),
    ("GET /aliases", "aliases list"),
    ("GET /aliases/{id}", "aliases show {alias}"),
    ("PUT /aliases/{id}", "aliases put fast {model}"),
    ("DELETE /aliases/{id}", "aliases delete {alias}"),
    ("GET /orgs/{org}/teams/{team}/models", "teams models acme search"),
    ("PATCH /orgs/{org}/teams/{team}", "teams models acme {team} --models {model}"),
    ("GET /orgs/{org}/users/{user}/models", "users models acme ada"),
    ("PATCH /orgs/{org}/users/{user}", "users models acme {user} --models {model}"),
    ("GET /requests", "requests list"),
    ("GET /requests/export", "requests export --format jsonl"),
    ("GET /requests/{request}", "requests show {request}"),
    ("GET /usage", "usage --by model"),
    ("GET /audit", "audit list"),
    ("GET /filter-configuration", "export"),
    ("GET /settings", "settings show"),
    ("PUT /settings", "settings audit-retention 365"),
];

/// Routes that are other spellings of one with a command.
const OTHER_SPELLINGS: &[(&str, &str)] =
    &[("GET /records", "GET /requests"), ("DELETE /models/{id}", "POST /models/{id}/retire")];

/// Commands that print what they got as it comes.
const WITHOUT_JSON: &[&str] = &["requests export", "export"];

fn name(need: &Need) -> String {
    format!("{} {}", need.method, need.path.strip_prefix("/admin/v1").unwrap())
}

/// The route of a request: of those that fit, the one that spells out most of the path.
fn route_of(routes: &[Need], method: &str, path: &str) -> Option<String> {
    let fits = |need: &&Need| {
        let (template, path) = (need.path.split('/'), path.split('/'));
        need.method == method
            && template.clone().count() == path.clone().count()
            && template.zip(path).all(|(one, other)| one.starts_with('{') || one == other)
    };
    let spelled = |need: &&Need| need.path.split('/').filter(|part| !part.starts_with('{')).count();
    routes.iter().filter(fits).max_by_key(spelled).map(name)
}

/// Something that stands in braces, freshly made.
async fn made(world: &World, ada: &Person, what: &str, number: usize) -> String {
    let fresh = format!("x{number}");
    let ok = |method, path: String, body| async move { world.admin_ok(method, &path, body).await };
    let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
    match what {
        "own token" => id(ok("POST", "orgs/acme/users/ada/tokens".to_owned(), json!({})).await),
        "own key" => {
            let body = json!({"team": "search", "name": "mine"});
            id(ada.ok(world, "POST", "me/keys", body).await)
        }
        "own team" => {
            let team = format!("orgs/acme/teams/{fresh}");
            ok("PUT", team.clone(), json!({})).await;
            let body = json!({"role": "team_viewer"});
            ok("PUT", format!("{team}/members/ada"), body).await;
            fresh
        }
        "key" => id(ok("POST", "keys".to_owned(), json!({"org": "acme"})).await),
        "digest" => format!("{number:064x}"),
        "org" => id(ok("PUT", format!("orgs/{fresh}"), json!({})).await),
        "team" => id(ok("PUT", format!("orgs/acme/teams/{fresh}"), json!({})).await),
        "user" => id(ok("PUT", format!("orgs/acme/users/{fresh}"), json!({})).await),
        "account" => {
            let body = json!({"team": "search", "name": fresh});
            id(ok("POST", "orgs/acme/service-accounts".to_owned(), body).await)
        }
        "model" => {
            world.put_model(&fresh, "1.00", "2.00").await;
            fresh
        }
        "plan" => id(ok("PUT", format!("plans/{fresh}"), json!({})).await),
        "group" => id(ok("PUT", format!("groups/{fresh}"), json!({})).await),
        "alias" => id(ok("PUT", format!("aliases/{fresh}"), json!({"model": MODEL})).await),
        "webhook" => {
            let body = json!({"url": "http://127.0.0.1:9/"});
            id(ok("POST", "orgs/acme/webhooks".to_owned(), body).await)
        }
        // A webhook, and what could not be delivered to it.
        "failed delivery" => {
            let body = json!({"url": "http://127.0.0.1:9/"});
            let webhook = id(ok("POST", "orgs/acme/webhooks".to_owned(), body).await);
            let path = format!("orgs/acme/webhooks/{webhook}");
            let delivery = id(ok("POST", format!("{path}/test"), Value::Null).await);
            ok("PATCH", path.clone(), json!({"enabled": false})).await;
            world.app.courier().round().await.unwrap();
            ok("PATCH", path, json!({"enabled": true})).await;
            format!("{webhook} {delivery}")
        }
        "request" => {
            let key = Key::of(&ok("POST", "keys".to_owned(), json!({"org": "acme"})).await);
            let call = record(&key, None, number as u64, 1);
            let request = call.request.as_str().to_owned();
            world.report(&world.holder(1).await, vec![], vec![call]).await;
            request
        }
        other => panic!("{other}"),
    }
}

async fn filled(world: &World, ada: &Person, command: &str, number: usize) -> Vec<String> {
    let mut text = command.to_owned();
    let mut part = 0;
    while let Some((before, rest)) = text.split_once('{') {
        let (what, after) = rest.split_once('}').unwrap();
        let fresh = made(world, ada, what, number * 10 + part).await;
        text = format!("{before}{fresh}{after}");
        part += 1;
    }
    text.split_whitespace().map(str::to_owned).collect()
}

async fn run(url: &str, token: &str, arguments: Vec<String>) -> Output {
    let (url, token) = (url.to_owned(), token.to_owned());
    let run = move || {
        let environment = [("TOLLGATE_ADMIN_URL", url), ("TOLLGATE_ADMIN_TOKEN", token)];
        tollgate().args(arguments).envs(environment).output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_is_reached_by_a_command_which_prints_json_when_told_to() {
    let world = World::with_org(None).await;
    let ada = member(&world, "acme", "search", "ada", "team_admin").await;
    let top_up = json!({"usd": "100"});
    world.admin_ok("POST", "orgs/acme/wallet/top-ups", top_up).await;
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let note = from_fn(move |request: Request, next: Next| {
        let asked = (request.method().to_string(), request.uri().path().to_owned());
        noted.lock().unwrap().push(asked);
        next.run(request)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = world.app.admin.clone().layer(note);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let routes = needs();
    let mut wrong = Vec::new();
    for (number, (route, command)) in COMMANDS.iter().enumerate() {
        let mut arguments = filled(&world, &ada, command, number + 1).await;
        let prints_json = !WITHOUT_JSON.iter().any(|plain| command.starts_with(plain));
        arguments.extend(prints_json.then(|| "--json".to_owned()));
        let token = if command.starts_with("me ") { &ada.token } else { &world.admin_token };
        seen.lock().unwrap().clear();
        let output = run(&url, token, arguments).await;
        let asked = seen.lock().unwrap().clone();
        let asked: Vec<_> =
            asked.iter().filter_map(|(method, path)| route_of(&routes, method, path)).collect();
        if asked != [*route] {
            wrong.push(format!("{command}: asks for {asked:?}, not for {route}"));
        }
        let shown = String::from_utf8_lossy(&output.stdout);
        let is_json = serde_json::from_str::<Value>(&shown).is_ok();
        if !output.status.success() || (prints_json && !is_json) {
            let said = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!("{command}: {} {shown}{said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_reached = |route: &String| {
        let spelling = OTHER_SPELLINGS.iter().find(|(other, _)| other == route);
        let route = spelling.map_or(route.as_str(), |(_, one)| one);
        COMMANDS.iter().any(|(reached, _)| *reached == route)
    };
    let missing: Vec<_> = routes.iter().map(name).filter(|route| !is_reached(route)).collect();
    assert!(missing.is_empty(), "no command reaches {missing:?}");
}

#[test]
fn of_two_routes_that_fit_the_one_that_is_spelled_out_is_meant() {
    let routes = needs();
    let of = |path: &str| route_of(&routes, "GET", &format!("/admin/v1/{path}")).unwrap();
    assert_eq!(of("keys/counts"), "GET /keys/counts");
    assert_eq!(of("keys/key_1"), "GET /keys/{id}");
    assert_eq!(of("models/openai%2Fgpt"), "GET /models/{id}");
    assert_eq!(route_of(&routes, "POST", "/admin/v1/keys/counts"), None);
}
