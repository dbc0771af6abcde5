//! The shared memory, with what goes wrong in it counted.

use super::{Meters, Metric};
use crate::io::{SharedMemory, SharedMemoryFailed};

/// Counts lost swaps and failures of a shared memory.
pub(crate) struct Watched<'a> {
    memory: &'a mut dyn SharedMemory,
    lost: u64,
    failed: u64,
}

impl<'a> Watched<'a> {
    /// Nothing has gone wrong yet.
    pub(crate) fn new(memory: &'a mut dyn SharedMemory) -> Self {
        Self { memory, lost: 0, failed: 0 }
    }

    /// Adds what has gone wrong.
    pub(crate) fn told_to(&self, meters: &mut Meters) {
        meters.add(Metric::SWAPS_LOST, self.lost);
        meters.add(Metric::MEMORY_FAILURES, self.failed);
    }
}

impl SharedMemory for Watched<'_> {
    fn read(&mut self, slot: u32) -> Result<Option<(Vec<u8>, u32)>, SharedMemoryFailed> {
        let read = self.memory.read(slot);
        self.failed += u64::from(read.is_err());
        read
    }

    fn swap(
        &mut self,
        slot: u32,
        value: &[u8],
        expected: Option<u32>,
    ) -> Result<bool, SharedMemoryFailed> {
        let swapped = self.memory.swap(slot, value, expected);
        self.lost += u64::from(swapped == Ok(false));
        self.failed += u64::from(swapped.is_err());
        swapped
    }
}
