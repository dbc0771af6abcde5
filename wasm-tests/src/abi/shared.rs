//! Shared data and shared queues.

use wasmtime::Linker;

use super::import;
use crate::memory::shown;
use crate::profile::{Carriage, Profile};
use crate::status::Status;
use crate::vm_state::VmState;

pub(super) fn define(linker: &mut Linker<VmState>, profile: &Profile) -> wasmtime::Result<()> {
    import!(
        linker,
        profile,
        "proxy_get_shared_data",
        |g, key: u32, key_len: u32, value_at: u32, length_at: u32, cas_at: u32| {
            let key = g.bytes(key, key_len)?;
            g.note(|| shown(&key));
            let found = g.state().host.borrow().shared.get(&key).map(|(v, cas)| (v.to_vec(), cas));
            let (value, cas) = found.ok_or(Status::NotFound)?;
            g.hand_over(&value, value_at, length_at)?;
            g.write_u32(cas_at, cas)
        }
    );
    import!(
        linker,
        profile,
        "proxy_set_shared_data",
        |g, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32| {
            let key = g.bytes(key, key_len)?;
            let value = g.bytes(value, value_len)?;
            g.note(|| format!("{} <- {} bytes, cas {cas}", shown(&key), value.len()));
            let exact = g.state().carriage() == Carriage::NgxWasm;
            let shared = &mut g.state().host.borrow_mut().shared;
            if exact {
                shared.set_exact(&key, &value, cas)?;
            } else {
                shared.set(&key, &value, cas)?;
            }
            Ok(())
        }
    );
    import!(
        linker,
        profile,
        "proxy_register_shared_queue",
        |g, name: u32, name_len: u32, token_at: u32| {
            let name = g.bytes(name, name_len)?;
            let state = g.state();
            let root = state.root_of(state.context());
            let token = state.host.borrow_mut().queues.register(&name, state.index, root);
            g.write_u32(token_at, token)
        }
    );
    import!(
        linker,
        profile,
        "proxy_resolve_shared_queue",
        |g, _vm_id: u32, _vm_id_len: u32, name: u32, name_len: u32, token_at: u32| {
            let name = g.bytes(name, name_len)?;
            let token = g.state().host.borrow().queues.resolve(&name);
            g.write_u32(token_at, token.ok_or(Status::NotFound)?)
        }
    );
    import!(
        linker,
        profile,
        "proxy_enqueue_shared_queue",
        |g, token: u32, value: u32, value_len: u32| {
            let value = g.bytes(value, value_len)?;
            g.state().host.borrow_mut().queues.enqueue(token, value)?;
            Ok(())
        }
    );
    import!(
        linker,
        profile,
        "proxy_dequeue_shared_queue",
        |g, token: u32, value_at: u32, length_at: u32| {
            let value = g.state().host.borrow_mut().queues.dequeue(token)?;
            g.hand_over(&value, value_at, length_at)
        }
    );
    Ok(())
}
