//! From the text as written to a [`Config`], naming every problem by its path.

use std::fmt;

use metering::api_key::ApiKey;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::keys::{KeyList, WrittenKey};
use super::reference::names_in;
use super::{
    Authority, Config, DEFAULT_BODY_BYTES, DEFAULT_CONCURRENT_CALLS, DEFAULT_TIMEOUT_MS,
    MOST_BODY_BYTES, MOST_CONCURRENT_CALLS, Profile, Server,
};

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
/// What only a server can count of a key.
const OF_A_SERVER: [&str; 5] = ["budget", "budgets", "budgeted", "wallet", "plan"];
/// Problems that are named at most: whoever reads them begins with the first.
const MOST_PROBLEMS: usize = 100;
const TOKEN_HINT: &str = "a token may not stand in the configuration, which the proxy shows; \
     set the environment variable TOLLGATE_FILTER_TOKEN";
const KEY_HINT: &str = "a key may not stand in the configuration, which the proxy shows; \
     write the SHA-256 of the key under digests";
/// The member that is read apart from the others.
const KEYS: &str = "keys";

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
        let Written { root, keys } = self.document(text)?;
        self.known("", &root, names_in!(""));
        let limits = self.object("", &root, "limits", false);
        let empty = Map::new();
        let limits = limits.unwrap_or(&empty);
        let authority = self.authority(&root, keys);
        self.known("limits", limits, names_in!("limits"));
        let body_bytes =
            self.number("limits", limits, "body_bytes", DEFAULT_BODY_BYTES, 1..=MOST_BODY_BYTES);
        let concurrent_calls = self.number(
            "limits",
            limits,
            "concurrent_calls_per_key",
            DEFAULT_CONCURRENT_CALLS,
            0..=MOST_CONCURRENT_CALLS,
        );
        let name = self.text("", &root, "name", Some("tollgate"));
        let profile = self.profile(&root);
        let paths = self.paths(&root);
        let allow = self.allow(&root);
        let host = self.host(&root);
        let shadow = self.shadow(&root);
        let idempotency = match root.get("idempotency") {
            None => Some(profile == Some(Profile::MindProxy)),
            Some(Value::Bool(wanted)) => Some(*wanted),
            Some(_) => self.problem("idempotency", "must be true or false"),
        };
        Some(Config {
            authority: authority?,
            body_bytes: usize::try_from(body_bytes?).ok()?,
            concurrent_calls_per_key: Some(concurrent_calls?).filter(|most| *most > 0),
            name: name?,
            profile: profile?,
            paths: paths?,
            allow: allow?,
            idempotency: idempotency?,
            shadow: shadow?,
            host: host?,
        })
    }

    /// Either a server or keys and models; both would leave it open which of them counts.
    fn authority(
        &mut self,
        root: &Map<String, Value>,
        keys: Option<Vec<WrittenKey>>,
    ) -> Option<Authority> {
        if !root.contains_key("server") {
            if keys.is_none() && !root.contains_key("models") {
                let missing = "is required; without a policy server, keys and models are";
                return self.problem("server", missing);
            }
            if keys.is_none() {
                self.wrong("", KEYS, "is required where there is no server");
            }
            let local = self.local(root, keys.unwrap_or_default())?;
            return Some(Authority::Local(local.into()));
        }
        for (name, is_given) in [(KEYS, keys.is_some()), ("models", root.contains_key("models"))] {
            if is_given {
                let _: Option<()> =
                    self.problem(name, "stand at the policy server; give either these or server");
            }
        }
        let empty = Map::new();
        let server = self.object("", root, "server", true).unwrap_or(&empty);
        self.known("server", server, names_in!("server"));
        let cluster = self.text("server", server, "cluster", None);
        let authority = self.text("server", server, "authority", Some("tollgate"));
        let timeout_ms =
            self.number("server", server, "timeout_ms", DEFAULT_TIMEOUT_MS, 100..=30_000);
        let (cluster, authority, timeout_ms) = (cluster?, authority?, timeout_ms?);
        Some(Authority::Server(Server { cluster, authority, timeout_ms }))
    }

    /// The outermost members, and the keys, which are read one by one: all of them at once would
    /// take many times the memory that they are kept in.
    fn document(&mut self, text: &[u8]) -> Option<Written> {
        let mut document = Document { checker: self, root: Map::new(), keys: None, in_keys: false };
        let mut from = serde_json::Deserializer::from_slice(text);
        let read = from.deserialize_any(&mut document).and_then(|()| from.end());
        let Document { root, keys, in_keys, .. } = document;
        let Err(error) = read else { return Some(Written { root, keys }) };
        if error.classify() != Category::Data {
            let place = format!("line {}, column {}", error.line(), error.column());
            return self.problem("", &format!("is not valid JSON ({place})"));
        }
        if in_keys {
            self.problem(KEYS, "must be an array")
        } else {
            self.problem("", "must be a JSON object")
        }
    }

    /// Names a problem; answers nothing in the place of what cannot be read.
    pub(super) fn problem<T>(&mut self, path: &str, message: &str) -> Option<T> {
        self.wrong("", path, message);
        None
    }

    /// The same of a member of what stands at a path.
    pub(super) fn wrong_at<T>(&mut self, here: &str, name: &str, message: &str) -> Option<T> {
        self.wrong(here, name, message);
        None
    }

    /// Never compiled into its many callers: the module has to stay small.
    #[inline(never)]
    pub(super) fn wrong(&mut self, here: &str, name: &str, message: &str) {
        if self.problems.len() < MOST_PROBLEMS {
            let path = if here.is_empty() { name.to_owned() } else { join(here, name) };
            self.problems.push(Problem { path, message: message.to_owned() });
        }
    }

    #[inline(never)]
    pub(super) fn known(&mut self, path: &str, object: &Map<String, Value>, names: &[&str]) {
        for (name, value) in object {
            let here = join(path, name);
            let lower = name.to_ascii_lowercase();
            let is_of_key = path.starts_with("keys[");
            if is_of_key && OF_A_SERVER.contains(&name.as_str()) {
                self.wrong("", &here, "needs a policy server");
                continue;
            }
            if SECRET_NAMES.contains(&lower.as_str()) || (is_of_key && lower == "key") {
                let hint = if is_of_key { KEY_HINT } else { TOKEN_HINT };
                self.wrong("", &here, hint);
            } else if !names.contains(&name.as_str()) {
                self.wrong("", &here, "is not known");
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
                    self.wrong("", &here, TOKEN_HINT);
                }
                self.tokens_below(&here, value);
            }
        }
    }

    #[inline(never)]
    pub(super) fn object<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        name: &str,
        required: bool,
    ) -> Option<&'a Map<String, Value>> {
        match object.get(name) {
            Some(Value::Object(inner)) => Some(inner),
            Some(_) => self.wrong_at(path, name, "must be an object"),
            None if required => self.wrong_at(path, name, "is required"),
            None => None,
        }
    }

    #[inline(never)]
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
            (None, None) => self.wrong_at(path, name, "is required"),
        }
    }

    #[inline(never)]
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

/// The outermost object as it is written.
struct Written {
    root: Map<String, Value>,
    keys: Option<Vec<WrittenKey>>,
}

/// The outermost object while it is read.
struct Document<'a> {
    checker: &'a mut Checker,
    root: Map<String, Value>,
    keys: Option<Vec<WrittenKey>>,
    /// What is read are its keys.
    in_keys: bool,
}

impl<'de> Visitor<'de> for &mut Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if self.root.contains_key(&name) || (name == KEYS && self.keys.is_some()) {
                self.checker.wrong("", &join("", &name), "is given twice");
            }
            if name == KEYS {
                self.in_keys = true;
                self.keys = Some(members.next_value_seed(KeyList { checker: self.checker })?);
                self.in_keys = false;
            } else {
                let value = members.next_value::<Value>()?;
                self.root.insert(name, value);
            }
        }
        Ok(())
    }
}

/// Also one that is mistyped.
pub(super) fn looks_like_a_key(text: &str) -> bool {
    text.starts_with("sk-") || ApiKey::parse(text.as_bytes()).is_ok()
}

pub(super) fn join(path: &str, name: &str) -> String {
    // A name as long as a token might be one that was put in the wrong place.
    let is_long = name.len() >= crate::machine::Token::SHORTEST;
    let name = if is_long || looks_like_a_key(name) { "(long name)" } else { name };
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
        let server = config.server().unwrap();
        assert_eq!((&*server.cluster, &*server.authority), ("policy", "tollgate"));
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
                "server.cluster: must be a string of 1 to 256 visible ASCII characters",
                "server.timeout_ms: must be an integer from 100 to 30000",
                "limits.rpm: is not known",
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
        assert_eq!(
            problems("{}"),
            ["server: is required; without a policy server, keys and models are"]
        );
        assert_eq!(problems(r#"{"server":1}"#)[0], "server: must be an object");
        assert_eq!(problems(r#"{"keys":{}}"#), ["keys: must be an array"]);
        assert_eq!(problems(r#"{"keys":[}"#), ["is not valid JSON (line 1, column 10)"]);
        let twice = r#"{"server":{"cluster":"c"},"name":"a","name":"b"}"#;
        assert_eq!(problems(twice), ["name: is given twice"]);
    }
}
