//! What users and attackers do, told as facts that can be compared between hosts. All in one file: the
//! table calls each by its name here, so that none is left out.

use serde_json::json;
use wasm_tests::{CallReply, Effect, HeaderMap, MessageEnd, MintedKey, Status};

use super::stage::{SESSION_MS, Stage};

type Facts = Vec<String>;

pub fn key_with_secret(secret: &str) -> MintedKey {
    MintedKey { id: String::new(), secret: secret.to_owned() }
}

/// A request with exactly these headers beside those that every request has.
pub fn with_headers(
    stage: &Stage,
    path: &str,
    headers: &[(&str, &[u8])],
    body: Option<&str>,
) -> usize {
    let method = if body.is_some() { "POST" } else { "GET" };
    let worker = &stage.gateway.workers()[0];
    let mut script = worker.request([
        (":method", method),
        (":path", path),
        (":authority", "gateway"),
        (":scheme", "http"),
    ]);
    if let Some(body) = body {
        script = script
            .header("content-type", "application/json")
            .header("content-length", body.len().to_string())
            .body([body]);
    }
    for (name, value) in headers {
        script = script.header(name, value);
    }
    stage.keep(script.send().unwrap())
}

pub const CHAT: &str = "/v1/chat/completions";

pub fn bad_credentials(stage: &Stage) -> Facts {
    let question = Stage::question().to_string();
    let none = with_headers(stage, CHAT, &[], Some(&question));
    let two: &[(&str, &[u8])] = &[("authorization", b"Bearer sk-a"), ("x-api-key", b"sk-b")];
    let both = with_headers(stage, CHAT, two, Some(&question));
    let unknown = key_with_secret("sk-tg-0000000000000000000000000000000000000000");
    vec![stage.told(none), stage.told(both), stage.chat(0, &unknown), stage.chat(0, &unknown)]
}

pub fn bad_requests(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let narrow = stage.key(json!({"models": ["other"]}));
    let told = |body: &str| stage.told(stage.send(0, &key, body));
    let large = format!(r#"{{"model":"gpt-4o-mini","user":"{}"}}"#, "x".repeat(10 << 20));
    vec![
        told(r#"{"model": "gpt-4o-mini", "mess"#),
        told(r#"{"model":"a","model":"b","messages":[]}"#),
        told(r#"{"model":"nobody","messages":[]}"#),
        told(""),
        told(&large),
        stage.chat(0, &narrow),
        stage.chat(0, &key),
    ]
}

pub fn revoked(stage: &Stage) -> Facts {
    // One whose calls ask nobody anything.
    let key = stage.key(json!({"budget": null}));
    let before = stage.chat(0, &key);
    stage.gateway.advance_ms(1_000).unwrap();
    let path = format!("/admin/v1/keys/{}/revoke?wait=0", key.id);
    stage.gateway.administer("POST", &path, None).unwrap();
    stage.gateway.advance_ms(200).unwrap();
    let after = stage.chat(0, &key);
    stage.gateway.advance_ms(SESSION_MS).unwrap();
    vec![before, after, stage.chat(0, &key)]
}

pub fn window_full(stage: &Stage) -> Facts {
    let limit = json!({"limits": [
        {"unit": "requests", "window": "1m", "max": 3, "scope": "proxy"}]});
    let key = stage.key(limit);
    let mut facts: Facts = (0..4).map(|number| stage.chat(number % 2, &key)).collect();
    stage.gateway.advance_ms(62_000).unwrap();
    facts.push(stage.chat(1, &key));
    facts
}

pub fn budget_spent(stage: &Stage) -> Facts {
    let key = stage.key(json!({"budget": {"usd": "0.0005", "period": "none"}}));
    let question = Stage::question().to_string();
    let mut allowed = 0;
    for _ in 0..200 {
        let number = stage.send(0, &key, &question);
        stage.answer(number, (9, 64));
        match stage.told(number).as_str() {
            "200, forwarded" => allowed += 1,
            // Money that is out comes back with the next report.
            "429 budget_contended" => {}
            other => {
                // One call costs 0.00003975: twelve fit.
                let fits = (1..=12).contains(&allowed);
                return vec![format!("within the budget: {fits}"), other.to_owned()];
            }
        }
        stage.gateway.advance_ms(2_000).unwrap();
    }
    vec!["the budget never ends".to_owned()]
}

pub fn plain_call(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let number = stage.send(0, &key, &Stage::question().to_string());
    stage.answer(number, (9, 2));
    let shown =
        stage.look(number, |exchange| exchange.client().json()["usage"]["cost_usd"].clone());
    let mut facts = vec![stage.told(number), format!("cost shown: {shown}")];
    facts.extend(stage.charges(&key));
    facts
}

fn event(choices: &serde_json::Value, usage: &serde_json::Value) -> String {
    let event = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini",
        "choices": choices, "usage": usage,
    });
    format!("data: {event}\n\n")
}

fn delta(text: &str) -> String {
    let choices = json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]);
    event(&choices, &serde_json::Value::Null)
}

/// Answers a streamed request; the usage comes where the request that arrived asks for it.
fn stream(stage: &Stage, number: usize) {
    let (forwarded, asks) = stage.look(number, |exchange| {
        let forwarded = exchange.forwarded();
        (forwarded.complete, forwarded.json()["stream_options"]["include_usage"] == true)
    });
    if !forwarded {
        return;
    }
    let mut pieces = vec![delta("Hello "), delta("world")];
    if asks {
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11});
        pieces.push(event(&json!([]), &usage));
    }
    pieces.push("data: [DONE]\n\n".to_owned());
    stage.look(number, |exchange| {
        exchange.respond(200, &[("content-type", "text/event-stream")], pieces).unwrap();
    });
    stage.spent(9, 2);
}

pub fn streams(stage: &Stage) -> Facts {
    let mut facts = Vec::new();
    for asks in [true, false] {
        let key = stage.key(json!({}));
        let mut question = Stage::question();
        question["stream"] = json!(true);
        if asks {
            question["stream_options"] = json!({"include_usage": true});
        }
        let number = stage.send(0, &key, &question.to_string());
        stream(stage, number);
        let seen = stage.look(number, |exchange| exchange.client().text().contains("Hello "));
        facts.push(format!("{}, text seen: {seen}", stage.told(number)));
        facts.extend(stage.charges(&key));
    }
    facts
}

pub fn no_limit_of_its_own(stage: &Stage) -> Facts {
    let key = stage.key(json!({"default_max_output_tokens": 500}));
    let question = json!({"model": "gpt-4o-mini", "messages": []});
    let number = stage.send(0, &key, &question.to_string());
    let limit = stage.look(number, |exchange| exchange.forwarded().json()["max_tokens"].clone());
    stage.answer(number, (9, 2));
    let mut facts = vec![stage.told(number), format!("limit written: {limit}")];
    stage.settle();
    let records = stage.records(&key).into_iter();
    let reserved = records.map(|record| record["reserved_usd"].to_string());
    facts.extend(reserved.map(|usd| format!("reserved {usd}")));
    facts
}

pub fn alias(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let mut question = Stage::question();
    question["model"] = json!("fast");
    let number = stage.send(0, &key, &question.to_string());
    let model = stage.look(number, |exchange| exchange.forwarded().json()["model"].clone());
    stage.answer(number, (9, 2));
    vec![stage.told(number), format!("model forwarded: {model}")]
}

pub fn key_in_the_query(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let path = format!("/v1beta/models/gpt-4o-mini:generateContent?key={}", key.secret);
    let body =
        r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":64}}"#;
    let number = with_headers(stage, &path, &[], Some(body));
    vec![stage.told(number)]
}

pub fn alias_in_the_path(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let body =
        r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":64}}"#;
    let headers: &[(&str, &[u8])] = &[("x-goog-api-key", key.secret.as_bytes())];
    let number = with_headers(stage, "/v1beta/models/fast:generateContent", headers, Some(body));
    let forwarded = stage.look(number, |exchange| exchange.forwarded());
    let path = forwarded.header(":path").filter(|_| forwarded.complete).unwrap_or("none");
    vec![stage.told(number), format!("path forwarded: {path}")]
}

pub fn list_of_models(stage: &Stage) -> Facts {
    let key = stage.key(json!({"models": ["other"]}));
    let bearer = format!("Bearer {}", key.secret);
    let number = with_headers(stage, "/v1/models", &[("authorization", bearer.as_bytes())], None);
    let ids = stage.look(number, |exchange| {
        let list = exchange.client().json()["data"].clone();
        list.as_array().unwrap().iter().map(|model| model["id"].to_string()).collect::<String>()
    });
    vec![stage.told(number), ids]
}

pub fn calls_of_a_warm_key(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    for _ in 0..4 {
        stage.chat(0, &key);
    }
    let before = stage.gateway.host().calls_made();
    let facts = vec![stage.chat(0, &key), stage.chat(0, &key)];
    let made = stage.gateway.host().calls_made() - before;
    [facts, vec![format!("call-outs: {}", if made == 0 { "none" } else { "some" })]].concat()
}

pub fn many_keys_on_the_same_ids(stage: &Stage) -> Facts {
    let keys: Vec<MintedKey> = (0..3).map(|_| stage.key(json!({}))).collect();
    let nobody = key_with_secret("sk-tg-1111111111111111111111111111111111111111");
    let mut facts = Vec::new();
    for round in 0..3 {
        for key in &keys {
            facts.push(stage.chat(0, key));
        }
        // One that stays open while the others come and go.
        let open = stage.send(0, &keys[round], &Stage::question().to_string());
        facts.push(stage.chat(0, &nobody));
        facts.push(stage.chat(0, &keys[(round + 1) % 3]));
        stage.answer(open, (9, 2));
        facts.push(stage.told(open));
    }
    facts.dedup();
    stage.settle();
    facts.extend(keys.iter().map(|key| format!("{} records", stage.records(key).len())));
    facts
}

pub fn the_client_leaves(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    // While the key is asked for.
    stage.gateway.host().set_auto_settle(false);
    let waiting = stage.send(0, &key, &Stage::question().to_string());
    stage.look(waiting, |exchange| exchange.client_disconnect().unwrap());
    stage.gateway.host().settle().unwrap();
    stage.gateway.host().set_auto_settle(true);
    let mut facts = vec![format!("asking: {}", stage.told(waiting))];
    // With the request at the upstream.
    let sent = stage.send(0, &key, &Stage::question().to_string());
    stage.look(sent, |exchange| exchange.client_disconnect().unwrap());
    // In the middle of a stream.
    let mut question = Stage::question();
    question["stream"] = json!(true);
    let streamed = stage.send(0, &key, &question.to_string());
    stage.look(streamed, |exchange| {
        let head = [(":status", "200"), ("content-type", "text/event-stream")];
        exchange.respond_headers(head, false).unwrap();
        exchange.respond_body(delta("Hello"), false).unwrap();
        exchange.client_disconnect().unwrap();
    });
    facts.push(stage.chat(0, &key));
    facts.extend(stage.charges(&key));
    facts
}

pub fn the_upstream_fails(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let question = Stage::question().to_string();
    let error = stage.send(0, &key, &question);
    let said = r#"{"error":{"message":"overloaded"}}"#;
    stage.look(error, |exchange| {
        exchange.respond(500, &[("content-type", "application/json")], [said]).unwrap();
    });
    let refused = stage.send(0, &key, &question);
    stage.look(refused, |exchange| exchange.upstream_refused().unwrap());
    let cut = stage.send(0, &key, &question);
    stage.look(cut, |exchange| {
        let head = [(":status", "200"), ("content-type", "application/json")];
        exchange.respond_headers(head, false).unwrap();
        exchange.respond_body(r#"{"choices":"#, false).unwrap();
        exchange.upstream_reset().unwrap();
    });
    let mut facts = vec![stage.told(error)];
    let gateway_error = stage.look(refused, |e| e.status().is_some_and(|code| code >= 502));
    facts.push(format!("refused: gateway's own error: {gateway_error}"));
    facts.extend(stage.charges(&key));
    facts
}

pub fn the_server_fails(stage: &Stage) -> Facts {
    let garbage = CallReply::new(200, "<html>");
    let replies = [
        ("refused", Some(stage.refused_call())),
        ("reset", Some(CallReply::reset())),
        ("500", Some(CallReply::new(500, "oops"))),
        ("garbage", Some(garbage)),
        ("empty", Some(CallReply::new(200, ""))),
        ("404", Some(CallReply::json(404, &json!({"error": {"code": "x"}})))),
        ("silence", None),
    ];
    let key = stage.key(json!({}));
    let mut facts = Vec::new();
    for (what, reply) in replies {
        stage.server_says(reply);
        let number = stage.send(0, &key, &Stage::question().to_string());
        stage.gateway.advance_ms(6_000).unwrap();
        stage.look(number, |exchange| exchange.finish().unwrap());
        facts.push(format!("{what}: {}", stage.told(number)));
    }
    facts
}

pub fn the_server_goes_while_a_key_is_warm(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let limitless = stage.key(json!({}));
    let mut facts = vec![stage.chat(0, &key), stage.chat(0, &limitless)];
    stage.server_says(Some(stage.refused_call()));
    // Longer than any session lasts.
    stage.gateway.advance_ms(70_000).unwrap();
    let number = stage.send(0, &key, &Stage::question().to_string());
    stage.gateway.advance_ms(6_000).unwrap();
    facts.push(stage.told(number));
    facts
}

pub fn bytes_that_are_no_text(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let question = Stage::question().to_string();
    let mut facts = Vec::new();
    for name in ["authorization", "x-api-key", "content-type", "user-agent", "x-request-id"] {
        let number = with_headers(stage, CHAT, &[(name, b"\xff\xfe")], Some(&question));
        facts.push(format!("{name}: {}", stage.told(number)));
    }
    facts.push(stage.chat(0, &key));
    facts
}

pub fn headers_of_ours(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let bearer = format!("Bearer {}", key.secret);
    let question = Stage::question().to_string();
    let headers: &[(&str, &[u8])] = &[
        ("authorization", bearer.as_bytes()),
        ("x-tollgate-org", b"liar"),
        ("x-tollgate-anything", b"1"),
        ("x-kept", b"1"),
    ];
    let number = with_headers(stage, CHAT, headers, Some(&question));
    let forwarded = stage.look(number, |exchange| exchange.forwarded());
    stage.answer(number, (9, 2));
    let shown = |name: &str| format!("{name}: {}", forwarded.header(name).unwrap_or("none"));
    vec![
        shown("x-tollgate-org"),
        shown("x-tollgate-anything"),
        shown("x-tollgate-model"),
        shown("x-kept"),
        format!("key id told: {}", forwarded.header("x-tollgate-key-id") == Some(key.id.as_str())),
    ]
}

/// What some hosts do not show would go on as it came.
pub fn a_hundred_headers(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let bearer = format!("Bearer {}", key.secret);
    let question = Stage::question().to_string();
    let names: Vec<String> = (0..100).map(|at| format!("x-filling-{at}")).collect();
    let mut headers: Vec<(&str, &[u8])> = vec![("authorization", bearer.as_bytes())];
    headers.extend(names.iter().map(|name| (name.as_str(), b"1".as_slice())));
    headers.push(("x-tollgate-user", b"liar"));
    headers.push(("anthropic-beta", b"fast-mode-2026-02-01"));
    let number = with_headers(stage, CHAT, &headers, Some(&question));
    let forwarded = stage.look(number, |exchange| exchange.forwarded());
    stage.answer(number, (9, 2));
    let shown = |name: &str| format!("{name}: {}", forwarded.header(name).unwrap_or("none"));
    vec![stage.told(number), shown("x-tollgate-user"), shown("anthropic-beta")]
}

pub fn trailers(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let body = Stage::question().to_string();
    let trailers = HeaderMap::from_pairs([("x-sum", "1"), ("authorization", "Bearer secret")]);
    let script = stage.gateway.raw_chat(0, &key, [&body[..20], &body[20..]]).unwrap();
    let number = stage.keep(script.ending(MessageEnd::Trailers(trailers)).send().unwrap());
    stage.answer(number, (9, 2));
    vec![stage.told(number)]
}

pub fn bodies_in_pieces(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let body = Stage::question().to_string();
    let mut facts = Vec::new();
    for size in [1, 7, 1_000] {
        let script = stage.gateway.raw_chat(0, &key, body.as_bytes().chunks(size)).unwrap();
        let ending = MessageEnd::ExtraEmptyPiece;
        let number = stage.keep(script.ending(ending).send().unwrap());
        let model = stage.look(number, |exchange| exchange.forwarded().json()["model"].clone());
        stage.answer(number, (9, 2));
        facts.push(format!("{}, {model}", stage.told(number)));
    }
    facts.dedup();
    facts
}

pub fn a_quiet_hour(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let mut facts = vec![stage.chat(0, &key)];
    stage.gateway.advance_ms(3_600_000).unwrap();
    stage.gateway.sweep().unwrap();
    facts.push(stage.chat(0, &key));
    facts.push(stage.chat(0, &key));
    facts.extend(stage.charges(&key));
    facts
}

pub fn a_running_stream_of_a_revoked_key(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    let mut question = Stage::question();
    question["stream"] = json!(true);
    let number = stage.send(0, &key, &question.to_string());
    let head = [(":status", "200"), ("content-type", "text/event-stream")];
    stage.look(number, |exchange| {
        exchange.respond_headers(head, false).unwrap();
        exchange.respond_body(delta("Hello"), false).unwrap();
    });
    stage.gateway.advance_ms(1_000).unwrap();
    let path = format!("/admin/v1/keys/{}/revoke?wait=0", key.id);
    stage.gateway.administer("POST", &path, None).unwrap();
    stage.gateway.advance_ms(200).unwrap();
    stage.look(number, |exchange| exchange.respond_body(delta("secret"), false).unwrap());
    stage.gateway.advance_ms(2_000).unwrap();
    stage.look(number, |exchange| exchange.respond_body(delta("more"), true).unwrap());
    let (seen, cut) = stage.look(number, |exchange| {
        let client = exchange.client();
        (client.text().contains("secret"), client.reset)
    });
    stage.spent(9, 1);
    vec![format!("goes on: {seen}, cut: {cut}")]
}

pub fn a_trap_while_a_request_waits(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    stage.gateway.host().set_auto_settle(false);
    stage.may_die.set(true);
    let number = stage.send(0, &key, &Stage::question().to_string());
    // The first host call in the callback of the key's answer.
    stage.gateway.host().fault("clock_time_get", 0, 1, Effect::Trap);
    let trapped = stage.gateway.host().settle().is_err();
    stage.gateway.host().clear_faults();
    let reached = stage.look(number, |exchange| exchange.forwarded().complete);
    vec![format!("trapped: {trapped}, reached the upstream: {reached}")]
}

pub fn edits_that_are_refused(stage: &Stage) -> Facts {
    let key = stage.key(json!({}));
    stage.chat(0, &key);
    let mut facts = Vec::new();
    for call in ["proxy_remove_header_map_value", "proxy_replace_header_map_value"] {
        let refused = Effect::Return(Status::BadArgument);
        stage.gateway.host().fault(call, 0, u64::MAX, refused);
        let number = stage.send(0, &key, &Stage::question().to_string());
        stage.gateway.host().clear_faults();
        facts.push(format!("{call}: {}", stage.told(number)));
        stage.answer(number, (9, 2));
    }
    facts
}

pub fn a_key_in_shadow_mode(stage: &Stage) -> Facts {
    let limit = json!([{"unit": "requests", "window": "1h", "max": 2, "scope": "proxy"}]);
    let key =
        stage.key(json!({"limits": limit, "models": ["fast", "gpt-4o-mini"], "shadow": true}));
    let poor = stage.key(json!({"budget": {"usd": "0.00001", "period": "none"}, "shadow": true}));
    let question = Stage::question().to_string();
    let call = |key: &MintedKey, body: &str| {
        let number = stage.send(0, key, body);
        stage.answer(number, (9, 2));
        stage.told_in_shadow(number)
    };
    let other = question.replace("gpt-4o-mini", "other");
    let mut facts: Facts =
        [&question, &question, &question, &other].map(|body| call(&key, body)).to_vec();
    facts.push(call(&poor, &question));
    stage.settle();
    for key in [&key, &poor] {
        let records = stage.records(key);
        let shown = |record: &serde_json::Value| {
            format!("{} {}, {}", record["basis"], record["cost_usd"], record["would_refuse"])
        };
        facts.extend(records.iter().map(shown));
    }
    // Its end is heard of like any other change.
    let path = format!("/admin/v1/keys/{}?wait=0", key.id);
    stage.gateway.administer("PATCH", &path, Some(&json!({"shadow": false}))).unwrap();
    stage.gateway.advance_ms(SESSION_MS).unwrap();
    facts.push(call(&key, &question));
    facts
}
