//! Calls that are sent again under the same `Idempotency-Key`: one that runs, or was charged, is not
//! made twice. Which ones those are is remembered in the memory that all workers of the proxy share.

use metering::api_key::digest;
use metering::window::BUCKETS;
use wire::{KeyDigest, KeyId};

use crate::io::{Headers, SharedMemory, SharedMemoryFailed};
use crate::refusal::Refusal;

/// For how long a call is remembered, in milliseconds: longer than any client tries again.
const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Shared values beside those of windows. Hosts cannot delete values, so their number is fixed.
const SLOTS: u32 = 8_192;
/// Calls in one of them, the newest: 131,072 in all, in 3 MiB. Until 80,000 calls of a day, less than one
/// in 30 is forgotten before its time.
const PER_SLOT: usize = 16;
/// Bytes of a call: 128 bits of SHA-256, and when it began.
const ENTRY: usize = 16 + 8;
/// A lost swap is tried again this often, as in windows.
const MOST_TRIES: usize = 8;

const HEADER: &[u8] = b"idempotency-key";

/// What a call is remembered by.
pub(crate) type Id = [u8; 16];

/// A call that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Once {
    id: Id,
    began_ms: u64,
}

/// Digest of the header that names a call; none where it is absent or empty.
pub(crate) fn sent(headers: &Headers) -> Option<KeyDigest> {
    let values = headers.iter().filter(|(name, _)| name == HEADER);
    let all: Vec<&[u8]> = values.map(|(_, value)| value.trim_ascii()).collect();
    let all = all.join(b",".as_slice());
    (!all.is_empty()).then(|| digest(&all))
}

/// A call of this key by that name: of other keys nobody learns anything.
pub(crate) fn id_of(key: &KeyId, sent: &KeyDigest) -> Id {
    let named = [key.as_str().as_bytes(), &[0], &sent.0].concat();
    let mut id = [0; 16];
    id.iter_mut().zip(digest(&named).0).for_each(|(to, from)| *to = from);
    id
}

/// Whether there is no such call yet.
pub(crate) fn check(memory: &mut dyn SharedMemory, id: Id, now_ms: u64) -> Result<(), Refusal> {
    let (calls, _) = load(memory, id)?;
    refuse_known(&calls, id, now_ms)
}

/// Remembers a call that is made now, unless there is one.
pub(crate) fn begin(memory: &mut dyn SharedMemory, id: Id, now_ms: u64) -> Result<Once, Refusal> {
    let once = Once { id, began_ms: now_ms };
    change(memory, id, |calls| {
        refuse_known(calls, id, now_ms)?;
        calls.retain(|call| is_kept(call, now_ms));
        if calls.len() >= PER_SLOT {
            // They stand in the order in which they began.
            calls.remove(0);
        }
        calls.push(once);
        Ok(())
    })?;
    Ok(once)
}

/// The call was not made, or is not charged: it may be made again. A swap that cannot be made leaves it
/// remembered, so that nothing is ever charged twice for that.
pub(crate) fn forget(memory: &mut dyn SharedMemory, once: Once) {
    let _: Result<(), Refusal> = change(memory, once.id, |calls| {
        calls.retain(|call| *call != once);
        Ok(())
    });
}

fn refuse_known(calls: &[Once], id: Id, now_ms: u64) -> Result<(), Refusal> {
    let is_it = |call: &Once| call.id == id && is_kept(call, now_ms);
    if calls.iter().any(is_it) { Err(Refusal::IdempotentReplay) } else { Ok(()) }
}

fn is_kept(call: &Once, now_ms: u64) -> bool {
    now_ms.saturating_sub(call.began_ms) < KEPT_MS
}

fn slot_of(id: Id) -> u32 {
    let [a, b, c, d, ..] = id;
    BUCKETS + u32::from_le_bytes([a, b, c, d]) % SLOTS
}

fn load(memory: &mut dyn SharedMemory, id: Id) -> Result<(Vec<Once>, Option<u32>), Refusal> {
    let (bytes, version) = match memory.read(slot_of(id)) {
        Ok(Some((bytes, version))) => (bytes, Some(version)),
        Ok(None) => (Vec::new(), None),
        Err(SharedMemoryFailed) => return Err(Refusal::LimiterBusy),
    };
    let (entries, rest) = bytes.as_chunks::<ENTRY>();
    if !rest.is_empty() || entries.len() > PER_SLOT {
        // Bytes of somebody else.
        return Err(Refusal::LimiterBusy);
    }
    Ok((entries.iter().map(read).collect(), version))
}

fn read(entry: &[u8; ENTRY]) -> Once {
    let (mut id, mut began) = ([0; 16], [0; 8]);
    id.iter_mut().chain(&mut began).zip(entry).for_each(|(to, from)| *to = *from);
    Once { id, began_ms: u64::from_le_bytes(began) }
}

fn change(
    memory: &mut dyn SharedMemory,
    id: Id,
    mut edit: impl FnMut(&mut Vec<Once>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for _ in 0..MOST_TRIES {
        let (mut calls, version) = load(memory, id)?;
        edit(&mut calls)?;
        let bytes: Vec<u8> = calls
            .iter()
            .flat_map(|call| call.id.into_iter().chain(call.began_ms.to_le_bytes()))
            .collect();
        match memory.swap(slot_of(id), &bytes, version) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(SharedMemoryFailed) => break,
        }
    }
    Err(Refusal::LimiterBusy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ProcessMemory;

    fn id(n: u64) -> Id {
        id_of(&KeyId::new("key_1").unwrap(), &digest(&n.to_le_bytes()))
    }

    const REPLAY: Result<(), Refusal> = Err(Refusal::IdempotentReplay);

    #[test]
    fn a_call_is_made_once_in_a_day_unless_it_is_forgotten() {
        let mut memory = ProcessMemory::default();
        assert_eq!(check(&mut memory, id(1), 5), Ok(()));
        let once = begin(&mut memory, id(1), 5).unwrap();
        assert_eq!(begin(&mut memory, id(1), 5), Err(Refusal::IdempotentReplay));
        assert_eq!(check(&mut memory, id(2), 5), Ok(()));
        assert_eq!(check(&mut memory, id(1), 4 + KEPT_MS), REPLAY);
        assert_eq!(check(&mut memory, id(1), 5 + KEPT_MS), Ok(()));
        forget(&mut memory, once);
        assert_eq!(check(&mut memory, id(1), 5), Ok(()));
        // What is forgotten late is not the call that was made since.
        begin(&mut memory, id(1), 6).unwrap();
        forget(&mut memory, once);
        assert_eq!(check(&mut memory, id(1), 7), REPLAY);
    }

    #[test]
    fn the_oldest_make_place_in_a_slot_that_never_grows() {
        let mut memory = ProcessMemory::default();
        let slot = slot_of(id(0));
        let same: Vec<Id> =
            (0u64..).map(id).filter(|id| slot_of(*id) == slot).take(PER_SLOT + 1).collect();
        for (at, id) in same.iter().enumerate() {
            begin(&mut memory, *id, u64::try_from(at).unwrap()).unwrap();
        }
        let (bytes, _) = memory.read(slot).unwrap().unwrap();
        assert_eq!(bytes.len(), PER_SLOT * ENTRY);
        assert_eq!(check(&mut memory, same[0], 99), Ok(()));
        assert!(same[1..].iter().all(|id| check(&mut memory, *id, 99) == REPLAY));
        // Those whose time is over go first.
        begin(&mut memory, same[0], KEPT_MS + 3).unwrap();
        let (bytes, _) = memory.read(slot).unwrap().unwrap();
        assert_eq!(bytes.len(), (PER_SLOT - 2) * ENTRY);
    }

    #[test]
    fn workers_that_swap_at_once_and_foreign_bytes_are_told_apart() {
        let mut memory = ProcessMemory::default();
        memory.lose_swaps = 7;
        begin(&mut memory, id(1), 0).unwrap();
        memory.lose_swaps = 8;
        assert_eq!(begin(&mut memory, id(2), 0), Err(Refusal::LimiterBusy));
        memory.lose_swaps = 0;
        assert_eq!(check(&mut memory, id(2), 0), Ok(()));
        memory.swap(slot_of(id(3)), b"theirs", None).unwrap();
        assert_eq!(check(&mut memory, id(3), 0), Err(Refusal::LimiterBusy));
        assert!(slot_of(id(3)) >= BUCKETS);
    }

    #[test]
    fn every_key_has_its_own_names() {
        let header =
            |value: &str| sent(&vec![(b"idempotency-key".to_vec(), value.as_bytes().to_vec())]);
        assert_eq!((header(""), header("  "), sent(&Vec::new())), (None, None, None));
        assert_eq!(header(" a "), header("a"));
        let (one, other) = (KeyId::new("key_1").unwrap(), KeyId::new("key_2").unwrap());
        let name = header("a").unwrap();
        assert_ne!(id_of(&one, &name), id_of(&other, &name));
        assert_ne!(id_of(&one, &name), id_of(&one, &header("b").unwrap()));
    }
}
