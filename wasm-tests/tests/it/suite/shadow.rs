//! Where the configuration says that nothing is refused, nothing is, on any host: nobody is left waiting, and
//! the upstream gets no credential.

use serde_json::json;
use wasm_tests::{CallReply, Profile};

use super::scenarios::{CHAT, key_with_secret, with_headers};
use super::stage::Stage;

fn profiles() -> Vec<Profile> {
    let trailers = |profile: Profile, name| profile.with_request_trailers(name);
    vec![
        Profile::envoy_stop_iteration(),
        trailers(Profile::envoy_stop_iteration(), "envoy_stop_iteration_trailers"),
        Profile::envoy(),
        trailers(Profile::envoy(), "envoy_trailers"),
        Profile::higress(),
        trailers(Profile::higress(), "higress_trailers"),
        Profile::apisix(),
        Profile::ngx_wasm(),
        Profile::ngx_wasm_without_shared_data(),
    ]
}

#[test]
fn every_host_lets_everything_pass_and_says_what_would_have_refused_it() {
    for profile in profiles() {
        let name = profile.name;
        let refused_call = {
            let stage = Stage::new(profile.clone(), 0);
            stage.refused_call()
        };
        let more = json!({"shadow": {"paths": ["/v1/chat/*"]}, "limits": {"body_bytes": 10_000}});
        let stage = Stage::with(profile, 2, &more);
        let key = stage.key(json!({"models": ["other"]}));
        let question = Stage::question().to_string();
        let large = format!(r#"{{"model":"gpt-4o-mini","user":"{}"}}"#, "x".repeat(20_000));
        let told = |number: usize| {
            stage.answer(number, (9, 2));
            stage.told_in_shadow(number)
        };
        let sent = |body: &str| told(stage.send(0, &key, body));
        let unknown = key_with_secret("sk-tg-0000000000000000000000000000000000000000");
        let passed = |code: &str| format!("200, forwarded, shadow {code}");
        assert_eq!(sent(&large), passed("body_too_large"), "{name}: a key that is not known yet");
        assert_eq!(sent(&large), passed("body_too_large"), "{name}");
        assert_eq!(sent(&question), passed("model_not_allowed"), "{name}");
        assert_eq!(sent("{"), passed("invalid_json"), "{name}");
        assert_eq!(told(stage.send(0, &unknown, &question)), passed("invalid_api_key"), "{name}");
        assert_eq!(told(stage.send(0, &unknown, &large)), passed("invalid_api_key"), "{name}");
        let none = with_headers(&stage, CHAT, &[], Some(&question));
        assert_eq!(told(none), passed("missing_api_key"), "{name}");
        // Elsewhere is refused as ever.
        let other = with_headers(&stage, "/v1/embeddings", &[], Some(&question));
        assert_eq!(told(other), "401 missing_api_key", "{name}");
        // The server goes, and the session with it.
        let stranger = stage.key(json!({}));
        for reply in [refused_call, CallReply::new(500, "oops")] {
            stage.server_says(Some(reply));
            stage.gateway.advance_ms(70_000).unwrap();
            let number = stage.send(0, &stranger, &question);
            stage.gateway.advance_ms(6_000).unwrap();
            assert_eq!(told(number), passed("policy_unavailable"), "{name}");
        }
        stage.server_says(None);
        let number = stage.send(1, &stranger, &question);
        stage.gateway.advance_ms(6_000).unwrap();
        assert_eq!(told(number), passed("policy_unavailable"), "{name}: silence");
        stage.check("shadow");
    }
}
