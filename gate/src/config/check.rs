//! From the text as written to a [`Config`], naming every problem by its path.

use std::fmt;

use serde_json::{Map, Value};

use super::reference::names_in;
use super::{Config, DEFAULT_BODY_BYTES, DEFAULT_TIMEOUT_MS, MOST_BODY_BYTES, Profile, Server};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `server.cluster`; empty for the document itself.
    pub path: String,
    /// What. Never repeats a value, which might be a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Members under which people put tokens. A proxy shows its configuration to whoever asks.
const SECRET_NAMES: [&str; 6] =
    ["token", "filter_token", "secret", "password", "api_key", "authorization"];
const TOKEN_HINT: &str = "a token may not stand in the configuration, which the proxy shows; \
     set the environment variable TOLLGATE_FILTER_TOKEN";

/// Reads and checks a configuration.
///
/// # Errors
/// Every problem that it has.
pub fn parse(text: &[u8]) -> Result<Config, Vec<Problem>> {
    let mut checker = Checker::default();
    let config = checker.config(text);
    match config {
        Some(config) if checker.problems.is_empty() => Ok(config),
        _ => Err(checker.problems),
    }
}

#[derive(Default)]
pub(super) struct Checker {
    pub(super) problems: Vec<Problem>,
}

impl Checker {
    fn config(&mut self, text: &[u8]) -> Option<Config> {
        let root = match serde_json::from_slice::<Value>(text) {
            Ok(Value::Object(root)) => root,
            Ok(_) => return self.problem("", "must be a JSON object"),
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                return self.problem("", &format!("is not valid JSON ({place})"));
            }
        };
        self.known("", &root, names_in!(""));
        let server = self.object("", &root, "server", true);
        let limits = self.object("", &root, "limits", false);
        let empty = Map::new();
        let server = server.unwrap_or(&empty);
        let limits = limits.unwrap_or(&empty);
        self.known("server", server, names_in!("server"));
        self.known("limits", limits, names_in!("limits"));
        let cluster = self.text("server", server, "cluster", None);
        let authority = self.text("server", server, "authority", Some("tollgate"));
        let timeout_ms =
            self.number("server", server, "timeout_ms", DEFAULT_TIMEOUT_MS, 100..=30_000);
        let body_bytes =
            self.number("limits", limits, "body_bytes", DEFAULT_BODY_BYTES, 1..=MOST_BODY_BYTES);
        let name = self.text("", &root, "name", Some("tollgate"));
        let profile = self.profile(&root);
        let paths = self.paths(&root);
        let allow = self.allow(&root);
        let host = self.host(&root);
        let idempotency = match root.get("idempotency") {
            None => Some(profile == Some(Profile::MindProxy)),
            Some(Value::Bool(wanted)) => Some(*wanted),
            Some(_) => self.problem("idempotency", "must be true or false"),
        };
        Some(Config {
            server: Server { cluster: cluster?, authority: authority?, timeout_ms: timeout_ms? },
            body_bytes: usize::try_from(body_bytes?).ok()?,
            name: name?,
            profile: profile?,
            paths: paths?,
            allow: allow?,
            idempotency: idempotency?,
            host: host?,
        })
    }

    pub(super) fn problem<T>(&mut self, path: &str, message: &str) -> Option<T> {
        self.problems.push(Problem { path: path.to_owned(), message: message.to_owned() });
        None
    }

    pub(super) fn known(&mut self, path: &str, object: &Map<String, Value>, names: &[&str]) {
        for (name, value) in object {
            let here = join(path, name);
            let lower = name.to_ascii_lowercase();
            if SECRET_NAMES.contains(&lower.as_str()) {
                let _: Option<()> = self.problem(&here, TOKEN_HINT);
            } else if !names.contains(&name.as_str()) {
                let _: Option<()> = self.problem(&here, "is not known");
                self.tokens_below(&here, value);
            }
        }
    }

    /// A token is named even where the member above it is unknown already.
    fn tokens_below(&mut self, path: &str, value: &Value) {
        if let Value::Object(object) = value {
            for (name, value) in object {
                let here = join(path, name);
                if SECRET_NAMES.contains(&name.to_ascii_lowercase().as_str()) {
                    let _: Option<()> = self.problem(&here, TOKEN_HINT);
                }
                self.tokens_below(&here, value);
            }
        }
    }

    pub(super) fn object<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        name: &str,
        required: bool,
    ) -> Option<&'a Map<String, Value>> {
        match object.get(name) {
            Some(Value::Object(inner)) => Some(inner),
            Some(_) => self.problem(&join(path, name), "must be an object"),
            None if required => self.problem(&join(path, name), "is required"),
            None => None,
        }
    }

    pub(super) fn text(
        &mut self,
        path: &str,
        object: &Map<String, Value>,
        name: &str,
        default: Option<&str>,
    ) -> Option<String> {
        const LONGEST: usize = 256;
        let fits = |text: &str| {
            !text.is_empty()
                && text.len() <= LONGEST
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match (object.get(name), default) {
            (Some(Value::String(text)), _) if fits(text) => Some(text.clone()),
            (Some(_), _) => self.problem(
                &join(path, name),
                "must be a string of 1 to 256 visible ASCII characters",
            ),
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => self.problem(&join(path, name), "is required"),
        }
    }

    pub(super) fn number(
        &mut self,
        path: &str,
        object: &Map<String, Value>,
        name: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        match object.get(name) {
            None => Some(default),
            Some(value) => match value.as_u64().filter(|number| range.contains(number)) {
                Some(number) => Some(number),
                None => self.problem(
                    &join(path, name),
                    &format!("must be an integer from {} to {}", range.start(), range.end()),
                ),
            },
        }
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    // A name as long as a token might be one that was put in the wrong place.
    let name = if name.len() >= crate::machine::Token::SHORTEST { "(long name)" } else { name };
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_fill_what_is_not_written() {
        let config = parse(br#"{"server":{"cluster":"policy"}}"#).unwrap();
        assert_eq!(config.server.cluster, "policy");
        assert_eq!(config.server.authority, "tollgate");
        assert_eq!(config.body_bytes as u64, DEFAULT_BODY_BYTES);
        assert!(!config.idempotency);
        let of = |rest| parse(format!(r#"{{"server":{{"cluster":"c"}},{rest}}}"#).as_bytes());
        assert!(of(r#""idempotency":true"#).unwrap().idempotency);
        assert!(of(r#""profile":"mindproxy""#).unwrap().idempotency);
        assert!(!of(r#""profile":"mindproxy","idempotency":false"#).unwrap().idempotency);
        assert!(of(r#""idempotency":"yes""#).is_err());
    }

    #[test]
    fn every_problem_is_named_by_its_path() {
        assert_eq!(
            problems(
                r#"{"server":{"cluster":7,"timeout_ms":"soon","tls":{"token":"x"}},
                    "limits":{"body_bytes":0,"rpm":1},"polcy":{},"name":""}"#
            ),
            [
                "polcy: is not known",
                "server.tls: is not known",
                &format!("server.tls.token: {TOKEN_HINT}"),
                "limits.rpm: is not known",
                "server.cluster: must be a string of 1 to 256 visible ASCII characters",
                "server.timeout_ms: must be an integer from 100 to 30000",
                "limits.body_bytes: must be an integer from 1 to 67108864",
                "name: must be a string of 1 to 256 visible ASCII characters",
            ]
        );
    }

    #[test]
    fn a_token_is_a_problem_and_is_not_repeated() {
        for name in ["token", "filter_token", "Token", "secret", "password", "api_key"] {
            let text = format!(r#"{{"server":{{"cluster":"c","{name}":"very-secret"}}}}"#);
            let found = problems(&text);
            assert_eq!(found, [format!("server.{name}: {TOKEN_HINT}")]);
            assert!(!found[0].contains("very-secret"));
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(problems(""), ["is not valid JSON (line 1, column 0)"]);
        assert_eq!(problems("[]"), ["must be a JSON object"]);
        assert_eq!(problems("{}"), ["server: is required", "server.cluster: is required"]);
        assert_eq!(problems(r#"{"server":1}"#)[0], "server: must be an object");
    }
}
