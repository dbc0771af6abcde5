//! Envoy's own view: is the filter there as it must be, does its VM live, is the server reachable.

use serde_json::Value;

use super::report::Checks;
use super::web::Web;

/// What the filter takes where its configuration says nothing, in bytes.
const BODY_BYTES: u64 = 10 * 1024 * 1024;
/// Envoy's own limit where a listener says nothing, in bytes.
const BUFFER_BYTES: u64 = 1024 * 1024;
const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
const LISTENER: &str = "envoy.config.listener.v3.Listener";

/// Makes the checks.
pub fn check(web: &Web, admin: &str, token: Option<&str>, checks: &mut Checks) {
    let mut get = |path: &str| match web.get(admin, path, None) {
        Ok(answer) if answer.status == 200 => Some(answer),
        Ok(answer) => {
            checks.fail("envoy", format!("{path} answers {}", answer.status), "");
            None
        }
        Err(error) => {
            let advice = "name the admin interface of the gateway's Envoy";
            checks.fail("envoy", format!("cannot be reached at {admin}: {error}"), advice);
            None
        }
    };
    let Some(dump) = get("/config_dump") else { return };
    let Some(stats) = get("/stats?filter=wasm") else { return };
    let Some(clusters) = get("/clusters?format=json") else { return };
    if let Some(token) = token.filter(|token| !token.is_empty()) {
        if dump.body.contains(token) {
            checks.fail(
                "token in configuration",
                "the configuration dump shows TOLLGATE_FILTER_TOKEN",
                "pass it with vm_config.environment_variables.host_env_keys, and make a new one",
            );
        } else {
            checks.ok("token in configuration", "the configuration dump does not show it");
        }
    }
    let found = filters(&dump.json());
    if found.is_empty() {
        let advice = "add the filter of envoy-config/envoy.yaml to the connection manager";
        checks.fail("filter", "no listener has a wasm filter that calls a policy server", advice);
    }
    for filter in &found {
        judge_filter(filter, checks);
    }
    judge_vms(&stats.body, checks);
    let mut names: Vec<_> = found.iter().filter_map(|filter| filter.cluster.clone()).collect();
    names.sort();
    names.dedup();
    for name in names {
        judge_cluster(&name, &clusters.json(), checks);
    }
}

/// One filter of ours in a listener.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    /// `FAIL_CLOSED` where nothing is said.
    failure_policy: String,
    stops_iteration: bool,
    body_bytes: u64,
    buffer_bytes: u64,
    cluster: Option<String>,
}

/// Every wasm filter whose configuration names a policy server.
fn filters(dump: &Value) -> Vec<Filter> {
    let mut found = Vec::new();
    walk(dump, BUFFER_BYTES, &mut found);
    found
}

fn is_a(value: &Value, kind: &str) -> bool {
    value["@type"].as_str().is_some_and(|name| name.ends_with(kind))
}

fn walk(value: &Value, buffer_bytes: u64, found: &mut Vec<Filter>) {
    match value {
        Value::Object(members) => {
            let buffer_bytes = if is_a(value, LISTENER) {
                value["per_connection_buffer_limit_bytes"].as_u64().unwrap_or(BUFFER_BYTES)
            } else {
                buffer_bytes
            };
            if is_a(value, WASM_FILTER) {
                found.extend(read(&value["config"], buffer_bytes));
            }
            members.values().for_each(|member| walk(member, buffer_bytes, found));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, buffer_bytes, found)),
        _ => {}
    }
}

fn read(config: &Value, buffer_bytes: u64) -> Option<Filter> {
    let text = config["configuration"]["value"].as_str()?;
    let own: Value = serde_json::from_str(text).ok()?;
    let failure_policy = match (config["failure_policy"].as_str(), &config["fail_open"]) {
        (_, Value::Bool(true)) => "FAIL_OPEN",
        (Some(policy), _) => policy,
        (None, _) => "FAIL_CLOSED",
    };
    Some(Filter {
        failure_policy: failure_policy.to_owned(),
        stops_iteration: config["allow_on_headers_stop_iteration"] == Value::Bool(true),
        body_bytes: own["limits"]["body_bytes"].as_u64().unwrap_or(BODY_BYTES),
        buffer_bytes,
        cluster: Some(own["server"]["cluster"].as_str()?.to_owned()),
    })
}

fn judge_filter(filter: &Filter, checks: &mut Checks) {
    let says = format!("failure policy {}", filter.failure_policy);
    match filter.failure_policy.as_str() {
        "FAIL_OPEN" => checks.fail(
            "filter",
            says,
            "set failure_policy: FAIL_RELOAD: with this one everything passes once the VM has died",
        ),
        "FAIL_RELOAD" => checks.ok("filter", says),
        _ => checks.warn(
            "filter",
            says,
            "set failure_policy: FAIL_RELOAD: with this one a worker whose VM died refuses for ever",
        ),
    }
    checks.ok_if(
        filter.stops_iteration,
        "headers",
        format!("allow_on_headers_stop_iteration is {}", filter.stops_iteration),
        "set it (Envoy 1.36 or newer), or the head of a request leaves before the verdict",
    );
    let says = format!(
        "the filter takes bodies of {} bytes, Envoy holds {}",
        filter.body_bytes, filter.buffer_bytes
    );
    checks.ok_if(
        filter.buffer_bytes > filter.body_bytes,
        "buffer",
        says,
        "raise the listener's per_connection_buffer_limit_bytes, or lower limits.body_bytes",
    );
}

/// Judges the statistics of VMs, each a line `name: value`.
fn judge_vms(stats: &str, checks: &mut Checks) {
    let lines = stats.lines().filter_map(|line| line.rsplit_once(": "));
    let values: Vec<(&str, u64)> =
        lines.filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect();
    let sum = |part: &str| -> u64 {
        values.iter().filter(|(name, _)| name.contains(part)).map(|(_, value)| value).sum()
    };
    let active = sum("wasm.envoy.wasm.runtime.v8.active");
    if active == 0 {
        let advice = "Envoy runs no wasm VM: see its log for why the filter did not load";
        checks.fail("vms", "none is active", advice);
    } else {
        checks.ok("vms", format!("{active} are active"));
    }
    let failures =
        sum("vm_reload_success") + sum("vm_reload_failure") + sum("remote_load_fetch_failures");
    checks.ok_if(
        failures == 0,
        "vm failures",
        format!("{failures} since Envoy's start"),
        "a VM has died or code could not be fetched: look for `tollgate` in Envoy's log",
    );
    let usable = values.iter().find(|(name, _)| *name == "wasmcustom.tollgate_sessions_usable");
    let vms = values.iter().find(|(name, _)| *name == "wasmcustom.tollgate_vms");
    if let (Some((_, usable)), Some((_, vms))) = (usable, vms) {
        checks.ok_if(
            usable >= vms,
            "sessions",
            format!("{usable} of {vms} workers that serve have a session"),
            "the others answer 503: can Envoy reach the filter API?",
        );
    }
}

fn judge_cluster(name: &str, clusters: &Value, checks: &mut Checks) {
    let all = clusters["cluster_statuses"].as_array();
    let cluster = all.and_then(|all| all.iter().find(|cluster| cluster["name"] == *name));
    let Some(cluster) = cluster else {
        let advice = "the filter's server.cluster must be the name of a cluster";
        return checks.fail("cluster", format!("there is no cluster {name}"), advice);
    };
    let hosts = cluster["host_statuses"].as_array().map_or(&[][..], Vec::as_slice);
    let is_healthy = |host: &&Value| {
        let health = &host["health_status"];
        health["eds_health_status"].as_str().is_none_or(|word| word == "HEALTHY")
            && health["failed_active_health_check"] != Value::Bool(true)
            && health["failed_outlier_check"] != Value::Bool(true)
    };
    let healthy = hosts.iter().filter(is_healthy).count();
    let says = format!("{name} has {healthy} healthy hosts of {}", hosts.len());
    if healthy == 0 {
        let advice = "Envoy knows no host of the policy server: see the cluster's addresses";
        checks.fail("cluster", says, advice);
    } else {
        checks.ok("cluster", says);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::report::State;

    fn dump(config: &Value, buffer: Option<u64>) -> Value {
        json!({"configs": [{"dynamic_listeners": [{"listener": {
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "per_connection_buffer_limit_bytes": buffer,
            "filter_chains": [{"filters": [{"typed_config": {"http_filters": [
                {"typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": config,
                }},
                {"typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {"configuration": {"value": "somebody else's"}},
                }},
            ]}}]}],
        }}]}]})
    }

    #[test]
    fn a_filter_is_found_where_it_is_and_judged_by_its_own_listener() {
        let own = r#"{"server": {"cluster": "policy"}, "limits": {"body_bytes": 2000000}}"#;
        let good = json!({"configuration": {"value": own}, "failure_policy": "FAIL_RELOAD",
                          "allow_on_headers_stop_iteration": true});
        let judged = |config: &Value, buffer| {
            let found = filters(&dump(config, buffer));
            assert_eq!(found.len(), 1);
            let mut checks = Checks::default();
            judge_filter(&found[0], &mut checks);
            checks.states().into_iter().map(|(_, state)| state).collect::<Vec<_>>()
        };
        assert_eq!(judged(&good, Some(3_000_000)), [State::Ok; 3]);
        assert_eq!(judged(&good, None), [State::Ok, State::Ok, State::Warn]);
        let mut open = good.clone();
        open["failure_policy"] = json!("FAIL_OPEN");
        assert_eq!(judged(&open, Some(3_000_000))[0], State::Fail);
        open["failure_policy"] = Value::Null;
        open["fail_open"] = json!(true);
        open["allow_on_headers_stop_iteration"] = Value::Null;
        assert_eq!(judged(&open, Some(3_000_000)), [State::Fail, State::Warn, State::Ok]);
    }

    #[test]
    fn vms_and_clusters_are_judged_by_what_envoy_counts() {
        let states = |stats: &str| {
            let mut checks = Checks::default();
            judge_vms(stats, &mut checks);
            checks.states().into_iter().map(|(_, state)| state).collect::<Vec<_>>()
        };
        let quiet = "wasm.envoy.wasm.runtime.v8.active: 3\nwasm.tollgate.vm_reload_success: 0\n";
        assert_eq!(states(quiet), [State::Ok, State::Ok]);
        assert_eq!(states(&quiet.replace(": 3", ": 0"))[0], State::Fail);
        assert_eq!(states(&quiet.replace("success: 0", "success: 1"))[1], State::Warn);
        let cut =
            format!("{quiet}wasmcustom.tollgate_sessions_usable: 0\nwasmcustom.tollgate_vms: 1\n");
        assert_eq!(states(&cut)[2], State::Warn);

        let host = |word: &str| json!({"health_status": {"eds_health_status": word}});
        for (hosts, state) in [
            (json!([host("HEALTHY")]), State::Ok),
            (json!([host("UNHEALTHY")]), State::Fail),
            (json!([]), State::Fail),
        ] {
            let clusters = json!({"cluster_statuses": [{"name": "p", "host_statuses": hosts}]});
            let mut checks = Checks::default();
            judge_cluster("p", &clusters, &mut checks);
            judge_cluster("q", &clusters, &mut checks);
            assert_eq!(checks.states(), [("cluster", state), ("cluster", State::Fail)]);
        }
    }
}
