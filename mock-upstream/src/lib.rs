//! A mock LLM upstream that speaks the APIs of OpenAI (and Azure), Anthropic and Gemini, counts
//! exactly and fails on request.
//!
//! It exists so that demonstrations and tests need no provider, and so that they have a referee: it
//! keeps its own count of the tokens that it produced, which a ledger elsewhere must equal.
//!
//! # The rule that decides answers and usage
//!
//! - Input tokens are the bytes of all texts of the prompt, system texts included, at least 1; a
//!   token id counts as one ([`ask::Ask::prompt_tokens`]).
//! - Output tokens of one choice are `min(output limit, 16)`, where the limit is the member that
//!   its API has for it; without one it is 16 ([`rule::completion_tokens`]). Several choices
//!   multiply it. Embeddings have none.
//! - Each output token is one content delta, the word `tok `; a Gemini function call comes whole.
//! - Where a request shows thoughts (Anthropic `thinking`, Gemini `includeThoughts`), a quarter of
//!   the output is thoughts. Where it gives a function, the answer calls it, until the request
//!   holds a result.
//! - Ids and times come from a hash of model and question, so the same question has the same answer
//!   byte for byte ([`ask::Ask::fingerprint`]).
//! - Under `usage=reservation` the report is the largest that a careful gateway must expect:
//!   the input is the length of the body and the output the request's own limit.
//! - Counting tokens and listing models is free. Any other path is answered 200 with a few bytes,
//!   and counted as `elsewhere`.
//!
//! # Faults
//!
//! One request chooses its faults with the header `x-mock-fault`; `POST /_mock/config` with
//! `{"fault": "…"}` sets them for every request without that header. The grammar is in [`fault`].
//!
//! # The referee's interface
//!
//! `GET /_mock/stats`, `GET /_mock/requests?limit=N`, `GET /_mock/calls` (one line for every request:
//! when it came and what it cost), `POST /_mock/reset`, `POST /_mock/config`.
//!
//! It deliberately checks no credential: what reaches it is recorded, so that a test can assert
//! that no client credential did.

pub mod ask;
pub mod call_log;
pub mod control;
pub mod delivery;
pub mod dialects;
pub mod fault;
pub mod json_text;
pub mod operation;
pub mod referee;
pub mod rule;
pub mod script;
pub mod serve;
