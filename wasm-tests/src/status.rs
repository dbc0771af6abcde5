//! The status numbers that a host call returns to the guest.

use std::fmt;

/// What a host call returned. The numbers are those of the proxy-wasm ABI 0.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such key, header, property, buffer, queue or metric.
    NotFound = 1,
    /// The argument does not fit, or the object it names is not live in this phase.
    BadArgument = 2,
    /// A value could not be put into its transport form.
    SerializationFailure = 3,
    /// A value could not be read from its transport form.
    ParseFailure = 4,
    /// A pointer or length reaches outside the guest's memory.
    InvalidMemoryAccess = 6,
    /// The queue holds nothing.
    Empty = 7,
    /// The value changed since it was read.
    CasMismatch = 8,
    /// The host failed, or a capability restriction forbids the call.
    InternalFailure = 10,
    /// The host knows the call but does not offer it.
    Unimplemented = 12,
}

impl Status {
    /// The number that the guest sees.
    pub fn code(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}({})", self.code())
    }
}
