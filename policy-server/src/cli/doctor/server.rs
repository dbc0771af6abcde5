//! The policy server: there, in order, and known to its filters.

use serde_json::Value;

use super::report::Checks;
use super::web::Web;
use crate::cli::client::{Client, ClientError};
use crate::clock::{Clock as _, SystemClock};
use crate::settings::FilterToken;

/// A difference of clocks that is worth a look, and one at which expiry dates are wrong, in seconds.
const SKEW_WARN_S: i64 = 5;
const SKEW_FAIL_S: i64 = 60;
/// Models and keys that are looked at: as many as one page has.
const PAGE: &str = "200";

/// Makes the checks.
pub fn check(web: &Web, filter_api: &str, token: Option<&str>, checks: &mut Checks) {
    let admin =
        std::env::var("TOLLGATE_ADMIN_URL").unwrap_or_else(|_| "http://127.0.0.1:8702".to_owned());
    match web.get(&admin, "/healthz", None) {
        Ok(answer) if answer.status == 200 => {
            checks.ok("server", format!("answers at {admin}"));
            clock(answer.header("date"), checks);
        }
        Ok(answer) => checks.fail(
            "server",
            format!("answers {} at {admin}/healthz", answer.status),
            "look at the server's log: its database may be full, read-only or damaged",
        ),
        Err(error) => checks.fail(
            "server",
            format!("cannot be reached at {admin}: {error}"),
            "start it, or set TOLLGATE_ADMIN_URL to its admin API",
        ),
    }
    filter_token(web, filter_api, token, checks);
    match Client::from_environment() {
        Ok(client) => administration(&client, checks),
        Err(error) => checks.warn(
            "admin token",
            error.to_string(),
            "set TOLLGATE_ADMIN_TOKEN; without it money, models and keys are not checked",
        ),
    }
}

fn clock(date: Option<&str>, checks: &mut Checks) {
    let format = &time::format_description::well_known::Rfc2822;
    // HTTP names the zone GMT, mail writes it as a number.
    let date = date.map(|date| date.replace("GMT", "+0000"));
    let date = date.and_then(|date| time::OffsetDateTime::parse(&date, format).ok());
    let Some(date) = date else {
        return checks.warn("clock", "the server does not say what time it has", "");
    };
    let here = SystemClock::start().now().unix_ms / 1_000;
    let skew = date.unix_timestamp() - i64::try_from(here).unwrap_or(i64::MAX);
    let says = format!("the server's differs from this machine's by {} s", skew.abs());
    let advice = "synchronise the clocks: expiry dates and budget periods go by them";
    match skew.abs() {
        ..SKEW_WARN_S => checks.ok("clock", says),
        SKEW_WARN_S..SKEW_FAIL_S => checks.warn("clock", says, advice),
        _ => checks.fail("clock", says, advice),
    }
}

fn filter_token(web: &Web, filter_api: &str, token: Option<&str>, checks: &mut Checks) {
    let name = "filter token";
    if let Err(bad) = FilterToken::new(token) {
        let advice = "set the same TOLLGATE_FILTER_TOKEN for server, proxy and this command";
        return checks.warn(name, bad.to_string(), advice);
    }
    match web.get(filter_api, "/proxy/v1/catalogue", token) {
        Ok(answer) if answer.status == 401 => checks.fail(
            name,
            format!("the server at {filter_api} refuses that of TOLLGATE_FILTER_TOKEN"),
            "give server and proxies the same token, and restart what has the other",
        ),
        Ok(_) => checks.ok(name, format!("accepted at {filter_api}")),
        Err(error) => checks.fail(
            name,
            format!("the filter API cannot be reached at {filter_api}: {error}"),
            "name it with --filter-api",
        ),
    }
}

fn administration(client: &Client, checks: &mut Checks) {
    let status = match client.send("GET", "status", &[], None) {
        Ok(status) => status,
        Err(error @ ClientError::Refused { .. }) => {
            let advice = "use the admin token, or a token whose role may read the server";
            return checks.fail("admin token", error.to_string(), advice);
        }
        Err(error) => return checks.fail("admin API", error.to_string(), ""),
    };
    judge_status(&status, checks);
    models(client, checks);
    keys(client, checks);
    token_expiry(client, checks);
}

/// Judges what `GET /admin/v1/status` says.
fn judge_status(status: &Value, checks: &mut Checks) {
    let count = |name: &str| status[name].as_u64().unwrap_or(0);
    checks.ok("epoch", format!("{}, revision {}", count("epoch"), count("revision")));
    checks.ok_if(
        count("live_holders") > 0,
        "proxies",
        format!("{} workers have a session", count("live_holders")),
        "no proxy has called yet, or none reaches the filter API: see its log and `--envoy-admin`",
    );
    checks.ok_if(
        count("pending_holders") == 0,
        "changes",
        format!("{} workers have not applied the newest change", count("pending_holders")),
        "ask again in a few seconds; a worker without push stays so until its session ends",
    );
    for (name, member, advice) in [
        (
            "records",
            "differing_records",
            "filter and server compute different costs: they are of different versions",
        ),
        ("damage", "damaged_rows", "see the server's log; restore from a backup with its journal"),
        ("leases", "unknown_leases", "filters report on leases of a lost past: see docs/backup.md"),
        (
            "protocol",
            "other_protocols",
            "filters of another version have called: deploy module and server of one version",
        ),
        ("webhooks", "dropped_events", "a receiver fails for long: `tollgate webhooks deliveries`"),
    ] {
        let says = format!("{member}: {}", count(member));
        checks.ok_if(count(member) == 0, name, says, advice);
    }
    checks.ok_if(
        count("pending_deliveries") < 100,
        "deliveries",
        format!("{} events wait to be told to webhooks", count("pending_deliveries")),
        "`tollgate webhooks deliveries` says which receiver does not answer",
    );
    let frozen = count("frozen_budgets");
    if frozen > 0 {
        let says = format!("{frozen} grant nothing since a restore without journal");
        checks.fail("budgets", says, "`tollgate budgets frozen`, then `tollgate budgets release`");
    } else {
        checks.ok("budgets", "none is frozen");
    }
    let money = |name: &str| status[name].as_str().unwrap_or("0.00").to_owned();
    let is_none = |text: &str| text.bytes().all(|byte| byte == b'0' || byte == b'.');
    let (overdraft, parked) = (money("overdraft_usd"), money("parked_usd"));
    checks.ok_if(
        is_none(&overdraft),
        "overdraft",
        format!("{overdraft} USD were spent beyond caps, in all periods together"),
        "calls cost more than was reserved: `tollgate requests list`; see docs/observability.md",
    );
    checks.ok_if(
        is_none(&parked),
        "parked",
        format!("{parked} USD are kept for workers that vanished"),
        "it comes back with their reports, or with the end of the period: see docs/concepts.md",
    );
}

fn list(client: &Client, path: &str) -> Result<Vec<Value>, ClientError> {
    let page = client.send("GET", path, &[("limit", PAGE.to_owned())], None)?;
    let items = page["data"].as_array().or_else(|| page["items"].as_array());
    Ok(items.cloned().unwrap_or_default())
}

fn models(client: &Client, checks: &mut Checks) {
    match list(client, "models") {
        Ok(models) if models.is_empty() => checks.warn(
            "models",
            "there are none",
            "`tollgate models put`: without a model every call is refused",
        ),
        Ok(models) => {
            let unpriced = models.iter().filter(|model| {
                model["retired"] != Value::Bool(true)
                    && model["input_usd_per_mtok"].is_null()
                    && model["usd_per_call"].is_null()
            });
            let unpriced = unpriced.count();
            let says = format!("{} models, {unpriced} without a price", models.len());
            checks.ok_if(unpriced == 0, "models", says, "a model without a price cannot be called");
        }
        Err(error) => checks.warn("models", error.to_string(), ""),
    }
}

fn keys(client: &Client, checks: &mut Checks) {
    match list(client, "keys") {
        Ok(keys) => {
            let active = keys.iter().filter(|key| key["status"] == "active");
            let (active, idle): (Vec<_>, Vec<_>) =
                active.partition(|key| key["models"].as_array().is_none_or(|own| !own.is_empty()));
            let says = format!(
                "{} of the newest {} are active; {} active ones may call no model",
                active.len() + idle.len(),
                keys.len(),
                idle.len()
            );
            checks.ok_if(idle.is_empty(), "keys", says, "`tollgate keys test` says why for each");
        }
        Err(error) => checks.warn("keys", error.to_string(), ""),
    }
}

fn token_expiry(client: &Client, checks: &mut Checks) {
    let Ok(tokens) = list(client, "me/tokens") else {
        // The administrator's own token belongs to no user, and does not expire.
        return;
    };
    let now = SystemClock::start().now().unix_ms / 1_000;
    let format = &time::format_description::well_known::Rfc3339;
    let soon = tokens.iter().filter(|token| token["status"] == "active").filter(|token| {
        let at = token["expires_at"].as_str();
        let at = at.and_then(|at| time::OffsetDateTime::parse(at, format).ok());
        at.is_some_and(|at| at.unix_timestamp() < i64::try_from(now + 7 * 86_400).unwrap_or(0))
    });
    let soon = soon.count();
    let says = format!("{soon} own tokens end within a week");
    checks.ok_if(soon == 0, "personal tokens", says, "`tollgate me tokens rotate`");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::report::State;

    fn judged(status: Value) -> Vec<(&'static str, State)> {
        let mut checks = Checks::default();
        judge_status(&status, &mut checks);
        checks.states()
    }

    #[test]
    fn a_quiet_server_is_in_order_and_each_trouble_is_named() {
        let quiet = json!({"live_holders": 2, "overdraft_usd": "0.00", "parked_usd": "0.00"});
        assert!(judged(quiet.clone()).iter().all(|(_, state)| *state == State::Ok));
        for (member, value, name, state) in [
            ("live_holders", json!(0), "proxies", State::Warn),
            ("pending_holders", json!(1), "changes", State::Warn),
            ("differing_records", json!(1), "records", State::Warn),
            ("damaged_rows", json!(1), "damage", State::Warn),
            ("frozen_budgets", json!(3), "budgets", State::Fail),
            ("overdraft_usd", json!("0.000000001"), "overdraft", State::Warn),
            ("parked_usd", json!("1.00"), "parked", State::Warn),
            ("pending_deliveries", json!(100), "deliveries", State::Warn),
        ] {
            let mut status = quiet.clone();
            status[member] = value;
            let bad: Vec<_> =
                judged(status).into_iter().filter(|(_, state)| *state != State::Ok).collect();
            assert_eq!(bad, [(name, state)], "{member}");
        }
    }

    #[test]
    fn clocks_are_compared_by_what_http_says() {
        let of = |date: Option<&str>| {
            let mut checks = Checks::default();
            clock(date, &mut checks);
            checks.states()[0].1
        };
        assert_eq!(of(None), State::Warn);
        assert_eq!(of(Some("Sun, 06 Nov 1994 08:49:37 GMT")), State::Fail);
    }
}
