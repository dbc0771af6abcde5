//! What every answer tells browsers. None of the APIs is made for pages, and what is stored is shown as it
//! was written: an answer must never be taken for a page, run, framed or kept.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;

/// The headers, by name. Secrets are told once, in an answer: no cache may keep it.
const SAYS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds them to every answer, also to those for which no route is there.
pub fn guarded(router: Router) -> Router {
    router.layer(map_response(async |mut answer: Response| {
        for (name, value) in SAYS {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }))
}
