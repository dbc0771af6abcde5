//! The four WASI functions that the filter declares by hand. Nothing else of WASI is offered: a
//! module that wants more does not load, here as in a capability-restricted proxy.

use wasmtime::{Caller, Linker};

use super::{Outcome, Refusal, host_call};
use crate::memory::Guest;
use crate::profile::{Profile, Support};
use crate::vm_state::VmState;

const MODULE: &str = "wasi_snapshot_preview1";

/// Success, bad address, not supported: the errno values of WASI preview 1.
const SUCCESS: i32 = 0;
const BAD_ADDRESS: i32 = 21;
const NOT_SUPPORTED: i32 = 58;

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

/// Random bytes that one call may ask for.
const MAX_RANDOM_BYTES: u32 = 65_536;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    let offered = |name: &str| profile.support(name) != Support::Missing;
    if offered("clock_time_get") {
        linker.func_wrap(
            MODULE,
            "clock_time_get",
            |caller: Caller<'_, VmState>, clock: u32, _precision: u64, time_at: u32| {
                if clock > MONOTONIC {
                    return Ok(NOT_SUPPORTED);
                }
                wasi_call(caller, "clock_time_get", |g| {
                    let now = g.state().host.borrow().clock;
                    let ns = if clock == REALTIME { now.wall_ns } else { now.monotonic_ns };
                    g.write_u64(time_at, ns)
                })
            },
        )?;
    }
    if offered("random_get") {
        linker.func_wrap(
            MODULE,
            "random_get",
            |caller: Caller<'_, VmState>, at: u32, length: u32| {
                wasi_call(caller, "random_get", |g| random(g, at, length))
            },
        )?;
    }
    if offered("environ_sizes_get") {
        linker.func_wrap(
            MODULE,
            "environ_sizes_get",
            |caller: Caller<'_, VmState>, count_at: u32, bytes_at: u32| {
                wasi_call(caller, "environ_sizes_get", |g| {
                    let entries = environment(g.state());
                    let bytes: usize = entries.iter().map(Vec::len).sum();
                    g.write_u32(count_at, entries.len() as u32)?;
                    g.write_u32(bytes_at, bytes as u32)
                })
            },
        )?;
    }
    if offered("environ_get") {
        linker.func_wrap(
            MODULE,
            "environ_get",
            |caller: Caller<'_, VmState>, pointers_at: u32, bytes_at: u32| {
                wasi_call(caller, "environ_get", |g| environ_get(g, pointers_at, bytes_at))
            },
        )?;
    }
    Ok(())
}

/// Like a host call of the proxy, but a refusal reads as an errno.
fn wasi_call(
    caller: Caller<'_, VmState>,
    name: &'static str,
    work: impl FnOnce(&mut Guest<'_, '_>) -> Outcome,
) -> wasmtime::Result<i32> {
    let status = host_call(caller, name, work)?;
    Ok(if status == 0 { SUCCESS } else { BAD_ADDRESS })
}

fn random(guest: &mut Guest<'_, '_>, at: u32, length: u32) -> Outcome {
    if length > MAX_RANDOM_BYTES {
        return Err(Refusal::Status(crate::status::Status::BadArgument));
    }
    let mut bytes = vec![0; length as usize];
    guest.state().host.borrow_mut().random.fill(&mut bytes);
    guest.write(at, &bytes)
}

/// `NAME=value` with a zero byte after each.
fn environment(state: &VmState) -> Vec<Vec<u8>> {
    let host = state.host.borrow();
    let entry = |(name, value): &(String, String)| format!("{name}={value}\0").into_bytes();
    host.environment.iter().map(entry).collect()
}

fn environ_get(guest: &mut Guest<'_, '_>, mut pointers_at: u32, mut bytes_at: u32) -> Outcome {
    for entry in environment(guest.state()) {
        guest.write_u32(pointers_at, bytes_at)?;
        guest.write(bytes_at, &entry)?;
        pointers_at += 4;
        bytes_at += entry.len() as u32;
    }
    Ok(())
}
