//! `host`: in what kind of proxy the filter runs, and what it does where the proxy cannot do all.

use serde_json::{Map, Value};

use super::Config;
use super::check::{Checker, Problem};
use super::reference::names_in;
use crate::host_abilities::{Counting, HostAbilities, HostKind};

/// Most `host.workers`: more than any machine has cores.
pub const MOST_WORKERS: u64 = 4_096;

/// What is set about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSettings {
    /// None: as it is found.
    pub kind: Option<HostKind>,
    /// Envoy: whether bodies are delivered while heads are held (`allow_on_headers_stop_iteration`).
    pub holds_headers: bool,
    /// Workers of the proxy, where each counts for itself.
    pub workers: u64,
    /// Calls whose output limit cannot be written are refused instead of reserved at the model's most.
    pub refuses_unwritable_limits: bool,
    /// Streams that cannot be made to report their usage are refused instead of estimated.
    pub refuses_unforced_usage: bool,
    /// None: as the kind of host has it.
    pub windows: Option<Windows>,
}

/// Where windows of scope `proxy` are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// In the proxy's shared data.
    Shared,
    /// At the policy server.
    Server,
    /// In each worker, which has its part.
    PerWorker,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            kind: None,
            holds_headers: true,
            workers: 1,
            refuses_unwritable_limits: false,
            refuses_unforced_usage: false,
            windows: None,
        }
    }
}

impl Config {
    /// What is wrong with the configuration on the kind of host that was found. A host that shows
    /// itself only at its first request is not among those that are found.
    ///
    /// # Errors
    /// Every problem.
    pub fn check_on(&self, found: HostKind) -> Result<(), Vec<Problem>> {
        let mut checker = Checker::default();
        if found == HostKind::Apisix && self.host.kind.is_some_and(|kind| kind != found) {
            checker.problem::<()>("host.kind", "this host has no timers, as none but apisix");
        }
        let host = HostAbilities::of(self.host.kind.unwrap_or(found), &self.host);
        if self.idempotency && !host.shares_memory() {
            let message = "must be false here, since the workers of this host share no memory";
            checker.problem::<()>("idempotency", message);
        }
        if self.local().is_some() && host.counting == Counting::Server {
            let message = "must be per_worker or shared where there is no server";
            checker.problem::<()>("host.windows", message);
        }
        if checker.problems.is_empty() { Ok(()) } else { Err(checker.problems) }
    }
}

impl Checker {
    pub(super) fn host(&mut self, root: &Map<String, Value>) -> Option<HostSettings> {
        let default = HostSettings::default();
        let Some(host) = self.object("", root, "host", false) else { return Some(default) };
        self.known("host", host, names_in!("host"));
        let kinds = [
            ("auto", None),
            ("envoy", Some(HostKind::Envoy)),
            ("apisix", Some(HostKind::Apisix)),
            ("ngx_wasm", Some(HostKind::NgxWasm)),
        ];
        let kind = self.one_of("host", host, "kind", &kinds)?;
        let windows = [
            ("shared", Some(Windows::Shared)),
            ("server", Some(Windows::Server)),
            ("per_worker", Some(Windows::PerWorker)),
        ];
        let windows = self.one_of("host", host, "windows", &windows)?.flatten();
        let kind = kind.flatten();
        if kind == Some(HostKind::Apisix) && windows == Some(Windows::Shared) {
            self.problem::<()>("host.windows", "must be server or per_worker on apisix");
        }
        if windows == Some(Windows::PerWorker) && !host.contains_key("workers") {
            self.problem::<()>("host.workers", "is required where windows are counted per_worker");
        }
        let limits = [("reserve", false), ("refuse", true)];
        let limits = self.one_of("host", host, "unwritable_limits", &limits)?;
        let usage = [("estimate", false), ("refuse", true)];
        let usage = self.one_of("host", host, "unforced_usage", &usage)?;
        let holds_headers = match host.get("holds_headers") {
            None => true,
            Some(Value::Bool(holds)) => *holds,
            Some(_) => return self.problem("host.holds_headers", "must be true or false"),
        };
        Some(HostSettings {
            kind,
            holds_headers,
            workers: self.number("host", host, "workers", 1, 1..=MOST_WORKERS)?,
            refuses_unwritable_limits: limits.unwrap_or(false),
            refuses_unforced_usage: usage.unwrap_or(false),
            windows,
        })
    }

    /// What one of a few words stands for; inside, none where the member is absent.
    fn one_of<T: Copy>(
        &mut self,
        path: &str,
        object: &Map<String, Value>,
        name: &str,
        words: &[(&str, T)],
    ) -> Option<Option<T>> {
        let Some(value) = object.get(name) else { return Some(None) };
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        if let Some((_, meaning)) = found {
            return Some(Some(*meaning));
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = ["must be one of ", &words.join(", ")].concat();
        self.problem(&super::check::join(path, name), &message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn of(host: &str) -> Result<Config, Vec<String>> {
        let text = format!(r#"{{"server":{{"cluster":"c"}},"host":{host}}}"#);
        let problems = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        parse(text.as_bytes()).map_err(problems)
    }

    #[test]
    fn a_host_is_read_with_its_defaults() {
        assert_eq!(of("{}").unwrap().host, HostSettings::default());
        let host = of(r#"{"kind":"apisix","workers":8,"windows":"per_worker",
                          "unwritable_limits":"refuse","unforced_usage":"estimate"}"#);
        let host = host.unwrap().host;
        assert_eq!(host.kind, Some(HostKind::Apisix));
        assert_eq!((host.workers, host.windows), (8, Some(Windows::PerWorker)));
        assert!(host.refuses_unwritable_limits && !host.refuses_unforced_usage);
        assert_eq!(of(r#"{"kind":"auto"}"#).unwrap().host.kind, None);
        assert!(!of(r#"{"kind":"envoy","holds_headers":false}"#).unwrap().host.holds_headers);
    }

    #[test]
    fn every_problem_of_it_is_named() {
        let problems = |host: &str| of(host).unwrap_err();
        assert_eq!(problems("7"), ["host: must be an object"]);
        assert_eq!(
            problems(r#"{"kind":"nginx","worker":1}"#),
            [
                "host.worker: is not known",
                "host.kind: must be one of auto, envoy, apisix, ngx_wasm"
            ]
        );
        assert_eq!(
            problems(r#"{"windows":"per_worker"}"#),
            ["host.workers: is required where windows are counted per_worker"]
        );
        assert_eq!(
            problems(r#"{"kind":"apisix","windows":"shared"}"#),
            ["host.windows: must be server or per_worker on apisix"]
        );
        assert_eq!(
            problems(r#"{"workers":0,"holds_headers":1,"unforced_usage":"guess"}"#),
            ["host.unforced_usage: must be one of estimate, refuse"]
        );
        assert_eq!(
            problems(r#"{"workers":0}"#),
            ["host.workers: must be an integer from 1 to 4096"]
        );
    }

    #[test]
    fn what_a_found_host_cannot_do_is_a_problem() {
        let on = |host: &str, rest: &str, kind| {
            let text = format!(r#"{{"server":{{"cluster":"c"}},"host":{host}{rest}}}"#);
            parse(text.as_bytes()).unwrap().check_on(kind).is_ok()
        };
        assert!(on("{}", "", HostKind::Apisix));
        assert!(on(r#"{"kind":"apisix"}"#, "", HostKind::Envoy));
        assert!(!on(r#"{"kind":"envoy"}"#, "", HostKind::Apisix));
        assert!(on("{}", r#","idempotency":true"#, HostKind::Envoy));
        assert!(!on("{}", r#","idempotency":true"#, HostKind::Apisix));
        assert!(!on("{}", r#","profile":"mindproxy""#, HostKind::Apisix));
        assert!(on("{}", r#","profile":"mindproxy","idempotency":false"#, HostKind::Apisix));
        assert!(!on(r#"{"windows":"server"}"#, r#","idempotency":true"#, HostKind::Envoy));
    }
}
