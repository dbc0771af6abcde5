//! Names of everything that is counted. Labels come from closed sets, so the number of names is a
//! constant: no client can add one.
//!
//! A name holds its labels after the family, each as `.label.value`:
//! `tollgate_callouts_total.purpose.lease.outcome.answered`. Proxies that can take labels out of a
//! name (Envoy's `stats_tags`) show one family with labels, others show each name by itself.

/// Verdicts that are no refusal, then the codes of all refusals, then what has no name here.
pub(crate) const DECISIONS: &[&str] = &[
    "allowed",
    "answered",
    "dry_run",
    "abandoned",
    "alias_not_supported",
    "billing_shortfall",
    "body_too_large",
    "budget_contended",
    "budget_exceeded",
    "concurrency_exceeded",
    "context_length_exceeded",
    "duplicate_field",
    "endpoint_not_allowed",
    "idempotent_replay",
    "invalid_api_key",
    "invalid_json",
    "invalid_value",
    "ip_not_allowed",
    "key_disabled",
    "key_expired",
    "key_revoked",
    "length_required",
    "limit_not_enforceable",
    "limiter_busy",
    "limiter_full",
    "missing_api_key",
    "model_not_allowed",
    "model_removed",
    "no_models",
    "outbox_full",
    "output_bound_exceeded",
    "output_limit_required",
    "policy_unavailable",
    "rpd_exceeded",
    "rph_exceeded",
    "rpm_exceeded",
    "stream_usage_required",
    "too_many_headers",
    "tpd_exceeded",
    "tph_exceeded",
    "tpm_exceeded",
    "unknown_endpoint",
    "unknown_model",
    "unsupported_encoding",
    "unsupported_parameter",
    "user_key_required",
    "other",
];
/// Verdicts before the codes of refusals.
const NO_REFUSALS: usize = 4;
const REFUSALS: &[&str] = DECISIONS.split_at(NO_REFUSALS).1;
const PURPOSES: &[&str] = &[
    "register",
    "catalogue",
    "changes",
    "admit",
    "recheck",
    "lease",
    "ahead",
    "report",
    "usage",
    "user_key",
];
const OUTCOMES: &[&str] = &["answered", "token_refused", "holder_lost", "failed"];
const BASES: &[&str] = &["measured", "estimated", "refunded"];
const CHARGED: &[&str] = &["measured", "estimated"];
const WITHOUT_USAGE: &[&str] = &["no_answer", "unreadable", "missing", "cut"];
const ENDED: &[&str] = &["revoked", "disabled", "expired", "output_bound", "exhausted", "in_doubt"];

/// How the host keeps a metric (proxy-wasm ABI, `MetricType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Samples.
    Histogram = 2,
}

/// Metrics of one name but for their labels.
struct Family {
    name: &'static str,
    kind: Kind,
    labels: &'static [(&'static str, &'static [&'static str])],
}

const fn counter(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
) -> Family {
    Family { name, kind: Kind::Counter, labels }
}

const fn plain(name: &'static str, kind: Kind) -> Family {
    Family { name, kind, labels: &[] }
}

const NONE: Family = plain("tollgate_none", Kind::Gauge);

/// Counters first, then gauges, then histograms.
const FAMILIES: &[Family] = &[
    counter("tollgate_decisions_total", &[("code", DECISIONS)]),
    counter("tollgate_callouts_total", &[("purpose", PURPOSES), ("outcome", OUTCOMES)]),
    counter("tollgate_calls_total", &[("basis", BASES)]),
    counter("tollgate_charged_nanousd_total", &[("basis", CHARGED)]),
    counter("tollgate_answers_without_usage_total", &[("reason", WITHOUT_USAGE)]),
    counter("tollgate_streams_ended_total", &[("reason", ENDED)]),
    counter("tollgate_shadow_decisions_total", &[("code", REFUSALS)]),
    plain("tollgate_window_swaps_lost_total", Kind::Counter),
    plain("tollgate_window_memory_failures_total", Kind::Counter),
    plain("tollgate_vms", Kind::Gauge),
    plain("tollgate_sessions_usable", Kind::Gauge),
    plain("tollgate_leases_held", Kind::Gauge),
    plain("tollgate_money_held_nanousd", Kind::Gauge),
    plain("tollgate_asks_ahead", Kind::Gauge),
    plain("tollgate_outbox_records", Kind::Gauge),
    plain("tollgate_calls_running", Kind::Gauge),
    plain("tollgate_added_microseconds", Kind::Histogram),
    plain("tollgate_callout_microseconds", Kind::Histogram),
];

const DECISIONS_AT: usize = 0;
const CALLOUTS_AT: usize = DECISIONS_AT + DECISIONS.len();
const CALLS_AT: usize = CALLOUTS_AT + PURPOSES.len() * OUTCOMES.len();
const CHARGED_AT: usize = CALLS_AT + BASES.len();
const WITHOUT_USAGE_AT: usize = CHARGED_AT + CHARGED.len();
const ENDED_AT: usize = WITHOUT_USAGE_AT + WITHOUT_USAGE.len();
const SHADOW_AT: usize = ENDED_AT + ENDED.len();
const SWAPS_LOST_AT: usize = SHADOW_AT + REFUSALS.len();
/// How many counters there are; they come first.
pub(crate) const COUNTERS: usize = SWAPS_LOST_AT + 2;
/// How many gauges there are; they come next.
pub(crate) const GAUGES: usize = 7;

/// One metric, by its place in the list of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric(u8);

// An index must fit.
const _: () = assert!(Metric::COUNT <= 256);

impl Metric {
    /// How many there are.
    pub const COUNT: usize = COUNTERS + GAUGES + 2;
    /// From the whole request to the verdict, in microseconds.
    pub(crate) const ADDED: Self = Self::at(COUNTERS + GAUGES);
    /// For how long a request waited for one answer of the policy server, in microseconds.
    pub(crate) const CALLOUT: Self = Self::at(COUNTERS + GAUGES + 1);
    /// Another worker was faster.
    pub(crate) const SWAPS_LOST: Self = Self::at(SWAPS_LOST_AT);
    /// The proxy's shared data could not be read or written.
    pub(crate) const MEMORY_FAILURES: Self = Self::at(SWAPS_LOST_AT + 1);

    const fn at(index: usize) -> Self {
        // COUNT is known to fit.
        Self(index as u8)
    }

    /// Every metric, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self::at)
    }

    /// Its place among all, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// A request was decided so.
    pub(crate) fn decision(code: usize) -> Self {
        Self::at(DECISIONS_AT + code.min(DECISIONS.len() - 1))
    }

    /// A request went on although this (a refusal's place among the decisions) would have refused it.
    pub(crate) fn shadow(code: usize) -> Self {
        Self::at(SHADOW_AT + code.saturating_sub(NO_REFUSALS).min(REFUSALS.len() - 1))
    }

    /// A call to the policy server for this purpose had this outcome.
    pub(crate) fn callout(purpose: usize, outcome: Outcome) -> Self {
        Self::at(CALLOUTS_AT + purpose.min(PURPOSES.len() - 1) * OUTCOMES.len() + outcome as usize)
    }

    /// A call of a model ended with a charge of this basis (its place in the list of bases).
    pub(crate) fn call(basis: usize) -> Self {
        Self::at(CALLS_AT + basis.min(BASES.len() - 1))
    }

    /// Money was charged on this basis, in nano-USD.
    pub(crate) fn charged(basis: usize) -> Self {
        Self::at(CHARGED_AT + basis.min(CHARGED.len() - 1))
    }

    /// An answer was charged without a report of its usage.
    pub(crate) fn without_usage(reason: WithoutUsage) -> Self {
        Self::at(WITHOUT_USAGE_AT + reason as usize)
    }

    /// A running call was ended by the filter.
    pub(crate) fn ended(reason: usize) -> Self {
        Self::at(ENDED_AT + reason.min(ENDED.len() - 1))
    }

    /// A gauge by its place among the gauges.
    pub(crate) fn gauge(index: usize) -> Self {
        Self::at(COUNTERS + index.min(GAUGES - 1))
    }

    fn family(self) -> (&'static Family, usize) {
        let mut rest = self.index();
        for family in FAMILIES {
            let size: usize = family.labels.iter().map(|(_, values)| values.len()).product();
            if rest < size {
                return (family, rest);
            }
            rest -= size;
        }
        // Every index is below the sum of the sizes.
        (&NONE, 0)
    }

    /// How the host keeps it.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.family().0.kind
    }

    /// The name under which the host keeps it: at most 80 visible ASCII characters.
    #[must_use]
    pub fn name(self) -> String {
        let (family, mut rest) = self.family();
        let mut name = family.name.to_owned();
        for (at, (label, values)) in family.labels.iter().enumerate() {
            let below: usize =
                family.labels.iter().skip(at + 1).map(|(_, values)| values.len()).product();
            let value = values.get(rest / below).copied().unwrap_or_default();
            rest %= below;
            for part in [label, value] {
                name.push('.');
                name.push_str(part);
            }
        }
        name
    }
}

/// What came of a call to the policy server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered,
    /// The server refuses the filter's token.
    TokenRefused,
    /// The server does not know this VM any more.
    HolderLost,
    /// No answer, or an error.
    Failed,
}

impl Outcome {
    /// What a status says.
    pub(crate) fn of(status: Option<u16>) -> Self {
        match status {
            Some(200..=299) => Self::Answered,
            Some(401) => Self::TokenRefused,
            Some(409) => Self::HolderLost,
            _ => Self::Failed,
        }
    }
}

/// Why an answer has no report of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutUsage {
    /// There was none.
    NoAnswer,
    /// Compressed, or no JSON and no events.
    Unreadable,
    /// It came to its end without one, or with one that cannot be read.
    Missing,
    /// It was cut before.
    Cut,
}
