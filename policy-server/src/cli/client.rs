//! The admin API from the command line's side.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// Longer than the longest `wait` of the API.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers are bounded by the page size; this is far above any.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No token to authenticate by.
    #[error(
        "TOLLGATE_ADMIN_TOKEN is not set: it takes a personal token, or the admin token that was \
         printed at the server's first start"
    )]
    NoToken,
    /// The server cannot be reached.
    #[error("cannot reach the admin API at {url}: {source}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The server refused.
    #[error("{message} ({code})")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// The server's answer is not what it says in this API.
    #[error("the answer of {url} is not JSON; is it Tollgate's admin API?")]
    NotJson {
        /// Where it came from.
        url: String,
    },
    /// What was typed cannot be sent.
    #[error("{0}")]
    Input(String),
}

/// Where the admin API is and how to authenticate there.
pub struct Client {
    agent: Agent,
    url: String,
    token: String,
}

impl Client {
    /// Reads `TOLLGATE_ADMIN_URL` and `TOLLGATE_ADMIN_TOKEN`.
    pub fn from_environment() -> Result<Self, ClientError> {
        let url = std::env::var("TOLLGATE_ADMIN_URL")
            .unwrap_or_else(|_| "http://127.0.0.1:8702".to_owned());
        let token = std::env::var("TOLLGATE_ADMIN_TOKEN").map_err(|_| ClientError::NoToken)?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            // The token goes to the server that was named and nowhere else.
            .max_redirects(0)
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            url: url.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
        })
    }

    /// Sends a request below `/admin/v1` and answers its JSON.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        self.send_with(method, path, query, &[], body)
    }

    /// As [`Client::send`], with more headers.
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, String)],
        headers: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let url = format!("{}/admin/v1/{path}{}", self.url, query_string(query));
        let unreachable = |source: ureq::Error| ClientError::Unreachable {
            url: self.url.clone(),
            source: Box::new(source),
        };
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(bytes)
            .map_err(|error| ClientError::Input(format!("cannot ask {url}: {error}")))?;
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let ok = response.status().is_success();
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_to_string()
            .map_err(unreachable)?;
        let not_json = ClientError::NotJson { url: self.url.clone() };
        let Ok(answer) = serde_json::from_str::<Value>(&text) else {
            return Err(not_json);
        };
        if ok {
            return Ok(answer);
        }
        let said = |name| answer.pointer(&format!("/error/{name}")).and_then(Value::as_str);
        match (said("code"), said("message")) {
            (Some(code), Some(message)) => {
                Err(ClientError::Refused { code: code.to_owned(), message: message.to_owned() })
            }
            _ => Err(not_json),
        }
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn query_string(query: &[(&str, String)]) -> String {
    let pairs: Vec<_> =
        query.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_spaces_stay_one_segment() {
        assert_eq!(segment("openai/gpt-4o mini"), "openai%2Fgpt-4o%20mini");
        assert_eq!(segment("ä.~"), "%C3%A4.~");
        let query = [("search", "a&b".to_owned()), ("limit", "5".to_owned())];
        assert_eq!(query_string(&query), "?search=a%26b&limit=5");
    }
}
