//! Why an operation was refused, apart from how HTTP says it.

use metering::budget::BrokenLedger;

use crate::clock::NoEntropy;
use crate::store::StoreError;

/// A filter's request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The holder never registered or its session has lapsed.
    #[error("the holder is not known (any more): register with a new nonce")]
    UnknownHolder,
    /// The holder knows another life of the database.
    #[error("the server lives in another epoch: forget everything and register anew")]
    OtherEpoch,
    /// The filter speaks another version of the protocol.
    #[error("this server speaks version {} of the protocol", wire::PROTOCOL_VERSION)]
    UnsupportedProtocol,
    /// The message cannot be what a filter means.
    #[error("{0}")]
    BadMessage(String),
    /// More holders are alive than may be.
    #[error("too many holders are alive")]
    TooManyHolders,
    /// Money would not add up.
    #[error(transparent)]
    Ledger(#[from] BrokenLedger),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

impl FilterError {
    /// Whether what is stored contradicts itself: trying again cannot help, and everything else
    /// that the same request says is to be carried out without it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Ledger(_) => true,
            Self::Store(error) => error.is_damage(),
            _ => false,
        }
    }
}

/// One thing that is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Path of the field, such as `limits[0].max`.
    pub param: String,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl FieldProblem {
    /// A value that the field may not have.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::with_code(param, "invalid_field", message)
    }

    /// A problem with a code of its own.
    pub fn with_code(
        param: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { param: param.into(), code, message: message.into() }
    }
}

/// An administrator's request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Fields that cannot be accepted, all of them.
    #[error("{} field(s) cannot be accepted", .0.len())]
    Invalid(Vec<FieldProblem>),
    /// There is no such thing.
    #[error("there is no {what} '{id}'")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// It contradicts what is there.
    #[error("{message}")]
    Conflict {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        message: String,
        /// The field that contradicts, if one does.
        param: Option<String>,
    },
    /// The token admits nobody (any more).
    #[error("{message}")]
    SignIn {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// Whoever asks may not.
    #[error("{message}")]
    Forbidden {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        message: String,
        /// The field that asks for too much, if one does.
        param: Option<String>,
    },
    /// It has changed since the sender saw it.
    #[error("the {what} '{id}' has changed since: read it again")]
    OtherVersion {
        /// What was to be changed.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// What a filter's request could also be refused for.
    #[error(transparent)]
    Ledger(#[from] BrokenLedger),
}

impl From<FilterError> for AdminError {
    /// Steps that filters and administrators share fail by the store or the ledger only.
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Store(error) => Self::Store(error),
            FilterError::Entropy(error) => Self::Entropy(error),
            FilterError::Ledger(error) => Self::Ledger(error),
            _ => Self::Store(StoreError::NotCommitted),
        }
    }
}

impl AdminError {
    /// There is no such thing.
    pub fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        let id = id.into();
        Self::NotFound { what, id }
    }

    /// A field that cannot be accepted, for a reason with a code of its own.
    pub fn field(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem::with_code(param, code, message)])
    }

    /// It contradicts what is there.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { code, message: message.into(), param: None }
    }

    /// Whoever asks may not.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::Forbidden { code, message: message.into(), param: None }
    }

    /// The code that its answer has.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(problems) => {
                problems.first().map_or("invalid_field", |problem| problem.code)
            }
            Self::NotFound { .. } => "not_found",
            Self::OtherVersion { .. } => "precondition_failed",
            Self::Conflict { code, .. }
            | Self::SignIn { code, .. }
            | Self::Forbidden { code, .. } => code,
            Self::Store(_) | Self::Entropy(_) | Self::Ledger(_) => "store_unavailable",
        }
    }
}
