//! The API's own document, and every exchange of every test of the admin API held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use jsonschema::Validator;
use policy_server::http::{document, needs};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{World, send};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(document()).expect("the document is JSON"));

/// An answer of the admin API.
struct Answered<'a> {
    method: &'a str,
    /// Path and query.
    target: &'a str,
    /// What was asked with.
    body: &'a [u8],
    status: StatusCode,
    headers: &'a HeaderMap,
    answer: &'a [u8],
}

/// One exchange; with the admin API it must be as the API's document says.
pub async fn exchange(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await.unwrap();
    let (method, target) = (parts.method.clone(), parts.uri.to_string());
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap();
    if target.starts_with("/admin/") {
        check(&Answered {
            method: method.as_str(),
            target: &target,
            body: &body,
            status,
            headers: &headers,
            answer: &answer,
        });
    }
    (status, headers, answer)
}

/// Holds an exchange against the document.
#[track_caller]
fn check(answered: &Answered<'_>) {
    let Answered { method, target, status, .. } = answered;
    if let Err(problem) = conforms(answered) {
        let answer = String::from_utf8_lossy(answered.answer);
        panic!("{method} {target}, {status}: {problem}; answered {answer}");
    }
}

fn conforms(answered: &Answered<'_>) -> Result<(), String> {
    let Answered { method, target, body, status, headers, answer } = answered;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let Some(operation) = operation(method, path) else {
        // The document has no such route: there must be none.
        let unknown = matches!(status.as_u16(), 401 | 404 | 405 | 429);
        return if unknown { Ok(()) } else { Err("is not in the document".to_owned()) };
    };
    let listed = &operation["responses"][status.as_str()];
    if listed.is_null() {
        return Err("the document does not list this status".to_owned());
    }
    let listed = resolved(listed);
    for (name, header) in listed["headers"].as_object().into_iter().flatten() {
        if header["required"] == true && !headers.contains_key(name.as_str()) {
            return Err(format!("has no header {name}"));
        }
    }
    let schema = &listed["content"][kind]["schema"];
    if schema.is_null() {
        return Err(format!("the document does not list '{kind}'"));
    }
    if kind == "application/json" {
        let value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        valid(schema, &value).map_err(|problem| format!("its answer: {problem}"))?;
    }
    // What was accepted must be what the document says can be.
    if status.is_success() {
        let body_schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_empty() && !body_schema.is_null() {
            let value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            valid(body_schema, &value).map_err(|problem| format!("its body: {problem}"))?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameter(operation, name, value)?;
        }
    }
    Ok(())
}

/// Holds a parameter against what the document says of it.
fn parameter(operation: &'static Value, name: &str, value: &str) -> Result<(), String> {
    let parameters = operation["parameters"].as_array().expect("a list");
    let found = parameters.iter().find(|known| known["name"] == name && known["in"] == "query");
    let Some(found) = found else {
        return Err(format!("the document does not know the parameter {name}"));
    };
    let typed = match found["schema"]["type"].as_str() {
        Some("integer") => value.parse().map(|number: u64| json!(number)).unwrap_or(json!(value)),
        Some("boolean") => value.parse().map(|flag: bool| json!(flag)).unwrap_or(json!(value)),
        _ => json!(unescaped(value)),
    };
    valid(&found["schema"], &typed).map_err(|problem| format!("parameter {name}: {problem}"))
}

/// What a value in a query stands for.
fn unescaped(value: &str) -> String {
    let value = value.replace('+', " ");
    let mut bytes = Vec::with_capacity(value.len());
    let mut parts = value.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let digits = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (digits, part.get(2..)) {
            (Some(byte), Some(rest)) => {
                bytes.push(byte);
                bytes.extend(rest.bytes());
            }
            _ => bytes.extend(format!("%{part}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The operation of a method and a path without query.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object()?;
    let given: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        parts.len() == given.len()
            && parts.iter().zip(&given).all(|(part, given)| part.starts_with('{') || part == given)
    };
    // Words come before parameters, as in the router.
    let exact = paths.get(path);
    let found = exact.or_else(|| {
        paths.iter().find(|(template, _)| fits(template)).map(|(_, operations)| operations)
    })?;
    found.get(method.to_ascii_lowercase())
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(place.trim_start_matches('#')).expect("it is there"),
        None => value,
    }
}

fn valid(schema: &'static Value, value: &Value) -> Result<(), String> {
    let problems: Vec<_> = validator(schema)
        .iter_errors(value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join(", ")) }
}

/// Made once for each schema of the document, of which each has a place of its own.
fn validator(schema: &'static Value) -> Arc<Validator> {
    static MADE: Mutex<BTreeMap<usize, Arc<Validator>>> = Mutex::new(BTreeMap::new());
    let place = std::ptr::from_ref(schema).addr();
    let mut made = MADE.lock().unwrap();
    Arc::clone(made.entry(place).or_insert_with(|| Arc::new(new_validator(schema))))
}

fn new_validator(schema: &Value) -> Validator {
    // References begin at the document.
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&whole)
        .expect("it is a schema")
}

/// Every operation with its method and path.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().expect("an object").iter();
    paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("an object").iter();
        operations.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

#[test]
fn every_route_is_in_the_document_and_says_what_it_answers() {
    let mut listed = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let name = format!("{} {path}", method.to_ascii_uppercase());
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name} answers nothing");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
        listed.insert(name);
    }
    let routes = needs().into_iter().map(|need| format!("{} {}", need.method, need.path));
    let open = ["GET /healthz", "GET /openapi.json"].map(str::to_owned);
    assert_eq!(listed, routes.chain(open).collect());
}

#[test]
fn everything_that_is_read_has_a_schema_that_says_something() {
    let says_nothing = |schema: &Value| schema.as_object().is_none_or(serde_json::Map::is_empty);
    for (method, path, operation) in operations() {
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(!says_nothing(&parameter["schema"]), "{method} {path} {parameter}");
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if body.is_null() {
            continue;
        }
        assert_eq!(body["additionalProperties"], false, "{method} {path}");
        let fields = body["properties"].as_object().unwrap();
        assert!(!fields.is_empty(), "{method} {path}");
        for (field, schema) in fields {
            assert!(!says_nothing(schema), "{method} {path} {field}");
        }
    }
}

#[test]
fn every_list_takes_a_bounded_limit_and_a_cursor() {
    let mut lists = 0;
    for (method, path, operation) in operations() {
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let schema = match schema["$ref"].as_str() {
            Some(_) => resolved(schema),
            None => schema,
        };
        if schema["properties"]["data"].is_null() {
            continue;
        }
        let parameters = operation["parameters"].as_array().unwrap();
        let of = |name: &str| parameters.iter().find(|known| known["name"] == name);
        let limit = of("limit").unwrap_or_else(|| panic!("{method} {path} has no limit"));
        assert_eq!(limit["schema"]["maximum"], 200, "{method} {path}");
        assert!(of("cursor").is_some(), "{method} {path} has no cursor");
        lists += 1;
    }
    assert!(lists > 15, "{lists} lists");
}

#[tokio::test]
async fn the_document_is_served_without_a_token() {
    let world = World::new();
    let (status, served) = send(&world.app.admin, "GET", "/openapi.json", None, "").await;
    assert_eq!((status, &served), (StatusCode::OK, &*DOCUMENT));
    assert_eq!(served["openapi"], "3.1.0");
    // Forms are described by the code that reads them, with their bounds.
    let body = |path: &str, method: &str| {
        let operation = &served["paths"][path][method];
        operation["requestBody"]["content"]["application/json"]["schema"]["properties"].clone()
    };
    let key = body("/admin/v1/keys", "post");
    assert_eq!(
        key["default_max_output_tokens"],
        json!({"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000_000})
    );
    let unit = &key["limits"]["items"]["properties"]["unit"];
    assert_eq!(unit["enum"], json!(["requests", "tokens", "concurrent"]));
    assert_eq!(key["limits"]["items"]["required"], json!(["unit", "max"]));
}

#[test]
fn an_exchange_that_the_document_does_not_know_is_found() {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    let shown = |answer: &'static str, status: u16| Answered {
        method: "GET",
        target: "/admin/v1/settings",
        body: b"",
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        answer: answer.as_bytes(),
    };
    assert_eq!(conforms(&shown(r#"{"audit_retention_days": 7}"#, 200)), Ok(()));
    for (answer, status) in [
        (r#"{"audit_retention_days": "7"}"#, 200),
        (r#"{"audit_retention_days": 7, "more": 1}"#, 200),
        ("{}", 200),
        (r#"{"audit_retention_days": 7}"#, 202),
        (r#"{"error": {"message": "", "type": "", "param": null, "code": "x"}}"#, 403),
    ] {
        assert!(conforms(&shown(answer, status)).is_err(), "{answer}");
    }
    let asked = Answered {
        method: "POST",
        target: "/admin/v1/keys?wait=1",
        body: br#"{"org": "acme", "colour": "red"}"#,
        ..shown("{}", 201)
    };
    assert!(conforms(&asked).is_err());
}

/// The text of every source file of the server that can refuse an administrator something.
fn sources() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.join("app"), root.join("http"), root.join("entitlement")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "openapi.rs") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

#[test]
fn every_code_that_the_server_gives_is_in_the_document_and_no_other() {
    let listed = DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"].as_array().unwrap();
    let listed: BTreeSet<_> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    let sources = sources();
    for code in &listed {
        let quoted = format!("\"{code}\"");
        assert!(sources.iter().any(|text| text.contains(&quoted)), "nothing is {code}");
    }
    let givers =
        ["conflict(", "forbidden(", "with_code(", ".refuse(", "AdminError::field(", "code: \""];
    let is_word = |text: &&str| {
        text.contains('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let mut given = 0;
    for text in &sources {
        for giver in givers {
            for (at, _) in text.match_indices(giver) {
                // The arguments, as far as they may reach; quoted texts are every second part.
                let call: String = text[at..].chars().take(160).collect();
                let call = call.split(';').next().unwrap_or_default();
                let words: Vec<_> = call.split('"').skip(1).step_by(2).filter(is_word).collect();
                assert!(
                    words.is_empty() || words.iter().any(|word| listed.contains(word)),
                    "the document has no code for {call}"
                );
                given += usize::from(!words.is_empty());
            }
        }
    }
    assert!(given > 40, "{given}");
}
