//! A call has ended: its charge, its record, its place in the windows.

use metering::charge::{Charge, Outcome, charge};
use wire::v1::{Basis, CallRecord, Ending};
use wire::{NanoUsd, RefusalCode, RequestId};

use super::{Metered, Running};
use crate::io::Now;

/// What the end of a call leaves behind.
pub(crate) struct Departure {
    pub(crate) record: CallRecord,
    pub(crate) cost: NanoUsd,
    /// Tokens to count in token windows.
    pub(crate) used_tokens: u64,
}

/// Ends a call.
pub(crate) fn depart(running: &Running, request: RequestId, sequence: u64, now: Now) -> Departure {
    let outcome = running.answer.outcome();
    let charged = match running.metered {
        Metered::Nothing => Outcome::Failed,
        Metered::Tokens(_) | Metered::PerCall => outcome,
    };
    let Charge { usage, cost, basis } = charge(&running.admitted, charged);
    let ending = match outcome {
        _ if running.stop.has_begun() => Ending::Cut,
        Outcome::Failed => Ending::UpstreamError,
        Outcome::NoAnswer => Ending::NoAnswer,
        Outcome::Answered(seen) if !seen.complete => Ending::Cut,
        Outcome::Answered(_) | Outcome::Unreadable => Ending::Complete,
    };
    let record = CallRecord {
        sequence,
        request,
        key: running.policy.key.clone(),
        lease: running.drawn.as_ref().map(|(lease, _)| lease.clone()),
        model: running.model.clone(),
        catalogue_version: running.catalogue_version,
        price_multiplier: running.admitted.price.multiplier,
        usage,
        cost,
        basis,
        reserved: running.drawn.as_ref().map_or(NanoUsd::ZERO, |(_, draw)| draw.amount),
        status: running.status,
        streamed: running.admitted.streamed,
        ending,
        started_unix_ms: running.began_unix_ms,
        duration_ms: now.monotonic_ms.saturating_sub(running.began_ms),
        metadata: running.metadata.clone(),
        address: running.address,
        user_key: running.policy.user_key.clone(),
        would_refuse: running.would_refuse.and_then(|code| RefusalCode::new(code).ok()),
    };
    let used_tokens = match basis {
        Basis::Refunded => 0,
        Basis::Measured | Basis::Estimated => {
            usage.input_tokens.saturating_add(usage.output_tokens)
        }
    };
    Departure { record, cost, used_tokens }
}
