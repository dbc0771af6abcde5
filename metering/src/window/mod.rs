//! Rate windows: at most L units in *any* trailing window W, never a weighted estimate.
//!
//! - [`Series`]: what was counted when; exact up to 512 units, above that in sub-buckets that err
//!   on the safe side.
//! - [`Counter`]: everything counted for one subject (a key, a team …): its series and the calls
//!   that run now.
//! - [`Bucket`]: the shared value in which several subjects' counters live, as bytes.
//!
//! Refused requests never count. Time is monotonic milliseconds and always an argument.

mod bucket;
mod codec;
mod counter;
mod series;

pub use bucket::{BUCKETS, Bucket, BucketFull, SUBJECTS_PER_BUCKET, SubjectId, bucket_of};
pub use codec::Corrupt;
pub use counter::{CLAIM_TTL_MS, Call, Counter, Full, MOST_CLAIMS};
pub use series::{EXACT_UP_TO, SUB_BUCKETS, Series, quantum};

#[cfg(test)]
mod tests;
