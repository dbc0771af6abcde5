//! The program that libFuzzer drives: it runs the target that `TOLLGATE_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("TOLLGATE_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("TOLLGATE_FUZZ_TARGET={name} names no target"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
