//! Rate windows: what each proxy admitted when, counted naively.

use std::collections::{BTreeMap, VecDeque};

use wire::Revision;

use super::{Admission, Invariant, Verdict, broken};

/// How much of a key may be used how fast.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyLimits {
    /// Requests in a minute, counted by each proxy on its own, as are the next two.
    pub per_minute: Option<u64>,
    /// Tokens in a minute.
    pub tokens_per_minute: Option<u64>,
    /// Calls at the same time.
    pub at_once: Option<u64>,
    /// Requests in a minute over all proxies together.
    pub over_all_proxies: Option<u64>,
}

const MINUTE_MS: u64 = 60_000;

/// What one proxy has counted of one key.
#[derive(Debug, Default)]
struct Counted {
    /// When calls were admitted.
    admissions: VecDeque<u64>,
    /// When calls ended, and how many tokens they used.
    ended: VecDeque<(u64, u64)>,
}

impl Counted {
    fn expire(&mut self, now_ms: u64) {
        while self.admissions.front().is_some_and(|at| at + MINUTE_MS <= now_ms) {
            self.admissions.pop_front();
        }
        while self.ended.front().is_some_and(|(at, _)| at + MINUTE_MS <= now_ms) {
            self.ended.pop_front();
        }
    }
}

/// A window over all proxies.
#[derive(Debug, Default)]
struct Cluster {
    admissions: VecDeque<u64>,
    /// Limits that may still be what some proxy keeps to, each with its revision and whether that
    /// is in force; the newest last.
    limits: Vec<(u64, Revision, bool)>,
    /// What was used until then need not be known to the server.
    counts_from_ms: u64,
}

impl Cluster {
    fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) {
        if let [.., newest] = &mut self.limits[..]
            && !newest.2
        {
            newest.2 = is_applied(newest.1);
        }
        if let Some(newest) = self.limits.last().copied().filter(|newest| newest.2) {
            self.limits = vec![newest];
        }
    }

    /// A call is admitted; answers how many were within a minute, if that is too many.
    fn admitted(&mut self, now_ms: u64) -> Option<usize> {
        while self.admissions.front().is_some_and(|at| at + MINUTE_MS <= now_ms) {
            self.admissions.pop_front();
        }
        if now_ms < self.counts_from_ms {
            return None;
        }
        self.admissions.push_back(now_ms);
        let most = self.limits.iter().map(|(max, _, _)| *max).max();
        let count = self.admissions.len();
        most.is_some_and(|most| count as u64 > most).then_some(count)
    }
}

/// Everything counted, by proxy and key, and over all proxies by key.
#[derive(Debug, Default)]
pub(super) struct Windows {
    counted: BTreeMap<(usize, String), Counted>,
    /// A proxy whose windows are counted at the server.
    at_server: Option<usize>,
    /// From when on the server knows what was used there.
    at_server_from_ms: u64,
    clusters: BTreeMap<String, Cluster>,
}

impl Windows {
    fn counted(&mut self, now_ms: u64, proxy: usize, key: &str) -> &mut Counted {
        let counted = self.counted.entry((proxy, key.to_owned())).or_default();
        counted.expire(now_ms);
        counted
    }

    pub(super) fn cluster_limit_is(&mut self, key: &str, max: u64, revision: Revision) {
        self.clusters.entry(key.to_owned()).or_default().limits.push((max, revision, false));
    }

    pub(super) fn note_applied(&mut self, is_applied: &impl Fn(Revision) -> bool) {
        self.clusters.values_mut().for_each(|cluster| cluster.note_applied(is_applied));
    }

    /// The server does not know all that was used until this time.
    pub(super) fn past_is_lost(&mut self, until_ms: u64) {
        self.at_server_from_ms = until_ms;
        let at_server = self.at_server;
        self.counted.retain(|(proxy, _), _| Some(*proxy) != at_server);
        for cluster in self.clusters.values_mut() {
            cluster.admissions.clear();
            cluster.counts_from_ms = until_ms;
        }
    }

    /// The windows of this proxy are counted at the server.
    pub(super) fn are_at_server(&mut self, proxy: usize) {
        self.at_server = Some(proxy);
    }

    pub(super) fn forget(&mut self, proxy: usize) {
        self.counted.retain(|(at, _), _| *at != proxy);
    }

    pub(super) fn ended(&mut self, now_ms: u64, proxy: usize, key: &str, tokens: u64) {
        self.counted(now_ms, proxy, key).ended.push_back((now_ms, tokens));
    }

    pub(super) fn admitted(&mut self, admission: &Admission<'_>) -> Verdict {
        let Admission { now_ms, proxy, key, limits, running, running_tokens, .. } = *admission;
        if let Some(cluster) = self.clusters.get_mut(key)
            && let Some(count) = cluster.admitted(now_ms)
        {
            let limits = &cluster.limits;
            let text =
                format!("{count} calls of key {key} in a minute over all proxies: {limits:?}");
            return broken(Invariant::Windows, text);
        }
        if self.at_server == Some(proxy) && now_ms < self.at_server_from_ms {
            return Ok(());
        }
        let counted = self.counted(now_ms, proxy, key);
        counted.admissions.push_back(now_ms);
        let in_a_minute = counted.admissions.len() as u64;
        let used: u64 = counted.ended.iter().map(|(_, tokens)| tokens).sum();
        let over = |limit: Option<u64>, count| limit.is_some_and(|limit| count > limit);
        if over(limits.per_minute, in_a_minute)
            || over(limits.tokens_per_minute, used + running_tokens)
            || over(limits.at_once, running)
        {
            return broken(
                Invariant::Windows,
                format!(
                    "proxy {proxy} has admitted {in_a_minute} calls of key {key} in a minute; \
                     those that ended used {used} tokens; it runs {running} of up to \
                     {running_tokens} tokens; limits: {limits:?}"
                ),
            );
        }
        Ok(())
    }

    /// A call is let pass that a window of its proxy would have refused: that must be full.
    pub(super) fn let_pass(&mut self, admission: &Admission<'_>, code: &str) -> Verdict {
        let Admission { now_ms, proxy, key, limits, .. } = *admission;
        let counts_here = limits.over_all_proxies.is_none() && self.at_server != Some(proxy);
        let Some(limit) = limits.per_minute.filter(|_| counts_here && code == "rpm_exceeded")
        else {
            return Ok(());
        };
        let count = self.counted(now_ms, proxy, key).admissions.len() as u64;
        if count >= limit {
            return Ok(());
        }
        let text = format!("proxy {proxy} finds key {key} at its limit with {count} of {limit}");
        broken(Invariant::Windows, text)
    }

    pub(super) fn refused(
        &mut self,
        now_ms: u64,
        (proxy, key): (usize, &str),
        limits: KeyLimits,
        retry_after_s: Option<u64>,
    ) -> Verdict {
        let Some(limit) = limits.per_minute else {
            let text = format!("proxy {proxy} refuses key {key} for a limit that it has not");
            return broken(Invariant::Windows, text);
        };
        let admissions = &self.counted(now_ms, proxy, key).admissions;
        let first = admissions.front().copied().filter(|_| admissions.len() as u64 >= limit);
        // In whole seconds, rounded up: a client that waits them is admitted.
        let right = first.map(|at| (at + MINUTE_MS - now_ms).div_ceil(1_000).max(1));
        if right.is_none() || retry_after_s != right {
            return broken(
                Invariant::Windows,
                format!(
                    "proxy {proxy} refuses key {key} for {retry_after_s:?} s with {} of {limit} \
                     calls in a minute; right is {right:?}",
                    admissions.len()
                ),
            );
        }
        Ok(())
    }
}
