//! Which paths Tollgate serves, in whose API, and what each asks for. Every other path is refused,
//! unless the configuration gives it a model whose price per call it costs: none is free by accident.

mod listed;
mod path_model;

pub use listed::{ListedPath, PathPattern};
pub(crate) use path_model::{PathModel, percent_decoded};

use metering::request::Operation;
use wire::ModelName;

use crate::dialect::Dialect;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// In whose API.
    pub(crate) dialect: Dialect,
    /// What.
    pub(crate) target: Target,
}

/// What a path and method stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A call of a model that reads or writes tokens.
    Call {
        /// Which operation.
        operation: Operation,
        /// The model, where the path names it.
        path_model: Option<PathModel>,
    },
    /// A path of the configuration; costs what this model costs per call.
    Listed(ModelName),
    /// The models of the key.
    Models,
    /// One model of the key.
    Model(String),
    /// What the key has used.
    Usage,
}

/// What the head of a request says beside its path.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hints {
    /// `x-goog-api-key` or `?key=`: only clients of Gemini send them.
    pub(crate) has_google_key: bool,
    /// `anthropic-version`: every client of Anthropic sends it, whatever credential it uses.
    pub(crate) has_anthropic_version: bool,
    /// It wants another protocol on this connection.
    pub(crate) wants_websocket: bool,
}

impl Route {
    /// Finds the route of an exact path. The query does not take part.
    ///
    /// # Errors
    /// The dialect in which to say that there is none.
    pub(crate) fn of(
        method: &[u8],
        target: &[u8],
        hints: Hints,
        listed: &[ListedPath],
    ) -> Result<Self, Dialect> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let finder = Finder { method, path, hints };
        if hints.wants_websocket {
            return Err(finder.likely_dialect());
        }
        if let Some(route) = finder.known() {
            return Ok(route);
        }
        // A spelling that some server might read as a path that we know is not opened by a pattern.
        let lower = path.trim_ascii_end().to_ascii_lowercase();
        let bare = lower.strip_suffix(b"/").unwrap_or(&lower);
        let is_variant = [&b"POST"[..], b"GET"]
            .iter()
            .any(|method| (Finder { method, path: bare, hints }).known().is_some() && bare != path);
        let found = listed.iter().find(|entry| entry.takes(method, path));
        match found.filter(|_| !is_variant) {
            Some(entry) => Ok(Self {
                dialect: finder.likely_dialect(),
                target: Target::Listed(entry.model.clone()),
            }),
            None => Err(finder.likely_dialect()),
        }
    }
}

/// Prefixes under which OpenAI's operations are served: its own, Azure's, OpenRouter's, Gemini's.
const OPENAI_PREFIXES: [&[u8]; 4] = [b"/v1/", b"/openai/v1/", b"/api/v1/", b"/v1beta/openai/"];
/// Prefixes under which Anthropic's operations are served: its own, OpenRouter's.
const ANTHROPIC_PREFIXES: [&[u8]; 2] = [b"/v1/", b"/api/v1/"];
const GEMINI_PREFIXES: [&[u8]; 2] = [b"/v1/", b"/v1beta/"];

struct Finder<'a> {
    method: &'a [u8],
    path: &'a [u8],
    hints: Hints,
}

impl<'a> Finder<'a> {
    fn known(&self) -> Option<Route> {
        if (self.method, self.path) == (b"GET", b"/v1/usage") {
            return Some(Route { dialect: Dialect::OpenAi, target: Target::Usage });
        }
        if let Some(rest) = mounted(self.path, b"/anthropic") {
            return self.anthropic(rest);
        }
        if let Some(rest) = mounted(self.path, b"/gemini") {
            return self.openai_at(rest, &[b"/v1beta/openai/"]).or_else(|| self.gemini(rest));
        }
        let lists = match self.shared_lists_dialect() {
            Dialect::OpenAi => None,
            Dialect::Anthropic => self.anthropic(self.path),
            Dialect::Gemini => self.gemini(self.path),
        };
        lists
            .or_else(|| self.openai_at(self.path, &OPENAI_PREFIXES))
            .or_else(|| self.azure())
            .or_else(|| self.anthropic(self.path))
            .or_else(|| self.gemini(self.path))
    }

    /// Three APIs have `/v1/models`.
    fn shared_lists_dialect(&self) -> Dialect {
        if self.hints.has_google_key {
            Dialect::Gemini
        } else if self.hints.has_anthropic_version {
            Dialect::Anthropic
        } else {
            Dialect::OpenAi
        }
    }

    fn openai_at(&self, path: &'a [u8], prefixes: &[&[u8]]) -> Option<Route> {
        let rest = prefixes.iter().find_map(|prefix| path.strip_prefix(*prefix))?;
        let operation = match (self.method, rest) {
            (b"POST", b"chat/completions") => Operation::Chat,
            (b"POST", b"completions") => Operation::Completions,
            (b"POST", b"responses") => Operation::Responses,
            (b"POST", b"embeddings") => Operation::Embeddings,
            _ => return self.list(Dialect::OpenAi, rest),
        };
        Some(call(Dialect::OpenAi, operation, None))
    }

    /// `/openai/deployments/{deployment}/…`, and the two paths without a deployment.
    fn azure(&self) -> Option<Route> {
        let rest = self.path.strip_prefix(b"/openai/")?;
        if let (b"POST", b"responses") = (self.method, rest) {
            return Some(call(Dialect::OpenAi, Operation::Responses, None));
        }
        let Some(rest) = rest.strip_prefix(b"deployments/") else {
            return self.list(Dialect::OpenAi, rest);
        };
        let at = rest.iter().position(|byte| *byte == b'/')?;
        let (deployment, operation) = rest.split_at_checked(at)?;
        let operation = match (self.method, operation) {
            (b"POST", b"/chat/completions") => Operation::Chat,
            (b"POST", b"/completions") => Operation::Completions,
            (b"POST", b"/embeddings") => Operation::Embeddings,
            _ => return None,
        };
        let begin = self.path.len() - rest.len();
        let model = PathModel::read(deployment, begin)?;
        Some(call(Dialect::OpenAi, operation, Some(model)))
    }

    fn anthropic(&self, path: &'a [u8]) -> Option<Route> {
        let rest = ANTHROPIC_PREFIXES.iter().find_map(|prefix| path.strip_prefix(*prefix))?;
        let operation = match (self.method, rest) {
            (b"POST", b"messages") => Operation::Messages,
            (b"POST", b"messages/count_tokens") => Operation::CountMessageTokens,
            _ => return self.list(Dialect::Anthropic, rest),
        };
        Some(call(Dialect::Anthropic, operation, None))
    }

    /// `/{version}/models/{model}:{method}`.
    fn gemini(&self, path: &'a [u8]) -> Option<Route> {
        let rest = GEMINI_PREFIXES.iter().find_map(|prefix| path.strip_prefix(*prefix))?;
        if self.method == b"GET" {
            return self.list(Dialect::Gemini, rest);
        }
        let rest = rest.strip_prefix(b"models/")?;
        let at = rest.iter().rposition(|byte| *byte == b':')?;
        let (model, name) = rest.split_at_checked(at)?;
        let operation = match (self.method, name) {
            (b"POST", b":generateContent") => Operation::GenerateContent,
            (b"POST", b":streamGenerateContent") => Operation::StreamGenerateContent,
            (b"POST", b":embedContent") => Operation::EmbedContent,
            (b"POST", b":batchEmbedContents") => Operation::BatchEmbedContents,
            (b"POST", b":countTokens") => Operation::CountTokens,
            _ => return None,
        };
        let model = PathModel::read(model, self.path.len() - rest.len())?;
        Some(call(Dialect::Gemini, operation, Some(model)))
    }

    fn list(&self, dialect: Dialect, rest: &[u8]) -> Option<Route> {
        let target = match rest {
            _ if self.method != b"GET" => return None,
            b"models" => Target::Models,
            rest => Target::Model(PathModel::read(rest.strip_prefix(b"models/")?, 0)?.name),
        };
        Some(Route { dialect, target })
    }

    /// In whose API a path that is not served was probably meant.
    fn likely_dialect(&self) -> Dialect {
        let has = |part: &[u8]| self.path.windows(part.len()).any(|window| window == part);
        let is_openais = has(b"/openai/") || has(b"/chat/completions");
        if mounted(self.path, b"/anthropic").is_some() || has(b"/v1/messages") {
            Dialect::Anthropic
        } else if is_openais {
            Dialect::OpenAi
        } else if mounted(self.path, b"/gemini").is_some()
            || self.path.starts_with(b"/v1beta/")
            || has(b"GenerateContent")
        {
            Dialect::Gemini
        } else {
            self.shared_lists_dialect()
        }
    }
}

fn call(dialect: Dialect, operation: Operation, path_model: Option<PathModel>) -> Route {
    Route { dialect, target: Target::Call { operation, path_model } }
}

/// The rest of a path below a mount, with its slash.
fn mounted<'a>(path: &'a [u8], mount: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(mount).filter(|rest| rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests;
