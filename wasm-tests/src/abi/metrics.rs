//! Metrics.

use wasmtime::Linker;

use super::import;
use crate::metrics::MetricKind;
use crate::profile::Profile;
use crate::status::Status;
use crate::vm_state::VmState;

/// Metric numbers carry the kind in their two lowest bits.
const KIND_BITS: u32 = 3;

/// Numbers of one kind grow by this.
const ID_STEP: u32 = 4;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_define_metric",
        |g, kind: u32, name: u32, name_len: u32, id_at: u32| {
            let name = g.text(name, name_len)?;
            let metric = MetricKind::from_code(kind).ok_or(Status::BadArgument)?;
            g.note(|| name.clone());
            let state = g.state_mut();
            let same_kind = state.metrics.keys().filter(|id| *id & KIND_BITS == kind);
            let id = same_kind.max().map_or(kind + ID_STEP, |last| last + ID_STEP);
            state.host.borrow_mut().metrics.define(metric, &name);
            state.metrics.insert(id, (metric, name));
            g.write_u32(id_at, id)
        }
    );
    import!(linker, profile, "proxy_increment_metric", |g, id: u32, by: i64| {
        let (kind, name) = named(g.state(), id)?;
        g.note(|| format!("{name} {by:+}"));
        g.state().host.borrow_mut().metrics.increment(kind, &name, by)?;
        Ok(())
    });
    import!(linker, profile, "proxy_record_metric", |g, id: u32, to: u64| {
        let (kind, name) = named(g.state(), id)?;
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

fn named(state: &VmState, id: u32) -> Result<(MetricKind, String), Status> {
    state.metrics.get(&id).cloned().ok_or(Status::NotFound)
}
