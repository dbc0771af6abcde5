//! The memory of a running server holds tokens and, for as long as it issues one, a key. It is not to
//! lie in a file after a crash.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From now on the kernel writes no core of this process, wherever its pattern sends them, and lets
/// no other process of the same user read its memory (core(5), prctl(2) `PR_SET_DUMPABLE`).
///
/// # Errors
/// When the kernel refuses.
pub fn withhold() -> Result<(), Errno> {
    // A pattern that begins with a pipe is not bound by the limit; both are needed.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn the_kernel_is_told_both_ways() {
        assert_ne!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable), "it would show nothing");
        withhold().unwrap();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
