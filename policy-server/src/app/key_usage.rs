//! What keys were used for, summed up over the records of one report.

use std::collections::BTreeMap;

use wire::KeyId;
use wire::v1::CallRecord;

use crate::store::{KeyRow, KeyUsage};

/// The usage of every key of a report, with the calls of the report: each key is saved once.
#[derive(Debug, Default)]
pub struct Used(BTreeMap<KeyId, KeyUsage>);

impl Used {
    /// Adds a call to what its key, as it was before the report, was used for. A filter's clock may be
    /// ahead: nothing was used later than now.
    pub fn add(&mut self, key: KeyRow, call: &CallRecord, now_unix_ms: u64) {
        let usage = self.0.entry(key.id).or_insert(key.usage);
        usage.requests = usage.requests.saturating_add(1);
        usage.input_tokens = usage.input_tokens.saturating_add(call.usage.input_tokens);
        usage.output_tokens = usage.output_tokens.saturating_add(call.usage.output_tokens);
        usage.spent = usage.spent.saturating_add(call.cost);
        let used_at = call.started_unix_ms.min(now_unix_ms);
        if used_at >= usage.last_used_unix_ms {
            usage.last_used_unix_ms = used_at;
            usage.last_address = call.address.or(usage.last_address);
        }
    }

    /// Every key and its usage afterwards.
    pub fn into_keys(self) -> impl Iterator<Item = (KeyId, KeyUsage)> {
        self.0.into_iter()
    }
}
