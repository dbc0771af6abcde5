//! How many lines of the audit the refused and failed requests of one actor make. Each line is a write
//! to disk; whoever fails in a loop makes so many of them a minute, and then one that counts the rest.

use std::collections::HashMap;

use wire::OrgId;

use crate::clock::Now;

/// Refused or failed requests of one actor that have a line each, within a minute.
pub const WRITTEN_PER_MINUTE: u32 = 60;

/// How long they are counted together, in milliseconds.
pub const WINDOW_MS: u64 = 60_000;

/// Actors that are remembered at once, with one number each: half a megabyte. One more pushes out the
/// one whose minute began first, whose sum is written then.
const ACTORS_MOST: usize = 4_096;

/// What of one actor was not written one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Who, as the audit names actors.
    pub actor: String,
    /// Of which organisation; none for the admin token.
    pub org: Option<OrgId>,
    /// When the minute began, in milliseconds since 1970 UTC.
    pub since_unix_ms: u64,
    /// How many.
    pub count: u64,
}

#[derive(Debug)]
struct Minute {
    since: Now,
    org: Option<OrgId>,
    written: u32,
    left_out: u64,
}

impl Minute {
    fn is_over(&self, now: Now) -> bool {
        now.monotonic_ms >= self.since.monotonic_ms.saturating_add(WINDOW_MS)
    }

    fn ended(self, actor: String) -> Option<LeftOut> {
        let Self { since, org, left_out, .. } = self;
        let since_unix_ms = since.unix_ms;
        (left_out > 0).then_some(LeftOut { actor, org, since_unix_ms, count: left_out })
    }
}

/// The minutes that run. They are forgotten at a restart.
#[derive(Debug, Default)]
pub struct Refusals {
    minutes: HashMap<String, Minute>,
}

impl Refusals {
    /// A request of this actor was refused or failed. Answers whether it is to be written, and what
    /// had to make place for it.
    pub fn note(&mut self, actor: &str, org: Option<&OrgId>, now: Now) -> (bool, Option<LeftOut>) {
        if let Some(minute) = self.minutes.get_mut(actor)
            && !minute.is_over(now)
        {
            if minute.written < WRITTEN_PER_MINUTE {
                minute.written += 1;
                return (true, None);
            }
            minute.left_out = minute.left_out.saturating_add(1);
            return (false, None);
        }
        let mut ended = self.end(actor);
        if self.minutes.len() >= ACTORS_MOST {
            let oldest = self.minutes.iter().min_by_key(|(_, minute)| minute.since.monotonic_ms);
            let oldest = oldest.map(|(actor, _)| actor.clone());
            ended = ended.or(oldest.and_then(|actor| self.end(&actor)));
        }
        let minute = Minute { since: now, org: org.cloned(), written: 1, left_out: 0 };
        self.minutes.insert(actor.to_owned(), minute);
        (true, ended)
    }

    /// What was left out in minutes that are over; they are forgotten.
    pub fn take_ended(&mut self, now: Now) -> Vec<LeftOut> {
        let over = self.minutes.iter().filter(|(_, minute)| minute.is_over(now));
        let over: Vec<String> = over.map(|(actor, _)| actor.clone()).collect();
        over.iter().filter_map(|actor| self.end(actor)).collect()
    }

    fn end(&mut self, actor: &str) -> Option<LeftOut> {
        let (actor, minute) = self.minutes.remove_entry(actor)?;
        minute.ended(actor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { unix_ms: 1_000_000 + ms, monotonic_ms: ms }
    }

    #[test]
    fn sixty_a_minute_are_written_and_the_rest_is_counted_once() {
        let mut refusals = Refusals::default();
        let org = OrgId::new("acme").unwrap();
        for n in 0..60 {
            assert_eq!(refusals.note("acme/ada", Some(&org), at(n)), (true, None));
        }
        for n in 0..5 {
            assert_eq!(refusals.note("acme/ada", Some(&org), at(100 + n)), (false, None));
        }
        assert_eq!(refusals.note("admin", None, at(200)), (true, None), "each by himself");
        assert_eq!(refusals.take_ended(at(59_999)), []);
        let left_out = LeftOut {
            actor: "acme/ada".to_owned(),
            org: Some(org.clone()),
            since_unix_ms: 1_000_000,
            count: 5,
        };
        let mut other = Refusals::default();
        for n in 0..65 {
            other.note("acme/ada", Some(&org), at(n));
        }
        assert_eq!(refusals.take_ended(at(60_000)), std::slice::from_ref(&left_out));
        assert_eq!(refusals.take_ended(at(60_000)), []);
        // or told by the next one after the minute
        assert_eq!(other.note("acme/ada", Some(&org), at(60_000)), (true, Some(left_out)));
    }

    #[test]
    fn memory_is_bounded_and_no_sum_is_lost() {
        let mut refusals = Refusals::default();
        for _ in 0..=WRITTEN_PER_MINUTE {
            refusals.note("first", None, at(0));
        }
        let mut told = Vec::new();
        for n in 0..5_000u64 {
            told.extend(refusals.note(&format!("actor {n}"), None, at(1 + n)).1);
        }
        assert_eq!(refusals.minutes.len(), ACTORS_MOST);
        assert_eq!(told.iter().map(|left_out| left_out.count).sum::<u64>(), 1);
    }
}
