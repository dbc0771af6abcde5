//! The ledger against the upstream's own count, call by call.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

/// Prices of the fixture's model in pico-USD per token.
const INPUT_PICO_USD: u64 = 153_000;
const OUTPUT_PICO_USD: u64 = 617_000;
/// Of input that was read from a cache: only models of [`crate::models`] have a price for it, and no
/// other test has such input.
const CACHED_PICO_USD: u64 = 15_300;

/// Of one search by the provider: what models of tests that have a price for it are given.
pub const SEARCH_USD: &str = "0.001";
const SEARCH_PICO_USD: u64 = 1_000_000_000;

/// Leases with room for a call that a worker may hold of one key: with so many it asks for no more
/// ahead of need (`MOST_AHEAD` in `gate::pool::purse`).
pub const MOST_AHEAD: usize = 16;

/// Nano-USD of a decimal string in USD.
///
/// # Panics
/// When it is none with at most nine decimals.
#[must_use]
pub fn nano(text: &str) -> u64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 9, "{text} has more than nine decimals");
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// A member that holds an amount, in nano-USD.
///
/// # Panics
/// When it holds none.
#[must_use]
pub fn nano_of(object: &Value, member: &str) -> u64 {
    nano(object[member].as_str().unwrap_or_else(|| panic!("no {member} in {object}")))
}

/// The sums of one budget in nano-USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// The cap, if there is one.
    pub cap: Option<u64>,
    /// Charges of ended calls.
    pub settled: u64,
    /// What lost holders could have spent.
    pub parked: u64,
    /// What living holders may still spend.
    pub outstanding: u64,
    /// What no lease had covered.
    pub overdraft: u64,
}

impl Spend {
    /// Reads the member `spend` of the admin API.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn read(spend: &Value) -> Self {
        Self {
            cap: spend["cap_usd"].as_str().map(nano),
            settled: nano_of(spend, "settled_usd"),
            parked: nano_of(spend, "parked_usd"),
            outstanding: nano_of(spend, "outstanding_usd"),
            overdraft: nano_of(spend, "overdraft_usd"),
        }
    }

    /// Everything that counts against the cap.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.settled + self.parked + self.outstanding
    }

    /// No grant has passed the cap, and no call has cost more than was reserved for it.
    ///
    /// # Panics
    /// When one has.
    pub fn assert_within_cap(&self) {
        assert_eq!(self.overdraft, 0, "{self:?}");
        assert!(self.cap.is_none_or(|cap| self.taken() <= cap), "the cap was passed: {self:?}");
    }

    /// No more is parked than holders can have held that vanished. `calls`: those whose charge they
    /// had not reported, or for which they had money in hand; `reservation`: the most that one of
    /// them reserves.
    ///
    /// By `metering::slice`, what leases hold beyond the calls that they were asked for, whole
    /// reservations, is at most a 24th of the cap, all that is out and parked together. A lease that
    /// holds such a slice may hold the reservation besides that its own call has left, which is no
    /// more than the slice: so a twelfth. A lease without a slice is handed back with the report of
    /// its call; until then it holds no more than that call's reservation.
    ///
    /// # Panics
    /// When more is.
    pub fn assert_parked_at_most(&self, calls: usize, reservation: u64) {
        let slices = self.cap.unwrap_or(0) / 12;
        let most = slices + u64::try_from(calls).unwrap_or(u64::MAX).saturating_mul(reservation);
        assert!(self.parked <= most, "more than {most} is parked: {self:?}");
    }
}

/// One call as the upstream saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCall {
    /// The gateway's name for it.
    pub request: String,
    /// The id of its key.
    pub key: String,
    /// When it arrived, in microseconds of the upstream's clock.
    pub arrived_us: u64,
    /// Input tokens.
    pub prompt_tokens: u64,
    /// Those of them that were read from a cache.
    pub cached_tokens: u64,
    /// Output tokens handed to the socket.
    pub completion_tokens: u64,
    /// Searches of the provider's own.
    pub searches: u64,
}

impl UpstreamCall {
    /// Reads an element of `/_mock/calls`.
    ///
    /// # Errors
    /// When it was not sent by a gateway, or is none.
    pub fn read(call: &Value) -> anyhow::Result<Self> {
        let text = |name: &str| {
            call[name].as_str().map(str::to_owned).with_context(|| format!("no {name}: {call}"))
        };
        let count = |name: &str| call[name].as_u64().with_context(|| format!("no {name}: {call}"));
        Ok(Self {
            request: text("request")?,
            key: text("key")?,
            arrived_us: count("arrived_us")?,
            prompt_tokens: count("prompt_tokens")?,
            cached_tokens: count("cached_tokens")?,
            completion_tokens: count("completion_tokens")?,
            searches: count("searches")?,
        })
    }

    /// What it costs at the prices of the fixture's model, in nano-USD, rounded up.
    #[must_use]
    pub fn cost(&self) -> u64 {
        let input = (self.prompt_tokens - self.cached_tokens) * INPUT_PICO_USD
            + self.cached_tokens * CACHED_PICO_USD;
        let output = self.completion_tokens * OUTPUT_PICO_USD;
        (input + output + self.searches * SEARCH_PICO_USD).div_ceil(1000)
    }
}

/// The most that a call of these records had reserved, in nano-USD.
///
/// # Panics
/// When there is no record.
#[must_use]
pub fn largest_reservation(records: &[Value]) -> u64 {
    records.iter().map(|record| nano_of(record, "reserved_usd")).max().unwrap()
}

/// Both books of one key, side by side. All amounts in nano-USD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Records.
    pub records: usize,
    /// Sum of their costs.
    pub recorded: u64,
    /// Calls at the upstream.
    pub calls: usize,
    /// Sum of their costs.
    pub upstream: u64,
    /// Calls at the upstream of which there is no record.
    pub lost: usize,
    /// Sum of their costs.
    pub lost_cost: u64,
}

/// Compares the records of a key with the calls that the upstream saw.
///
/// # Panics
/// When a call was recorded twice, or charged while it never reached the upstream, a measured one
/// was not charged what it cost, or any other less than that.
#[must_use]
pub fn compare(records: &[Value], calls: &[UpstreamCall]) -> Comparison {
    let mut open: BTreeMap<&str, &UpstreamCall> = BTreeMap::new();
    for call in calls {
        let twice = open.insert(&call.request, call);
        assert!(twice.is_none(), "the upstream was called twice for {}", call.request);
    }
    let mut comparison = Comparison {
        records: records.len(),
        calls: calls.len(),
        upstream: calls.iter().map(UpstreamCall::cost).sum(),
        ..Comparison::default()
    };
    let mut seen = std::collections::BTreeSet::new();
    for record in records {
        let request = record["request"].as_str().unwrap_or_default();
        assert!(seen.insert(request), "two records of one call: {record}");
        assert_eq!(record["differs"], false, "{record}");
        let cost = nano_of(record, "cost_usd");
        comparison.recorded += cost;
        match (open.remove(request), record["basis"].as_str()) {
            (Some(call), Some("measured")) => assert_eq!(cost, call.cost(), "{record} {call:?}"),
            (Some(call), _) => assert!(cost >= call.cost(), "too little: {record} {call:?}"),
            // It may have got as far as the upstream's socket; nobody can know.
            (None, Some("estimated")) => {}
            (None, _) => assert_eq!(cost, 0, "charged, but nothing was called: {record}"),
        }
    }
    comparison.lost = open.len();
    comparison.lost_cost = open.values().map(|call| call.cost()).sum();
    comparison
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_to_the_nano_dollar() {
        assert_eq!(nano("0.00"), 0);
        assert_eq!(nano("1.5"), 1_500_000_000);
        assert_eq!(nano("12.000000001"), 12_000_000_001);
        assert_eq!(nano_of(&json!({"a": "0.000010637"}), "a"), 10_637);
    }
}
