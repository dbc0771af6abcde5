//! Every route that a router has, asked by everybody who must not be answered. The routes are read from the
//! routers themselves: one that is added beside the tables fails here.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use policy_server::http::needs;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::people::person;
use crate::world::{FILTER_TOKEN, World};

const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"];

/// What is answered to everybody, of the admin API and of the filter API.
const OPEN: [&str; 2] = ["/healthz", "/openapi.json"];

/// A day: no failed attempt counts that long, nor do the tokens of the tests that end.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Every path of a router, as it shows itself for debugging.
fn paths(router: &Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let quoted = shown.split('"').skip(1).step_by(2);
    let is_path = |text: &&str| text.starts_with('/') && !text.contains("__private");
    let found: BTreeSet<_> = quoted.filter(is_path).map(str::to_owned).collect();
    // The fallback of a router stands at its root.
    found.into_iter().filter(|path| path != "/").collect()
}

async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path.replace(['{', '}'], ""));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// The routes that there are: those to which whoever is right is not told that the method is wrong.
async fn routes(router: &Router, bearer: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for path in paths(router) {
        for method in METHODS {
            let (status, _) = ask(router, method, &path, &[("authorization", bearer)]).await;
            if status != 405 && !OPEN.contains(&path.as_str()) {
                found.insert((method.to_owned(), path.clone()));
            }
        }
    }
    found
}

/// Headers by which somebody may think to sign in.
async fn credentials(world: &World) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let bearer = |text: &str| vec![("authorization", format!("Bearer {text}"))];
    world.admin_ok("PUT", "orgs/gone", json!({})).await;
    let revoked = person(world, "acme", "rita", "org_owner").await;
    let path = format!("orgs/acme/users/rita/tokens/{}/revoke", revoked.token_id);
    world.admin_ok("POST", &path, Value::Null).await;
    let suspended = person(world, "acme", "sam", "org_owner").await;
    world.admin_ok("POST", "orgs/acme/users/sam/suspend", Value::Null).await;
    let removed = person(world, "gone", "gus", "org_owner").await;
    world.admin_ok("DELETE", "orgs/gone/users/gus", Value::Null).await;
    world.admin_ok("DELETE", "orgs/gone", Value::Null).await;
    person(world, "acme", "eve", "org_owner").await;
    let expiring = json!({"expires_at": "2026-11-20T12:30:00Z"});
    let expired = world.admin_ok("POST", "orgs/acme/users/eve/tokens", expiring).await;
    let expired = expired["token"].as_str().unwrap().to_owned();
    let key = world.key(json!({})).await;
    let mut near = world.admin_token.clone().into_bytes();
    *near.last_mut().unwrap() ^= 1;
    let near = String::from_utf8(near).unwrap();
    let admin = world.admin_token.as_str();
    vec![
        ("nothing", vec![]),
        ("an empty token", bearer("")),
        ("one bit off", bearer(&near)),
        ("the beginning", bearer(&admin[..admin.len() - 1])),
        ("a filter", bearer(FILTER_TOKEN)),
        ("a client's key", bearer(&key.secret)),
        ("a digest", bearer(&metering::api_key::digest(admin.as_bytes()).to_string())),
        ("a revoked token", bearer(&revoked.token)),
        ("an expired token", bearer(&expired)),
        ("a suspended user", bearer(&suspended.token)),
        ("a user who is gone", bearer(&removed.token)),
        ("two tokens", [bearer(admin), bearer(admin)].concat()),
        ("another scheme", vec![("authorization", format!("Basic {admin}"))]),
        // What a browser sends by itself opens nothing.
        ("a cookie", vec![("cookie", format!("token={admin}; authorization=Bearer {admin}"))]),
        ("another header", vec![("x-api-key", admin.to_owned())]),
    ]
}

#[tokio::test]
async fn every_route_of_the_admin_api_is_in_the_table_and_closed_to_whoever_has_not_signed_in() {
    let world = World::with_org(None).await;
    let bearer = format!("Bearer {}", world.admin_token);
    let credentials = credentials(&world).await;
    let mut listed = BTreeSet::new();
    for need in needs() {
        listed.insert((need.method.to_string(), need.path.to_owned()));
        if need.method == "GET" {
            listed.insert(("HEAD".to_owned(), need.path.to_owned()));
        }
    }
    let paths = paths(&world.app.admin);
    assert_eq!(paths.iter().filter(|path| OPEN.contains(&path.as_str())).count(), 2);
    assert!(paths.len() > 60, "{paths:?}");
    let mut refused = 0;
    let anywhere = ["/", "/admin", "/admin/v1/none", "/console", "/metrics"].map(str::to_owned);
    for path in paths.iter().chain(&anywhere).filter(|path| !OPEN.contains(&path.as_str())) {
        for (who, headers) in &credentials {
            // So that no attempt is refused for those before it.
            world.clock.advance_ms(DAY_MS);
            for method in METHODS {
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let (status, answer) = ask(&world.app.admin, method, path, &headers).await;
                assert_eq!(status, 401, "{who}: {method} {path}: {answer}");
                refused += 1;
            }
        }
    }
    assert!(refused > 9_000, "{refused}");
    world.clock.advance_ms(DAY_MS);
    // Last, since it does whatever the routes do.
    assert_eq!(routes(&world.app.admin, &bearer).await, listed);
}

#[tokio::test]
async fn every_route_of_the_filter_api_is_known_and_closed_without_its_token() {
    let world = World::with_org(None).await;
    let person = person(&world, "acme", "olga", "org_owner").await;
    let known: BTreeSet<_> = [
        ("GET", "/proxy/v1/catalogue"),
        ("GET", "/proxy/v1/changes"),
        ("HEAD", "/proxy/v1/catalogue"),
        ("HEAD", "/proxy/v1/changes"),
        ("POST", "/proxy/v1/admit"),
        ("POST", "/proxy/v1/exchange"),
        ("POST", "/proxy/v1/holders"),
        ("POST", "/proxy/v1/leases"),
        ("POST", "/proxy/v1/reports"),
        ("POST", "/proxy/v1/usage"),
    ]
    .map(|(method, path)| (method.to_owned(), path.to_owned()))
    .into();
    let right = format!("Bearer {FILTER_TOKEN}");
    assert_eq!(routes(&world.app.filter, &right).await, known);
    let key = world.key(json!({})).await;
    let near = format!("Bearer {}{}", &FILTER_TOKEN[..31], '4');
    assert_ne!(near, right);
    let of = |token: &str| format!("Bearer {token}");
    let wrong = [of(""), near, of(&world.admin_token), of(&person.token), of(&key.secret)];
    for path in paths(&world.app.filter).iter().filter(|path| !OPEN.contains(&path.as_str())) {
        for method in METHODS {
            for bearer in &wrong {
                let headers = [("authorization", bearer.as_str())];
                let (status, answer) = ask(&world.app.filter, method, path, &headers).await;
                assert_eq!(status, 401, "{method} {path}: {answer}");
            }
            let headers = [("authorization", right.as_str()), ("authorization", right.as_str())];
            assert_eq!(ask(&world.app.filter, method, path, &headers).await.0, 401);
        }
    }
}

#[tokio::test]
async fn metrics_are_one_page_that_is_only_read() {
    let world = World::with_org(None).await;
    assert_eq!(paths(&world.app.metrics()), BTreeSet::from(["/metrics".to_owned()]));
    for method in METHODS {
        let status = ask(&world.app.metrics(), method, "/metrics", &[]).await.0;
        let expected = if ["GET", "HEAD"].contains(&method) { 200 } else { 405 };
        assert_eq!(status, expected, "{method}");
    }
}

/// Pages of other origins are kept out by `cross_origin`; what comes from none must not become one.
#[tokio::test]
async fn no_answer_can_be_taken_for_a_page_or_kept() {
    let world = World::with_org(None).await;
    let bearer = format!("Bearer {}", world.admin_token);
    for (router, path, token) in [
        (&world.app.admin, "/admin/v1/keys", bearer.as_str()),
        (&world.app.admin, "/admin/v1/keys", "none"),
        (&world.app.admin, "/admin/v1/requests/export", bearer.as_str()),
        (&world.app.admin, "/openapi.json", "none"),
        (&world.app.admin, "/healthz", "none"),
        (&world.app.admin, "/<script>", "none"),
        (&world.app.filter, "/proxy/v1/catalogue", "none"),
        (&world.app.metrics(), "/metrics", "none"),
        (&world.app.metrics(), "/none", "none"),
    ] {
        let path = path.replace(['<', '>'], "%3c");
        let request = Request::builder().uri(&path).header("authorization", token);
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header("cache-control"), Some("no-store"), "{path}");
        let policy = header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(header("set-cookie"), None, "{path}");
        assert!(!header("content-type").unwrap_or_default().contains("html"), "{path}");
    }
}
