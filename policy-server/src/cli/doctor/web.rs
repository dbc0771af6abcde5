//! Requests that the doctor makes: short, without redirects, to the addresses that were given.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read: a configuration dump with thousands of routes.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body; empty where it is no text.
    pub body: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// A client.
pub struct Web(Agent);

impl Web {
    /// A client that goes straight to where it is sent.
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .proxy(None);
        Self(config.build().new_agent())
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// When nobody answers; the text says why.
    pub fn get(&self, base: &str, path: &str, bearer: Option<&str>) -> Result<Answer, String> {
        let mut request = self.0.get(format!("{}{path}", base.trim_end_matches('/')));
        if let Some(token) = bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut answer = request.call().map_err(|error| error.to_string())?;
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        Ok(Answer { status, headers, body: body.unwrap_or_default() })
    }
}
