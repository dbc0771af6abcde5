//! The shared value in which counters live. A subject belongs to exactly one bucket, so one swap of
//! one value decides about it, and two workers can never make two counters for the same subject.

use sha2::{Digest as _, Sha256};
use wire::v1::Subject;

use super::codec::{self, Corrupt};
use super::counter::Counter;

/// Number of shared values. Hosts cannot delete values, so their number is fixed; 65,536 buckets
/// of eight keep 100,000 limited subjects apart with less than one in 10⁵ finding its bucket full.
pub const BUCKETS: u32 = 65_536;
/// Subjects that are counted in one bucket at the same time; idle ones make place.
pub const SUBJECTS_PER_BUCKET: usize = 8;

/// Digest of a limited subject: 128 bits of SHA-256 keep two subjects from sharing a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub(super) [u8; 16]);

impl SubjectId {
    /// The id of a subject.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        let mut hash = Sha256::new();
        hash.update(subject.level.as_str());
        hash.update([0]);
        hash.update(&subject.id);
        if let Some(model) = &subject.model {
            hash.update([0]);
            hash.update(model.as_str());
        }
        let full: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        Self(id)
    }
}

/// The bucket of a subject, below [`BUCKETS`].
#[must_use]
pub fn bucket_of(subject: SubjectId) -> u32 {
    let [a, b, c, d, ..] = subject.0;
    u32::from_le_bytes([a, b, c, d]) % BUCKETS
}

/// Every place is taken by a subject that is being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketFull;

/// The counters of one shared value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    pub(super) subjects: Vec<(SubjectId, Counter)>,
}

impl Bucket {
    /// Reads a shared value; an empty value is an empty bucket.
    ///
    /// # Errors
    /// When the bytes were not written by [`Bucket::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        codec::decode(bytes)
    }

    /// The bucket as a shared value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The counter of a subject; an idle subject makes place for a new one.
    ///
    /// # Errors
    /// When every place is taken.
    pub fn counter(&mut self, subject: SubjectId, now_ms: u64) -> Result<&mut Counter, BucketFull> {
        let known = self.subjects.iter().position(|(id, _)| *id == subject);
        let at = match known {
            Some(at) => at,
            None => {
                self.drop_idle(now_ms);
                if self.subjects.len() >= SUBJECTS_PER_BUCKET {
                    return Err(BucketFull);
                }
                self.subjects.push((subject, Counter::default()));
                self.subjects.len() - 1
            }
        };
        self.subjects.get_mut(at).map(|(_, counter)| counter).ok_or(BucketFull)
    }

    /// Forgets subjects of which nothing is counted any more.
    pub fn drop_idle(&mut self, now_ms: u64) {
        self.subjects.iter_mut().for_each(|(_, counter)| counter.expire(now_ms));
        self.subjects.retain(|(_, counter)| !counter.is_idle());
    }
}
