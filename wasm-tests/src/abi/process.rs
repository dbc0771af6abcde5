//! Log, time and ticks.

use wasmtime::Linker;

use super::{Outcome, host_trap, import};
use crate::host_state::LogLine;
use crate::memory::Guest;
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::vm_state::VmState;

/// The highest log level: critical.
const MAX_LOG_LEVEL: u32 = 5;

/// The level that the proxy logs at: info.
const LOG_LEVEL: u32 = 2;

const NS_PER_MS: u64 = 1_000_000;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(linker, profile, "proxy_log", |g, level: u32, at: u32, length: u32| {
        log(g, level, at, length)
    });
    import!(linker, profile, "proxy_get_log_level", |g, level_at: u32| {
        g.write_u32(level_at, LOG_LEVEL)
    });
    import!(linker, profile, "proxy_get_current_time_nanoseconds", |g, time_at: u32| {
        let wall_ns = g.state().host.borrow().clock.wall_ns;
        g.write_u64(time_at, wall_ns)
    });
    import!(linker, profile, "proxy_set_tick_period_milliseconds", |g, period_ms: u32| {
        set_tick_period(g, period_ms)
    });
    Ok(())
}

fn log(guest: &mut Guest<'_, '_>, level: u32, at: u32, length: u32) -> Outcome {
    if level > MAX_LOG_LEVEL {
        return Err(Status::BadArgument.into());
    }
    let message = guest.text(at, length)?;
    guest.note(|| format!("{level} {message}"));
    let state = guest.state();
    let line = LogLine { vm: state.index, context: state.context(), level, message };
    state.host.borrow_mut().log(line);
    Ok(())
}

/// Sets the period of the root context's timer and starts it anew; 0 stops it.
fn set_tick_period(guest: &mut Guest<'_, '_>, period_ms: u32) -> Outcome {
    guest.note(|| format!("{period_ms} ms"));
    if guest.state().carriage() == Carriage::NgxWasm {
        let state = guest.state();
        let root = state.roots.get(&state.context());
        if root.is_none_or(|root| root.tick_period_ms > 0) {
            return Err(host_trap(guest, "a timer outside the root, or a second one"));
        }
    }
    let state = guest.state_mut();
    let now_ns = state.host.borrow().clock.monotonic_ns;
    let id = state.root_of(state.context());
    let root = state.roots.get_mut(&id).ok_or(Status::BadArgument)?;
    root.tick_period_ms = u64::from(period_ms);
    root.next_tick_ns = (period_ms > 0).then(|| now_ns + u64::from(period_ms) * NS_PER_MS);
    Ok(())
}
