//! Every scenario, what it comes to, and what a host does otherwise.

use super::scenarios as run;
use super::stage::Stage;

/// Something that a host cannot do as Envoy does it. Each is a row of the table in `docs/hosts.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// A worker is not told of changes: a revoked key is refused once its session is over.
    RevocationAtOnce,
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
pub const PENDING: &[(&str, &str)] = &[
    ("apisix", "a_quiet_hour"),
    ("apisix", "a_running_stream_of_a_revoked_key"),
    ("apisix", "a_trap_while_a_request_waits"),
    ("apisix", "alias"),
    ("apisix", "bad_requests"),
    ("apisix", "bodies_in_pieces"),
    ("apisix", "budget_spent"),
    ("apisix", "bytes_that_are_no_text"),
    ("apisix", "calls_of_a_warm_key"),
    ("apisix", "edits_that_are_refused"),
    ("apisix", "headers_of_ours"),
    ("apisix", "key_in_the_query"),
    ("apisix", "many_keys_on_the_same_ids"),
    ("apisix", "no_limit_of_its_own"),
    ("apisix", "plain_call"),
    ("apisix", "revoked"),
    ("apisix", "streams"),
    ("apisix", "the_client_leaves"),
    ("apisix", "the_server_fails"),
    ("apisix", "the_server_goes_while_a_key_is_warm"),
    ("apisix", "the_upstream_fails"),
    ("apisix", "trailers"),
    ("apisix", "window_full"),
    ("envoy", "a_quiet_hour"),
    ("envoy", "a_running_stream_of_a_revoked_key"),
    ("envoy", "a_trap_while_a_request_waits"),
    ("envoy", "alias"),
    ("envoy", "bad_requests"),
    ("envoy", "bodies_in_pieces"),
    ("envoy", "budget_spent"),
    ("envoy", "bytes_that_are_no_text"),
    ("envoy", "calls_of_a_warm_key"),
    ("envoy", "edits_that_are_refused"),
    ("envoy", "headers_of_ours"),
    ("envoy", "key_in_the_query"),
    ("envoy", "many_keys_on_the_same_ids"),
    ("envoy", "no_limit_of_its_own"),
    ("envoy", "plain_call"),
    ("envoy", "revoked"),
    ("envoy", "streams"),
    ("envoy", "the_client_leaves"),
    ("envoy", "the_server_fails"),
    ("envoy", "the_server_goes_while_a_key_is_warm"),
    ("envoy", "the_upstream_fails"),
    ("envoy", "trailers"),
    ("envoy", "window_full"),
    ("envoy_trailers", "a_quiet_hour"),
    ("envoy_trailers", "a_running_stream_of_a_revoked_key"),
    ("envoy_trailers", "a_trap_while_a_request_waits"),
    ("envoy_trailers", "alias"),
    ("envoy_trailers", "bad_requests"),
    ("envoy_trailers", "bodies_in_pieces"),
    ("envoy_trailers", "budget_spent"),
    ("envoy_trailers", "bytes_that_are_no_text"),
    ("envoy_trailers", "calls_of_a_warm_key"),
    ("envoy_trailers", "edits_that_are_refused"),
    ("envoy_trailers", "headers_of_ours"),
    ("envoy_trailers", "key_in_the_query"),
    ("envoy_trailers", "many_keys_on_the_same_ids"),
    ("envoy_trailers", "no_limit_of_its_own"),
    ("envoy_trailers", "plain_call"),
    ("envoy_trailers", "revoked"),
    ("envoy_trailers", "streams"),
    ("envoy_trailers", "the_client_leaves"),
    ("envoy_trailers", "the_server_fails"),
    ("envoy_trailers", "the_server_goes_while_a_key_is_warm"),
    ("envoy_trailers", "the_upstream_fails"),
    ("envoy_trailers", "trailers"),
    ("envoy_trailers", "window_full"),
    ("higress", "a_quiet_hour"),
    ("higress", "a_running_stream_of_a_revoked_key"),
    ("higress", "a_trap_while_a_request_waits"),
    ("higress", "alias"),
    ("higress", "bad_requests"),
    ("higress", "bodies_in_pieces"),
    ("higress", "budget_spent"),
    ("higress", "bytes_that_are_no_text"),
    ("higress", "calls_of_a_warm_key"),
    ("higress", "edits_that_are_refused"),
    ("higress", "headers_of_ours"),
    ("higress", "key_in_the_query"),
    ("higress", "many_keys_on_the_same_ids"),
    ("higress", "no_limit_of_its_own"),
    ("higress", "plain_call"),
    ("higress", "revoked"),
    ("higress", "streams"),
    ("higress", "the_client_leaves"),
    ("higress", "the_server_fails"),
    ("higress", "the_server_goes_while_a_key_is_warm"),
    ("higress", "the_upstream_fails"),
    ("higress", "trailers"),
    ("higress", "window_full"),
    ("higress_trailers", "a_quiet_hour"),
    ("higress_trailers", "a_running_stream_of_a_revoked_key"),
    ("higress_trailers", "a_trap_while_a_request_waits"),
    ("higress_trailers", "alias"),
    ("higress_trailers", "bad_requests"),
    ("higress_trailers", "bodies_in_pieces"),
    ("higress_trailers", "budget_spent"),
    ("higress_trailers", "bytes_that_are_no_text"),
    ("higress_trailers", "calls_of_a_warm_key"),
    ("higress_trailers", "edits_that_are_refused"),
    ("higress_trailers", "headers_of_ours"),
    ("higress_trailers", "key_in_the_query"),
    ("higress_trailers", "many_keys_on_the_same_ids"),
    ("higress_trailers", "no_limit_of_its_own"),
    ("higress_trailers", "plain_call"),
    ("higress_trailers", "revoked"),
    ("higress_trailers", "streams"),
    ("higress_trailers", "the_client_leaves"),
    ("higress_trailers", "the_server_fails"),
    ("higress_trailers", "the_server_goes_while_a_key_is_warm"),
    ("higress_trailers", "the_upstream_fails"),
    ("higress_trailers", "trailers"),
    ("higress_trailers", "window_full"),
    ("ngx_wasm", "a_quiet_hour"),
    ("ngx_wasm", "a_running_stream_of_a_revoked_key"),
    ("ngx_wasm", "a_trap_while_a_request_waits"),
    ("ngx_wasm", "alias"),
    ("ngx_wasm", "bad_requests"),
    ("ngx_wasm", "bodies_in_pieces"),
    ("ngx_wasm", "budget_spent"),
    ("ngx_wasm", "bytes_that_are_no_text"),
    ("ngx_wasm", "calls_of_a_warm_key"),
    ("ngx_wasm", "edits_that_are_refused"),
    ("ngx_wasm", "headers_of_ours"),
    ("ngx_wasm", "key_in_the_query"),
    ("ngx_wasm", "many_keys_on_the_same_ids"),
    ("ngx_wasm", "no_limit_of_its_own"),
    ("ngx_wasm", "plain_call"),
    ("ngx_wasm", "revoked"),
    ("ngx_wasm", "streams"),
    ("ngx_wasm", "the_client_leaves"),
    ("ngx_wasm", "the_server_fails"),
    ("ngx_wasm", "the_server_goes_while_a_key_is_warm"),
    ("ngx_wasm", "the_upstream_fails"),
    ("ngx_wasm", "trailers"),
    ("ngx_wasm", "window_full"),
    ("ngx_wasm_without_shared_data", "a_quiet_hour"),
    ("ngx_wasm_without_shared_data", "a_running_stream_of_a_revoked_key"),
    ("ngx_wasm_without_shared_data", "a_trap_while_a_request_waits"),
    ("ngx_wasm_without_shared_data", "alias"),
    ("ngx_wasm_without_shared_data", "bad_requests"),
    ("ngx_wasm_without_shared_data", "bodies_in_pieces"),
    ("ngx_wasm_without_shared_data", "budget_spent"),
    ("ngx_wasm_without_shared_data", "bytes_that_are_no_text"),
    ("ngx_wasm_without_shared_data", "calls_of_a_warm_key"),
    ("ngx_wasm_without_shared_data", "edits_that_are_refused"),
    ("ngx_wasm_without_shared_data", "headers_of_ours"),
    ("ngx_wasm_without_shared_data", "key_in_the_query"),
    ("ngx_wasm_without_shared_data", "many_keys_on_the_same_ids"),
    ("ngx_wasm_without_shared_data", "no_limit_of_its_own"),
    ("ngx_wasm_without_shared_data", "plain_call"),
    ("ngx_wasm_without_shared_data", "revoked"),
    ("ngx_wasm_without_shared_data", "streams"),
    ("ngx_wasm_without_shared_data", "the_client_leaves"),
    ("ngx_wasm_without_shared_data", "the_server_fails"),
    ("ngx_wasm_without_shared_data", "the_server_goes_while_a_key_is_warm"),
    ("ngx_wasm_without_shared_data", "the_upstream_fails"),
    ("ngx_wasm_without_shared_data", "trailers"),
    ("ngx_wasm_without_shared_data", "window_full"),
];

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
    ], &["apisix"], RevocationAtOnce, [
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
    ];
    streams => [
        "200, forwarded, text seen: true",
        "complete measured 0.00000255",
        "200, forwarded, text seen: true",
        "complete measured 0.00000255",
    ];
    no_limit_of_its_own => [
        "200, forwarded",
        "limit written: 500",
        "reserved \"0.00031515\"",
    ];
    alias => [
        "200, forwarded",
        "model forwarded: \"gpt-4o-mini\"",
    ];
    key_in_the_query => [
        "no answer, forwarded",
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
    ];
    a_trap_while_a_request_waits => [
        "trapped: true, no answer",
    ];
    edits_that_are_refused => [
        "proxy_remove_header_map_value: 503 policy_unavailable",
        "proxy_replace_header_map_value: 503 policy_unavailable",
    ];
};
