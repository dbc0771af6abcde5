//! Order for what the maps give in none: what happens, and what is said, must have one.
//!
//! All of it sorts plain numbers. The standard library's sort is made anew for each type that is sorted,
//! several kilobytes each time, and Envoy compiles every one of them before it is ready.

use crate::io::StreamId;

/// These numbers, ascending.
pub(super) fn ascending(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

/// These streams in the order of their ids.
pub(super) fn in_order(streams: Vec<StreamId>) -> Vec<StreamId> {
    let sorted = ascending(streams.into_iter().map(|stream| u64::from(stream.0)).collect());
    sorted.into_iter().filter_map(|id| u32::try_from(id).ok()).map(StreamId).collect()
}
