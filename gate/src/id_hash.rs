//! Maps by ids that nobody outside chooses: the host numbers its streams, the machine its calls. The
//! standard library's hash keeps strangers from choosing keys that collide; for a number that is four
//! hundred instructions, several times in each request, for nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by stream or call.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Spreads a number over all bits by one multiplication (Fibonacci hashing: 2^64 divided by the golden
/// ratio), since the map looks at the highest bits as well as at the lowest.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    use super::*;
    use crate::io::{CallId, StreamId};

    /// Of ids one behind another, whatever lies between two: low bits choose the place in the map, the
    /// highest seven tell those at one place apart.
    #[test]
    fn ids_in_a_row_are_spread_over_low_and_high_bits() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        for step in [1, 2, 3, 8, 64, 4_096] {
            let ids: Vec<u32> = (0..1_024).map(|number| number * step).collect();
            let hashes: Vec<u64> = ids.iter().map(|id| hasher.hash_one(StreamId(*id))).collect();
            let low: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0x3FF).collect();
            let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(low.len() > 512, "step {step}: {} of 1,024 places", low.len());
            assert!(high.len() > 120, "step {step}: {} of 128 marks", high.len());
        }
        assert_ne!(hasher.hash_one(CallId(1)), hasher.hash_one(CallId(1 << 40)));
    }
}
