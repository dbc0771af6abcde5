//! Most input tokens that a request can be charged for.

use super::Request;

/// What is known of a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputLimits {
    /// Most tokens of input and output together.
    pub context_length: u64,
    /// Tokens of hidden prompts and chat framing that no byte accounts for.
    pub overhead_tokens: u64,
    /// Most tokens of one image in the body; not known: the whole context.
    pub image_tokens: Option<u64>,
    /// Most tokens of one recording in the body; not known: the whole context.
    pub audio_tokens: Option<u64>,
    /// Most tokens of one document in the body; not known: the whole context.
    pub document_tokens: Option<u64>,
}

/// Most uses of tools that the provider runs: what the request allows, or where it does not say what
/// the catalogue does (`max_server_tool_calls`); `None` where neither bounds them.
#[must_use]
pub fn server_tool_calls(request: &Request, of_model: Option<u64>) -> Option<u64> {
    request.server_tools.most_calls.or(of_model)
}

/// The bound of DESIGN's section on reservations: bytes bound the tokens of text, a maximum per item
/// those of media in the body, and the model's context everything else. Each prompt has a context of
/// its own. Tools that the provider runs call the model again after each use, with all that it has
/// read, so each use may cost another context; `server_tool_calls` is the bound on their uses.
/// Operations that are free have no input to pay for.
#[must_use]
pub fn input_bound(request: &Request, limits: &InputLimits, server_tool_calls: u64) -> u64 {
    if request.operation.is_free() {
        return 0;
    }
    let contexts = limits.context_length.saturating_mul(request.prompts);
    if !request.server_tools.kinds.is_empty() {
        return contexts.saturating_mul(server_tool_calls.saturating_add(1));
    }
    if request.by_reference {
        return contexts;
    }
    in_body(request, limits).map_or(contexts, |tokens| tokens.min(contexts))
}

/// Most tokens of what stands in the body itself; `None` where nothing says so.
fn in_body(request: &Request, limits: &InputLimits) -> Option<u64> {
    let media = &request.media;
    let of = |count: u64, each: Option<u64>| match count {
        0 => Some(0),
        count => each.map(|each| each.saturating_mul(count)),
    };
    let text = request.body_bytes.saturating_sub(media.encoded_bytes);
    let overhead = limits.overhead_tokens.saturating_mul(request.prompts);
    let items = [
        of(media.images, limits.image_tokens)?,
        of(media.audio, limits.audio_tokens)?,
        of(media.documents, limits.document_tokens)?,
    ];
    Some(items.into_iter().fold(text.saturating_add(overhead), u64::saturating_add))
}
