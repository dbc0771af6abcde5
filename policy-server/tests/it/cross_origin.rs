//! Pages of other origins get nothing from the admin API: no answer has a header by which a browser
//! would show it to them, also where the browser asks beforehand.

use axum::body::Body;
use axum::http::{Request, Response};
use policy_server::http::needs;
use tower::ServiceExt as _;

use crate::world::World;

fn allows(response: &Response<Body>) -> Vec<String> {
    let names = response.headers().keys().map(|name| name.as_str().to_owned());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn no_answer_of_any_route_lets_other_origins_read_it() {
    let world = World::with_org(None).await;
    let mut answered = 0;
    let paths = needs().into_iter().map(|need| (need.method.to_string(), need.path));
    let more = [("GET", "/healthz"), ("GET", "/admin/v1/none"), ("POST", "/admin/v1/audit")];
    let more = more.map(|(method, path)| (method.to_owned(), path));
    for (method, path) in paths.chain(more) {
        let path = path.replace(['{', '}'], "");
        let bearer = format!("Bearer {}", world.admin_token);
        let authorised =
            [("origin", "https://evil.example"), ("authorization", bearer.as_str())].to_vec();
        let preflight = vec![
            ("origin", "https://evil.example"),
            ("access-control-request-method", method.as_str()),
            ("access-control-request-headers", "authorization"),
        ];
        // as the page would ask, as its browser asks beforehand, and beforehand with a token
        for (method, headers) in [
            (method.as_str(), authorised.clone()),
            ("OPTIONS", preflight.clone()),
            ("OPTIONS", [preflight, authorised[1..].to_vec()].concat()),
        ] {
            let mut request = Request::builder().method(method).uri(path.as_str());
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let request = request.body(Body::empty()).unwrap();
            let response = world.app.admin.clone().oneshot(request).await.unwrap();
            assert_eq!(allows(&response), [""; 0], "{method} {path}");
            let is_preflight = method == "OPTIONS" && path != "/healthz";
            assert!(!(is_preflight && response.status().is_success()), "{method} {path}");
            answered += 1;
        }
    }
    assert!(answered > 300, "{answered}");
}
