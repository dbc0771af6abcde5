//! Why a body is refused before anything is reserved.

use std::borrow::Cow;
use std::fmt;

use super::MOST_PIECES;
use crate::json::SyntaxError;

/// Why a body is refused before anything is reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Not JSON.
    Syntax(SyntaxError),
    /// Not UTF-8.
    NotUtf8,
    /// JSON, but no object.
    NotAnObject,
    /// More than [`super::MOST_PIECES`] names, values and brackets.
    TooManyPieces,
    /// A member that we read stands there twice, or in a spelling that some parsers read as it.
    Duplicate(&'static str),
    /// A member that we need is not there.
    Missing(&'static str),
    /// A member has a value of another kind.
    Invalid {
        /// The member.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A member that could make cost which nobody reserved.
    Unsupported(Cow<'static, str>),
    /// An optional member that the model does not take.
    UnsupportedByModel(&'static str),
}

impl Problem {
    /// The stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::NotUtf8 | Self::NotAnObject => "invalid_json",
            Self::TooManyPieces => "body_too_large",
            Self::Duplicate(_) => "duplicate_field",
            Self::Missing(_) | Self::Invalid { .. } => "invalid_value",
            Self::Unsupported(_) | Self::UnsupportedByModel(_) => "unsupported_parameter",
        }
    }

    /// The member at fault.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Syntax(_) | Self::NotUtf8 | Self::NotAnObject | Self::TooManyPieces => None,
            Self::Duplicate(field)
            | Self::Missing(field)
            | Self::Invalid { field, .. }
            | Self::UnsupportedByModel(field) => Some(field),
            Self::Unsupported(field) => Some(field),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "The request body is not valid JSON: {error}."),
            Self::NotUtf8 => f.write_str("The request body is not valid UTF-8."),
            Self::NotAnObject => f.write_str("The request body must be a JSON object."),
            Self::TooManyPieces => {
                write!(f, "The request body has more than {MOST_PIECES} JSON names and values.")
            }
            Self::Duplicate(field) => {
                write!(f, "The member `{field}` must stand in the request exactly once.")
            }
            Self::Missing(field) => write!(f, "The member `{field}` is required."),
            Self::Invalid { field, expected } => {
                write!(f, "The member `{field}` must be {expected}.")
            }
            Self::Unsupported(field) => {
                write!(f, "The parameter `{field}` is not supported with this value.")
            }
            Self::UnsupportedByModel(field) => {
                write!(f, "The parameter `{field}` is not supported by this model.")
            }
        }
    }
}

impl std::error::Error for Problem {}
