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
pub const PENDING: &[(&str, &str)] = &[];

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
    bad_credentials => [];
    bad_requests => [];
    revoked => [];
    window_full => [];
    budget_spent => [];
    plain_call => [];
    streams => [];
    no_limit_of_its_own => [];
    alias => [];
    key_in_the_query => [];
    list_of_models => [];
    calls_of_a_warm_key => [];
    many_keys_on_the_same_ids => [];
    the_client_leaves => [];
    the_upstream_fails => [];
    the_server_fails => [];
    the_server_goes_while_a_key_is_warm => [];
    bytes_that_are_no_text => [];
    headers_of_ours => [];
    trailers => [];
    bodies_in_pieces => [];
    a_quiet_hour => [];
    a_running_stream_of_a_revoked_key => [];
    a_trap_while_a_request_waits => [];
    edits_that_are_refused => [];
};
