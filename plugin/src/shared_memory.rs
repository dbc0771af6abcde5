//! The proxy's shared data as the gate's shared memory, and what stands in its place where there is none.

use std::collections::HashMap;

use gate::{HostKind, SharedMemory, SharedMemoryFailed};

use crate::host;

/// With this version Envoy stores a value only where there is none (seen on Envoy 1.40).
const ONLY_IF_ABSENT: u32 = u32::MAX;

/// The same on ngx_wasm (in its source).
const ONLY_IF_ABSENT_ON_NGINX: u32 = 0;

/// Most bytes of values in the memory of one worker: what its windows take beside all else, with some
/// 100,000 subjects in use. Beyond it calls that need more are refused.
const MOST_BYTES: usize = 64 << 20;

/// Shared data under names of our own; the number says which format the values have.
#[derive(Debug, Clone, Copy)]
pub struct SharedData {
    /// The version that stands for "there is none yet".
    only_if_absent: u32,
}

impl SharedData {
    /// Envoy's or ngx_wasm's.
    pub fn of(kind: HostKind) -> Self {
        let only_if_absent = match kind {
            HostKind::Envoy | HostKind::Apisix => ONLY_IF_ABSENT,
            HostKind::NgxWasm => ONLY_IF_ABSENT_ON_NGINX,
        };
        Self { only_if_absent }
    }
}

impl SharedMemory for SharedData {
    fn read(&mut self, slot: u32) -> Result<Option<(Vec<u8>, u32)>, SharedMemoryFailed> {
        match host::shared_data(&name(slot)) {
            // Version 0 would make every swap unconditional.
            Ok(Some((_, 0))) | Err(_) => Err(SharedMemoryFailed),
            Ok(found) => Ok(found),
        }
    }

    fn swap(
        &mut self,
        slot: u32,
        value: &[u8],
        expected: Option<u32>,
    ) -> Result<bool, SharedMemoryFailed> {
        let cas = expected.unwrap_or(self.only_if_absent);
        host::swap_shared_data(&name(slot), value, cas).map_err(|_| SharedMemoryFailed)
    }
}

/// The memory of one worker. Nobody else swaps in it, so a value needs no version.
#[derive(Debug, Default)]
pub struct OwnMemory {
    values: HashMap<u32, Vec<u8>>,
    bytes: usize,
}

impl SharedMemory for OwnMemory {
    fn read(&mut self, slot: u32) -> Result<Option<(Vec<u8>, u32)>, SharedMemoryFailed> {
        Ok(self.values.get(&slot).map(|value| (value.clone(), 1)))
    }

    fn swap(
        &mut self,
        slot: u32,
        value: &[u8],
        _: Option<u32>,
    ) -> Result<bool, SharedMemoryFailed> {
        let before = self.values.get(&slot).map_or(0, Vec::len);
        let bytes = self.bytes.saturating_sub(before).saturating_add(value.len());
        if bytes > MOST_BYTES && value.len() > before {
            return Err(SharedMemoryFailed);
        }
        self.bytes = bytes;
        self.values.insert(slot, value.to_vec());
        Ok(true)
    }
}

fn name(slot: u32) -> String {
    format!("tollgate.w1.{slot}")
}
