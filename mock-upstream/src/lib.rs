//! A mock LLM upstream that speaks the OpenAI chat API, counts exactly and fails on request.
//!
//! It exists so that demonstrations and tests need no provider, and so that they have a referee: it
//! keeps its own count of the tokens that it produced, which a ledger elsewhere must equal.
//!
//! # The rule that decides usage
//!
//! - `prompt_tokens` is the number of bytes of all message texts, at least 1
//!   ([`rule::prompt_tokens`]).
//! - `completion_tokens` of one choice is `min(output limit, 16)`, where the output limit is
//!   `max_completion_tokens`, else `max_tokens`; without either it is 16
//!   ([`rule::completion_tokens`]). Several choices (`n`) multiply it.
//! - Each completion token is one content delta, the word `tok `.
//! - Under `usage=reservation` the report is the largest that a careful gateway must expect:
//!   `prompt_tokens` is the length of the body and `completion_tokens` the request's own limit.
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

pub mod call_log;
pub mod chat;
pub mod control;
pub mod fault;
pub mod referee;
pub mod rule;
pub mod serve;
pub mod sse;
