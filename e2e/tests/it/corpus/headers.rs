//! Headers: credentials twice or in odd forms, names that speak for the gateway, and what steers proxies.

use super::Outcome::{self, Passes, Proxy, Refused};
use super::{BODY, Corpus, request, send_raw};

const CHAT: Outcome = Passes("/v1/chat/completions");
const WRONG_KEY: Outcome = Refused(401, "invalid_api_key");

/// Header lines, where `{key}` is the good key, and what becomes of the request.
const TABLE: &[(&str, Outcome)] = &[
    ("authorization: Bearer {key}\r\n", CHAT),
    ("AUTHORIZATION: bearer {key}\r\n", CHAT),
    ("x-api-key: {key}\r\n", CHAT),
    ("api-key: {key}\r\n", CHAT),
    // Twice, the same or not.
    ("authorization: Bearer {key}\r\nauthorization: Bearer {key}\r\n", WRONG_KEY),
    ("authorization: Bearer {key}\r\nauthorization: Bearer nobody\r\n", WRONG_KEY),
    ("authorization: Bearer nobody\r\nauthorization: Bearer {key}\r\n", WRONG_KEY),
    // Envoy drops a second one that is empty.
    ("authorization: Bearer {key}\r\nauthorization:\r\n", CHAT),
    ("authorization: Bearer {key}, Bearer {key}\r\n", WRONG_KEY),
    ("authorization: Bearer {key}\r\nx-api-key: {key}\r\n", WRONG_KEY),
    ("authorization: Bearer {key}\r\nx-goog-api-key: nobody\r\n", WRONG_KEY),
    // Odd forms.
    ("authorization: {key}\r\n", WRONG_KEY),
    ("authorization: Basic {key}\r\n", WRONG_KEY),
    ("authorization: Bearer\r\n", WRONG_KEY),
    ("authorization: Bearer  {key}\r\n", CHAT),
    ("authorization: Bearer {key} x\r\n", WRONG_KEY),
    ("authorization: Bearer\t{key}\r\n", WRONG_KEY),
    ("authorization: Bearer {key}\u{e9}\r\n", WRONG_KEY),
    // Envoy puts folded lines together.
    ("authorization: Bearer\r\n {key}\r\n", CHAT),
    ("authorization : Bearer {key}\r\n", Proxy(400)),
    ("authorization: Bearer {key}\0\r\n", Proxy(400)),
    ("proxy-authorization: Bearer {key}\r\n", Refused(401, "missing_api_key")),
    ("cookie: authorization=Bearer {key}\r\n", Refused(401, "missing_api_key")),
    // Names that backends may take for others.
    ("x_api_key: {key}\r\n", Proxy(400)),
    ("authorization: Bearer {key}\r\nx_tollgate_key_id: spoofed-by-the-client\r\n", Proxy(400)),
    // What speaks for the gateway goes, in every case.
    ("authorization: Bearer {key}\r\nx-tollgate-key-id: spoofed-by-the-client\r\n", CHAT),
    ("authorization: Bearer {key}\r\nX-Tollgate-Key-Id: spoofed-by-the-client\r\n", CHAT),
    (
        "authorization: Bearer {key}\r\nx-tollgate-org: spoofed-by-the-client\r\nx-tollgate-model: \
         spoofed-by-the-client\r\nx-tollgate-request-id: spoofed-by-the-client\r\nx-tollgate-user: \
         spoofed-by-the-client\r\nx-tollgate-anything: spoofed-by-the-client\r\n",
        CHAT,
    ),
    (
        "authorization: Bearer {key}\r\nx-tollgate-key-id: spoofed-by-the-client\r\n\
         x-tollgate-key-id: spoofed-by-the-client\r\n",
        CHAT,
    ),
    // A list of headers that are to be taken out on the way takes out no identity.
    ("authorization: Bearer {key}\r\nconnection: x-tollgate-key-id, x-tollgate-model\r\n", CHAT),
    (
        "connection: authorization\r\nauthorization: Bearer {key}\r\n",
        Refused(401, "missing_api_key"),
    ),
    // What steers a proxy.
    (
        "authorization: Bearer {key}\r\nx-envoy-original-path: spoofed-by-the-client\r\n\
         x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 9\r\nx-envoy-upstream-alt-stat-name: \
         spoofed-by-the-client\r\nx-envoy-decorator-operation: spoofed-by-the-client\r\n",
        CHAT,
    ),
    // What chooses other prices or models, or has calls sent again.
    (
        "authorization: Bearer {key}\r\nx-amzn-bedrock-service-tier: spoofed-by-the-client\r\n\
         x-vertex-ai-llm-shared-request-type: spoofed-by-the-client\r\n\
         cf-aig-max-attempts: spoofed-by-the-client\r\nhelicone-fallbacks: \
         spoofed-by-the-client\r\nx-litellm-num-retries: spoofed-by-the-client\r\n\
         X-Portkey-Config: spoofed-by-the-client\r\n",
        CHAT,
    ),
    ("authorization: Bearer {key}\r\nx-original-url: /v1/files\r\n", CHAT),
    ("authorization: Bearer {key}\r\nx-rewrite-url: /v1/files\r\n", CHAT),
    ("authorization: Bearer {key}\r\nx-http-method-override: DELETE\r\n", CHAT),
    ("authorization: Bearer {key}\r\nproxy-authorization: Bearer spoofed-by-the-client\r\n", CHAT),
    ("authorization: Bearer {key}\r\ncookie: session=spoofed-by-the-client\r\n", CHAT),
    // Envoy makes one host of two; the upstream gets neither.
    ("authorization: Bearer {key}\r\nhost: elsewhere\r\n", CHAT),
    // Upgrades.
    ("authorization: Bearer {key}\r\nupgrade: websocket\r\nconnection: upgrade\r\n", Proxy(403)),
    (
        "authorization: Bearer {key}\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n",
        CHAT,
    ),
    ("authorization: Bearer {key}\r\ntrailer: authorization\r\n", CHAT),
    ("authorization: Bearer {key}\r\nte: trailers, deflate\r\n", CHAT),
    ("authorization: Bearer {key}\r\nexpect: 100-continue\r\n", CHAT),
    // What the body is.
    (
        "authorization: Bearer {key}\r\ncontent-encoding: gzip\r\n",
        Refused(415, "unsupported_encoding"),
    ),
    (
        "authorization: Bearer {key}\r\ncontent-encoding: GZIP\r\n",
        Refused(415, "unsupported_encoding"),
    ),
    (
        "authorization: Bearer {key}\r\ncontent-encoding: identity\r\ncontent-encoding: br\r\n",
        Refused(415, "unsupported_encoding"),
    ),
    ("authorization: Bearer {key}\r\ncontent-encoding: identity\r\n", CHAT),
];

#[test]
fn every_odd_header() {
    let mut corpus = Corpus::start();
    for (lines, outcome) in TABLE {
        let headers = lines.replace("{key}", &corpus.secret);
        corpus.row(lines, *outcome, move |url, row| {
            send_raw(url, &request("POST /v1/chat/completions", row, headers.as_bytes(), BODY))
        });
    }
    corpus.run();
}

#[test]
fn keys_in_queries_go_only_where_their_api_has_them_and_never_on() {
    let mut corpus = Corpus::start();
    let gemini = "/v1beta/models/gpt-4o-mini:generateContent";
    let key = corpus.secret.clone();
    let rows = [
        (format!("POST {gemini}?key={key}"), Passes("/v1beta/models/gpt-4o-mini:generateContent")),
        (
            format!("POST {gemini}?alt=json&key={key}"),
            Passes("/v1beta/models/gpt-4o-mini:generateContent?alt=json"),
        ),
        (format!("POST {gemini}?key={key}&key={key}"), Refused(401, "invalid_api_key")),
        (format!("POST {gemini}?key={key}&key=nobody"), Refused(401, "invalid_api_key")),
        (format!("POST {gemini}?KEY={key}"), Refused(401, "invalid_api_key")),
        // Escaped it is the same name.
        (
            format!("POST {gemini}?k%65y={key}"),
            Passes("/v1beta/models/gpt-4o-mini:generateContent"),
        ),
        (format!("POST /v1/chat/completions?key={key}"), Refused(401, "invalid_api_key")),
        (format!("POST /v1/chat/completions?access_token={key}"), Refused(401, "invalid_api_key")),
    ];
    for (line, outcome) in rows {
        let body = if line.contains("v1beta") { r#"{"contents":[]}"# } else { BODY };
        corpus.row(&line.replace(&key, "{key}"), outcome, move |url, row| {
            send_raw(url, &request(&line, row, b"", body))
        });
    }
    corpus.run();
}
