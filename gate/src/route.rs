//! Which paths Tollgate serves, in whose API, and what each asks for. Every other path is refused,
//! unless the configuration gives it a model whose price per call it costs: none is free by accident.

mod listed;
mod path_model;

pub use listed::{ListedPath, OpenTo, PathPattern};
pub(crate) use path_model::PathModel;

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
    /// A path of the configuration.
    Listed {
        /// It costs what this model costs per call.
        model: ModelName,
        /// Whose keys may be used there.
        keys: OpenTo,
    },
    /// The models of the key.
    Models,
    /// One model of the key.
    Model(String),
    /// What the key has used.
    Usage,
    /// A user key in exchange for the key.
    UserKey,
}

impl Target {
    /// Only a policy server can answer it.
    pub(crate) fn asks_the_server(&self) -> bool {
        matches!(self, Self::Usage | Self::UserKey)
    }
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
        let finder = Finder { method, path, hints, any_case: false };
        if hints.wants_websocket {
            return Err(finder.likely_dialect());
        }
        if let Some(route) = finder.known() {
            return Ok(route);
        }
        let opened = listed.iter().find(|entry| entry.takes(method, path));
        match opened.filter(|entry| !finder.has_its_own_price(entry.path.is_open_ended())) {
            Some(entry) => Ok(Self {
                dialect: finder.likely_dialect(),
                target: Target::Listed { model: entry.model.clone(), keys: entry.keys },
            }),
            None => Err(finder.likely_dialect()),
        }
    }
}

/// Prefixes under which OpenAI's operations are served: its own, Azure's, OpenRouter's, Gemini's.
const OPENAI_PREFIXES: [&[u8]; 4] = [b"/v1/", b"/openai/v1/", b"/api/v1/", b"/v1beta/openai/"];
/// The last of them, without and with its mount.
const GOOGLES_OPENAI_PREFIXES: [&[u8]; 2] = [b"/v1beta/openai/", b"/gemini/v1beta/openai/"];
/// Prefixes under which Anthropic's operations are served: its own, OpenRouter's.
const ANTHROPIC_PREFIXES: [&[u8]; 2] = [b"/v1/", b"/api/v1/"];
const GEMINI_PREFIXES: [&[u8]; 2] = [b"/v1/", b"/v1beta/"];
/// Gemini's operations, by what stands behind the model.
const GEMINI_METHODS: [(&[u8], Operation); 5] = [
    (b":generateContent", Operation::GenerateContent),
    (b":streamGenerateContent", Operation::StreamGenerateContent),
    (b":embedContent", Operation::EmbedContent),
    (b":batchEmbedContents", Operation::BatchEmbedContents),
    (b":countTokens", Operation::CountTokens),
];
/// Ends of the paths, in lower case, of operations of the other APIs that are charged by tokens.
const TOKEN_PATHS: [&[u8]; 5] =
    [b"/chat/completions", b"/completions", b"/embeddings", b"/responses", b"/messages"];

struct Finder<'a> {
    method: &'a [u8],
    path: &'a [u8],
    hints: Hints,
    /// The path was made lower case: names in any case are found.
    any_case: bool,
}

impl<'a> Finder<'a> {
    fn known(&self) -> Option<Route> {
        let own = match (self.method, self.path) {
            (b"GET", b"/v1/usage") => Some(Target::Usage),
            (b"POST", b"/v1/auth/exchange") => Some(Target::UserKey),
            _ => None,
        };
        if let Some(target) = own {
            return Some(Route { dialect: Dialect::OpenAi, target });
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
        // Decoded by a server, `x%2Fchat/completions` is the chat of another deployment.
        let is_ambiguous = operation == Operation::Completions && model.name.ends_with("/chat");
        (!is_ambiguous).then(|| call(Dialect::OpenAi, operation, Some(model)))
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
        let is_it = |known: &[u8]| {
            if self.any_case { known.eq_ignore_ascii_case(name) } else { known == name }
        };
        let is_post = self.method == b"POST";
        let (_, operation) = GEMINI_METHODS.iter().find(|(known, _)| is_post && is_it(known))?;
        let model = PathModel::read(model, self.path.len() - rest.len())?;
        Some(call(Dialect::Gemini, *operation, Some(model)))
    }

    fn list(&self, dialect: Dialect, rest: &[u8]) -> Option<Route> {
        let target = match rest {
            _ if self.method != b"GET" => return None,
            b"models" => Target::Models,
            rest => Target::Model(PathModel::read(rest.strip_prefix(b"models/")?, 0)?.name),
        };
        Some(Route { dialect, target })
    }

    /// Whether some server might take this path, which is not served, for that of an operation that
    /// is charged by what it uses. Opened at a price per call, any call of it would cost no more. No
    /// entry of the configuration opens another spelling of a path that is served. An open-ended one
    /// does not open what ends like an operation either: under a mount that the proxy takes away, it
    /// is one.
    fn has_its_own_price(&self, open_ended: bool) -> bool {
        let lower = self.path.trim_ascii_end().to_ascii_lowercase();
        let bare = lower.strip_suffix(b"/").unwrap_or(&lower);
        let is_known = |method: &[u8]| {
            let finder = Finder { method, path: bare, hints: self.hints, any_case: true };
            finder.known().is_some()
        };
        let is_variant = bare != self.path && (is_known(b"POST") || is_known(b"GET"));
        is_variant || (open_ended && self.method != b"GET" && ends_like_operation(bare))
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

/// Whether a path that is served is one of OpenAI's operations on Google's servers.
pub(crate) fn is_googles_openai_path(path: &[u8]) -> bool {
    GOOGLES_OPENAI_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether a path in lower case ends like that of an operation that is charged by tokens.
fn ends_like_operation(path: &[u8]) -> bool {
    let method = path.iter().rposition(|byte| *byte == b':').and_then(|at| path.get(at..));
    let is_geminis = method.is_some_and(|method| {
        GEMINI_METHODS.iter().any(|(known, _)| known.eq_ignore_ascii_case(method))
    });
    is_geminis || TOKEN_PATHS.iter().any(|end| path.ends_with(end))
}

/// The rest of a path below a mount, with its slash.
fn mounted<'a>(path: &'a [u8], mount: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(mount).filter(|rest| rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests;
