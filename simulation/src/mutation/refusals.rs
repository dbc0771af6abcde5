//! Refused requests that are counted in their windows.

use metering::window::{Bucket, Call, SubjectId, bucket_of};
use wire::v1::{Level, Limit, Scope, Subject, Unit, Window};

use crate::world::Proxy;

/// Counts a request of a key that was never admitted.
pub(super) fn count(proxy: &mut Proxy, key: &str, now_ms: u64) {
    let now_ms = proxy.clock_ms + now_ms;
    let subject = Subject { level: Level::Key, id: key.to_owned(), model: None };
    let id = SubjectId::of(&subject);
    // The largest that is counted exactly: how many may be is not asked here.
    let (unit, window, scope) = (Unit::Requests, Some(Window::Minute), Scope::Proxy);
    let limit = Limit { subject, unit, window, max: 12, scope };
    for memory in &mut proxy.memories {
        let Ok(Some((bytes, version))) = gate::SharedMemory::read(memory, bucket_of(id)) else {
            continue;
        };
        let Ok(mut bucket) = Bucket::from_bytes(&bytes) else { continue };
        let Ok(counter) = bucket.counter(id, now_ms) else { continue };
        let limits = std::slice::from_ref(&limit);
        let call = Call { vm: 0, tokens: 0 };
        if counter.admit(limits, call, now_ms).is_ok() {
            counter.finish(limits, call, 0, now_ms);
            let bytes = bucket.to_bytes();
            let _ = gate::SharedMemory::swap(memory, bucket_of(id), &bytes, Some(version));
        }
    }
}
