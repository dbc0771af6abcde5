//! The guest's memory, seen from a host call. Every access is checked.

use wasmtime::{AsContextMut, Caller, Memory};

use crate::abi::{Outcome, Refusal};
use crate::status::Status;
use crate::violation::ViolationKind;
use crate::vm_state::VmState;

/// The guest during one host call.
pub(crate) struct Guest<'a, 'b> {
    caller: &'a mut Caller<'b, VmState>,
    detail: Option<String>,
}

impl<'a, 'b> Guest<'a, 'b> {
    pub(crate) fn new(caller: &'a mut Caller<'b, VmState>, tracing: bool) -> Self {
        Self { caller, detail: tracing.then(String::new) }
    }

    pub(crate) fn into_detail(self) -> String {
        self.detail.unwrap_or_default()
    }

    /// Says for the trace what the call is about. Not evaluated when nothing is recorded.
    pub(crate) fn note(&mut self, say: impl FnOnce() -> String) {
        if let Some(detail) = self.detail.as_mut() {
            if !detail.is_empty() {
                detail.push_str(", ");
            }
            detail.push_str(&say());
        }
    }

    pub(crate) fn state(&self) -> &VmState {
        self.caller.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut VmState {
        self.caller.data_mut()
    }

    fn memory(&self) -> Result<Memory, Refusal> {
        self.state().memory.ok_or(Refusal::Status(Status::InvalidMemoryAccess))
    }

    fn bad_access(&self, what: &str, at: u32, length: usize) -> Refusal {
        let detail = format!("{what} of {length} bytes at {at:#x}");
        self.state().violation(ViolationKind::BadMemory, detail);
        Refusal::Status(Status::InvalidMemoryAccess)
    }

    /// Copies bytes out of the guest.
    pub(crate) fn bytes(&self, at: u32, length: u32) -> Result<Vec<u8>, Refusal> {
        let memory = self.memory()?;
        let from = at as usize;
        let bytes = memory.data(&*self.caller).get(from..from + length as usize);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| self.bad_access("read", at, length as usize))
    }

    /// Copies bytes out of the guest as text, with replacement characters.
    pub(crate) fn text(&self, at: u32, length: u32) -> Result<String, Refusal> {
        Ok(String::from_utf8_lossy(&self.bytes(at, length)?).into_owned())
    }

    /// Writes bytes to a place that the guest named.
    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> Outcome {
        let memory = self.memory()?;
        memory
            .write(&mut *self.caller, at as usize, bytes)
            .map_err(|_| self.bad_access("write", at, bytes.len()))
    }

    pub(crate) fn write_u32(&mut self, at: u32, value: u32) -> Outcome {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, at: u32, value: u64) -> Outcome {
        self.write(at, &value.to_le_bytes())
    }

    /// Hands bytes to the guest: memory from its own allocator, then pointer and length where it
    /// wants them. No bytes are a null pointer and no allocation.
    pub(crate) fn hand_over(&mut self, bytes: &[u8], pointer_at: u32, length_at: u32) -> Outcome {
        let mut pointer = 0;
        if !bytes.is_empty() {
            let allocate = self
                .state()
                .allocate
                .clone()
                .ok_or(Refusal::Status(Status::InvalidMemoryAccess))?;
            self.state_mut().entry.allocations += 1;
            pointer = allocate.call(self.caller.as_context_mut(), bytes.len() as u32)?;
            if pointer == 0 {
                return Err(Refusal::Status(Status::InvalidMemoryAccess));
            }
            self.write(pointer, bytes)?;
        }
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(length_at, bytes.len() as u32)
    }
}

/// Bytes for a reader: text as it is, anything else escaped, long values cut.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 80;
    let head = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let cut =
        if bytes.len() > head.len() { format!("…{} bytes", bytes.len()) } else { String::new() };
    format!("{}{cut}", head.escape_ascii())
}
