//! What a key has used, answered for the key itself. The policy server finds the calls; here the
//! client's question is passed on and the answer is written in the form that clients read.

use serde_json::{Value, json};
use wire::v1::{UsageAnswer, UsageParameter, UsedCall};

use crate::instant::rfc3339;
use crate::io::{Reply, json_text};
use crate::model_list::query::parameter;
use crate::profile::Voice;
use crate::refusal::Refusal;

/// The longest value of a parameter that is passed on: an instant with fractions and zone, or an id.
const LONGEST_VALUE: usize = 64;

const FROM: (&str, &str) = ("from", "a date such as 2026-11-20, or an instant of RFC 3339");
const TO: (&str, &str) = ("to", FROM.1);
const LIMIT: (&str, &str) = ("limit", "a number from 1 to 1000");
const CURSOR: (&str, &str) = ("cursor", "the `next_cursor` of the page before");

/// What the client asks for, as it wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) limit: Option<String>,
    pub(crate) cursor: Option<String>,
}

impl Query {
    /// Reads the parameters behind a path's question mark.
    ///
    /// # Errors
    /// When one of them is there twice, or cannot be a date, number or cursor.
    pub(crate) fn read(query: &[u8]) -> Result<Self, Refusal> {
        let text = |(name, expected)| match parameter(query, name, expected)? {
            None => Ok(None),
            Some(value) => {
                let is_plain =
                    value.len() <= LONGEST_VALUE && value.iter().all(u8::is_ascii_graphic);
                match String::from_utf8(value).ok().filter(|_| is_plain) {
                    Some(value) => Ok(Some(value)),
                    None => Err(Refusal::QueryParameter { name, expected }),
                }
            }
        };
        Ok(Self { from: text(FROM)?, to: text(TO)?, limit: text(LIMIT)?, cursor: text(CURSOR)? })
    }
}

/// The answer to the client.
///
/// # Errors
/// Where the server found a parameter that it cannot understand, or no such key.
pub(crate) fn reply(
    answer: &UsageAnswer,
    voice: Voice,
    request_id: &str,
) -> Result<Reply, Refusal> {
    let page = match answer {
        UsageAnswer::UnknownKey => return Err(Refusal::UnknownKey),
        UsageAnswer::BadParameter(parameter) => {
            let (name, expected) = match parameter {
                UsageParameter::From => FROM,
                UsageParameter::To => TO,
                UsageParameter::Limit => LIMIT,
                UsageParameter::Cursor => CURSOR,
            };
            return Err(Refusal::QueryParameter { name, expected });
        }
        UsageAnswer::Page(page) => page,
    };
    let calls: Vec<String> = page.calls.iter().map(shown).collect();
    let cursor = json!(page.next_cursor);
    let data = calls.join(",");
    let body = format!(r#"{{"success":true,"data":[{data}],"next_cursor":{cursor}}}"#);
    Ok(Reply::json_text(voice, body, request_id))
}

/// One call. The cost is a decimal number as in `usage.cost_usd` of answers: written from the
/// integer, never through a floating-point number.
fn shown(call: &UsedCall) -> String {
    let text = |value: Value| json_text(&value);
    format!(
        r#"{{"id":{},"model":{},"prompt_tokens":{},"cached_prompt_tokens":{},"completion_tokens":{},"cost_usd":{},"latency_ms":{},"status_code":{},"created_at":"{}","metadata":{}}}"#,
        text(json!(call.request)),
        text(json!(call.model)),
        call.input_tokens,
        call.cached_input_tokens,
        call.output_tokens,
        call.cost.to_usd(),
        call.duration_ms,
        call.status,
        rfc3339(call.started_unix_ms / 1_000),
        text(json!(call.metadata)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::UsagePage;
    use wire::{Metadata, ModelName, NanoUsd, RequestId};

    fn call() -> UsedCall {
        let mut metadata = Metadata::default();
        metadata.add("project".to_owned(), "a \"b\"\n".to_owned()).unwrap();
        UsedCall {
            request: RequestId::new("req_1").unwrap(),
            model: ModelName::new("m\"\\").unwrap(),
            input_tokens: 412,
            cached_input_tokens: 400,
            output_tokens: 188,
            cost: NanoUsd(915_000),
            status: 200,
            started_unix_ms: 1_795_176_000_999,
            duration_ms: 842,
            metadata,
        }
    }

    #[test]
    fn a_page_is_json_with_the_members_of_the_documentation() {
        let page = UsagePage { calls: vec![call(), call()], next_cursor: Some("req_1".to_owned()) };
        let answer = reply(&UsageAnswer::Page(page), Voice::default(), "req_9").unwrap();
        let shown: Value = serde_json::from_slice(&answer.body).unwrap();
        let one = json!({
            "id": "req_1", "model": "m\"\\", "prompt_tokens": 412, "cached_prompt_tokens": 400,
            "completion_tokens": 188, "cost_usd": 0.000915, "latency_ms": 842, "status_code": 200,
            "created_at": "2026-11-20T12:00:00Z", "metadata": {"project": "a \"b\"\n"},
        });
        assert_eq!(shown, json!({"success": true, "data": [one, one], "next_cursor": "req_1"}));
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains(r#""cost_usd":0.000915,"#), "{text}");
        let end = UsagePage { calls: vec![], next_cursor: None };
        let answer = reply(&UsageAnswer::Page(end), Voice::default(), "req_9").unwrap();
        assert_eq!(answer.body, br#"{"success":true,"data":[],"next_cursor":null}"#);
    }

    #[test]
    fn the_answer_is_that_of_the_documentation() {
        let page = include_str!("../../docs/apis.md");
        let section = page.split("## What a key has used").nth(1).unwrap();
        let example = section.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
        let mut metadata = Metadata::default();
        metadata.add("project".to_owned(), "nightly".to_owned()).unwrap();
        let request = RequestId::new("req_0123456789abcdef0000002a").unwrap();
        let model = ModelName::new("gpt-4o-mini").unwrap();
        let next_cursor = Some(request.as_str().to_owned());
        let calls = vec![UsedCall { request, model, metadata, ..call() }];
        let answer = UsageAnswer::Page(UsagePage { calls, next_cursor });
        let shown: Value =
            serde_json::from_slice(&reply(&answer, Voice::default(), "req_9").unwrap().body)
                .unwrap();
        assert_eq!(shown, serde_json::from_str::<Value>(example).unwrap());
    }

    #[test]
    fn no_cost_passes_through_a_floating_point_number() {
        let cost = NanoUsd(18_446_744_073_709_551_615);
        let text = shown(&UsedCall { cost, ..call() });
        assert!(text.contains(r#""cost_usd":18446744073.709551615,"#), "{text}");
    }

    #[test]
    fn parameters_are_passed_on_or_refused_by_name() {
        let read = |query: &str| Query::read(query.as_bytes());
        assert_eq!(read(""), Ok(Query::default()));
        let query = read("from=2026-11-01T00%3A00:00+01:00&limit=7&other=x&cursor=req_1").unwrap();
        assert_eq!(query.from.as_deref(), Some("2026-11-01T00:00:00+01:00"));
        assert_eq!((query.limit.as_deref(), query.to), (Some("7"), None));
        assert_eq!(query.cursor.as_deref(), Some("req_1"));
        let long = format!("to={}", "1".repeat(LONGEST_VALUE + 1));
        for (query, name) in [
            ("from=%00", "from"),
            ("limit=1&limit=2", "limit"),
            ("cursor=%C3%A4", "cursor"),
            ("to=%", "to"),
            (long.as_str(), "to"),
        ] {
            let error = read(query).unwrap_err();
            assert!(
                matches!(error, Refusal::QueryParameter { name: found, .. } if found == name),
                "{query}: {error:?}"
            );
        }
    }
}
