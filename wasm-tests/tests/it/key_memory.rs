//! Memory of the shipped filter by how many keys it has seen.

use wasm_tests::key_memory::{MOST_BYTES, measure, measure_counted};

/// More keys than a VM remembers of either kind, so that the oldest have made place.
#[test]
fn keys_beyond_those_that_are_remembered_need_no_more_memory() {
    let full = 10_500;
    for (seen, bytes) in measure(&[0, full, full + 2_000]).unwrap() {
        assert!(bytes[0] < bytes[1] && bytes[1] <= MOST_BYTES, "{seen:?}: {bytes:?}");
        assert_eq!(bytes[1], bytes[2], "{seen:?}");
    }
}

/// An entity that was counted once needs its digest and a moment, wherever it falls.
#[test]
fn a_limited_entity_needs_a_hundred_bytes_of_shared_data() {
    let (each, memory) = measure_counted(2_000).unwrap();
    assert!((16.0..=100.0).contains(&each), "{each} bytes");
    assert!(memory <= MOST_BYTES, "{memory}");
}
