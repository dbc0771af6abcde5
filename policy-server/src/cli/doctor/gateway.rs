//! A gateway, from a client's side. Some proxies run a route without a plugin that did not load:
//! then everything passes, and only this check notices.

use super::report::Checks;
use super::web::{Answer, Web};

/// Well formed, and no key of anybody.
const NO_KEY: &str = "sk-tollgate-doctor-00000000000000000000";
/// Costs nothing and reaches no model, should it pass.
const PATH: &str = "/v1/models";

/// Makes the checks.
pub fn check(web: &Web, gateway: &str, checks: &mut Checks) {
    let requests = [("keyless request", None), ("wrong key", Some(NO_KEY))];
    for (name, key) in requests {
        match web.get(gateway, PATH, key) {
            Ok(answer) => judge(name, &answer, checks),
            Err(error) => checks.fail(
                name,
                format!("nobody answers at {gateway}: {error}"),
                "is the proxy running, and is this its address?",
            ),
        }
    }
}

fn judge(name: &'static str, answer: &Answer, checks: &mut Checks) {
    let is_filters = answer.header("x-tollgate-request-id").is_some();
    match answer.status {
        401 if is_filters => checks.ok(name, "is refused by the filter"),
        401 => checks.warn(
            name,
            "is refused, but not by the filter",
            "something in front of it, or the upstream, answers: the filter may not be there",
        ),
        200..=299 => checks.fail(
            name,
            format!("PASSES with {}", answer.status),
            "the filter is not on this route, or did not load: take the route out of service now",
        ),
        503 if is_filters => checks.fail(
            name,
            "is answered 503 by the filter",
            "the filter cannot reach the policy server, or its token is refused: see the proxy's log",
        ),
        503 => checks.fail(
            name,
            "is answered 503 by the proxy",
            "the filter's VM does not run: see the proxy's log for its configuration's problems",
        ),
        status => checks.fail(
            name,
            format!("is answered {status}"),
            "the filter answers 401: it is not on this route, or another profile is configured",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::State;

    #[test]
    fn only_a_refusal_of_the_filters_own_is_good() {
        let of = |status, by_filter: bool| {
            let id = ("x-tollgate-request-id".to_owned(), "req_1".to_owned());
            let headers = if by_filter { vec![id] } else { Vec::new() };
            let mut checks = Checks::default();
            judge("keyless request", &Answer { status, headers, body: String::new() }, &mut checks);
            checks.states()[0].1
        };
        assert_eq!(of(401, true), State::Ok);
        assert_eq!(of(401, false), State::Warn);
        for status in [200, 204, 404, 500, 503] {
            assert_eq!((of(status, true), of(status, false)), (State::Fail, State::Fail));
        }
    }
}
