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
        keys: OpenTo::Any,
    }
}

#[test]
fn the_configuration_opens_other_paths() {
    let list = [listed("POST", "/v1/audio/speech"), listed("GET", "/v1/files*")];
    let of = |method: &str, path: &str| {
        let route = Route::of(method.as_bytes(), path.as_bytes(), Hints::default(), &list);
        matches!(route, Ok(Route { target: Target::Listed { .. }, .. }))
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
    let list = ["POST", "GET", "PUT"].map(|method| listed(method, "/*"));
    for (method, path, expected) in [
        ("POST", "/v1beta/models/g:GenerateContent", false),
        ("POST", "/v1beta/models/g:generatecontent/", false),
        ("POST", "/V1BETA/models/g:generateContent", false),
        ("POST", "/v1beta/Models/g:streamGENERATEContent", false),
        ("POST", "/v1beta/models/g%3AgenerateContent", false),
        ("POST", "/v1beta/models/g:generate%43ontent", false),
        ("POST", "/v1beta/models%2Fg:generateContent", false),
        ("POST", "/v1beta/tunedModels/g:generateContent", false),
        ("POST", "/v1/projects/p/locations/l/publishers/google/models/g:embedContent", false),
        // The shipped proxy takes these mounts away.
        ("POST", "/gemini/v1/chat/completions", false),
        ("POST", "/anthropic/v1/Chat/completions", false),
        ("POST", "/other/v1/messages", false),
        ("PUT", "/other/v1/responses", false),
        ("POST", "/v1/engines/e/embeddings", false),
        ("POST", "/v1beta/models/g:predict", true),
        ("POST", "/v1/audio/speech", true),
        ("GET", "/other/v1/responses", true),
        ("POST", "/v1/chat/completions/", false),
        ("POST", "/v1/Chat/Completions", false),
        ("POST", "/v1/chat//completions", false),
        ("GET", "/v1/models/", false),
        ("GET", "/v1/chat/completions", true),
        ("POST", "/v1/moderations", true),
    ] {
        let route = Route::of(method.as_bytes(), path.as_bytes(), Hints::default(), &list);
        let is_open = matches!(route, Ok(Route { target: Target::Listed { .. }, .. }));
        assert_eq!(is_open, expected, "{path}");
    }
}

#[test]
fn an_entry_for_one_path_opens_what_a_pattern_does_not() {
    let tuned = "/v1beta/tunedModels/t:generateContent";
    for (entry, path, expected) in [
        (tuned, tuned, true),
        ("/own/v1/messages", "/own/v1/messages", true),
        ("/v1beta/tunedModels/*", tuned, false),
        ("/v1/Messages", "/v1/Messages", false),
    ] {
        let list = [listed("POST", entry)];
        let route = Route::of(b"POST", path.as_bytes(), Hints::default(), &list);
        let is_open = matches!(route, Ok(Route { target: Target::Listed { .. }, .. }));
        assert_eq!(is_open, expected, "{path}");
    }
}

/// Envoy leaves `%2F` as it is, since names of models have slashes. It must not be a slash to us
/// anywhere else: a server that decodes it would serve another path than the one that was checked.
#[test]
fn an_encoded_slash_is_part_of_a_model_or_of_no_path_that_is_served() {
    let open = ["POST", "GET"].map(|method| listed(method, "/*"));
    let paths = [
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/meta/llama",
        "/v1/messages/count_tokens",
        "/openai/deployments/meta/chat/completions",
        "/gemini/v1beta/models/meta:generateContent",
        "/anthropic/v1/messages",
        "/v1/audio/speech",
        "/",
    ];
    let mut served = Vec::new();
    for (method, path) in ["POST", "GET"].iter().flat_map(|method| paths.map(|path| (method, path)))
    {
        for (at, _) in path.match_indices('/') {
            for slash in ["%2F", "%2f", "%5C", "%5c", "%2F..%2F", "%252F"] {
                let variant = format!("{}{slash}{}", &path[..at], &path[at + 1..]);
                if Route::of(method.as_bytes(), variant.as_bytes(), GOOGLE, &open).is_ok() {
                    served.push(variant);
                }
            }
        }
    }
    assert_eq!(served, ["/v1/models/meta%2Fllama", "/v1/models/meta%2fllama"]);
    let model = found("GET", &served[0], Hints::default());
    let target = Target::Model("meta/llama".to_owned());
    assert_eq!(model, Ok(Route { dialect: Dialect::OpenAi, target }));
}

#[test]
fn no_model_is_named_by_a_path_that_leads_elsewhere() {
    for name in ["a%2F..%2Fb", "..%2F..%2Ffiles", "a%2F%2Fb", "%2Fa", "a%2F", "a%2F.%2Fb", "%2E%2E"]
    {
        for path in [
            format!("/openai/deployments/{name}/chat/completions"),
            format!("/v1beta/models/{name}:generateContent"),
        ] {
            assert_eq!(operation(&path), None, "{path}");
        }
        assert!(found("GET", &format!("/v1/models/{name}"), Hints::default()).is_err(), "{name}");
    }
}

#[test]
fn patterns_are_plain_paths() {
    for bad in ["", "v1/files", "/v1/*/x", "/v1/%2f", "/v1//x", "/v1/../x", "/v1/x?y", "*"] {
        assert_eq!(PathPattern::read(bad), None, "{bad}");
    }
}
