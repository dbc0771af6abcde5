use wire::v1::{Catalogue, ModelSet, Price};
use wire::{CatalogueVersion, Epoch, ModelName, PicoUsdPerToken, Revision};

use super::*;
use crate::route::{OpenTo, PathPattern};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini];

fn name(text: &str) -> ModelName {
    ModelName::new(text).unwrap()
}

fn priced(text: &str, input: u64, output: u64) -> Model {
    let price = Price::text(PicoUsdPerToken(input), PicoUsdPerToken(output), None);
    let json = json!({
        "name": text, "context_length": 128_000, "max_output_tokens": 16_384,
        "created_unix_s": 1_709_210_096, "price": price,
    });
    serde_json::from_value(json).unwrap()
}

fn catalogue(models: Vec<Model>) -> Models {
    let (epoch, revision) = (Epoch(1), Revision(1));
    Models::new(Catalogue { epoch, revision, version: CatalogueVersion(1), models })
}

/// Models `m00`, `m01`, … in an order that is not theirs.
fn many(count: usize) -> Models {
    let mut models: Vec<Model> =
        (0..count).map(|number| priced(&format!("m{number:02}"), 5, 6)).collect();
    models.reverse();
    catalogue(models)
}

fn key(models: ModelSet) -> KeyPolicy {
    let json = json!({
        "key": "key_1", "org": "acme", "state": "active", "models": models, "limits": [],
        "budgeted": false,
    });
    serde_json::from_value(json).unwrap()
}

fn body(reply: Result<Reply, Refusal>) -> Value {
    serde_json::from_slice(&reply.unwrap().body).unwrap()
}

fn page(dialect: Dialect, models: &Models, query: &str) -> Value {
    body(list(dialect, (models, &[]), &key(ModelSet::All), query.as_bytes(), "req_1"))
}

/// First and last name of a page, how many it has, and whether there are more.
fn anthropic(models: &Models, query: &str) -> (String, String, usize, bool) {
    let page = page(Dialect::Anthropic, models, query);
    let data = page["data"].as_array().unwrap();
    let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
    assert_eq!(page["first_id"], id(data.first()));
    assert_eq!(page["last_id"], id(data.last()));
    let text = |id: &Value| id.as_str().unwrap_or_default().to_owned();
    let has_more = page["has_more"].as_bool().unwrap();
    (text(&page["first_id"]), text(&page["last_id"]), data.len(), has_more)
}

#[test]
fn one_model_in_each_form() {
    let mut model = priced("gpt-4o-mini", 150_000, 600_000);
    model.aliases = vec![name("fast")];
    let models = catalogue(vec![model]);
    let key = key(ModelSet::All);
    for (dialect, header, form) in [
        (
            Dialect::OpenAi,
            "x-request-id",
            json!({
                "id": "gpt-4o-mini", "object": "model", "created": 1_709_210_096,
                "owned_by": "tollgate", "context_length": 128_000, "max_output_tokens": 16_384,
                "aliases": ["fast"], "capabilities": ["text"],
            }),
        ),
        (
            Dialect::Anthropic,
            "request-id",
            json!({
                "type": "model", "id": "gpt-4o-mini", "display_name": "gpt-4o-mini",
                "created_at": "2024-02-29T12:34:56Z", "lifecycle": "active", "line": null,
                "max_input_tokens": 128_000, "max_tokens": 16_384, "deprecated_at": null,
                "retires_at": null, "capabilities": null,
            }),
        ),
        (
            Dialect::Gemini,
            "x-request-id",
            json!({
                "name": "models/gpt-4o-mini", "baseModelId": "gpt-4o-mini",
                "displayName": "gpt-4o-mini", "inputTokenLimit": 128_000,
                "outputTokenLimit": 16_384,
                "supportedGenerationMethods":
                    ["generateContent", "streamGenerateContent", "countTokens"],
            }),
        ),
    ] {
        for asked in ["gpt-4o-mini", "fast"] {
            let reply = one(dialect, (&models, &[]), &key, asked, "req_1").unwrap();
            assert_eq!(reply.status, 200);
            assert!(reply.headers.contains(&(header, "req_1".to_owned())));
            assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), form);
        }
        let whole = match dialect {
            Dialect::OpenAi => json!({"object": "list", "data": [form]}),
            Dialect::Anthropic => json!({
                "data": [form], "has_more": false, "first_id": "gpt-4o-mini",
                "last_id": "gpt-4o-mini",
            }),
            Dialect::Gemini => json!({"models": [form]}),
        };
        assert_eq!(page(dialect, &models, ""), whole);
    }
}

#[test]
fn only_what_the_key_may_call_is_there() {
    let mut gone = priced("gone", 1, 1);
    gone.retired = true;
    let mut unpriced = priced("unpriced", 1, 1);
    unpriced.price = None;
    let models = catalogue(vec![priced("a", 1, 1), priced("b", 1, 1), gone, unpriced]);
    for dialect in DIALECTS {
        let of = |reply: &Value| {
            let list = if dialect == Dialect::Gemini { &reply["models"] } else { &reply["data"] };
            list.as_array().unwrap().len()
        };
        let only = key(ModelSet::Only(vec![name("a"), name("gone")]));
        assert_eq!(of(&page(dialect, &models, "")), 2);
        assert_eq!(of(&body(list(dialect, (&models, &[]), &only, b"", "r"))), 1);
        let none = key(ModelSet::Only(Vec::new()));
        assert_eq!(of(&body(list(dialect, (&models, &[]), &none, b"", "r"))), 0);
        for absent in ["b", "gone", "unpriced", "never"] {
            let refused = one(dialect, (&models, &[]), &only, absent, "r");
            assert_eq!(refused, Err(Refusal::NoSuchModel(absent.to_owned())));
        }
        let mut without = key(ModelSet::All);
        without.org_has_no_models = true;
        assert_eq!(
            list(dialect, (&models, &[]), &without, b"limit=x", "r"),
            Err(Refusal::NoModels)
        );
        assert_eq!(one(dialect, (&models, &[]), &without, "a", "r"), Err(Refusal::NoModels));
    }
}

#[test]
fn a_model_that_is_not_there_is_a_404_of_the_api() {
    let refused =
        one(Dialect::Anthropic, (&many(1), &[]), &key(ModelSet::All), "x", "r").unwrap_err();
    for (dialect, kind, member) in [
        (Dialect::OpenAi, "invalid_request_error", "type"),
        (Dialect::Anthropic, "not_found_error", "type"),
        (Dialect::Gemini, "NOT_FOUND", "status"),
    ] {
        let reply = refused.reply(dialect, "r");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status, body["error"][member].as_str()), (404, Some(kind)));
    }
}

#[test]
fn pages_of_anthropic() {
    let models = many(50);
    let at =
        |first: &str, last: &str, count, more| (first.to_owned(), last.to_owned(), count, more);
    for (query, expected) in [
        ("", at("m00", "m19", 20, true)),
        ("limit=1", at("m00", "m00", 1, true)),
        ("limit=49", at("m00", "m48", 49, true)),
        ("limit=50", at("m00", "m49", 50, false)),
        ("limit=1000&beta=true", at("m00", "m49", 50, false)),
        ("after_id=m19", at("m20", "m39", 20, true)),
        ("after_id=m39", at("m40", "m49", 10, false)),
        ("after_id=m49", at("", "", 0, false)),
        // The place counts, not whether a model stands there.
        ("after_id=m19x&limit=2", at("m20", "m21", 2, true)),
        ("after_id=%6D19&limit=2", at("m20", "m21", 2, true)),
        ("before_id=m20", at("m00", "m19", 20, false)),
        ("before_id=m20&limit=5", at("m15", "m19", 5, true)),
        ("before_id=m00", at("", "", 0, false)),
        ("before_id=z&limit=3", at("m47", "m49", 3, true)),
    ] {
        assert_eq!(anthropic(&models, query), expected, "{query}");
    }
}

/// Every name, page by page.
fn all_pages(models: &Models, size: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = page(Dialect::Gemini, models, &format!("pageSize={size}&pageToken={token}"));
        let list = page["models"].as_array().unwrap();
        assert!(list.len() <= size.max(1));
        names.extend(list.iter().map(|model| model["baseModelId"].as_str().unwrap().to_owned()));
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return names,
        }
    }
}

#[test]
fn pages_of_gemini() {
    let models = many(60);
    let whole: Vec<String> = (0..60).map(|number| format!("m{number:02}")).collect();
    for size in [1, 7, 20, 59, 60, 61] {
        assert_eq!(all_pages(&models, size), whole, "{size}");
    }
    for (query, count, more) in [
        ("", 50, true),
        ("pageSize=0", 50, true),
        ("pageSize=&pageToken=", 50, true),
        ("pageSize=5000&key=x&alt=json", 60, false),
        ("pageSize=99999999999999999999999", 60, false),
        ("pageToken=m58", 1, false),
        ("pageToken=m59", 0, false),
    ] {
        let page = page(Dialect::Gemini, &models, query);
        assert_eq!(page["models"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(page.get("nextPageToken").is_some(), more, "{query}");
    }
}

#[test]
fn anthropics_pages_lead_through_the_list_in_both_directions() {
    let models = many(23);
    let forth: Vec<_> = std::iter::successors(Some(anthropic(&models, "limit=5")), |page| {
        page.3.then(|| anthropic(&models, &format!("limit=5&after_id={}", page.1)))
    })
    .map(|page| (page.0, page.2))
    .collect();
    let starts = ["m00", "m05", "m10", "m15", "m20"].map(str::to_owned);
    let sizes = [5, 5, 5, 5, 3];
    assert_eq!(forth, starts.into_iter().zip(sizes).collect::<Vec<_>>());
    let back = std::iter::successors(Some(anthropic(&models, "limit=9&before_id=zz")), |page| {
        page.3.then(|| anthropic(&models, &format!("limit=9&before_id={}", page.0)))
    });
    assert_eq!(back.map(|page| page.2).collect::<Vec<_>>(), [9, 9, 5]);
}

#[test]
fn bad_values_are_refused_in_the_form_of_the_api() {
    let models = many(3);
    for (dialect, query, param) in [
        (Dialect::Anthropic, "limit=0", "limit"),
        (Dialect::Anthropic, "limit=1001", "limit"),
        (Dialect::Anthropic, "limit=-1", "limit"),
        (Dialect::Anthropic, "limit=", "limit"),
        (Dialect::Anthropic, "limit=1.5", "limit"),
        (Dialect::Anthropic, "limit=%31%", "limit"),
        (Dialect::Anthropic, "limit=1&limit=2", "limit"),
        (Dialect::Anthropic, "limit=99999999999999999999999", "limit"),
        (Dialect::Anthropic, "after_id=", "after_id"),
        (Dialect::Anthropic, "after_id=%ff", "after_id"),
        (Dialect::Anthropic, "before_id=a%20b", "before_id"),
        (Dialect::Anthropic, "before_id=a&after_id=b", "before_id"),
        (Dialect::Gemini, "pageSize=-1", "pageSize"),
        (Dialect::Gemini, "pageSize=ten", "pageSize"),
        (Dialect::Gemini, "pageSize=%C3%BC", "pageSize"),
        (Dialect::Gemini, "pageToken=a&pageToken=b", "pageToken"),
        (Dialect::Gemini, "pageToken=%00", "pageToken"),
    ] {
        let refused = list(dialect, (&models, &[]), &key(ModelSet::All), query.as_bytes(), "r");
        let refusal = refused.expect_err(query);
        assert_eq!(refusal.code(), "invalid_value", "{query}");
        let reply = refusal.reply(dialect, "r");
        assert_eq!(reply.status, 400);
        let error: Value = serde_json::from_slice(&reply.body).unwrap();
        let said = match dialect {
            Dialect::Anthropic => &error["error"]["details"]["param"],
            _ => &error["error"]["details"][0]["metadata"]["param"],
        };
        assert_eq!(said, param, "{query}");
    }
    // OpenAI's list has no pages: what stands there is not looked at.
    assert_eq!(page(Dialect::OpenAi, &models, "limit=x")["data"].as_array().unwrap().len(), 3);
}

#[test]
fn the_price_of_a_path_is_no_model() {
    let path = |model| ListedPath {
        method: "POST".to_owned(),
        path: PathPattern::read("/v1/jobs").unwrap(),
        model: name(model),
        keys: OpenTo::Any,
    };
    let models = catalogue(vec![priced("free", 0, 0), priced("jobs", 0, 0), priced("m", 1, 0)]);
    let (paths, all) = ([path("jobs"), path("m"), path("unknown")], key(ModelSet::All));
    let list = body(list(Dialect::OpenAi, (&models, &paths), &all, b"", "r"));
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(names, ["free", "m"]);
    let missing = one(Dialect::OpenAi, (&models, &paths), &all, "jobs", "r").unwrap_err();
    assert_eq!(missing, Refusal::NoSuchModel("jobs".to_owned()));
    assert!(one(Dialect::OpenAi, (&models, &[]), &all, "jobs", "r").is_ok());
}

#[test]
fn a_model_of_vectors_is_shown_as_one() {
    let models = catalogue(vec![priced("e", 20_000, 0), priced("f", 0, 0), priced("g", 0, 5)]);
    let of = |name: &str| {
        let model = body(one(Dialect::Gemini, (&models, &[]), &key(ModelSet::All), name, "r"));
        let methods = model["supportedGenerationMethods"].as_array().unwrap().clone();
        (methods.contains(&json!("generateContent")), methods.contains(&json!("embedContent")))
    };
    assert_eq!(of("e"), (false, true));
    assert_eq!(of("f"), (true, true));
    assert_eq!(of("g"), (true, false));
}

#[test]
fn openais_list_says_what_the_catalogue_knows_of_a_model() {
    let mut able = priced("a", 1, 1);
    able.reasoning = true;
    able.image_tokens = Some(1_600);
    able.audio_tokens = Some(9_000);
    able.document_tokens = Some(100_000);
    able.supported_parameters = Some(vec!["tools".to_owned(), "temperature".to_owned()]);
    if let Some(price) = &mut able.price {
        price.per_server_tool_call = Some(wire::NanoUsd(10_000_000));
    }
    let models = catalogue(vec![able, priced("e", 20_000, 0), priced("f", 0, 0)]);
    let of =
        |dialect, name: &str| body(one(dialect, (&models, &[]), &key(ModelSet::All), name, "r"));
    let able = of(Dialect::OpenAi, "a");
    assert_eq!(
        able["capabilities"],
        json!([
            "text",
            "reasoning",
            "image_input",
            "audio_input",
            "document_input",
            "server_tools"
        ])
    );
    assert_eq!(able["supported_parameters"], json!(["tools", "temperature"]));
    assert_eq!(of(Dialect::OpenAi, "e")["capabilities"], json!(["embeddings"]));
    assert_eq!(of(Dialect::OpenAi, "f")["capabilities"], json!(["text", "embeddings"]));
    assert!(of(Dialect::OpenAi, "e").get("supported_parameters").is_none());
    assert_eq!(of(Dialect::Gemini, "a")["thinking"], json!(true));
    assert!(of(Dialect::Gemini, "e").get("thinking").is_none());
}

#[test]
fn a_name_that_has_geminis_prefix_keeps_it_once() {
    let models = catalogue(vec![priced("models/gemini-2.5-pro", 1, 1)]);
    let shown = page(Dialect::Gemini, &models, "");
    assert_eq!(shown["models"][0]["name"], "models/gemini-2.5-pro");
    assert_eq!(shown["models"][0]["baseModelId"], "gemini-2.5-pro");
}

#[test]
fn privatemind_shows_flags_that_hold_and_parameters_of_what_chats() {
    let mut able = priced("a", 1, 1);
    able.image_tokens = Some(1_600);
    let takes = ["temperature", "tools", "response_format", "reasoning_effort"];
    able.supported_parameters = Some(takes.map(str::to_owned).into());
    able.aliases = vec![name("reasoning")];
    let models = catalogue(vec![able, priced("plain", 1, 1), priced("e", 20_000, 0)]);
    let voice = Voice { dialect: Dialect::OpenAi, profile: crate::profile::Profile::PrivateMind };
    let of = |name: &str| body(one(voice, (&models, &[]), &key(ModelSet::All), name, "r"));
    assert_eq!(
        of("a"),
        json!({
            "id": "a", "object": "model", "owned_by": "privatemind", "context_length": 128_000,
            "model_type": "chat", "aliases": ["reasoning"],
            "capabilities": {"tools": true, "response_format": true, "reasoning_effort": true,
                "image_input": true},
            "supported_parameters": ["temperature", "tools", "response_format",
                "reasoning_effort", "max_tokens", "stream"],
        })
    );
    let plain = of("plain");
    assert_eq!(plain["capabilities"], json!({}), "absence is false");
    assert_eq!(plain["supported_parameters"].as_array().unwrap().len(), 9);
    let vectors = of("e");
    assert_eq!(vectors["model_type"], "embedding");
    assert_eq!(vectors["supported_parameters"], json!([]));
}
