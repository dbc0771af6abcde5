//! A key is exchanged for a user key: what the client sends, and what it is answered.

use metering::request::Problem;
use metering::window::Full;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use wire::KeyDigest;
use wire::v1::{
    ExchangeAnswer, KeyPolicy, Level, Limit, Scope, Subject, Unit, UserKeyForm, Window,
};

use crate::instant::rfc3339;
use crate::io::Reply;
use crate::message;
use crate::profile::{Profile, Voice};
use crate::refusal::Refusal;

/// The longest body of such a request: room for the longest key. It is held before anything is known
/// of who sends it.
pub(crate) const LONGEST_BODY: usize = 4_096;

/// Of a request whose head names no key: nothing that can be sent has this digest.
pub(crate) const NO_KEY: KeyDigest = KeyDigest([0; 32]);

/// The body as far as it is read.
#[derive(Deserialize)]
struct Sent {
    api_key: Option<String>,
}

/// The key that a body names; none where it is empty or names none.
///
/// # Errors
/// When it is no JSON object, or names more than one.
pub(crate) fn key_in(body: &[u8]) -> Result<Option<String>, Problem> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok(None);
    }
    if !body.starts_with(b"{") {
        return Err(Problem::NotAnObject);
    }
    match message::read::<Sent>(body) {
        Ok(sent) => Ok(sent.api_key),
        Err(_) if message::read::<IgnoredAny>(body).is_ok() => {
            Err(Problem::Invalid { field: API_KEY, expected: "one string" })
        }
        Err(_) => Err(Problem::NotAnObject),
    }
}

const API_KEY: &str = "api_key";

/// Body and head name different keys.
pub(crate) fn other_key() -> Problem {
    Problem::Invalid { field: API_KEY, expected: "absent, or the key that the header names" }
}

/// How user keys look.
pub(crate) fn form(profile: Profile) -> UserKeyForm {
    match profile {
        Profile::PrivateMind => UserKeyForm::PrivateMind,
        Profile::Native | Profile::MindProxy | Profile::DeltaLlm => UserKeyForm::Tollgate,
    }
}

/// The answer to the client.
///
/// # Errors
/// Where the server gives no user key.
pub(crate) fn reply(
    answer: &ExchangeAnswer,
    policy: &KeyPolicy,
    voice: Voice,
    request_id: &str,
) -> Result<Reply, Refusal> {
    match answer {
        ExchangeAnswer::KeyNotUsable => Err(Refusal::UnknownKey),
        ExchangeAnswer::TooMany { most, retry_after_ms } => {
            Err(too_many(policy, *most, *retry_after_ms))
        }
        ExchangeAnswer::UserKey { secret, expires_at_unix_ms } => {
            let body = format!(
                r#"{{"success":true,"user_key":{},"expires_at":"{}"}}"#,
                json!(secret.expose()),
                rfc3339(expires_at_unix_ms / 1_000)
            );
            let mut reply = Reply::json_text(voice, body, request_id);
            reply.headers.push(("cache-control", "no-store".to_owned()));
            Ok(reply)
        }
    }
}

/// The server's own limit, told like any other.
fn too_many(policy: &KeyPolicy, most: u64, retry_after_ms: u64) -> Refusal {
    let (unit, window) = (Unit::Requests, Some(Window::Hour));
    let id = policy.key.as_str().to_owned();
    let subject = Subject { level: Level::Key, id, model: None };
    Refusal::Window {
        limit: Box::new(Limit { unit, window, max: most, scope: Scope::Cluster, subject }),
        full: Full { unit, window, needs: 1, room: 0, wait_ms: Some(retry_after_ms) },
    }
}

#[cfg(test)]
mod tests {
    use wire::v1::UserKeySecret;

    use super::*;

    #[test]
    fn a_body_names_a_key_or_none() {
        for (body, key) in [
            ("", None),
            (" \r\n", None),
            ("{}", None),
            (r#"{"api_key":null}"#, None),
            (r#"{"other":[{"api_key":"no"}]}"#, None),
            (r#" {"other":1,"api_key":"sk-\u0041"} "#, Some("sk-A")),
        ] {
            assert_eq!(key_in(body.as_bytes()), Ok(key.map(str::to_owned)), "{body}");
        }
    }

    #[test]
    fn request_and_answer_are_those_of_the_documentation() {
        let page = include_str!("../../docs/apis.md");
        let section = page.split("## User keys").nth(1).unwrap();
        let example = section.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
        let (request, expected) = example.split_once("\n\n").unwrap();
        assert_eq!(key_in(request.as_bytes()), Ok(Some("sk-tg-…".to_owned())));
        let policy = json!({
            "key": "key_1", "org": "acme", "state": "active", "models": "all", "budgeted": false,
        });
        let policy: KeyPolicy = serde_json::from_value(policy).unwrap();
        let secret = UserKeySecret::new("tgu_…".to_owned());
        let made = ExchangeAnswer::UserKey { secret, expires_at_unix_ms: 1_795_179_600_999 };
        let reply = reply(&made, &policy, Voice::default(), "req_1").unwrap();
        let without_spaces = expected.replace(": ", ":").replace(", ", ",");
        assert_eq!(String::from_utf8(reply.body).unwrap(), without_spaces.trim_end());
    }

    #[test]
    fn what_is_no_such_body_is_refused() {
        for (body, code) in [
            ("{", "invalid_json"),
            ("[\"sk-x\"]", "invalid_json"),
            ("null", "invalid_json"),
            ("{\"api_key\":\"\u{1}\"}", "invalid_json"),
            ("{} {}", "invalid_json"),
            (r#"{"api_key":7}"#, "invalid_value"),
            (r#"{"api_key":"a","api_key":"a"}"#, "invalid_value"),
        ] {
            assert_eq!(key_in(body.as_bytes()).map_err(|why| why.code()), Err(code), "{body}");
        }
        assert_eq!(key_in(b"{\"api_key\":\"\xff\"}"), Err(Problem::NotAnObject));
    }
}
