//! Errors of the filter API.

use serde::{Deserialize, Serialize};

/// Body of every answer that is not 2xx: `{"error": {"code", "message"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The error.
    pub error: ProblemBody,
}

/// A stable code and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// Stable, for programs: see the constants of [`Problem`].
    pub code: String,
    /// For people; holds no secret.
    pub message: String,
}

impl Problem {
    /// 409: the holder is not known (any more); register with a new nonce.
    pub const UNKNOWN_HOLDER: &'static str = "unknown_holder";
    /// 409: the server lives in another epoch; forget everything and register anew.
    pub const OTHER_EPOCH: &'static str = "other_epoch";
    /// 426: the server does not speak this version of the protocol.
    pub const UNSUPPORTED_PROTOCOL: &'static str = "unsupported_protocol";
    /// 401: the filter's token is missing or wrong.
    pub const BAD_FILTER_TOKEN: &'static str = "bad_filter_token";
    /// 400: the body is not a message of this API.
    pub const BAD_MESSAGE: &'static str = "bad_message";
    /// 503: the store cannot answer now.
    pub const STORE_UNAVAILABLE: &'static str = "store_unavailable";
}
