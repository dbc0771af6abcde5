//! Request bodies: whatever is let through is read by serde_json, and by parsers that treat names
//! otherwise, as the filter read it, before its edits and afterwards.

use metering::request::{BodyReader, Operation, Problem, Request, Source, read};

use crate::agreement::{Reading, body, judge, views_of_serde};
use crate::input::{Input, pieces};

/// The operations whose bodies say something, and whether their path names the model.
pub(crate) const OPERATIONS: [(Operation, bool); 8] = [
    (Operation::Chat, false),
    (Operation::Completions, false),
    (Operation::Responses, false),
    (Operation::Messages, false),
    (Operation::Embeddings, false),
    (Operation::GenerateContent, true),
    (Operation::BatchEmbedContents, true),
    (Operation::Chat, true),
];

/// The first byte chooses the operation and whether the rest is the body or says how to make one.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let (operation, has_path_model) = OPERATIONS[usize::from(choice & 7)];
    let path_model = has_path_model.then_some("cheap");
    let source = Source { operation, path_model, betas: "" };
    let body = if choice & 8 == 0 { input.all().to_vec() } else { body(operation, &mut input) };
    let in_pieces = read_in_pieces(&body, source, choice >> 5);
    assert_eq!(in_pieces, read(&body, source), "pieces make a difference");
    if let Some(reading) = Reading::of(&body, source, choice & 16 != 0) {
        judge(&reading, &body, views_of_serde);
    }
}

fn read_in_pieces(body: &[u8], source: Source<'_>, seed: u8) -> Result<Request, Problem> {
    let mut reader = BodyReader::new(source.operation, source.path_model);
    for piece in pieces(body, seed) {
        reader.feed(piece)?;
    }
    reader.finish(source.betas)
}
