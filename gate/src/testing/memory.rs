//! Shared memory of one imagined proxy process.

use std::collections::HashMap;

use crate::io::{SharedMemory, SharedMemoryFailed};

/// Values with versions that grow by one with every write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    values: HashMap<u32, (Vec<u8>, u32)>,
    /// So many swaps from now on are lost to an imagined other worker.
    pub lose_swaps: u32,
    /// Swaps that were tried.
    pub swaps: usize,
}

impl SharedMemory for ProcessMemory {
    fn read(&mut self, slot: u32) -> Result<Option<(Vec<u8>, u32)>, SharedMemoryFailed> {
        Ok(self.values.get(&slot).cloned())
    }

    fn swap(
        &mut self,
        slot: u32,
        value: &[u8],
        expected: Option<u32>,
    ) -> Result<bool, SharedMemoryFailed> {
        self.swaps += 1;
        let version = self.values.get(&slot).map(|(_, version)| *version);
        if self.lose_swaps > 0 {
            self.lose_swaps -= 1;
            return Ok(false);
        }
        if version != expected {
            return Ok(false);
        }
        self.values.insert(slot, (value.to_vec(), version.unwrap_or(0) + 1));
        Ok(true)
    }
}
