//! What a request is for, by its method and path, and in whose API it is asked.

use axum::http::{HeaderMap, Method};

/// Whose API a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI, and Azure, OpenRouter and Gemini in its form.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Gemini.
    Gemini,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// OpenAI chat completions.
    Chat,
    /// OpenAI completions.
    Completions,
    /// OpenAI responses.
    Responses,
    /// OpenAI embeddings.
    Embeddings,
    /// Anthropic messages.
    Messages,
    /// Anthropic's count of tokens.
    CountMessages,
    /// Gemini `generateContent`.
    Generate,
    /// Gemini `streamGenerateContent` as server-sent events.
    GenerateEvents,
    /// Gemini `streamGenerateContent` as a JSON array.
    GenerateArray,
    /// Gemini `embedContent`.
    Embed,
    /// Gemini `batchEmbedContents`.
    BatchEmbed,
    /// Gemini `countTokens`.
    CountTokens,
    /// The list of models.
    Models,
    /// One model.
    Model,
}

/// A request that has an answer here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// In whose form it is answered.
    pub dialect: Dialect,
    /// What is asked for.
    pub operation: Operation,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether it came on a path of Azure's own.
    pub azure: bool,
}

/// Bases under which OpenAI's paths are served: OpenAI, Azure's newer form, OpenRouter, Gemini.
const OPENAI_BASES: [&str; 4] = ["/v1/", "/openai/v1/", "/api/v1/", "/v1beta/openai/"];

/// The route of a request; `None` where nothing is served. `/v1/models` belongs to whoever's
/// credential or version header comes with it.
#[must_use]
pub fn route(method: &Method, path: &str, query: &str, headers: &HeaderMap) -> Option<Route> {
    let post = method == Method::POST;
    if !post && method != Method::GET {
        return None;
    }
    let found = |dialect, operation, model: Option<&str>, azure| {
        Some(Route { dialect, operation, model: model.map(str::to_owned), azure })
    };
    if let Some(rest) = path.strip_prefix("/openai/deployments/") {
        let (deployment, operation) = rest.split_once('/')?;
        let operation = openai(operation).filter(|_| post)?;
        return found(Dialect::OpenAi, operation, Some(deployment), true);
    }
    match (path, post) {
        ("/openai/responses", true) => {
            return found(Dialect::OpenAi, Operation::Responses, None, true);
        }
        ("/openai/models", false) => return found(Dialect::OpenAi, Operation::Models, None, true),
        ("/v1/messages" | "/api/v1/messages", true) => {
            return found(Dialect::Anthropic, Operation::Messages, None, false);
        }
        ("/v1/messages/count_tokens", true) => {
            return found(Dialect::Anthropic, Operation::CountMessages, None, false);
        }
        _ => {}
    }
    let gemini = ["/v1/models/", "/v1beta/models/"].iter().find_map(|base| path.strip_prefix(base));
    if let (Some(rest), true) = (gemini, post) {
        let (model, verb) = rest.rsplit_once(':')?;
        let operation = gemini_verb(verb, query)?;
        return found(Dialect::Gemini, operation, Some(model), false);
    }
    if post {
        let operation =
            OPENAI_BASES.iter().find_map(|base| path.strip_prefix(base)).and_then(openai)?;
        return found(Dialect::OpenAi, operation, None, false);
    }
    let dialect = models_dialect(path, query, headers);
    let rest = OPENAI_BASES
        .iter()
        .chain(&["/v1beta/"])
        .find_map(|base| path.strip_prefix(base)?.strip_prefix("models"))?;
    match rest.strip_prefix('/') {
        Some(model) if !model.is_empty() => found(dialect, Operation::Model, Some(model), false),
        None if rest.is_empty() => found(dialect, Operation::Models, None, false),
        _ => None,
    }
}

fn openai(path: &str) -> Option<Operation> {
    match path {
        "chat/completions" => Some(Operation::Chat),
        "completions" => Some(Operation::Completions),
        "responses" => Some(Operation::Responses),
        "embeddings" => Some(Operation::Embeddings),
        _ => None,
    }
}

fn gemini_verb(verb: &str, query: &str) -> Option<Operation> {
    match verb {
        "generateContent" => Some(Operation::Generate),
        "streamGenerateContent" if query.split('&').any(|pair| pair == "alt=sse") => {
            Some(Operation::GenerateEvents)
        }
        "streamGenerateContent" => Some(Operation::GenerateArray),
        "embedContent" => Some(Operation::Embed),
        "batchEmbedContents" => Some(Operation::BatchEmbed),
        "countTokens" => Some(Operation::CountTokens),
        _ => None,
    }
}

fn models_dialect(path: &str, query: &str, headers: &HeaderMap) -> Dialect {
    let keyed = query.split('&').any(|pair| pair.starts_with("key="));
    if path.starts_with("/v1beta/models") || headers.contains_key("x-goog-api-key") || keyed {
        Dialect::Gemini
    } else if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, target: &str, expected: Option<(Dialect, Operation, Option<&str>)>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = route(&method, path, query, &HeaderMap::new());
        let found =
            found.as_ref().map(|route| (route.dialect, route.operation, route.model.as_deref()));
        assert_eq!(found, expected, "{target}");
    }

    #[test]
    fn every_path_has_its_operation() {
        use Dialect::{Anthropic, Gemini, OpenAi};
        for base in OPENAI_BASES {
            let path = format!("{base}chat/completions");
            check("POST", &path, Some((OpenAi, Operation::Chat, None)));
        }
        check("POST", "/v1/responses", Some((OpenAi, Operation::Responses, None)));
        check(
            "POST",
            "/openai/deployments/d/embeddings?api-version=1",
            Some((OpenAi, Operation::Embeddings, Some("d"))),
        );
        check("POST", "/v1/messages?beta=true", Some((Anthropic, Operation::Messages, None)));
        let sse = "/v1beta/models/g-2:streamGenerateContent?alt=sse";
        check("POST", sse, Some((Gemini, Operation::GenerateEvents, Some("g-2"))));
        let array = "/v1/models/g:streamGenerateContent";
        check("POST", array, Some((Gemini, Operation::GenerateArray, Some("g"))));
        check("GET", "/v1/models?key=k", Some((Gemini, Operation::Models, None)));
        check("GET", "/v1beta/models/g", Some((Gemini, Operation::Model, Some("g"))));
        check("GET", "/api/v1/models/o/m", Some((OpenAi, Operation::Model, Some("o/m"))));
    }

    #[test]
    fn nothing_else_is_served() {
        for (method, path) in [
            ("POST", "/v1/files"),
            ("GET", "/v1/chat/completions"),
            ("DELETE", "/v1/models/m"),
            ("POST", "/v1/models/g:tuneModel"),
            ("GET", "/v1/models/"),
            ("GET", "/v1/modelsx"),
            ("POST", "/anthropic/v1/messages"),
            ("GET", "/v1/responses/resp_1"),
        ] {
            check(method, path, None);
        }
    }
}
