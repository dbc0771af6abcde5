//! A client's credential goes nowhere: not to the upstream, not into a log, not to the disk.

use e2e::disk::files_holding;
use e2e::models::add_models;
use e2e::operations::{self, KeyIn, get, post};
use e2e::{Fixture, RawAnswer};
use serde_json::json;
use xtask::stack::StackOptions;

/// Logs every place in which a credential can stand, and one header that does pass.
const EVERYTHING: &str = "path=%REQ(:PATH)% original=%REQ(X-ENVOY-ORIGINAL-PATH)% \
    a=%REQ(AUTHORIZATION)% b=%REQ(X-API-KEY)% c=%REQ(API-KEY)% d=%REQ(X-GOOG-API-KEY)% \
    e=%REQ(COOKIE)% f=%REQ(PROXY-AUTHORIZATION)% control=%REQ(X-CONTROL)%";

#[test]
fn a_credential_of_any_form_goes_nowhere() {
    let mut fixture = Fixture::with(&StackOptions {
        concurrency: 1,
        further_access_log: Some(EVERYTHING.to_owned()),
        ..StackOptions::default()
    })
    .unwrap();
    add_models(&fixture).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let (_, revoked) = fixture.key(json!({})).unwrap();
    let gateway = fixture.stack.gateway_url.clone();
    let send = |request: &[u8]| RawAnswer::of(&gateway, request).unwrap();

    // Allowed: each operation in each form that its clients have.
    let mut served = 0;
    for operation in operations::all() {
        let google = operation.path.contains("/models/");
        let forms = [
            KeyIn::Bearer,
            KeyIn::Header("x-api-key"),
            KeyIn::Header("api-key"),
            KeyIn::Header("x-goog-api-key"),
            KeyIn::Query,
        ];
        for key_in in forms.into_iter().filter(|form| google || *form != KeyIn::Query) {
            let operation = operations::Operation { key_in, ..operation.clone() };
            let headers = format!("x-control: word-{served}\r\ncookie: session={key}\r\n");
            let answer = send(&operation.request(&key, &headers));
            assert_eq!(answer.status, 200, "{} {key_in:?}: {}", operation.name, answer.text());
            assert!(!answer.text().contains(&key), "{}", operation.name);
            served += 1;
        }
    }

    // Refused: in places where it does not belong, several at once, on paths that are not served.
    let body = r#"{"model":"gpt-4o-mini","messages":[]}"#;
    let chat = "/v1/chat/completions";
    let bearer = format!("authorization: Bearer {key}\r\n");
    let both = format!("{bearer}x-api-key: {key}\r\n");
    let bare = format!("authorization: {key}\r\n");
    let basic = format!("authorization: Basic {key}\r\n");
    let proxy = format!("proxy-authorization: Basic {key}\r\ncookie: {key}\r\n");
    let dead = format!("authorization: Bearer {revoked}x\r\n");
    let refused = [
        post(&format!("{chat}?key={key}"), "", body),
        post(&format!("{chat}?%6bey={key}"), "", body),
        post(&format!("{chat}?access_token={key}"), "", body),
        post(&format!("{chat}?api_key={key}&a=1"), &bearer, body),
        post(&format!("/v1/files?key={key}"), &bearer, body),
        post(chat, &both, body),
        post(chat, &bare, body),
        post(chat, &basic, body),
        post(chat, &proxy, body),
        post(chat, &dead, body),
        get(&format!("/v1/files?token={key}"), &both),
        get(&format!("/anthropic/v1/models?key={key}"), &both),
        get(&format!("/gemini/v1beta/models?key={key}&key={key}"), ""),
        get(&format!("/gemini/v1beta/files?key={key}"), ""),
    ];
    let answers = RawAnswer::of_all(&gateway, &refused).unwrap();
    for (request, answer) in refused.iter().zip(answers) {
        let request = String::from_utf8_lossy(request).into_owned();
        assert!((400..500).contains(&answer.status), "{request}: {}", answer.status);
        assert!(!answer.text().contains(&key), "{request}: {}", answer.text());
    }

    // The upstream has seen none of them.
    let log = fixture.stack.mock().get("/_mock/calls").unwrap().success().unwrap().json();
    let calls = log["calls"].as_array().unwrap();
    assert_eq!(calls.len(), served, "the refused ones came through");
    for call in calls {
        assert_eq!(call["credentials"], json!([]), "{call}");
        assert!(call["request"].is_string(), "{call}");
    }
    for seen in fixture.upstream_requests().unwrap() {
        assert!(!seen.to_string().contains(&key), "{seen}");
    }

    // Nor has a log or any other file. Envoy writes the rest of its logs when it ends.
    let stats = fixture.stack.envoy_admin().get("/config_dump").unwrap().body;
    assert!(!stats.contains(&key), "in the configuration dump");
    for gateway in fixture.stack.gateways_mut() {
        gateway.stop();
    }
    let log = std::fs::read_to_string(fixture.stack.further_access_log()).unwrap();
    assert!(log.lines().count() >= served + refused.len(), "{} lines", log.lines().count());
    assert!(log.contains("control=word-0\n") && log.contains(&format!("word-{}\n", served - 1)));
    assert!(log.contains("path=/v1beta/models/gemini-2.5-flash:generateContent original=- "));
    assert!(log.contains("original=/gemini/v1beta/models/gemini-2.5-flash:generateContent "));
    let (holding, files) = files_holding(&fixture.stack.run_folder, &key).unwrap();
    assert!(files >= 5, "{files} files");
    assert_eq!(holding, Vec::<String>::new(), "the key is on the disk");
    // The search finds what there is to find.
    assert!(!files_holding(&fixture.stack.run_folder, "word-0").unwrap().0.is_empty());
}
