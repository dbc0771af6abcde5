//! The proxy-wasm ABI 0.2.1 and the part of WASI that the filter uses, as host functions.
//!
//! Each function follows what Envoy 1.40 does: which argument is looked at first, which status
//! comes back, what is written even when the call fails. Quirks of other proxies come from the
//! profile, faults from the script; both are applied here, before the function does its work.

mod bodies;
mod calls;
mod maps;
mod metrics;
mod process;
mod properties;
mod shared;
mod streams;
mod wasi;

use wasmtime::{Caller, Linker};

use crate::faults::Forced;
use crate::memory::Guest;
use crate::profile::{Profile, Support};
use crate::status::Status;
use crate::trace::Event;
use crate::violation::ViolationKind;
use crate::vm_state::VmState;

/// Why a host function did not do its work.
pub(crate) enum Refusal {
    /// The guest gets this status.
    Status(Status),
    /// The guest traps.
    Trap(wasmtime::Error),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

/// Ends the VM, as this proxy does when the guest calls it so.
pub(crate) fn host_trap(guest: &Guest<'_, '_>, why: &str) -> Refusal {
    guest.state().violation(ViolationKind::HostCallTraps, why);
    Refusal::Trap(wasmtime::Error::msg(format!("the host traps: {why}")))
}

/// What a host function returns.
pub(crate) type Outcome = Result<(), Refusal>;

/// Defines one `env` import unless the profile lacks it.
macro_rules! import {
    ($linker:ident, $profile:ident, $name:literal,
     |$guest:ident $(, $argument:ident : $kind:ty)*| $body:expr) => {
        if $profile.support($name) != $crate::profile::Support::Missing {
            $linker.func_wrap(
                "env",
                $name,
                |caller: wasmtime::Caller<'_, $crate::vm_state::VmState> $(, $argument: $kind)*| {
                    $crate::abi::host_call(caller, $name, |$guest| $body)
                },
            )?;
        }
    };
}
pub(crate) use import;

/// Defines every import that the profile offers.
pub(crate) fn define_imports(
    linker: &mut Linker<VmState>,
    profile: &Profile,
) -> wasmtime::Result<()> {
    process::define(linker, profile)?;
    maps::define(linker, profile)?;
    bodies::define(linker, profile)?;
    streams::define(linker, profile)?;
    properties::define(linker, profile)?;
    shared::define(linker, profile)?;
    calls::define(linker, profile)?;
    metrics::define(linker, profile)?;
    wasi::define(linker, profile)
}

/// Runs one host function: quirk, fault, work, record.
pub(crate) fn host_call(
    mut caller: Caller<'_, VmState>,
    name: &'static str,
    work: impl FnOnce(&mut Guest<'_, '_>) -> Outcome,
) -> wasmtime::Result<i32> {
    let (context, forced, tracing) = {
        let state = caller.data_mut();
        state.entry.host_calls += 1;
        let context = state.context();
        let mut host = state.host.borrow_mut();
        let host = &mut *host;
        let support = host.profile.support(name);
        if support == Support::Traps {
            host.violation(state.index, context, ViolationKind::HostCallTraps, name);
        }
        let quirk = match support {
            Support::Works | Support::Missing => None,
            Support::Answers(status) => Some(Forced::Status(status)),
            Support::Traps => Some(Forced::Trap),
        };
        let forced = quirk.or_else(|| host.faults.meet(name, &mut host.shared));
        (context, forced, host.trace.records_host_calls())
    };
    let mut guest = Guest::new(&mut caller, tracing);
    let outcome = match forced {
        Some(Forced::Status(status)) => Err(Refusal::Status(status)),
        Some(Forced::Trap) => {
            Err(Refusal::Trap(wasmtime::Error::msg(format!("the host traps in {name}"))))
        }
        None => work(&mut guest),
    };
    let detail = guest.into_detail();
    let status = match outcome {
        Ok(()) => 0,
        Err(Refusal::Status(status)) => status.code(),
        Err(Refusal::Trap(error)) => return Err(error),
    };
    if tracing {
        let state = caller.data();
        let event = Event::HostCall { vm: state.index, context, name, detail, status };
        state.host.borrow_mut().trace.push(event);
    }
    Ok(status)
}
