//! The proxy's shared data as the gate's shared memory.

use gate::{SharedMemory, SharedMemoryFailed};

use crate::host;

/// With this version Envoy stores a value only where there is none (seen on Envoy 1.40).
const ONLY_IF_ABSENT: u32 = u32::MAX;

/// Shared data under names of our own; the number says which format the values have.
#[derive(Debug, Clone, Copy)]
pub struct SharedData;

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
        let cas = expected.unwrap_or(ONLY_IF_ABSENT);
        host::swap_shared_data(&name(slot), value, cas).map_err(|_| SharedMemoryFailed)
    }
}

fn name(slot: u32) -> String {
    format!("tollgate.w1.{slot}")
}
