//! Vectors in the form of OpenAI and of Gemini.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::json_text::{Object, list, text};
use crate::operation::Operation;
use crate::rule::Plan;

/// OpenAI's embeddings.
#[must_use]
pub fn openai(plan: &Plan) -> String {
    let data = (0..plan.ask.vectors).map(|vector| {
        let embedding =
            if plan.ask.base64 { text(&as_base64(plan, vector)) } else { numbers(plan, vector) };
        Object::new()
            .text("object", "embedding")
            .number("index", vector)
            .raw("embedding", &embedding)
            .end()
    });
    let usage = Object::new()
        .number("prompt_tokens", plan.prompt_tokens)
        .number("total_tokens", plan.prompt_tokens)
        .end();
    Object::new()
        .text("object", "list")
        .raw("data", &list(data))
        .text("model", &plan.ask.model)
        .maybe("usage", plan.reports_usage.then_some(&usage))
        .end()
}

/// Gemini's `embedContent` and `batchEmbedContents`.
#[must_use]
pub fn gemini(plan: &Plan, operation: Operation) -> String {
    let mut vectors = (0..plan.ask.vectors)
        .map(|vector| Object::new().raw("values", &numbers(plan, vector)).end());
    let usage = Object::new().number("promptTokenCount", plan.prompt_tokens).end();
    let answer = if operation == Operation::Embed {
        Object::new().maybe("embedding", vectors.next().as_deref())
    } else {
        Object::new().raw("embeddings", &list(vectors))
    };
    answer.maybe("usageMetadata", plan.reports_usage.then_some(&usage)).end()
}

fn numbers(plan: &Plan, vector: u64) -> String {
    list((0..plan.ask.dimensions).map(|place| plan.vector_number(vector, place).to_string()))
}

fn as_base64(plan: &Plan, vector: u64) -> String {
    let bytes: Vec<u8> = (0..plan.ask.dimensions)
        .flat_map(|place| plan.vector_number(vector, place).to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}
