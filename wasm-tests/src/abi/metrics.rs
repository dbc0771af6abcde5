//! Metrics.

use wasmtime::Linker;

use super::{Refusal, host_trap, import};
use crate::memory::Guest;
use crate::metrics::MetricKind;
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::vm_state::VmState;

/// Metric numbers carry the kind in their two lowest bits.
const KIND_BITS: u32 = 3;

/// Numbers of one kind grow by this.
const ID_STEP: u32 = 4;

/// Longest name that `ngx_wasm_module` takes: 256 bytes, less the `pw:`, the filter's name and the
/// colon that it puts before.
const MAX_NGX_WASM_NAME: usize = 256 - "pw:tollgate:".len();

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_define_metric",
        |g, kind: u32, name: u32, name_len: u32, id_at: u32| {
            let name = g.text(name, name_len)?;
            let metric = MetricKind::from_code(kind).ok_or(Status::BadArgument)?;
            g.note(|| name.clone());
            match g.state().carriage() {
                // What the guest has in place of the number stays as it was.
                Carriage::Apisix => return Ok(()),
                Carriage::NgxWasm if name.len() > MAX_NGX_WASM_NAME => {
                    return Err(host_trap(g, "a long metric name"));
                }
                _ => {}
            }
            let state = g.state_mut();
            let same_kind = state.metrics.keys().filter(|id| *id & KIND_BITS == kind);
            let id = same_kind.max().map_or(kind + ID_STEP, |last| last + ID_STEP);
            state.host.borrow_mut().metrics.define(metric, &name);
            state.metrics.insert(id, (metric, name));
            g.write_u32(id_at, id)
        }
    );
    import!(linker, profile, "proxy_increment_metric", |g, id: u32, by: i64| {
        if g.state().carriage() == Carriage::Apisix {
            return Ok(());
        }
        let (kind, name) = known(g, id)?;
        g.note(|| format!("{name} {by:+}"));
        g.state().host.borrow_mut().metrics.increment(kind, &name, by)?;
        Ok(())
    });
    import!(linker, profile, "proxy_record_metric", |g, id: u32, to: u64| {
        if g.state().carriage() == Carriage::Apisix {
            return Ok(());
        }
        let (kind, name) = known(g, id)?;
        g.note(|| format!("{name} = {to}"));
        g.state().host.borrow_mut().metrics.record(kind, &name, to)?;
        Ok(())
    });
    import!(linker, profile, "proxy_get_metric", |g, id: u32, value_at: u32| {
        let (kind, name) = named(g.state(), id)?;
        if kind == MetricKind::Histogram {
            return Err(Status::BadArgument.into());
        }
        let value = g.state().host.borrow().metrics.value(&name).unwrap_or(0);
        g.write_u64(value_at, value)
    });
    Ok(())
}

fn known(guest: &Guest<'_, '_>, id: u32) -> Result<(MetricKind, String), Refusal> {
    match named(guest.state(), id) {
        Err(_) if guest.state().carriage() == Carriage::NgxWasm => {
            Err(host_trap(guest, "an unknown metric"))
        }
        found => Ok(found?),
    }
}

fn named(state: &VmState, id: u32) -> Result<(MetricKind, String), Status> {
    state.metrics.get(&id).cloned().ok_or(Status::NotFound)
}
