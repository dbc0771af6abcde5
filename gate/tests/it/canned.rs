//! What clients, the policy server and the upstream send in random sequences.

use gate::Headers;

/// When keys expire that do.
pub(super) const EXPIRES_UNIX_MS: u64 = 30_000;

pub(super) const BODIES: [&str; 6] = [
    r#"{"model":"m"}"#,
    r#"{"model":"m","max_tokens":9,"stream":true}"#,
    r#"{"model":"alias","n":2}"#,
    r#"{"model":"other"}"#,
    "{",
    "",
];
pub(super) const HEADS: [(&str, &str); 4] = [
    ("200", "application/json"),
    ("200", "text/event-stream"),
    ("500", "application/json"),
    ("2\u{fffd}0", "text/html"),
];
pub(super) const DATA: [&str; 5] = [
    r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
    "data: {\"cho",
    "",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":5000}}\n\n",
];

/// An answer that mostly fits the call, now and then not.
pub(super) fn answer(path: &str, kind: u8) -> (Option<u16>, String) {
    let limits = r#"[{"unit":"requests","window":"1m","max":3,"scope":"proxy","subject":{"level":"key","id":"k"}},{"unit":"tokens","window":"1m","max":90000,"scope":"proxy","subject":{"level":"org","id":"o"}}]"#;
    let expires = match kind {
        8 => format!(r#","expires_at_unix_ms":{EXPIRES_UNIX_MS}"#),
        _ => String::new(),
    };
    let policy = |state: &str| {
        format!(
            r#"{{"known":{{"key":"k","org":"o","state":"{state}"{expires},"models":"all","limits":{limits},"budgeted":true}}}}"#
        )
    };
    let grant = r#"{"granted":{"lease":"l","n":1,"amount":50000,"output_tokens":300}}"#;
    let refused = r#"{"refused":{"reason":"key_not_usable"}}"#;
    match kind {
        0 => return (None, String::new()),
        1 => return (Some(503), "upstream connect error".to_owned()),
        2 => return (Some(409), r#"{"error":{"code":"unknown_holder","message":""}}"#.to_owned()),
        3 => return (Some(200), "{}".to_owned()),
        _ => {}
    }
    let body = if path.contains("holders") {
        let epoch = if kind == 4 { 8 } else { 7 };
        format!(
            r#"{{"holder":"h","epoch":{epoch},"revision":1,"session_ttl_ms":60000,"catalogue_version":1}}"#
        )
    } else if path.contains("catalogue") {
        r#"{"epoch":7,"revision":1,"version":1,"models":[{"name":"m","aliases":["alias"],"price":{"input":1000,"output":2000},"context_length":9000,"max_output_tokens":900}]}"#.to_owned()
    } else if path.contains("admit") {
        let (key, lease) = match kind {
            4 => ("\"unknown\"".to_owned(), "\"not_needed\""),
            5 => (policy("revoked"), "\"not_needed\""),
            6 => (policy("active"), refused),
            7 => (policy("active"), "\"not_needed\""),
            _ => (policy("active"), grant),
        };
        format!(r#"{{"epoch":7,"revision":1,"key":{key},"lease":{lease}}}"#)
    } else if path.contains("leases") {
        let lease = if kind == 4 { refused } else { grant };
        format!(r#"{{"epoch":7,"revision":1,"answer":{lease}}}"#)
    } else if path.contains("changes") {
        let changes = match kind {
            4 => r#"[{"what":"all_keys"}]"#,
            5 => r#"[{"what":"key","key":"k","digests":[],"state":"revoked"}]"#,
            6 => r#"[{"what":"key","key":"k","digests":[],"state":"disabled"}]"#,
            7 => r#"[{"what":"key","key":"k","digests":[],"state":"active","user_keys":true}]"#,
            8 => r#"[{"what":"below","level":"org","owner":"o"}]"#,
            _ => "[]",
        };
        format!(r#"{{"epoch":7,"revision":1,"changes":{changes}}}"#)
    } else if path.contains("exchange") {
        let answer = match kind {
            4 => r#""key_not_usable""#,
            5 => r#"{"too_many":{"most":60,"retry_after_ms":1}}"#,
            _ => r#"{"user_key":{"secret":"tgu_x","expires_at_unix_ms":1}}"#,
        };
        format!(r#"{{"epoch":7,"revision":1,"answer":{answer}}}"#)
    } else {
        r#"{"epoch":7,"revision":1}"#.to_owned()
    };
    (Some(200), body)
}

pub(super) const ARRAY_BODY: &[u8] =
    br#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":20}}"#;

pub(super) fn array_request() -> Headers {
    let mut headers = request(1, false);
    headers[1].1 = b"/v1beta/models/m:streamGenerateContent".to_vec();
    headers
}

/// The last key is only exchanged, or asked about; calls of the one before are one that is sent again.
pub(super) fn request(key: u8, get: bool) -> Headers {
    let (method, path) = match (key, get) {
        (_, true) => ("GET", "/v1/models"),
        (3, false) => ("POST", "/v1/auth/exchange"),
        (_, false) => ("POST", "/v1/chat/completions"),
    };
    let mut headers = vec![
        (b":method".to_vec(), method.as_bytes().to_vec()),
        (b":path".to_vec(), path.as_bytes().to_vec()),
    ];
    if key > 0 {
        let value = format!("Bearer sk-0123456789-0123456789-{key}");
        headers.push((b"authorization".to_vec(), value.into_bytes()));
    }
    if key == 2 && !get {
        headers.push((b"idempotency-key".to_vec(), b"again".to_vec()));
    }
    headers
}
