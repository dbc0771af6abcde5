//! Texts that mean something to SQL, to a browser, a spreadsheet or a terminal: in every parameter of every
//! query, in paths, and in every member of every body. They are data everywhere.

use policy_server::http::document;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::people::{Person, ask, person};
use crate::world::{Key, World, exchange, record};

/// What breaks out of a statement, of a pattern, or of a buffer.
pub fn hostile() -> Vec<String> {
    [
        "' OR 1=1 --",
        "\" OR \"\"=\"",
        "x'; DROP TABLE keys; --",
        "') UNION SELECT digest FROM digests --",
        "%",
        "_",
        "%_%",
        "\\",
        "\\%",
        "*",
        "[a-z]*",
        "NEAR(a b)",
        "\" AND NOT \"",
        "\0",
        "a\0b",
        "\u{feff}",
        "\u{fffd}",
        "９９",
        "../../etc/passwd",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "-1",
        "1e999",
        "NaN",
        "9223372036854775808",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["x".repeat(577), "x".repeat(70_000)])
    .collect()
}

/// For a URL: what has no meaning there stays as it is.
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'-' | b'_' | b'.' => all.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => all.push(byte.into()),
            byte => all.push_str(&format!("%{byte:02x}")),
        }
        all
    })
}

/// A world with some of everything, so that a condition that is too wide finds something.
pub async fn full() -> (World, Key, Person) {
    let world = World::with_org(Some("5.00")).await;
    let ada = person(&world, "acme", "ada", "org_owner").await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let key = world.key(json!({"name": "plain", "team": "search", "user": "ada"})).await;
    let calls = (1..=3).map(|sequence| record(&key, None, sequence, 10)).collect();
    world.report(&world.holder(1).await, vec![], calls).await;
    (world, key, ada)
}

/// A path of the document, with ids of what is there.
fn filled(path: &str, key: &Key) -> String {
    let path = path.strip_prefix("/admin/v1/").unwrap();
    let path = path.replace("{org}", "acme").replace("{team}", "search").replace("{user}", "ada");
    path.replace("keys/{id}", &format!("keys/{}", key.id)).replace("{request}", "req-1")
}

/// Routes of the document with a method, each with what the document says of it.
pub fn operations(methods: &[&str]) -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(document()).unwrap();
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if methods.contains(&method.as_str()) && path.starts_with("/admin/") {
                all.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    all
}

/// What must be as it was, whatever was sent: the tables themselves.
fn tables(world: &World) -> (String, String) {
    let tables: Connection = world.tables();
    let one = |sql: &str| tables.query_row(sql, [], |row| row.get(0)).unwrap();
    let schema = one("SELECT group_concat(name || coalesce(sql, ''), x'0a') FROM sqlite_master");
    (schema, one("PRAGMA integrity_check"))
}

#[tokio::test]
async fn no_parameter_of_a_query_is_anything_but_a_value() {
    let (world, key, ada) = full().await;
    let before = tables(&world);
    let (mut asked, mut found_nothing) = (0, 0);
    for (method, path, operation) in operations(&["get"]) {
        let path = filled(&path, &key);
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] != "query" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            for text in hostile().iter().filter(|text| text.len() < 1_000) {
                let path = format!("{path}?{name}={}", escaped(text));
                let own = path.starts_with("me");
                let token = if own { &ada.token } else { &world.admin_token };
                let (status, answer) = ask(&world, token, &method, &path, Value::Null).await;
                assert!([200, 400, 404].contains(&status), "{path}: {status} {answer}");
                for found in answer["data"].as_array().into_iter().flatten() {
                    // A cursor is a place between items, wherever that is.
                    let has = name == "cursor" || found.to_string().contains(text.as_str());
                    assert!(has, "{path}: {text:?} finds what does not have it: {found}");
                }
                asked += 1;
                found_nothing += usize::from(status == 200);
            }
        }
    }
    assert!(asked > 1_000 && found_nothing > 100, "{asked} {found_nothing}");
    assert_eq!(tables(&world), before);
}

#[tokio::test]
async fn a_search_finds_wildcards_as_the_characters_that_they_are() {
    let world = World::with_org(None).await;
    let names = ["100% of it", "a_b", "axb", "c:\\temp", "it's", "say \"no\"", "a*b"];
    for name in names {
        world.key(json!({"name": name})).await;
    }
    for text in ["0% of", "a_b", "c:\\t", "it's", "say \"no", "a*b", "%", "\\", "*"] {
        let path = format!("keys?search={}", escaped(text));
        let page = world.admin_ok("GET", &path, Value::Null).await;
        let found: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
        let expected: Vec<_> = names.iter().filter(|name| name.contains(text)).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[tokio::test]
async fn no_part_of_a_path_is_anything_but_a_name() {
    let (world, ..) = full().await;
    let before = tables(&world);
    for (method, path, _) in operations(&["get", "delete"]) {
        if !path.contains('{') {
            continue;
        }
        for text in hostile().iter().filter(|text| text.len() < 1_000) {
            let names: Vec<_> = path.split('/').skip(3).collect();
            let part = |name: &&str| match name.starts_with('{') {
                true => escaped(text),
                false => (*name).to_owned(),
            };
            let path = names.iter().map(part).collect::<Vec<_>>().join("/");
            let (status, answer) = world.admin(&method, &path, Value::Null).await;
            assert!(
                [400, 403, 404].contains(&status.as_u16()),
                "{method} {path}: {status} {answer}"
            );
        }
    }
    assert_eq!(tables(&world), before);
}

/// The members of an object that the document describes, through its references.
fn members(schema: &Value, document: &Value) -> Vec<String> {
    let schema = match schema["$ref"].as_str() {
        Some(at) => document.pointer(at.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let named = schema["properties"].as_object().into_iter().flatten();
    let within = ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|kind| schema[kind].as_array());
    let within = within.flatten().flat_map(|part| members(part, document));
    named.map(|(name, _)| name.clone()).chain(within).collect()
}

#[tokio::test]
async fn no_member_of_a_body_is_anything_but_a_value() {
    let (world, key, ada) = full().await;
    let before = tables(&world);
    let whole: Value = serde_json::from_str(document()).unwrap();
    let mut sent = 0;
    for (method, path, operation) in operations(&["post", "put", "patch"]) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        for name in members(schema, &whole) {
            for text in ["x'; DROP TABLE keys; -- %_\\", "\0"] {
                // Beside what most forms ask for.
                let mut body = json!({"org": "acme", "name": "n", "usd": "1", "id": "x"});
                body[&name] = json!(text);
                let path = filled(&path, &key).replace("{id}", "some");
                let token = if path.starts_with("me") { &ada.token } else { &world.admin_token };
                let (status, answer) = ask(&world, token, &method, &path, body).await;
                assert!(status < 500, "{method} {path} {name}: {status} {answer}");
                sent += 1;
            }
        }
    }
    assert!(sent > 300, "{sent}");
    assert_eq!(tables(&world), before);
    world.check_ledger();
}

const MARKUP: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=cmd|'/C calc'!A0",
    "Robert'); DROP TABLE keys;--",
];

#[tokio::test]
async fn names_are_shown_as_they_were_written_and_only_as_json() {
    let world = World::with_org(None).await;
    for text in MARKUP {
        let key = world.key(json!({"name": text, "tags": ["t"], "description": text})).await;
        let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
        assert_eq!((&shown["name"], &shown["description"]), (&json!(text), &json!(text)));
        world.admin_ok("PUT", "orgs/acme", json!({"name": text})).await;
        assert_eq!(world.admin_ok("GET", "orgs/acme", Value::Null).await["name"], text);
    }
}

/// What a terminal or a page would obey, and what turns a name round, is in none.
#[tokio::test]
async fn names_hold_only_what_is_seen() {
    let world = World::with_org(None).await;
    for unseen in
        ["\0", "\u{1b}[2J", "\u{7f}", "\u{9b}", "\u{202e}nimda", "a\u{2066}b", "a\u{2029}b", "a\rb"]
    {
        for body in [
            json!({"org": "acme", "name": unseen}),
            json!({"org": "acme", "tags": [unseen]}),
            json!({"org": "acme", "description": unseen}),
            json!({"org": "acme", "notes": format!("x{}", unseen.replace('\r', "\0"))}),
        ] {
            let error = world.admin_refused("POST", "keys", body, 400).await;
            assert_eq!(error["code"], "invalid_field", "{unseen:?}");
        }
        world.admin_refused("PUT", "orgs/acme", json!({"name": unseen}), 400).await;
        let query = format!("keys?search={}", escaped(unseen));
        world.admin_refused("GET", &query, Value::Null, 400).await;
    }
    // Alphabets that are written from right to left need none of them.
    world.key(json!({"name": "مفتاح البحث", "description": "שורה ועוד"})).await;
}

#[tokio::test]
async fn no_cell_of_an_exported_table_is_a_formula() {
    let world = World::with_org(None).await;
    // Names of models and ids of requests may hold whatever can be seen; filters report both.
    let key = world.key(json!({})).await;
    for (index, model) in
        ["=1+1", "+cmd|'/C'!A0", "-2+3", "@SUM(1)", "\"=1"].into_iter().enumerate()
    {
        let mut call = record(&key, None, index as u64 + 1, 10);
        call.request = wire::RequestId::new(format!("={index}")).unwrap();
        call.model = wire::ModelName::new(model).unwrap();
        call.metadata = serde_json::from_value(json!({"=1": "=2", "x": "\",=3"})).unwrap();
        world.report(&world.holder(1).await, vec![], vec![call]).await;
    }
    let request = axum::http::Request::builder()
        .uri("/admin/v1/requests/export")
        .header("authorization", format!("Bearer {}", world.admin_token))
        .body(axum::body::Body::empty())
        .unwrap();
    let (status, headers, bytes) = exchange(&world.app.admin, request).await;
    assert_eq!(status.as_u16(), 200);
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment"), "a browser saves it: {disposition}");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let mut cells = 0;
    for line in reader.records() {
        for cell in line.unwrap().iter().filter(|cell| !cell.is_empty()) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
            cells += usize::from(cell.starts_with('\''));
        }
    }
    assert_eq!(cells, 9, "five requests and four models are neutralised");
}
