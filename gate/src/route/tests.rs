use super::*;

const GOOGLE: Hints =
    Hints { has_google_key: true, has_anthropic_version: false, wants_websocket: false };
const ANTHROPIC: Hints =
    Hints { has_google_key: false, has_anthropic_version: true, wants_websocket: false };

fn found(method: &str, path: &str, hints: Hints) -> Result<Route, Dialect> {
    Route::of(method.as_bytes(), path.as_bytes(), hints, &[])
}

fn operation(path: &str) -> Option<(Dialect, Operation, Option<String>)> {
    match found("POST", path, Hints::default()).ok()? {
        Route { dialect, target: Target::Call { operation, path_model } } => {
            Some((dialect, operation, path_model.map(|model| model.name)))
        }
        _ => None,
    }
}

#[test]
fn every_operation_has_its_paths() {
    use Dialect::{Anthropic, Gemini, OpenAi};
    use Operation as O;
    for (path, dialect, expected, model) in [
        ("/v1/chat/completions", OpenAi, O::Chat, None),
        ("/v1/chat/completions?x=1", OpenAi, O::Chat, None),
        ("/v1/completions", OpenAi, O::Completions, None),
        ("/v1/responses", OpenAi, O::Responses, None),
        ("/v1/responses?beta=true", OpenAi, O::Responses, None),
        ("/v1/embeddings", OpenAi, O::Embeddings, None),
        ("/openai/v1/chat/completions", OpenAi, O::Chat, None),
        ("/openai/v1/responses", OpenAi, O::Responses, None),
        ("/openai/responses?api-version=2025-04-01-preview", OpenAi, O::Responses, None),
        ("/api/v1/chat/completions", OpenAi, O::Chat, None),
        ("/api/v1/responses", OpenAi, O::Responses, None),
        ("/api/v1/messages", Anthropic, O::Messages, None),
        ("/v1beta/openai/chat/completions", OpenAi, O::Chat, None),
        ("/v1beta/openai/embeddings", OpenAi, O::Embeddings, None),
        ("/gemini/v1beta/openai/chat/completions", OpenAi, O::Chat, None),
        (
            "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
            OpenAi,
            O::Chat,
            Some("my-gpt"),
        ),
        ("/openai/deployments/my-gpt/completions", OpenAi, O::Completions, Some("my-gpt")),
        ("/openai/deployments/a%2Fb/embeddings", OpenAi, O::Embeddings, Some("a/b")),
        ("/v1/messages", Anthropic, O::Messages, None),
        ("/v1/messages?beta=true", Anthropic, O::Messages, None),
        ("/anthropic/v1/messages", Anthropic, O::Messages, None),
        ("/v1/messages/count_tokens", Anthropic, O::CountMessageTokens, None),
        ("/v1beta/models/g-2.5:generateContent", Gemini, O::GenerateContent, Some("g-2.5")),
        ("/v1/models/g:generateContent", Gemini, O::GenerateContent, Some("g")),
        ("/gemini/v1/models/g:generateContent", Gemini, O::GenerateContent, Some("g")),
        (
            "/v1beta/models/g:streamGenerateContent?alt=sse",
            Gemini,
            O::StreamGenerateContent,
            Some("g"),
        ),
        ("/v1beta/models/g:embedContent", Gemini, O::EmbedContent, Some("g")),
        ("/v1beta/models/g:batchEmbedContents", Gemini, O::BatchEmbedContents, Some("g")),
        ("/v1beta/models/g:countTokens", Gemini, O::CountTokens, Some("g")),
        ("/v1beta/models/a:b:countTokens", Gemini, O::CountTokens, Some("a:b")),
    ] {
        let expected = Some((dialect, expected, model.map(str::to_owned)));
        assert_eq!(operation(path), expected, "{path}");
    }
}

#[test]
fn model_lists_answer_in_the_dialect_that_asks() {
    for (path, hints, dialect, target) in [
        ("/v1/models", Hints::default(), Dialect::OpenAi, Target::Models),
        ("/v1/usage?limit=5", Hints::default(), Dialect::OpenAi, Target::Usage),
        ("/v1/usage", ANTHROPIC, Dialect::OpenAi, Target::Usage),
        ("/v1/models", ANTHROPIC, Dialect::Anthropic, Target::Models),
        ("/v1/models", GOOGLE, Dialect::Gemini, Target::Models),
        ("/v1/models/a", GOOGLE, Dialect::Gemini, Target::Model("a".to_owned())),
        ("/v1beta/models?pageSize=5", GOOGLE, Dialect::Gemini, Target::Models),
        ("/v1beta/models", Hints::default(), Dialect::Gemini, Target::Models),
        ("/v1beta/openai/models", GOOGLE, Dialect::OpenAi, Target::Models),
        ("/openai/models", Hints::default(), Dialect::OpenAi, Target::Models),
        ("/api/v1/models", Hints::default(), Dialect::OpenAi, Target::Models),
        ("/anthropic/v1/models", Hints::default(), Dialect::Anthropic, Target::Models),
        ("/gemini/v1/models", Hints::default(), Dialect::Gemini, Target::Models),
        ("/v1/models/a/b:c", Hints::default(), Dialect::OpenAi, Target::Model("a/b:c".to_owned())),
        ("/v1/models/a%2fb", ANTHROPIC, Dialect::Anthropic, Target::Model("a/b".to_owned())),
    ] {
        assert_eq!(found("GET", path, hints), Ok(Route { dialect, target }), "{path}");
    }
}

const NOT_SERVED: [(&str, &str); 36] = [
    ("GET", "/v1/chat/completions"),
    ("post", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions/"),
    ("POST", "//v1/chat/completions"),
    ("POST", "/v1//chat/completions"),
    ("POST", "/v1/Chat/completions"),
    ("POST", "/v1/chat%2fcompletions"),
    ("POST", "/v1/chat/completions;x"),
    ("POST", "/v1/chat/completions#x"),
    ("POST", "/v1/models"),
    ("GET", "/v1/models/"),
    ("GET", "/v1/models/a%2"),
    ("GET", "/v1/models/a%20b"),
    ("DELETE", "/v1/models/a"),
    ("POST", "/v1/files"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/compact"),
    ("GET", "/v1/chat/completions/chatcmpl-1"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/moderations"),
    ("GET", "/v1/realtime"),
    ("POST", "/v1/messages/batches"),
    ("POST", "/v1/complete"),
    ("POST", "/v1beta/interactions"),
    ("POST", "/v1beta/cachedContents"),
    ("POST", "/v1beta/models/g:batchGenerateContent"),
    ("POST", "/v1beta/models/:generateContent"),
    ("POST", "/v1beta/tunedModels/t:generateContent"),
    ("POST", "/gemini/v1/chat/completions"),
    ("POST", "/anthropic/v1/chat/completions"),
    ("POST", "/openai/deployments//chat/completions"),
    ("", ""),
    ("GET", "/"),
];

#[test]
fn only_exact_paths_are_served() {
    for (method, path) in NOT_SERVED {
        assert!(found(method, path, Hints::default()).is_err(), "{method} {path}");
    }
    assert!(Route::of(b"GET", b"\xff", Hints::default(), &[]).is_err());
}

#[test]
fn a_websocket_is_not_served_anywhere() {
    let hints = Hints { wants_websocket: true, ..Hints::default() };
    for path in ["/v1/realtime", "/v1/responses", "/v1/chat/completions", "/v1/models"] {
        for method in ["GET", "POST", "CONNECT"] {
            assert!(found(method, path, hints).is_err(), "{method} {path}");
        }
    }
}

#[test]
fn what_is_not_served_is_refused_in_the_likely_dialect() {
    for (path, hints, dialect) in [
        ("/v1/files", Hints::default(), Dialect::OpenAi),
        ("/v1/files", ANTHROPIC, Dialect::Anthropic),
        ("/v1/files", GOOGLE, Dialect::Gemini),
        ("/v1/messages/batches", Hints::default(), Dialect::Anthropic),
        ("/anthropic/x", Hints::default(), Dialect::Anthropic),
        ("/v1beta/cachedContents", Hints::default(), Dialect::Gemini),
        ("/gemini/x", Hints::default(), Dialect::Gemini),
        ("/v1beta/openai/files", GOOGLE, Dialect::OpenAi),
        ("/v1/models/g:batchGenerateContent", Hints::default(), Dialect::Gemini),
    ] {
        assert_eq!(found("POST", path, hints), Err(dialect), "{path}");
    }
}

#[test]
fn another_model_takes_its_place_in_the_path() {
    for (path, expected) in [
        (
            "/gemini/v1beta/models/fast:streamGenerateContent?alt=sse",
            "/gemini/v1beta/models/g%2F2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            "/openai/deployments/f%61st/chat/completions?api-version=1",
            "/openai/deployments/g%2F2.5-pro/chat/completions?api-version=1",
        ),
    ] {
        let Ok(Route { target: Target::Call { path_model: Some(model), .. }, .. }) =
            found("POST", path, Hints::default())
        else {
            panic!("{path}");
        };
        assert_eq!(model.name, "fast");
        assert_eq!(model.replaced(path.as_bytes(), "g/2.5-pro"), expected);
    }
}

fn listed(method: &str, path: &str) -> ListedPath {
    ListedPath {
        method: method.to_owned(),
        path: PathPattern::read(path).unwrap(),
        model: ModelName::new("per-call").unwrap(),
    }
}

#[test]
fn the_configuration_opens_other_paths() {
    let list = [listed("POST", "/v1/audio/speech"), listed("GET", "/v1/files*")];
    let of = |method: &str, path: &str| {
        let route = Route::of(method.as_bytes(), path.as_bytes(), Hints::default(), &list);
        matches!(route, Ok(Route { target: Target::Listed(_), .. }))
    };
    assert!(of("POST", "/v1/audio/speech"));
    assert!(of("POST", "/v1/audio/speech?x=1"));
    assert!(of("GET", "/v1/files"));
    assert!(of("GET", "/v1/files/file-1/content"));
    for (method, path) in [
        ("GET", "/v1/audio/speech"),
        ("POST", "/v1/audio/speech/"),
        ("POST", "/v1/audio"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files/../chat/completions"),
        ("GET", "/v1/files/..%2fchat"),
        ("GET", "/v1/files//x"),
    ] {
        assert!(!of(method, path), "{method} {path}");
    }
}

#[test]
fn a_pattern_opens_no_other_spelling_of_a_path_that_has_its_own_price() {
    let list = [listed("POST", "/*"), listed("GET", "/*")];
    for (method, path, expected) in [
        ("POST", "/v1/chat/completions/", false),
        ("POST", "/v1/Chat/Completions", false),
        ("POST", "/v1/chat//completions", false),
        ("GET", "/v1/models/", false),
        ("GET", "/v1/chat/completions", true),
        ("POST", "/v1/moderations", true),
    ] {
        let route = Route::of(method.as_bytes(), path.as_bytes(), Hints::default(), &list);
        let is_open = matches!(route, Ok(Route { target: Target::Listed(_), .. }));
        assert_eq!(is_open, expected, "{path}");
    }
}

#[test]
fn patterns_are_plain_paths() {
    for bad in ["", "v1/files", "/v1/*/x", "/v1/%2f", "/v1//x", "/v1/../x", "/v1/x?y", "*"] {
        assert_eq!(PathPattern::read(bad), None, "{bad}");
    }
}
