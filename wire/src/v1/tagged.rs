//! Reading of messages whose members depend on their kind: all members that any kind has are read,
//! and then sorted out. Reading each kind on its own, as serde does it, would take four times the code
//! in the filter.

use std::fmt;

/// A message lacks a member that its kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingMember(&'static str);

impl fmt::Display for MissingMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing field `{}`", self.0)
    }
}

/// A member that a message of its kind must have.
pub(super) fn needed<T>(member: Option<T>, name: &'static str) -> Result<T, MissingMember> {
    member.ok_or(MissingMember(name))
}
