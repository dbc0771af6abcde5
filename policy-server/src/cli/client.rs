//! The admin API from the command line's side.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::download;
use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

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
    #[error("{message}{about} ({code})")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
        /// What else there is to say: the field that it is about, where the message names none, or
        /// where the token came from.
        about: String,
    },
    /// The key that was tested may not call. That is an answer, and no success.
    #[error("the key may not call ({code})")]
    MayNotCall {
        /// What is to be printed.
        report: String,
        /// Why not, for programs.
        code: String,
    },
    /// The server's answer is not what it says in this API.
    #[error("the answer of {url} is not JSON; is it Tollgate's admin API?")]
    NotJson {
        /// Where it came from.
        url: String,
    },
    /// What came cannot be written, or did not come to its end.
    #[error("cannot write {what}: {source}")]
    Write {
        /// Where to.
        what: String,
        /// Why.
        source: io::Error,
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
        let request = self.request(method, path, query, headers, body)?;
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(error))?;
        let answer = self.json(&mut response)?;
        let status = response.status().as_u16();
        if response.status().is_success() { Ok(answer) } else { Err(self.refused(status, &answer)) }
    }

    /// Writes what `GET` answers to a file, or to standard output, as it comes: it may be long.
    pub fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
        file: Option<&Path>,
    ) -> Result<(), ClientError> {
        let request = self.request("GET", path, query, &[], None)?;
        // It takes as long as it takes; only its beginning must not be waited for in vain.
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(None)
            .timeout_recv_response(Some(TIMEOUT))
            .build();
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(error))?;
        if !response.status().is_success() {
            let answer = self.json(&mut response)?;
            return Err(self.refused(response.status().as_u16(), &answer));
        }
        let what = file.map_or_else(|| "standard output".to_owned(), |f| f.display().to_string());
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let copied = match file {
            Some(file) => download::to_file(&mut reader, file),
            None => io::copy(&mut reader, &mut io::stdout().lock()),
        };
        match copied {
            // `tollgate requests export | head`
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(source) => Err(ClientError::Write { what, source }),
            Ok(_) => Ok(()),
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, String)],
        headers: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Request<String>, ClientError> {
        let url = format!("{}/admin/v1/{path}{}", self.url, query_string(query));
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request
            .body(body.map(Value::to_string).unwrap_or_default())
            .map_err(|error| ClientError::Input(format!("cannot ask {url}: {error}")))
    }

    fn json(&self, response: &mut Response<Body>) -> Result<Value, ClientError> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES);
        let text = body.read_to_string().map_err(|error| self.unreachable(error))?;
        serde_json::from_str(&text).map_err(|_| self.not_json())
    }

    fn refused(&self, status: u16, answer: &Value) -> ClientError {
        let said = |name| answer.pointer(&format!("/error/{name}")).and_then(Value::as_str);
        let (Some(code), Some(message)) = (said("code"), said("message")) else {
            return self.not_json();
        };
        let about = match said("param") {
            Some(param) if !param.is_empty() && !message.contains(param) => {
                format!("; it is about {param}")
            }
            _ if status == 401 => {
                format!("; the token is that of TOLLGATE_ADMIN_TOKEN, the server {}", self.url)
            }
            _ => String::new(),
        };
        ClientError::Refused { code: code.to_owned(), message: message.to_owned(), about }
    }

    fn unreachable(&self, source: ureq::Error) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), source: Box::new(source) }
    }

    fn not_json(&self) -> ClientError {
        ClientError::NotJson { url: self.url.clone() }
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
