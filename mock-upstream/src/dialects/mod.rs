//! Answers in the form of each API, as their official SDKs parse them.

pub mod anthropic;
pub mod chat;
pub mod embeddings;
pub mod gemini;
pub mod models;
pub mod problems;
pub mod responses;
