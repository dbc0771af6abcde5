//! Errors as clients of other products know them.

use metering::request::Problem;
use serde_json::{Value, json};
use wire::v1::{Scope, Subject, Unit, Window};

use super::*;

fn on_openai(profile: Profile) -> Voice {
    Voice { dialect: Dialect::OpenAi, profile }
}

fn told(refusal: &Refusal, voice: Voice) -> (u16, Value) {
    let reply = refusal.reply(voice, "req_1");
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn header(refusal: &Refusal, voice: Voice, name: &str) -> Option<String> {
    let reply = refusal.reply(voice, "req_1");
    let found = reply.headers.into_iter().find(|(found, _)| *found == name);
    found.map(|(_, value)| value)
}

fn window(unit: Unit, window: Option<Window>, level: Level, model: Option<&str>) -> Refusal {
    let model = model.map(|model| wire::ModelName::new(model).unwrap());
    let subject = Subject { level, id: "search".to_owned(), model };
    let limit = Limit { unit, window, max: 10, scope: Scope::Proxy, subject };
    let full = Full { unit, window, needs: 1, room: 0, wait_ms: Some(1_500) };
    Refusal::Window { limit: Box::new(limit), full }
}

fn minute() -> Refusal {
    window(Unit::Requests, Some(Window::Minute), Level::Key, None)
}

fn spent(level: Level) -> Refusal {
    Refusal::Budget { level, need: NanoUsd(2_500_000_000), left: NanoUsd(10) }
}

fn keys() -> Vec<Refusal> {
    let missing = Refusal::Credential(NoCredential::Missing);
    vec![missing, Refusal::UnknownKey, Refusal::Expired, Refusal::Revoked, Refusal::Disabled]
}

#[test]
fn privatemind_has_message_type_and_code() {
    let voice = on_openai(Profile::PrivateMind);
    let of = |refusal: &Refusal| {
        let (status, body) = told(refusal, voice);
        let error = body["error"].as_object().unwrap().clone();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message", "type"]);
        (status, error["type"].clone(), error["code"].clone(), error["message"].clone())
    };
    let (status, kind, code, message) = of(&spent(Level::Key));
    assert_eq!((status, kind, code), (402, json!("billing_error"), json!("budget_exceeded")));
    assert_eq!(message, "Key budget exhausted");
    assert_eq!(of(&Refusal::Exhausted { level: Level::Key }).3, "Key budget exhausted");
    // What it has no words for is explained.
    let (_, _, _, message) = of(&spent(Level::Team));
    assert!(message.as_str().unwrap().starts_with("Budget exhausted. The budget of"), "{message}");
    let one_call = Refusal::CallTooExpensive { need: NanoUsd(2), most: NanoUsd(1) };
    assert!(of(&one_call).3.as_str().unwrap().contains("allows 0.000000001 USD for one call"));
    let (status, kind, code, message) = of(&minute());
    assert_eq!((status, kind, code), (429, json!("rate_limit_error"), json!("rpm_exceeded")));
    assert_eq!(message, "Rate limit exceeded");
    let (_, _, _, message) = of(&Refusal::Contended { retry_after_ms: 1 });
    assert!(message.as_str().unwrap().starts_with("Rate limit exceeded. "), "{message}");
    for refusal in keys() {
        assert_eq!(of(&refusal).0, 401);
    }
    assert_eq!(of(&Refusal::ModelNotAllowed("m".to_owned())).0, 403);
    assert_eq!(of(&Refusal::NoModels).0, 403);
    let (status, kind, code, message) = of(&Refusal::UserKeyRequired);
    assert_eq!((status, kind, code), (403, json!("permission_error"), json!("user_key_required")));
    assert!(message.as_str().unwrap().contains("POST /v1/auth/exchange"), "{message}");
    assert_eq!(of(&Refusal::UnknownModel("m".to_owned())).0, 400);
    assert_eq!(of(&Refusal::ModelRemoved("m".to_owned())).0, 404);
    assert_eq!(of(&Refusal::UnknownEndpoint).0, 404);
}

#[test]
fn mindproxy_has_its_code_as_type() {
    let voice = on_openai(Profile::MindProxy);
    let mut rows = vec![
        (spent(Level::Key), 402, "api_key_quota_exceeded"),
        (spent(Level::Wallet), 402, "billing_shortfall"),
        (spent(Level::Org), 402, "billing_shortfall"),
        (Refusal::ModelNotAllowed("m".to_owned()), 403, "model_not_allowed"),
        (Refusal::NoModels, 403, "model_not_allowed"),
        (Refusal::AddressNotAllowed, 403, "ip_not_allowed"),
        (Refusal::IdempotentReplay, 409, "idempotent_replay"),
        (Refusal::UserKeyRequired, 403, "user_key_required"),
        (Refusal::EndpointNotAllowed, 403, "endpoint_not_allowed"),
        (minute(), 429, "rate_limited"),
        (window(Unit::Tokens, Some(Window::Day), Level::Team, None), 429, "rate_limited"),
        (Refusal::PolicyUnavailable, 503, "policy_unavailable"),
    ];
    rows.extend(keys().into_iter().map(|refusal| (refusal, 401, "unauthorized")));
    for (refusal, status, kind) in rows {
        let (seen, body) = told(&refusal, voice);
        assert_eq!((seen, &body["error"]["type"]), (status, &json!(kind)), "{refusal:?}");
        assert_eq!(body["error"].as_object().unwrap().len(), 2, "{body}");
        assert_eq!(header(&refusal, voice, "x-tt-request-id").as_deref(), Some("req_1"));
    }
    let field = |name| header(&minute(), voice, name);
    assert_eq!(field("retry-after").as_deref(), Some("2"));
    assert_eq!(field("x-ratelimit-limit").as_deref(), Some("10"));
    assert_eq!(field("x-ratelimit-remaining").as_deref(), Some("0"));
    assert_eq!(field("x-ratelimit-reset").as_deref(), Some("2"));
}

/// The SDKs of Anthropic and Google find their own envelope there, with MindProxy's words in it.
#[test]
fn mindproxys_words_stand_in_the_apis_own_envelopes() {
    let of = |dialect| told(&spent(Level::Key), Voice { dialect, profile: Profile::MindProxy });
    let (status, body) = of(Dialect::Anthropic);
    assert_eq!((status, &body["error"]["type"]), (402, &json!("billing_error")));
    assert_eq!(body["error"]["details"]["error_code"], "api_key_quota_exceeded");
    let (status, body) = of(Dialect::Gemini);
    assert_eq!((status, &body["error"]["code"]), (402, &json!(402)));
    assert_eq!(body["error"]["details"][0]["reason"], "API_KEY_QUOTA_EXCEEDED");
}

#[test]
fn deltallm_answers_as_it_does() {
    let voice = on_openai(Profile::DeltaLlm);
    let of = |refusal: &Refusal| told(refusal, voice);
    let detail = |text: &str| (401, json!({"detail": text}));
    assert_eq!(of(&Refusal::Credential(NoCredential::Missing)), detail("Missing bearer token"));
    assert_eq!(of(&Refusal::Expired), detail("API key expired"));
    for refusal in [Refusal::UnknownKey, Refusal::Revoked, Refusal::Disabled] {
        assert_eq!(of(&refusal), detail("Invalid API key"));
    }
    let model = |name: &str| name.to_owned();
    for refusal in [Refusal::UnknownModel(model("m")), Refusal::ModelNotAllowed(model("m"))] {
        let message = "Model 'm' is not allowed for this key";
        let error = json!({"message": message, "type": "permission_denied",
            "param": null, "code": null});
        assert_eq!(of(&refusal), (403, json!({"error": error})));
    }
    let (status, body) = of(&Refusal::ModelRemoved(model("m")));
    assert_eq!((status, &body["error"]["code"]), (404, &json!("model_not_found")));

    for (refusal, scope) in [
        (minute(), "key_rpm"),
        (window(Unit::Tokens, Some(Window::Day), Level::Org, None), "org_tpd"),
        (window(Unit::Requests, Some(Window::Hour), Level::User, None), "user_rph"),
        (window(Unit::Tokens, Some(Window::Minute), Level::Team, Some("m")), "team_model_tpm"),
    ] {
        let error = json!({
            "message": format!("Rate limit exceeded for scope '{scope}'"),
            "type": "rate_limit_error", "param": scope, "code": format!("{scope}_exceeded"),
        });
        assert_eq!(of(&refusal), (429, json!({"error": error})));
        assert_eq!(header(&refusal, voice, "x-ratelimit-remaining-requests").as_deref(), Some("0"));
        assert_eq!(header(&refusal, voice, "retry-after").as_deref(), Some("2"));
    }
    let (status, body) = of(&window(Unit::Concurrent, None, Level::Key, None));
    assert_eq!((status, &body["error"]["code"]), (429, &Value::Null));
    assert_eq!(body["error"]["message"], "Parallel request limit exceeded");

    // Clients that try every 429 again would loop on an empty budget: they are told not to.
    let (status, body) = of(&spent(Level::Team));
    assert_eq!((status, &body["error"]["type"]), (429, &json!("budget_exceeded")));
    assert_eq!(
        (&body["error"]["code"], &body["error"]["param"]),
        (&json!("budget_exceeded"), &json!("team"))
    );
    assert_eq!(header(&spent(Level::Team), voice, "retry-after"), None);
    assert_eq!(header(&spent(Level::Team), voice, "x-should-retry").as_deref(), Some("false"));

    let (status, body) = of(&Refusal::Body(Problem::NotAnObject));
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["body"])));
    let (status, body) = of(&Refusal::Body(Problem::Unsupported("store".to_owned().into())));
    assert_eq!((status, &body["error"]["code"]), (400, &Value::Null));
    assert_eq!(of(&Refusal::LimiterFull).1["error"]["type"], "service_unavailable");
    assert_eq!(of(&Refusal::UnknownEndpoint), (404, json!({"detail": "Not Found"})));
}

/// In a stream, too, the error is the product's.
#[test]
fn a_stream_ends_in_the_products_form() {
    let of = |profile| {
        let event = Refusal::Revoked.event(AnswerFormat::OpenAiChat, profile, 1);
        let text = String::from_utf8(event).unwrap();
        serde_json::from_str::<Value>(text.strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(of(Profile::Native)["error"]["code"], "key_revoked");
    assert_eq!(of(Profile::MindProxy)["error"]["type"], "unauthorized");
    assert_eq!(of(Profile::PrivateMind)["error"]["type"], "authentication_error");
}

/// The event of `/v1/responses` has members of its own beside the product's error.
#[test]
fn a_stream_of_responses_has_the_products_error_in_it() {
    let of = |refusal: Refusal, profile| {
        let event = refusal.event(AnswerFormat::OpenAiResponses, profile, 1);
        let text = String::from_utf8(event).unwrap();
        let (_, data) = text.split_once("\ndata: ").unwrap();
        serde_json::from_str::<Value>(data).unwrap()
    };
    for (profile, code) in [
        (Profile::Native, "budget_exceeded"),
        (Profile::PrivateMind, "budget_exceeded"),
        (Profile::MindProxy, "api_key_quota_exceeded"),
        (Profile::DeltaLlm, "budget_exceeded"),
    ] {
        let event = of(spent(Level::Key), profile);
        assert_eq!((&event["type"], &event["code"]), (&json!("error"), &json!(code)));
        let (_, body) = told(&spent(Level::Key), on_openai(profile));
        assert_eq!(event["error"], body["error"], "{profile:?}");
    }
    // Where its document has no such member, SDKs would raise nothing.
    let event = of(Refusal::Revoked, Profile::DeltaLlm);
    assert_eq!(event["error"]["code"], "key_revoked");
}
