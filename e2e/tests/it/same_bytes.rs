//! Answers are byte for byte those that the upstream gives without Tollgate, the cost in the usage
//! block aside.

use e2e::models::add_models;
use e2e::operations::{self, Comes, Operation};
use e2e::{Fixture, RawAnswer};
use serde_json::json;

/// A body without the cost that was added to it, and how many costs that were.
fn without_cost(body: &[u8]) -> (Vec<u8>, usize) {
    const MARK: &[u8] = b",\"cost_usd\":";
    let mut kept = Vec::new();
    let (mut rest, mut found) = (body, 0);
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let end = rest.iter().position(|byte| !digits(byte)).unwrap_or(rest.len());
        rest = &rest[end..];
        found += 1;
    }
    kept.extend_from_slice(rest);
    (kept, found)
}

/// A stream whose client did not ask for usage where that is up to it.
fn usage_is_hidden(operation: &Operation) -> bool {
    operation.comes == Comes::Events
        && operation.path.contains("completions")
        && !operation.body.contains("include_usage")
}

/// One question, asked directly and through the gateway.
struct Both {
    direct: RawAnswer,
    through: RawAnswer,
}

fn both(fixture: &Fixture, key: &str, operation: &Operation, fault: &str) -> Both {
    let fault = if fault.is_empty() { String::new() } else { format!("x-mock-fault: {fault}\r\n") };
    let request = operation.request(key, &fault);
    let through = RawAnswer::of(&fixture.stack.gateway_url, &request).unwrap();
    let request = operation.direct_request(&fault);
    let direct = RawAnswer::of(&fixture.stack.upstream_url, &request).unwrap();
    Both { direct, through }
}

#[track_caller]
fn assert_same(name: &str, both: &Both) -> usize {
    let Both { direct, through } = both;
    let (kept, costs) = without_cost(&through.body);
    assert_eq!(
        (through.status, through.complete),
        (direct.status, direct.complete),
        "{name}: {}",
        through.text()
    );
    assert_eq!(
        String::from_utf8_lossy(&kept),
        String::from_utf8_lossy(&direct.body),
        "{name}: not the same bytes"
    );
    assert_eq!(kept, direct.body, "{name}");
    for header in ["content-type", "content-encoding", "cache-control"] {
        assert_eq!(through.header(header), direct.header(header), "{name}: {header}");
    }
    costs
}

#[test]
fn answers_are_byte_for_byte_those_of_the_upstream() {
    let fixture = Fixture::start(2).unwrap();
    add_models(&fixture).unwrap();
    // With a budget the filter forces usage and writes limits; without one it does neither.
    let (_, budgeted) = fixture.key(json!({"budget": {"usd": "5", "period": "month"}})).unwrap();
    let (_, free) = fixture.key(json!({})).unwrap();
    for operation in operations::all() {
        let name = &operation.name;
        for key in [&budgeted, &free] {
            let both = both(&fixture, key, &operation, "");
            assert_eq!(both.through.status, 200, "{name}: {}", both.through.text());
            let costs = assert_same(name, &both);
            let shown = !usage_is_hidden(&operation);
            assert_eq!(costs > 0, shown, "{name}: {costs} costs in {}", both.through.text());
            // What the provider says of the account that all keys share is nobody's business.
            let account = both.through.headers.iter().find(|(name, _)| name.contains("ratelimit"));
            assert_eq!(account, None, "{name}");
        }
    }
}

#[test]
fn answers_without_usage_and_those_that_fail_pass_as_they_are() {
    let fixture = Fixture::start(2).unwrap();
    add_models(&fixture).unwrap();
    let (_, key) = fixture.key(json!({"budget": {"usd": "5", "period": "month"}})).unwrap();
    for operation in operations::all() {
        for fault in ["no_usage", "gzip", "status=400", "status=429,retry_after=3", "status=503"] {
            // Nothing can be taken out of what is compressed: the usage that was asked for in the
            // client's place stays in it.
            if fault == "gzip" && usage_is_hidden(&operation) {
                continue;
            }
            let name = format!("{} with {fault}", operation.name);
            let both = both(&fixture, &key, &operation, fault);
            let costs = assert_same(&name, &both);
            assert_eq!(costs, 0, "{name}: {}", both.through.text());
            assert_eq!(both.through.header("retry-after"), both.direct.header("retry-after"));
        }
        if operation.comes != Comes::Whole && operation.deltas > 4 {
            let name = format!("{} with an error", operation.name);
            assert_same(&name, &both(&fixture, &key, &operation, "error_after=4"));
        }
    }
}
