use std::fmt::Debug;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::v1;

use super::*;

/// What stands in the place of a member or an element.
fn others() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(7),
        json!(u64::MAX),
        json!(-1),
        json!(70_000),
        json!(1.5),
        json!(1e30),
        json!(""),
        json!("active"),
        json!("\"\\ü\u{1F600}\n"),
        json!([]),
        json!([1, "a"]),
        json!({}),
        json!({"known": null}),
        json!({"granted": {}, "refused": {}}),
    ]
}

/// Every value within a document, by where it stands.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| places(item, &format!("{here}/{index}"), found)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, member)| places(member, &format!("{here}/{name}"), found)),
        _ => {}
    }
}

/// The document without the member, and with another member before it.
fn without_and_with_more(document: &Value, place: &str) -> Vec<Value> {
    let Some((above, name)) = place.rsplit_once('/') else { return Vec::new() };
    let (mut without, mut with) = (document.clone(), document.clone());
    let Some(Value::Object(members)) = without.pointer_mut(above) else { return Vec::new() };
    members.remove(name);
    let members = with.pointer_mut(above).unwrap().as_object_mut().unwrap();
    members.insert("a_member_of_later".to_owned(), json!({"deep": [[1.25, {"x": "\\"}]]}));
    vec![without, with]
}

fn agrees<T: DeserializeOwned + PartialEq + Debug>(text: &str) -> bool {
    let expected = serde_json::from_str::<T>(text).ok();
    assert_eq!(read::<T>(text.as_bytes()).ok(), expected, "{text}");
    expected.is_some()
}

/// serde_json reads the same from a frozen message and from everything that comes of it when one value
/// is another, is gone, or has a neighbour that nobody knows.
fn as_serde_json<T: DeserializeOwned + PartialEq + Debug>(file: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/golden").join(file);
    let text = std::fs::read_to_string(&golden).unwrap();
    assert!(agrees::<T>(&text), "{file}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    places(&document, "", &mut found);
    let (mut read, mut refused) = (0, 0);
    for place in found {
        let replaced = others().into_iter().map(|other| {
            let mut changed = document.clone();
            *changed.pointer_mut(&place).unwrap() = other;
            changed
        });
        for changed in replaced.chain(without_and_with_more(&document, &place)) {
            if agrees::<T>(&changed.to_string()) { read += 1 } else { refused += 1 }
        }
    }
    assert!(read > 0 && refused > 0, "{file}: {read} read, {refused} refused");
}

#[test]
fn every_answer_of_the_server_is_read_as_serde_json_reads_it() {
    as_serde_json::<v1::RegisterReply>("register_reply.json");
    as_serde_json::<v1::Catalogue>("catalogue.json");
    as_serde_json::<v1::Problem>("problem.json");
    as_serde_json::<v1::ReportReply>("report_reply.json");
    for file in ["granted", "revoked_key", "unknown_key"] {
        as_serde_json::<v1::AdmitReply>(&format!("admit_reply_{file}.json"));
    }
    for file in ["changes_reply.json", "changes_reply_below.json", "changes_reply_heartbeat.json"] {
        as_serde_json::<v1::ChangesReply>(file);
    }
    for file in ["exchange_reply", "exchange_reply_key_not_usable", "exchange_reply_too_many"] {
        as_serde_json::<v1::ExchangeReply>(&format!("{file}.json"));
    }
    for file in [
        "call_too_expensive",
        "contended",
        "exceeded",
        "key_not_usable",
        "scarce",
        "unknown_price",
        "window_full",
    ] {
        as_serde_json::<v1::LeaseReply>(&format!("lease_reply_{file}.json"));
    }
    for file in ["usage_reply", "usage_reply_end", "usage_reply_unknown_key"] {
        as_serde_json::<v1::UsageReply>(&format!("{file}.json"));
    }
    for file in ["plan_policy", "restricted_policy", "shadow_policy", "user_key_policy"] {
        as_serde_json::<v1::KeyPolicy>(&format!("{file}.json"));
    }
}

#[test]
fn what_is_no_document_is_no_message() {
    for text in
        ["", "{", "{}{}", "{\"error\":{\"code\":\"a\",\"message\":\"b\"}} x", "[", "\u{feff}{}"]
    {
        assert_eq!(read::<v1::Problem>(text.as_bytes()), Err(Unreadable), "{text}");
    }
    assert_eq!(read::<String>(b"\"\xff\""), Err(Unreadable));
    assert_eq!(read::<String>(b"\"a\xc3\xbc\\u00fc\"").as_deref(), Ok("aüü"));
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(read::<serde::de::IgnoredAny>(deep.as_bytes()).err(), Some(Unreadable));
}

#[test]
fn a_known_member_that_stands_there_twice_is_refused() {
    let twice = br#"{"code":"a","message":"b","code":"c"}"#;
    assert_eq!(read::<v1::ProblemBody>(twice), Err(Unreadable));
}

#[test]
fn a_zero_with_a_sign_is_no_whole_number() {
    for (text, expected) in [("-0", None), ("0", Some(0)), ("-7", Some(-7)), ("7", Some(7))] {
        assert_eq!(read::<i64>(text.as_bytes()).ok(), expected, "{text}");
        assert_eq!(serde_json::from_str::<i64>(text).ok(), expected, "{text}");
    }
    let price = r#"{"input":1,"output":2,"cached_input":-0}"#;
    assert!(!agrees::<v1::Price>(price), "{price}");
}
