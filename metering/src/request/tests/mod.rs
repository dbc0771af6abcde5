use super::*;

mod chat;
mod content;
mod disguised;
mod generated;
mod operations;
mod parameters;
mod permission;
mod rewriting;
mod size;

/// Reads a body of an operation; Gemini's model comes from the path.
fn read_as(operation: Operation, body: &str) -> Result<Request, Problem> {
    read(body.as_bytes(), source(operation))
}

/// Reads a body that comes in chunks which end at these places.
fn read_in_chunks(body: &[u8], ends: &[usize], source: Source<'_>) -> Result<Request, Problem> {
    let mut reader = BodyReader::new(source.operation, source.path_model);
    let mut read = 0;
    for end in ends.iter().copied().chain([body.len()]) {
        reader.feed(&body[read..end])?;
        read = end;
    }
    reader.finish(source.betas)
}

fn source(operation: Operation) -> Source<'static> {
    let in_path = matches!(
        operation,
        Operation::GenerateContent
            | Operation::StreamGenerateContent
            | Operation::EmbedContent
            | Operation::BatchEmbedContents
            | Operation::CountTokens
    );
    Source { operation, path_model: in_path.then_some("gemini-2.5-pro"), betas: "" }
}

/// Its features as `code:param`.
fn features(request: &Request) -> Vec<String> {
    let shown = |feature: &Feature| format!("{}:{}", feature.kind.code(), feature.param);
    request.features.iter().map(shown).collect()
}
