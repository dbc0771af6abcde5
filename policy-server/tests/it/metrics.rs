//! `/metrics`: the names are a closed list, the values move, and nobody is named.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{GRACE_MS, TTL_MS, World, ask, send};

/// The page as Prometheus gets it, without a token.
async fn page(world: &World) -> String {
    let request = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
    let answer = world.app.metrics().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// The value of one line, labels included in its name.
fn value(page: &str, name: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name}:\n{page}")).parse().unwrap()
}

#[tokio::test]
async fn the_names_are_a_closed_list() {
    let world = World::fresh(3, true).and_org(Some("0.01")).await;
    let names: Vec<_> = page(&world)
        .await
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ").map(str::to_owned))
        .collect();
    let text = names.join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metric_names.txt");
    if std::env::var_os("UPDATE_METRICS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap(), "UPDATE_METRICS=1 writes it");
}

#[tokio::test]
async fn what_happens_is_counted_and_nobody_is_named() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(4_000)).await;
    let (status, _) = send(&world.app.admin, "GET", "/admin/v1/keys", Some("tga_no"), "").await;
    assert_eq!(status, 401);
    send(&world.app.filter, "GET", "/no/such/path", None, "").await;
    let before = page(&world).await;
    assert_eq!(value(&before, "tollgate_server_store_up"), 1.0);
    assert_eq!(value(&before, "tollgate_server_holders_live"), 1.0);
    assert_eq!(value(&before, "tollgate_server_leases_open"), 1.0);
    assert_eq!(value(&before, "tollgate_server_writer_queue"), 0.0);
    assert!(value(&before, "tollgate_server_commit_seconds_count") >= 3.0);
    assert!(value(&before, "tollgate_server_file_bytes{file=\"database\"}") > 0.0);
    let of = |api: &str, route: &str, status: &str| {
        let labels = format!("api=\"{api}\",route=\"{route}\",status=\"{status}\"");
        value(&before, &format!("tollgate_server_request_seconds_count{{{labels}}}"))
    };
    assert_eq!(of("filter", "admit", "2xx"), 1.0);
    assert_eq!(of("filter", "holders", "2xx"), 1.0);
    assert_eq!(of("admin", "keys", "401"), 1.0);
    assert_eq!(of("filter", "none", "401"), 1.0);
    let out = value(&before, "tollgate_server_outstanding_usd{level=\"org\"}");
    assert!(out > 0.0 && out <= 0.01, "{out}");
    for secret in ["acme", key.id.as_str(), holder.id.as_str(), "no/such"] {
        assert!(!before.contains(secret), "{secret} is shown");
    }

    world.pass(TTL_MS + GRACE_MS + 1).await;
    let after = page(&world).await;
    assert_eq!(value(&after, "tollgate_server_leases_parked_total"), 1.0);
    assert_eq!(value(&after, "tollgate_server_parked_usd{level=\"org\"}"), out);
    assert_eq!(value(&after, "tollgate_server_outstanding_usd{level=\"org\"}"), 0.0);
    assert_eq!(value(&after, "tollgate_server_holders_live"), 0.0);
}

#[tokio::test]
async fn a_change_that_is_not_applied_yet_is_pending() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    world.admit(&holder, &key, 1, None).await;
    let path = format!("keys/{}/revoke?wait=0", key.id);
    world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!(value(&page(&world).await, "tollgate_server_holders_pending"), 1.0);
    world.changes(&holder).await;
    let revision = world.app.shared().live().revision();
    world.poll(&holder, revision, 0).await;
    assert_eq!(value(&page(&world).await, "tollgate_server_holders_pending"), 0.0);
}
