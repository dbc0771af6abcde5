//! A small blocking HTTP client for the stack's own interfaces: every status is an answer, only a
//! broken exchange is an error.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// Longest exchange: above the admin API's longest wait and any stream of the demonstrations.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Sends requests to one base URL, with a bearer token if there is one.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base_url: String,
    bearer: Option<String>,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers with lower-case names; values that are not ASCII are left out.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Client {
    /// A client for `base_url` (no slash at its end).
    #[must_use]
    pub fn new(base_url: &str, bearer: Option<&str>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(EXCHANGE_LIMIT))
            .proxy(None)
            .build()
            .new_agent();
        Self { agent, base_url: base_url.to_owned(), bearer: bearer.map(str::to_owned) }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, &[], None)
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("POST", path, &[], Some(body.to_string()))
    }

    /// `PUT path` with a JSON body.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("PUT", path, &[], Some(body.to_string()))
    }

    /// `PATCH path` with a JSON body.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("PATCH", path, &[], Some(body.to_string()))
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send("DELETE", path, &[], None)
    }

    /// Any method, further headers, and a body that is sent as it is.
    ///
    /// # Errors
    /// When the request cannot be written or no complete answer arrives.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.base_url);
        let what = || format!("{method} {url}");
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(token) = &self.bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body);
                self.agent.run(request.with_context(what)?)
            }
            None => self.agent.run(request.body(()).with_context(what)?),
        };
        let mut answer = answer.with_context(what)?;
        let headers = answer
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .lossy_utf8(true)
            .read_to_string()
            .with_context(what)?;
        Ok(Answer { status: answer.status().as_u16(), headers, body })
    }
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The first header of this (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// `error.code` of an error answer; empty when there is none.
    #[must_use]
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// This answer if its status is 2xx.
    ///
    /// # Errors
    /// When it is not; names the status and the error.
    pub fn success(self) -> anyhow::Result<Self> {
        anyhow::ensure!(
            (200..300).contains(&self.status),
            "status {}: {}",
            self.status,
            self.body.chars().take(500).collect::<String>()
        );
        Ok(self)
    }
}
