//! What the host of this VM can do. The same module runs in every proxy; where one cannot do
//! something, the machine does without, and never lets a request pass that it could not bound.

use wire::v1::{Level, Limit, Scope, Unit};

use crate::config::{HostSettings, Windows};
use crate::windows::Group;

/// So many fields the modules for nginx show, and say nothing of the others. One of them counts the
/// method, the path and the like among these.
const NGINX_FIELDS: usize = 100;

/// A family of proxies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostKind {
    /// Envoy, and what is made of it: Istio, Envoy Gateway, Higress.
    #[default]
    Envoy,
    /// Apache APISIX: no timers, no shared data, and nothing but headers can be written.
    Apisix,
    /// Kong's module for nginx: bodies can be written only before a request has waited.
    NgxWasm,
}

/// When the request body can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyWriting {
    Always,
    /// In the callback in which it came, not in that of a call's answer.
    BeforeWaiting,
    Never,
}

/// How it is told that a request has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// With the head, truly.
    WithHead,
    /// A body always comes, if need be an empty one; what the head says of it means nothing.
    AlwaysComes,
    /// A body comes if there is one, whole, and nobody says that there is none.
    ComesIfAny,
}

/// Where windows of scope `proxy` are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// In memory that all workers share.
    Shared,
    /// At the server, call by call.
    Server,
    /// In each of so many workers, which has its part of every limit.
    PerWorker(u64),
}

/// What one host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAbilities {
    /// It calls by a timer; otherwise what is due is done when requests come, and calls of the VM's
    /// own ride on them.
    pub timers: bool,
    /// While a request's head is held its body is delivered.
    pub holds_head: bool,
    /// A request that waits must wait for something that the host knows of: a call, or the end of an
    /// answer of ours. It is let on while its body is still to come, which then waits.
    pub holds_for_body: bool,
    /// The body of a request or of an answer is shown only where that was asked for.
    pub shows_bodies_on_request: bool,
    /// A request may wait for what another one brings about, and is let on then.
    pub(crate) resumes_others: bool,
    /// Of a body that grows, what is new can be shown: the host keeps all of it in one place.
    pub(crate) shows_bodies_in_parts: bool,
    /// A head with fewer fields than this is shown as a whole. Of a longer one the rest would go on
    /// unseen: with a second credential, or names that only the filter may use.
    pub(crate) most_fields: usize,
    /// Answers' bodies can be written.
    pub(crate) writes_answers: bool,
    /// The path of a request can be written.
    pub(crate) writes_paths: bool,
    /// Running streams can be ended.
    pub(crate) ends_streams: bool,
    pub(crate) body_writing: BodyWriting,
    pub(crate) body_end: BodyEnd,
    pub(crate) counting: Counting,
}

impl HostAbilities {
    /// What this kind of host can do under these settings.
    #[must_use]
    pub fn of(kind: HostKind, settings: &HostSettings) -> Self {
        let envoy = Self {
            timers: true,
            holds_head: settings.holds_headers,
            holds_for_body: settings.holds_headers,
            shows_bodies_on_request: false,
            resumes_others: true,
            shows_bodies_in_parts: true,
            most_fields: usize::MAX,
            writes_answers: true,
            writes_paths: true,
            ends_streams: true,
            body_writing: BodyWriting::Always,
            body_end: BodyEnd::WithHead,
            counting: Counting::of(settings.windows.unwrap_or(Windows::Shared), settings.workers),
        };
        let nginx = Self {
            // Nothing goes upstream before the body has come, so heads can be changed until then.
            holds_head: true,
            holds_for_body: false,
            resumes_others: false,
            shows_bodies_in_parts: false,
            most_fields: NGINX_FIELDS,
            writes_answers: false,
            writes_paths: false,
            ends_streams: false,
            counting: Counting::of(settings.windows.unwrap_or(Windows::Server), settings.workers),
            ..envoy
        };
        match kind {
            HostKind::Envoy => envoy,
            HostKind::Apisix => Self {
                timers: false,
                shows_bodies_on_request: true,
                body_writing: BodyWriting::Never,
                body_end: BodyEnd::AlwaysComes,
                ..nginx
            },
            HostKind::NgxWasm => Self {
                body_writing: BodyWriting::BeforeWaiting,
                body_end: BodyEnd::ComesIfAny,
                ..nginx
            },
        }
    }

    /// All workers of the proxy share a memory.
    #[must_use]
    pub fn shares_memory(&self) -> bool {
        self.counting == Counting::Shared
    }

    /// The request windows of scope `proxy` with a smaller `max` are counted at the server.
    pub(crate) fn counted_at_server_below(&self) -> u64 {
        match self.counting {
            Counting::Shared => 0,
            Counting::Server => wire::v1::EVERY_WINDOW,
            Counting::PerWorker(workers) => workers,
        }
    }

    /// Limits as this VM is to count them. One that would leave a worker nothing is counted at the
    /// server, where it can be.
    pub(crate) fn localize(&self, limits: &mut [Limit]) {
        let below = self.counted_at_server_below();
        for limit in limits.iter_mut().filter(|limit| limit.scope == Scope::Proxy) {
            let subject = &limit.subject;
            let is_of_key = subject.level == Level::Key && subject.model.is_none();
            if is_of_key && limit.unit == Unit::Requests && limit.max < below {
                limit.scope = Scope::Cluster;
            } else if let Counting::PerWorker(workers) = self.counting {
                limit.max = limit.max.checked_div(workers).unwrap_or(0);
            }
        }
    }

    /// What a VM may use of a limit that is no key's own. It always leaves room for one call, and where a
    /// worker is not told how many there are, each of them has it whole.
    pub(crate) fn share_of(&self, max: u64) -> u64 {
        match self.counting {
            Counting::Shared | Counting::Server => max,
            Counting::PerWorker(workers) => max.checked_div(workers).unwrap_or(max).max(1),
        }
    }

    /// Some of these windows cannot be counted here: a call that they limit must not be made.
    pub(crate) fn cannot_count(&self, groups: &[Group]) -> bool {
        match self.counting {
            Counting::Shared => false,
            Counting::Server => !groups.is_empty(),
            Counting::PerWorker(_) => groups.iter().any(Group::has_nothing),
        }
    }
}

impl Counting {
    fn of(windows: Windows, workers: u64) -> Self {
        match windows {
            Windows::Shared => Self::Shared,
            Windows::Server => Self::Server,
            Windows::PerWorker => Self::PerWorker(workers.max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::{Subject, Window};

    fn limit(level: Level, unit: Unit, max: u64) -> Limit {
        let window = (unit != Unit::Concurrent).then_some(Window::Minute);
        let subject = Subject { level, id: "k".to_owned(), model: None };
        Limit { unit, window, max, scope: Scope::Proxy, subject }
    }

    fn localized(windows: Windows, workers: u64) -> Vec<(Scope, u64)> {
        let settings = HostSettings { windows: Some(windows), workers, ..HostSettings::default() };
        let host = HostAbilities::of(HostKind::Apisix, &settings);
        let mut limits = [
            limit(Level::Key, Unit::Requests, 60),
            limit(Level::Key, Unit::Requests, 3),
            limit(Level::Team, Unit::Requests, 60),
            limit(Level::Key, Unit::Tokens, 1_000),
            limit(Level::Key, Unit::Concurrent, 3),
        ];
        host.localize(&mut limits);
        limits.iter().map(|limit| (limit.scope, limit.max)).collect()
    }

    #[test]
    fn limits_are_counted_where_they_can_be() {
        use Scope::{Cluster, Proxy};
        assert_eq!(
            localized(Windows::Server, 4),
            [(Cluster, 60), (Cluster, 3), (Proxy, 60), (Proxy, 1_000), (Proxy, 3)]
        );
        assert_eq!(
            localized(Windows::PerWorker, 4),
            [(Proxy, 15), (Cluster, 3), (Proxy, 15), (Proxy, 250), (Proxy, 0)]
        );
        assert_eq!(
            localized(Windows::Shared, 4),
            [(Proxy, 60), (Proxy, 3), (Proxy, 60), (Proxy, 1_000), (Proxy, 3)]
        );
    }

    #[test]
    fn of_a_bound_on_every_key_each_worker_has_its_part_and_room_for_one_call() {
        let share = |windows, workers| {
            let settings =
                HostSettings { windows: Some(windows), workers, ..HostSettings::default() };
            HostAbilities::of(HostKind::NgxWasm, &settings).share_of(1_000)
        };
        assert_eq!(share(Windows::Shared, 4), 1_000);
        assert_eq!(share(Windows::Server, 1), 1_000);
        assert_eq!(share(Windows::PerWorker, 4), 250);
        assert_eq!(share(Windows::PerWorker, 4_096), 1);
    }

    #[test]
    fn a_limit_that_nobody_counts_admits_nobody() {
        let cannot = |windows, workers, limit: Limit| {
            let settings =
                HostSettings { windows: Some(windows), workers, ..HostSettings::default() };
            let host = HostAbilities::of(HostKind::Apisix, &settings);
            let mut limits = [limit];
            host.localize(&mut limits);
            let model = wire::ModelName::new("m").unwrap();
            host.cannot_count(&crate::windows::groups(&limits, &model))
        };
        let tokens = || limit(Level::Key, Unit::Tokens, 1_000);
        let calls = || limit(Level::Key, Unit::Concurrent, 3);
        assert!(cannot(Windows::Server, 4, tokens()));
        assert!(cannot(Windows::Server, 4, limit(Level::Team, Unit::Requests, 60)));
        assert!(!cannot(Windows::Server, 4, limit(Level::Key, Unit::Requests, 60)));
        assert!(!cannot(Windows::PerWorker, 4, tokens()));
        assert!(cannot(Windows::PerWorker, 4, calls()));
        assert!(!cannot(Windows::PerWorker, 3, calls()));
        assert!(!cannot(Windows::Shared, 4, calls()));
    }
}
