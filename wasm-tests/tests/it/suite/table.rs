//! Every scenario, what it comes to, and what a host does otherwise.

use super::scenarios as run;
use super::stage::Stage;

/// Something that a host cannot do as Envoy does it. Each is a row of the table in `docs/hosts.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The head is with the upstream when the verdict falls: nothing can be written into it.
    HeadAfterVerdict,
    /// The path cannot be written where it names an alias; the request is refused.
    AliasInPath,
    /// The body cannot be written, or not by then; a request with an alias is refused.
    AliasInBody,
    /// An output limit cannot be written: the most that the model gives is reserved.
    LimitWritten,
    /// A stream cannot be made to report its usage: it is estimated.
    UsageAskedFor,
    /// Answers pass as they are, without what the call has cost.
    CostInAnswer,
    /// A key in the URL would reach the upstream, so the request is refused.
    KeyInUrl,
    /// A running stream goes on to its own end.
    StreamEnds,
    /// A worker is not told of changes: a revoked key is refused once its session is over.
    RevokedAtOnce,
    /// Of a request with a hundred header fields not all are shown, so it is refused.
    ManyFields,
    /// A request that waits when the VM fails goes to the upstream, without a credential.
    FailureKeepsRequest,
}

impl Lack {
    pub const ALL: &[Self] = &[
        Self::HeadAfterVerdict,
        Self::AliasInPath,
        Self::AliasInBody,
        Self::LimitWritten,
        Self::UsageAskedFor,
        Self::CostInAnswer,
        Self::KeyInUrl,
        Self::StreamEnds,
        Self::RevokedAtOnce,
        Self::ManyFields,
        Self::FailureKeepsRequest,
    ];

    /// The first cell of its row.
    pub fn row(self) -> &'static str {
        match self {
            Self::HeadAfterVerdict => "the upstream is told whose call it is, and for which model",
            Self::AliasInPath => "an alias in the path (Gemini) is served",
            Self::AliasInBody => "an alias in the body is served",
            Self::LimitWritten => "an output limit is written where the request has none",
            Self::UsageAskedFor => "a stream is made to report its usage",
            Self::CostInAnswer => "answers say what they cost",
            Self::KeyInUrl => "a key in the URL is taken",
            Self::StreamEnds => "a running stream ends when its key is revoked",
            Self::RevokedAtOnce => "a revoked key is refused at its next request",
            Self::ManyFields => "a request with a hundred header fields is served",
            Self::FailureKeepsRequest => "a request that waits stays back when the VM fails",
        }
    }
}

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Stage) -> Vec<String>,
    /// What it comes to.
    pub expected: &'static [&'static str],
    /// Where it comes to something else, for want of what, and to what.
    pub otherwise: &'static [(&'static [&'static str], Lack, &'static [&'static str])],
}

impl Scenario {
    pub fn expected_on(&self, host: &str) -> &'static [&'static str] {
        let other = self.otherwise.iter().find(|(hosts, ..)| hosts.contains(&host));
        other.map_or(self.expected, |(_, _, expected)| expected)
    }
}

/// Scenarios that do not come out yet as they must, by host.
pub const PENDING: &[(&str, &str)] = &[];

/// The proxies that are built on nginx.
const NGINX: &[&str] = &["apisix", "ngx_wasm", "ngx_wasm_without_shared_data"];
const NGX_WASM: &[&str] = &["ngx_wasm", "ngx_wasm_without_shared_data"];

/// Those whose heads leave before the verdict.
const EARLY_HEAD: &[&str] = &["envoy", "envoy_trailers", "higress", "higress_trailers"];

macro_rules! scenarios {
    ($($name:ident $(,)? => [$($expected:literal),* $(,)?] $(, $hosts:expr, $lack:ident, [$($other:literal),* $(,)?])*;)*) => {
        &[$(Scenario {
            name: stringify!($name),
            run: run::$name,
            expected: &[$($expected),*],
            otherwise: &[$(($hosts, Lack::$lack, &[$($other),*])),*],
        }),*]
    };
}

pub const SCENARIOS: &[Scenario] = scenarios! {
    bad_credentials => [
        "401 missing_api_key",
        "401 invalid_api_key",
        "401 invalid_api_key",
        "401 invalid_api_key",
    ];
    bad_requests => [
        "400 invalid_json",
        "400 duplicate_field",
        "400 unknown_model",
        "400 invalid_json",
        "413 body_too_large",
        "403 model_not_allowed",
        "200, forwarded",
    ];
    revoked => [
        "200, forwarded",
        "401 key_revoked",
        "401 key_revoked",
    ], &["apisix"], RevokedAtOnce, [
        "200, forwarded",
        "200, forwarded",
        "401 key_revoked",
    ];
    window_full => [
        "200, forwarded",
        "200, forwarded",
        "200, forwarded",
        "429 rpm_exceeded",
        "200, forwarded",
    ];
    budget_spent => [
        "within the budget: true",
        "402 budget_exceeded",
    ];
    plain_call => [
        "200, forwarded",
        "cost shown: 2.55e-6",
        "complete measured 0.00000255",
    ], NGINX, CostInAnswer, [
        "200, forwarded",
        "cost shown: null",
        "complete measured 0.00000255",
    ];
    streams => [
        "200, forwarded, text seen: true",
        "complete measured 0.00000255",
        "200, forwarded, text seen: true",
        "complete measured 0.00000255",
    ], NGINX, UsageAskedFor, [
        "200, forwarded, text seen: true",
        "complete measured 0.00000255",
        "200, forwarded, text seen: true",
        "complete estimated 0.00000705",
    ];
    no_limit_of_its_own => [
        "200, forwarded",
        "limit written: 500",
        "reserved \"0.00031515\"",
    ], NGINX, LimitWritten, [
        "200, forwarded",
        "limit written: null",
        "reserved \"0.00984555\"",
    ];
    alias => [
        "200, forwarded",
        "model forwarded: \"gpt-4o-mini\"",
    ], NGINX, AliasInBody, [
        "400 alias_not_supported",
        "model forwarded: null",
    ];
    alias_in_the_path => [
        "no answer, forwarded",
        "path forwarded: /v1beta/models/gpt-4o-mini:generateContent",
    ], EARLY_HEAD, AliasInPath, [
        "400",
        "path forwarded: none",
    ], NGINX, AliasInPath, [
        "400",
        "path forwarded: none",
    ];
    key_in_the_query => [
        "no answer, forwarded",
    ], NGINX, KeyInUrl, [
        "401",
    ];
    list_of_models => [
        "200",
        "\"other\"",
    ];
    calls_of_a_warm_key => [
        "200, forwarded",
        "200, forwarded",
        "call-outs: none",
    ];
    many_keys_on_the_same_ids => [
        "200, forwarded",
        "401 invalid_api_key",
        "200, forwarded",
        "401 invalid_api_key",
        "200, forwarded",
        "401 invalid_api_key",
        "200, forwarded",
        "5 records",
        "5 records",
        "5 records",
    ];
    the_client_leaves => [
        "asking: no answer",
        "200, forwarded",
        "no_answer estimated 0.00006165",
        "cut estimated 0.00000645",
        "complete measured 0.00000255",
    ];
    the_upstream_fails => [
        "500, forwarded",
        "refused: gateway's own error: true",
        "upstream_error refunded 0.00",
        "upstream_error refunded 0.00",
        "cut estimated 0.00000645",
    ];
    the_server_fails => [
        "refused: 503 policy_unavailable",
        "reset: 503 policy_unavailable",
        "500: 503 policy_unavailable",
        "garbage: 503 policy_unavailable",
        "empty: 503 policy_unavailable",
        "404: 503 policy_unavailable",
        "silence: 503 policy_unavailable",
    ];
    the_server_goes_while_a_key_is_warm => [
        "200, forwarded",
        "200, forwarded",
        "503 policy_unavailable",
    ];
    bytes_that_are_no_text => [
        "authorization: 401 invalid_api_key",
        "x-api-key: 401 invalid_api_key",
        "content-type: 401 missing_api_key",
        "user-agent: 401 missing_api_key",
        "x-request-id: 401 missing_api_key",
        "200, forwarded",
    ];
    headers_of_ours => [
        "x-tollgate-org: acme",
        "x-tollgate-anything: none",
        "x-tollgate-model: gpt-4o-mini",
        "x-kept: 1",
        "key id told: true",
    ], EARLY_HEAD, HeadAfterVerdict, [
        "x-tollgate-org: none",
        "x-tollgate-anything: none",
        "x-tollgate-model: none",
        "x-kept: 1",
        "key id told: false",
    ];
    a_hundred_headers => [
        "200, forwarded",
        "x-tollgate-user: none",
        "anthropic-beta: none",
    ], NGINX, ManyFields, [
        "400 too_many_headers",
        "x-tollgate-user: none",
        "anthropic-beta: none",
    ];
    trailers => [
        "200, forwarded",
    ];
    bodies_in_pieces => [
        "200, forwarded, \"gpt-4o-mini\"",
    ];
    a_quiet_hour => [
        "200, forwarded",
        "200, forwarded",
        "200, forwarded",
        "complete measured 0.00000255",
        "complete measured 0.00000255",
        "complete measured 0.00000255",
    ];
    a_running_stream_of_a_revoked_key => [
        "goes on: false, cut: true",
    ], NGINX, StreamEnds, [
        "goes on: true, cut: false",
    ];
    a_trap_while_a_request_waits => [
        "trapped: true, reached the upstream: false",
    ], NGX_WASM, FailureKeepsRequest, [
        "trapped: true, reached the upstream: true",
    ];
    a_key_in_shadow_mode => [
        "200, forwarded",
        "200, forwarded",
        "200, forwarded, shadow rph_exceeded",
        "200, forwarded, shadow model_not_allowed",
        "200, forwarded, shadow budget_exceeded",
        "\"measured\" \"0.00000255\", null",
        "\"measured\" \"0.00000255\", null",
        "\"measured\" \"0.00000255\", \"rph_exceeded\"",
        "\"measured\" \"0.000013\", \"model_not_allowed\"",
        "\"measured\" \"0.00000255\", \"budget_exceeded\"",
        "429 rph_exceeded",
    ];
    edits_that_are_refused => [
        "proxy_remove_header_map_value: 503 policy_unavailable",
        "proxy_replace_header_map_value: 503 policy_unavailable",
    ];
};
